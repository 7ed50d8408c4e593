"""The rows of a backfill: whose turn is next, what live runs leave to it, and what is left when it was cancelled.

A slice's run is created when its turn comes, so it never stands in the way of a run that was asked for otherwise.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.pipelines.models import Backfill, Pipeline, Run, StepRun, Window
from apps.pipelines.states import BACKFILL_OPEN, RUN_ACTIVE
from apps.pipelines.windows import OPEN
from dataplane.connectors.slices import Slice

FAILED = ("failed", "cancelled", "timed_out", "expired")


@dataclass(frozen=True)
class Turn:
    """The slice whose turn it is. `batch`: what an earlier run of it had begun to read."""

    backfill: Backfill
    position: int
    batch: uuid.UUID | None


@dataclass(frozen=True)
class Part:
    """What a run of a backfill reads. again: also what was read before. said: for people."""

    slice: Slice
    again: bool
    said: str


def slice_at(backfill: Backfill, position: int) -> Slice:
    lower, upper = (datetime.fromisoformat(each) for each in backfill.slices[position])
    return Slice(lower, upper, backfill.timezone)


def part_of(run: Run) -> Part | None:
    """What a run reads as a part of a backfill; None for every other run."""
    if run.backfill is None or run.slice is None:
        return None
    part = slice_at(run.backfill, run.slice)
    zone = ZoneInfo(part.zone)
    lower, upper = (each.astimezone(zone).strftime("%Y-%m-%d %H:%M") for each in (part.lower, part.upper))
    number = f"Slice {run.slice + 1} of {len(run.backfill.slices)}"
    return Part(part, run.backfill.again, f"{number}: from {lower} on, before {upper} ({part.zone}).")


def reserved(pipeline_id: uuid.UUID) -> tuple[Slice, ...]:
    """The ranges whose new files live runs leave, because a backfill that has not ended reads them."""
    open_ = Backfill.objects.filter(pipeline_id=pipeline_id, state__in=BACKFILL_OPEN, again=False)
    return tuple(Slice(each.lower, each.upper, each.timezone) for each in open_)


def take_next(pipeline: Pipeline) -> Turn | None:
    """The slice whose run has to be created now, if any. No run of the pipeline is active or waits; it is locked.

    A backfill whose last slice failed is paused here, where it says so, and one that has read every slice is done.
    """
    rows = Backfill.objects.filter(pipeline=pipeline, state="running")
    backfill = rows.select_for_update(no_key=True).first()
    if backfill is None:
        return None
    if backfill.on_failure == "stop" and (failed := last_failed(backfill)) is not None:
        reason = f"Slice {backfill.position} has {failed.state.replace('_', ' ')}."
        rows.update(state="paused", reason=f"{reason} Mend it and resume: this slice is read again.")
        return None
    position = backfill.position
    if position == len(backfill.slices):
        rows.update(state="done", ended_at=Now())
        return None
    rows.update(position=position + 1)
    begun = backfill.runs.filter(slice=position, batch__isnull=False).order_by("-id").first()
    return Turn(backfill, position, begun.batch if begun else None)


def last_failed(backfill: Backfill) -> Run | None:
    """The run of the slice before the one whose turn is next, if it has not succeeded, nor any retry of it."""
    last = tried(backfill.runs.filter(slice=backfill.position - 1)).order_by("-id").first()
    return last if last is not None and last.state in FAILED else None


def tried(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Without retries that somebody skipped before they began: they say nothing of their slice."""
    return runs.exclude(state="skipped", started_at=None)


def give_up(backfill: Backfill) -> None:
    """A cancelled backfill: what its ended runs had begun to read, and no load has touched, counts as never read.

    So do streams that nobody has read anything of yet. What a load may have taken in part stays begun; a retry of its
    run ends it.
    """
    ended = backfill.runs.exclude(state__in=RUN_ACTIVE | {"pending"}).exclude(batch=None)
    touched = StepRun.objects.filter(run__backfill=backfill, kind="load", fence__gt=0).values("run__batch")
    begun = Window.objects.filter(backfill=backfill, batch__in=ended.values("batch"), state__in=OPEN)
    begun.exclude(batch__in=touched).update(state="forgotten", closed_at=Now())
    forget_marks(backfill.pipeline_id)


def forget_marks(pipeline_id: uuid.UUID) -> None:
    """Where live runs were to begin behind a backfill that was cancelled, and none has: the next begins at the start.

    Nothing is forgotten while a live run is active, which may be reading from there.
    """
    every = Window.objects.filter(pipeline=pipeline_id).exclude(state="forgotten")
    cancelled = Backfill.objects.filter(pipeline=pipeline_id, state="cancelled")
    marks = list(every.filter(batch__in=cancelled.values("pk")))
    active = Run.objects.filter(pipeline=pipeline_id, state__in=RUN_ACTIVE).exclude(backfill__in=cancelled)
    if not marks or active.exists():
        return
    for mark in marks:
        if not every.filter(step_key=mark.step_key).exclude(pk=mark.pk).exists():
            Window.objects.filter(pk=mark.pk).update(state="forgotten", closed_at=Now())
