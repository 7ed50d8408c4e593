"""How the runs went over time: each of the last ones of a pipeline, and every day of a project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import Case, CharField, Count, F, QuerySet, Value, When
from django.db.models.functions import TruncDate

from apps.pipelines import queries
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.states import RUN_TERMINAL

LAST = 60
DAYS = 30
_FAILED = ("failed", "timed_out")


@dataclass(frozen=True)
class History:
    """`chart` is what the browser draws: one entry a run, the oldest first."""

    chart: dict[str, Any]
    count: int
    success: float | None
    usual: float | None
    rows: float | None


def of_pipeline(pipeline: Pipeline) -> History:
    """The last runs of a pipeline that have ended and did something."""
    ended = Run.objects.filter(pipeline=pipeline, state__in=RUN_TERMINAL, started_at__isnull=False)
    runs: list[Any] = list(queries.with_totals(ended.exclude(state="skipped")).order_by("-id")[:LAST])[::-1]
    good = [each for each in runs if each.state == "succeeded"]
    telling = [each for each in runs if each.state == "succeeded" or each.state in _FAILED]
    took = [(each.finished_at - each.started_at).total_seconds() for each in runs]
    chart = {
        "at": [f"{each.created_at.astimezone(UTC):%d %b %Y, %H:%M} UTC" for each in runs],
        "state": [_tone(each.state, each.outcome) for each in runs],
        "seconds": [round(each, 3) for each in took],
        "rows": [each.rows_written for each in runs],
        "ids": [str(each.pk) for each in runs],
    }
    return History(
        chart=chart,
        count=len(runs),
        success=len(good) / len(telling) if telling else None,
        usual=median((each.finished_at - each.started_at).total_seconds() for each in good) if good else None,
        rows=median(each.rows_written for each in good) if good else None,
    )


def usual_seconds(pipeline: Pipeline, mode: str) -> float | None:
    """What the last good runs of a mode took, in the median; None where there is none."""
    good = Run.objects.filter(pipeline=pipeline, state="succeeded", mode=mode, started_at__isnull=False)
    spent = good.order_by("-id").values_list(F("finished_at") - F("started_at"), flat=True)[:LAST]
    return median(each.total_seconds() for each in spent) if spent else None


def by_day(runs: QuerySet[Run], now: datetime) -> dict[str, Any]:
    """How many of these runs began on each of the last days, by outcome; days without one count nought."""
    first = now.astimezone(UTC).date() - timedelta(days=DAYS - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=UTC)
    tone = Case(
        When(state="succeeded", outcome="clean", then=Value("ok")),
        When(state="succeeded", then=Value("warn")),
        When(state__in=_FAILED, then=Value("bad")),
        default=Value("none"),
        output_field=CharField(),
    )
    rows = runs.filter(created_at__gte=since).order_by().annotate(day=TruncDate("created_at", tzinfo=UTC), tone=tone)
    return _filled(first, rows.values_list("day", "tone").annotate(count=Count("pk")))


def _filled(first: date, rows: Iterable[tuple[date, str, int]]) -> dict[str, Any]:
    days = [first + timedelta(days=number) for number in range(DAYS)]
    counted = {(day, tone): count for day, tone, count in rows}
    tones = {tone: [counted.get((day, tone), 0) for day in days] for tone in ("ok", "warn", "bad", "none")}
    return {"at": [f"{each:%d %b}" for each in days], **tones}


def _tone(state: str, outcome: str) -> str:
    if state == "succeeded":
        return "ok" if outcome == "clean" else "warn"
    return "bad" if state in _FAILED else "none"
