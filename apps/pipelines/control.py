"""Every write with which a person controls what runs: pause and resume, decide, skip. Each is one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from django.db import transaction
from django.db.models.functions import Now

from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.pipelines import drifting, starting
from apps.pipelines.execution import closing, dispatch, halting
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.states import RUN_TERMINAL

ANSWERS = ("continue", "stop")


def pause_pipeline(pipeline: Pipeline, *, reason: str = "", actor: Actor) -> Pipeline:
    """Admit no new run until it is resumed; the one that runs goes on, pending ones stay pending.

    Raises Conflict when it is paused already.
    """
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        if locked.paused_at is not None:
            raise Conflict(f"The pipeline `{locked.slug}` is paused already, by {locked.paused_by}.", code="paused")
        Pipeline.objects.filter(pk=locked.pk).update(
            paused_at=Now(), paused_by=actor.name[:200], paused_reason=reason[:500]
        )
        locked.refresh_from_db()
        return locked


def resume_pipeline(pipeline: Pipeline, *, actor: Actor) -> Pipeline:
    """Admit runs again, the oldest pending one at once. Raises Conflict when it is not paused."""
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        if locked.paused_at is None:
            raise Conflict(f"The pipeline `{locked.slug}` is not paused.", code="not_paused")
        locked.paused_at, locked.paused_by, locked.paused_reason = None, "", ""
        locked.save(update_fields=["paused_at", "paused_by", "paused_reason", "changed_at"])
        _send(starting.admit(locked.pk))
        return locked


def pause_run(run: Run, *, reason: str = "", actor: Actor) -> Run:
    """Let no further step of a running run start; those that run finish. Raises Conflict when it is not running."""
    with acting(actor):
        locked = _lock(run)
        if locked.state != "running":
            raise Conflict(_not_running(locked), code="not_running")
        halting.pause(locked, actor.name[:200], reason)
        locked.refresh_from_db()
        return locked


def resume_run(run: Run, *, actor: Actor) -> Run:
    """Let a paused run go on where it was. Raises Conflict when it is not paused."""
    with acting(actor):
        locked = _lock(run)
        if locked.state == "waiting":
            raise Conflict("The run waits for a decision. Answer it: continue or stop.", code="waiting")
        if locked.state != "paused":
            raise Conflict(f"The run is not paused, it is {locked.state}.", code="not_paused")
        _send(halting.resume(locked))
        locked.refresh_from_db()
        return locked


def decide_run(
    run: Run,
    answer: str,
    *,
    reason: str = "",
    renames: Mapping[str, str] | None = None,
    remember: bool = False,
    actor: Actor,
) -> Run:
    """Answer what a waiting run asks: `continue`, or `stop`, which fails it.

    Where it asks about columns that have changed: `renames` are those that have gone with what they are called now, and
    with `remember` runs follow such changes from now on. Raises Conflict when it does not wait, Invalid for a rename
    that fits no change.
    """
    with acting(actor):
        locked = _lock(run)
        if locked.state != "waiting":
            raise Conflict(f"The run asks nothing, it is {locked.state}.", code="not_waiting")
        drifting.answer(locked, answer, renames=renames or {}, remember=remember, actor=actor)
        _send(halting.decide(locked, answer, actor.name[:200], reason[:500]))
        locked.refresh_from_db()
        return locked


def skip_run(run: Run, *, reason: str = "", actor: Actor) -> Run:
    """A run that has not begun will not: it ends as `skipped`. Raises Conflict when it has begun."""
    with acting(actor):
        locked = _lock(run)
        if locked.state != "pending":
            raise Conflict(
                f"Only a run that has not begun can be skipped, this one is {locked.state}."
                + ("" if locked.state in RUN_TERMINAL else " Cancel it instead."),
                code="not_pending",
            )
        closing.skip_pending(locked, f"Skipped by {actor.name}{f': {reason}' if reason else ''}.")
        locked.refresh_from_db()
        return locked


def _lock(run: Run) -> Run:
    starting.lock_pipeline(run.pipeline_id)
    return Run.objects.select_for_update(no_key=True).get(pk=run.pk)


def _not_running(run: Run) -> str:
    remedy = {
        "pending": "Pause the pipeline, or skip the run.",
        "waiting": "It waits for a decision; nothing of it starts until then.",
        "paused": f"It was paused by {run.halted_by}.",
    }
    return f"Only a running run can be paused, this one is {run.state}. {remedy.get(run.state, '')}".rstrip()


def _send(ready: list[dispatch.Ready]) -> None:
    if ready:
        transaction.on_commit(partial(dispatch.send, ready), robust=True)
