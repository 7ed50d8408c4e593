"""The row of a schedule: how far it got, and what becomes of it when another document is published."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from pydantic import ValidationError

from apps.pipelines import document as documents
from apps.pipelines import timing
from apps.pipelines.explain import explain
from apps.pipelines.models import Pipeline, PipelineVersion, Schedule
from apps.pipelines.problems import DocumentError
from apps.pipelines.queries import shown_time
from apps.pipelines.schedule import Schedule as Definition
from apps.pipelines.text import Places


def clock() -> datetime:
    """The database's time, which is the same for everybody who ticks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def definition_of(version: PipelineVersion | None) -> Definition | None:
    """What a published document says about its schedule; None where it has none."""
    return None if version is None else documents.load(version.document).header.schedule


def written(version: PipelineVersion | None) -> Definition | None:
    """As `definition_of`, without reading the steps: for lists, and where a kind of step may have gone."""
    said = version.document.get("schedule") if version is not None else None
    return None if said is None else Definition.model_validate(said)


def understood(given: Any) -> Definition:
    """A schedule that somebody wants. Raises DocumentError, which says what is wrong with it and where."""
    try:
        return Definition.model_validate(given)
    except ValidationError as error:
        raise DocumentError(explain(error, Definition, given, ("schedule",), Places())) from None


def plain(definition: Definition) -> dict[str, Any]:
    """A schedule as a document says it: without what goes without saying."""
    return definition.model_dump(mode="json", exclude_defaults=True)


def preview(definition: Definition, now: datetime, zone: ZoneInfo | None = None) -> list[dict[str, str | None]]:
    """The next five moments: in UTC, on the clocks of the schedule's zone, and on those of whoever asks."""
    return [
        {
            "at": shown_time(each),
            "local": each.astimezone(definition.zone).isoformat(),
            "yours": each.astimezone(zone or definition.zone).isoformat(),
        }
        for each in timing.upcoming(definition, now)
    ]


def schedule_json(pipeline: Pipeline, now: datetime, zone: ZoneInfo | None = None) -> dict[str, Any]:
    """The schedule of a pipeline as every door shows it: what it says, when it fires next, what it has started."""
    definition = definition_of(pipeline.published)
    row = Schedule.objects.filter(pipeline=pipeline).first()
    fires = row.fires.select_related("run")[:5] if row is not None else []
    return {
        **_line(pipeline, row, definition),
        "definition": plain(definition) if definition is not None else None,
        "next": preview(definition, now, zone) if definition is not None else [],
        "fires": [
            {
                "scheduled_for": shown_time(each.scheduled_for),
                "fired_at": shown_time(each.fired_at),
                "left_out": each.left_out,
                "run": str(each.run_id) if each.run_id else None,
                "state": each.run.state if each.run else None,
            }
            for each in fires
        ],
    }


def line_json(row: Schedule) -> dict[str, Any]:
    """A schedule as a list shows it; `row` comes with its pipeline and what that has published."""
    return _line(row.pipeline, row, written(row.pipeline.published))


def _line(pipeline: Pipeline, row: Schedule | None, definition: Definition | None) -> dict[str, Any]:
    return {
        "pipeline": pipeline.slug,
        "enabled": row is not None and row.enabled,
        "paused": pipeline.paused_at is not None,
        "says": timing.words(definition) if definition is not None else "",
        "timezone": definition.timezone if definition is not None else None,
        "next_at": shown_time(row.next_at) if row is not None else None,
    }


def settle(pipeline: Pipeline, definition: Definition | None, now: datetime) -> None:
    """Another document was published, in the caller's transaction: its schedule counts from now on.

    A new schedule is off. One that is left out of the document is switched off, and is off when it comes back.
    """
    if definition is None:
        row = Schedule.objects.filter(pipeline=pipeline, enabled=True).first()
        if row is not None:
            row.enabled, row.next_at = False, None
            row.save(update_fields=["enabled", "next_at"])
        return
    row, _ = Schedule.objects.get_or_create(pipeline=pipeline)
    if row.enabled:
        go_on(row, definition, max(now, row.decided_until or now))


def go_on(row: Schedule, definition: Definition, until: datetime) -> None:
    """Everything up to a moment is decided; the next one is looked up."""
    row.decided_until, row.next_at = until, timing.following(definition, until)
    row.save(update_fields=["decided_until", "next_at"])
