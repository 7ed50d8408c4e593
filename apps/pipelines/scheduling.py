"""Switching schedules on and off, and the tick that starts what is due. Each is one transaction, with its actor."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import structlog

from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.audit.services import record
from apps.audit.ticks import one_by_one, tick
from apps.pipelines import schedules, services, starting, timing
from apps.pipelines.models import Fire, Pipeline, Schedule
from apps.pipelines.schedule import Schedule as Definition

log = structlog.get_logger(__name__)


def enable_schedule(pipeline: Pipeline, *, actor: Actor) -> Schedule:
    """Switch the published schedule on: it fires from now on. On already, nothing changes.

    Raises Conflict where the published document has none.
    """
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        definition = schedules.definition_of(locked.published)
        if definition is None:
            raise Conflict(
                f"The published document of `{locked.slug}` has no schedule. Add `schedule:` and publish it first.",
                code="no_schedule",
            )
        row, _ = Schedule.objects.get_or_create(pipeline=locked)
        if not row.enabled:
            row.enabled = True
            row.save(update_fields=["enabled"])
            schedules.go_on(row, definition, schedules.clock())
        return row


def disable_schedule(pipeline: Pipeline, *, actor: Actor) -> Schedule:
    """Switch the schedule off; runs that it has started go on. Raises Conflict where there never was one."""
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        row = Schedule.objects.filter(pipeline=locked).first()
        if row is None:
            raise Conflict(f"The pipeline `{locked.slug}` has no schedule.", code="no_schedule")
        if row.enabled:
            row.enabled, row.next_at = False, None
            row.save(update_fields=["enabled", "next_at"])
        return row


def write_schedule(
    pipeline: Pipeline, given: dict[str, Any] | None, *, actor: Actor, begun_from: str | None = None
) -> Pipeline:
    """Put a schedule into the draft of a pipeline's document, or take it out; the rest of its text stays as it is.

    Raises DocumentError where the schedule is wrong, Conflict where the draft cannot be read or is another than it was
    begun from.
    """
    wanted = None if given is None else schedules.plain(schedules.understood(given))
    return services.write_part(pipeline, ("schedule",), wanted, actor=actor, begun_from=begun_from)


@tick
def fire_schedules() -> None:
    """Start what is due. A paused pipeline's schedule waits; what it misses meanwhile is its policy's matter."""
    fire_due(schedules.clock())


def fire_due(now: datetime) -> None:
    """Start what is due at this moment, each pipeline in a transaction of its own.

    Schedules that look for new files are not started here: `watching` asks their sources first.
    """
    one_by_one(lambda pipeline: _fire(pipeline, now), due_rows(now, new_files=False))


def due_rows(now: datetime, *, new_files: bool) -> list[uuid.UUID]:
    """The pipelines whose schedule has to be looked at, the latest first; none that is paused."""
    late = Schedule.objects.filter(enabled=True, next_at__lte=now, pipeline__paused_at__isnull=True)
    found = late.filter(pipeline__published__document__schedule__new_files=new_files)
    return list(found.order_by("next_at").values_list("pipeline_id", flat=True))


def _fire(pipeline_id: uuid.UUID, now: datetime) -> None:
    """Decide everything up to now. Whoever comes second finds it decided."""
    with acting(actor_of(pipeline_id)):
        pipeline = starting.lock_pipeline(pipeline_id)
        row = Schedule.objects.filter(pipeline=pipeline, enabled=True, next_at__lte=now).first()
        definition = schedules.definition_of(pipeline.published)
        if row is None or definition is None or pipeline.paused_at is not None:
            return
        due = timing.due(definition, row.decided_until or now, now)
        left_out = due.left_out
        if left_out:
            _say_missed(row, pipeline, left_out, now)
        for moment in due.start:
            start(row, pipeline, definition, moment, left_out=left_out)
            left_out = 0
        schedules.go_on(row, definition, now)


def start(
    row: Schedule, pipeline: Pipeline, definition: Definition, moment: datetime, *, left_out: int = 0, saw: str = ""
) -> Fire | None:
    """Start the run of one moment, once for ever; None where that was done before. The pipeline is locked."""
    fire, fresh = Fire.objects.get_or_create(
        schedule=row, scheduled_for=moment, defaults={"left_out": left_out, "saw": saw}
    )
    if not fresh:
        return None
    within = definition.start_within
    fire.run = services.start_run(
        pipeline,
        actor=actor_of(pipeline.pk),
        trigger="schedule",
        if_running=definition.if_running,
        start_before=None if within is None else moment + timedelta(seconds=within),
    )
    fire.save(update_fields=["run"])
    return fire


def _say_missed(row: Schedule, pipeline: Pipeline, count: int, now: datetime) -> None:
    record(
        "schedule missed",
        object_type="schedule",
        object_id=row.pk,
        object_name=pipeline.slug,
        project=pipeline.project_id,
        data={"count": count, "since": row.decided_until.isoformat() if row.decided_until else None},
    )
    log.warning("schedule_missed", pipeline=pipeline.slug, count=count, until=now.isoformat())


def actor_of(pipeline_id: uuid.UUID) -> Actor:
    """The schedule of a pipeline as the actor of what it starts."""
    row = Schedule.objects.select_related("pipeline").get(pipeline_id=pipeline_id)
    return Actor("schedule", row.pk, row.pipeline.slug)
