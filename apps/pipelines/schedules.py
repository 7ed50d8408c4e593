"""The row of a schedule: how far it got, and what becomes of it when another document is published."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from apps.pipelines import document as documents
from apps.pipelines import timing
from apps.pipelines.models import Pipeline, PipelineVersion, Schedule
from apps.pipelines.schedule import Schedule as Definition


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
