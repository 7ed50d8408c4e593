"""Freshness: by when each dataset has to be loaded again, and whether it was.

What is expected and when the last load came say together when the next one is due; no clock is needed for that. From
then on the dataset is late, and when the grace is over it is stale.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from django.db.models import OuterRef, QuerySet, Subquery
from pydantic import Field, ValidationError, field_validator, model_validator

from apps.accounts.models import Project
from apps.audit.context import SYSTEM, Actor, acting
from apps.audit.services import record
from apps.audit.ticks import one_by_one, tick
from apps.pipelines import timing
from apps.pipelines.models import Freshness
from apps.pipelines.queries import shown_time
from apps.pipelines.schedule import Pause, Schedule, midnight, zone
from apps.pipelines.schedules import clock
from apps.snapshots import queries as snapshots
from apps.snapshots.models import Dataset, Snapshot
from apps.sources.parameters import InvalidFields
from dataplane.steps.base import Spec

_DAY = 86_400
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
Seconds = Annotated[int, Field(ge=60, le=366 * _DAY)]


class Expected(Spec):
    """When a dataset has to be loaded: `by` a time of day, or never older than `max_age` seconds.

    window: only what is loaded so many seconds before `by`, or later, counts; unless given, what is loaded on that day.
    grace: after so many more seconds late becomes stale; unless given a day, or `max_age` once more.
    """

    by: str | None = None
    timezone: str = "UTC"
    business_days: bool = False
    holidays: str | None = None
    window: Seconds | None = None
    max_age: Seconds | None = None
    grace: Seconds | None = None

    @field_validator("by")
    @classmethod
    def _a_time(cls, given: str | None) -> str | None:
        if given is not None and not _CLOCK.fullmatch(given):
            raise ValueError(f"{given!r} is no time of a day. Write it as 09:00")
        return given

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, given: str) -> str:
        if zone(given) is None:
            raise ValueError(f"There is no time zone {given!r}. Write one such as UTC or America/New_York")
        return given

    @field_validator("holidays")
    @classmethod
    def _known_country(cls, given: str | None) -> str | None:
        return Pause(holidays=given).holidays

    @model_validator(mode="after")
    def _one_way(self) -> Expected:
        if (self.by is None) == (self.max_age is None):
            raise ValueError(
                "Say when it has to be loaded: either `by` a time of day, or at most `max_age` seconds old"
            )
        if self.by is None and (self.business_days or self.holidays or self.window is not None):
            raise ValueError("`business_days`, `holidays` and `window` belong to `by`. Remove them")
        return self

    @property
    def deadlines(self) -> Schedule:
        """The moments by which it has to be loaded, where it says `by`."""
        pause = Pause(weekends=self.business_days, holidays=self.holidays)
        return Schedule(preset="daily", at=self.by, timezone=self.timezone, pause=pause)

    def due(self, loaded: datetime) -> datetime | None:
        """When the next load is due, if the last came then; None where no deadline follows any more."""
        if self.max_age is not None:
            return loaded + timedelta(seconds=self.max_age)
        schedule = self.deadlines
        moment = timing.following(schedule, loaded)
        while moment is not None and self._begins(schedule, moment) <= loaded:
            moment = timing.following(schedule, moment)
        return moment

    def _begins(self, schedule: Schedule, deadline: datetime) -> datetime:
        if self.window is not None:
            return deadline - timedelta(seconds=self.window)
        return midnight(deadline.astimezone(schedule.zone).date(), schedule.zone)

    def late_for(self) -> timedelta:
        """How long it may be late before it is stale."""
        return timedelta(seconds=self.grace or self.max_age or _DAY)

    def says(self) -> str:
        """What is expected, in a sentence."""
        if self.max_age is not None:
            long = timing.length(self.max_age)
            return f"Never older than {long if long[0].isdigit() else f'one {long}'}"
        days = " on weekdays" if self.business_days else " every day"
        days += f", but not on holidays of {self.holidays}" if self.holidays else ""
        return f"By {self.by}{days} ({self.timezone})"


@dataclass(frozen=True)
class Verdict:
    """How a dataset is: `fresh`, `late` or `stale`; when the next load is, or was, due, and when late becomes stale."""

    state: str
    due_at: datetime | None
    stale_at: datetime | None


def understood(given: Any) -> Expected:
    """What somebody expects. Raises InvalidFields."""
    try:
        return Expected.model_validate(given)
    except ValidationError as error:
        fields: dict[str, list[str]] = {}
        for each in error.errors(include_url=False):
            name = str(each["loc"][0]) if each["loc"] else "by"
            text = each["msg"].removeprefix("Value error, ")
            fields.setdefault(name, []).append(text if text.endswith(".") else f"{text}.")
        raise InvalidFields(fields) from None


def expected_of(row: Freshness) -> Expected:
    return Expected.model_validate(row.expected)


def judged(expected: Expected, loaded: datetime, now: datetime) -> Verdict:
    """`loaded`: when the last load came, or when the dataset was made, if none came yet."""
    due = expected.due(loaded)
    if due is None:
        return Verdict("fresh", None, None)
    stale = due + expected.late_for()
    return Verdict("fresh" if now < due else "late" if now < stale else "stale", due, stale)


def verdict_of(dataset: Any, now: datetime) -> Verdict | None:
    """How a dataset with `loaded_at` and its freshness selected is; None where nothing is expected."""
    row: Freshness | None = getattr(dataset, "freshness", None)
    return None if row is None else judged(expected_of(row), dataset.loaded_at or dataset.created_at, now)


def standing(datasets: QuerySet[Dataset], failed: Mapping[Any, Any], now: datetime) -> list[tuple[Any, str]]:
    """Datasets with their head, and what is wrong with each: `late`, `stale`, or nothing.

    failed: pipelines whose newest run failed, and that run, by their ids. What it should have loaded is stale. Of a
    dataset that has not been loaded yet nothing is wrong, unless it was expected by now.
    """
    found: list[Any] = list(snapshots.with_head(datasets).select_related("freshness").order_by("slug"))
    return [(each, _wrong(each, failed.get(each.owner_pipeline, each.loaded_by), now)) for each in found]


def _wrong(dataset: Any, newest: Any, now: datetime) -> str:
    """What is wrong with a dataset that the run `newest` should have loaded last."""
    verdict = verdict_of(dataset, now)
    if verdict is not None and verdict.state != "fresh":
        return verdict.state
    return "stale" if newest != dataset.loaded_by else ""


def with_arrival(rows: QuerySet[Freshness]) -> QuerySet[Freshness]:
    """Expectations with their dataset, and when its head was loaded."""
    heads = Snapshot.objects.filter(dataset=OuterRef("dataset"), number=OuterRef("dataset__head"))
    return rows.select_related("dataset").annotate(loaded_at=Subquery(heads.values("created_at")))


def late_in(project: Project, now: datetime) -> list[dict[str, Any]]:
    """The datasets of a project that are late or stale, as every door shows them."""
    rows = with_arrival(Freshness.objects.filter(dataset__project=project, dataset__hidden=False))
    return [shown for each in rows if (shown := freshness_json(each, now))["state"] != "fresh"]


def freshness_json(row: Any, now: datetime) -> dict[str, Any]:
    """A row of `with_arrival` as every door shows it."""
    expected = expected_of(row)
    verdict = judged(expected, row.loaded_at or row.dataset.created_at, now)
    return {
        "dataset": row.dataset.slug,
        "expected": expected.model_dump(exclude_defaults=True),
        "says": expected.says(),
        "state": verdict.state,
        "due_at": shown_time(verdict.due_at),
        "stale_at": shown_time(verdict.stale_at),
        "loaded_at": shown_time(row.loaded_at),
    }


def expect(dataset: Dataset, given: Any, *, actor: Actor) -> Freshness:
    """Expect a dataset to be loaded in time, in place of what was expected before. Raises InvalidFields."""
    expected = understood(given).model_dump(exclude_defaults=True)
    with acting(actor):
        row, _ = Freshness.objects.update_or_create(dataset=dataset, defaults={"expected": expected})
    return row


def expect_nothing(dataset: Dataset, *, actor: Actor) -> None:
    """Expect nothing of a dataset any more."""
    with acting(actor):
        Freshness.objects.filter(dataset=dataset).delete()


@tick
def watch() -> None:
    """Write down, once, what has become late, stale, or fresh again."""
    watch_at(clock())


def watch_at(now: datetime) -> None:
    """As `watch`, at a moment."""
    one_by_one(lambda row: _settle(row, now), with_arrival(Freshness.objects.all()))


def _settle(row: Any, now: datetime) -> None:
    shown = freshness_json(row, now)
    if shown["state"] == row.state:
        return
    with acting(SYSTEM):
        mine = Freshness.objects.filter(pk=row.pk, state=row.state, expected=row.expected)
        if mine.update(state=shown["state"], state_at=now):
            record(
                f"dataset {shown['state']}",
                object_type="dataset",
                object_id=row.dataset_id,
                object_name=row.dataset.slug,
                project=row.dataset.project_id,
                data={"before": row.state, **{name: shown[name] for name in ("says", "due_at", "loaded_at")}},
            )
