"""How a run comes to be: its rows, and its turn. Nothing is sent from here: callers publish what is ready."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.audit.context import Actor, ActorKind
from apps.audit.ids import new_id
from apps.audit.services import record
from apps.pipelines import backfills, runlog
from apps.pipelines import document as documents
from apps.pipelines.asked import Asked
from apps.pipelines.backfills import Turn
from apps.pipelines.document import Document
from apps.pipelines.execution import release
from apps.pipelines.execution.dispatch import Ready
from apps.pipelines.graph import PLAN
from apps.pipelines.models import Backfill, Pipeline, PipelineVersion, Run, StepRun
from apps.pipelines.states import RUN_ACTIVE


def lock_pipeline(pipeline_id: uuid.UUID) -> Pipeline:
    """The pipeline's row, locked until the transaction ends: runs of one pipeline are created and admitted in turn."""
    return Pipeline.objects.select_for_update(no_key=True).get(pk=pipeline_id)


def create_run(
    pipeline: Pipeline,
    version: PipelineVersion,
    *,
    actor: Actor,
    trigger: str,
    asked: Asked,
    trigger_key: str | None = None,
    start_before: datetime | None = None,
    retry_of: Run | None = None,
    turn: Turn | None = None,
) -> Run:
    """A pending run with all its steps, and the event. The caller holds the pipeline's lock.

    Of a run of only some steps and what they need the others are skipped from the start. `turn` is what it reads for a
    backfill.
    """
    document, picked = documents.load(version.document), asked.picked
    run_id = new_id()
    run = Run.objects.create(
        id=run_id,
        project_id=pipeline.project_id,
        pipeline=pipeline,
        version=version,
        requested_mode=asked.mode,
        trigger=trigger,
        trigger_key=trigger_key,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name,
        queue=document.header.priority,
        timeout_s=document.header.timeout,
        start_before=start_before,
        retry_of=retry_of,
        root=retry_of.root if retry_of else run_id,
        only=list(asked.only),
        files=list(picked.files) if picked else [],
        again=picked is not None and picked.again,
        **_place(turn, retry_of),
    )
    StepRun.objects.bulk_create(_steps(run, document, asked.only))
    _record("run created", run, pipeline, _asked(run))
    return run


def _asked(run: Run) -> dict[str, Any]:
    """What a new run is to do, for its event."""
    data: dict[str, Any] = {"trigger": run.trigger, "mode": run.requested_mode, "version": run.version.number}
    data |= {"only": run.only} if run.only else {}
    data |= {"files": run.files, "again": run.again} if run.files else {}
    return data | ({"retry_of": str(run.retry_of_id)} if run.retry_of_id else {})


def _place(turn: Turn | None, retry_of: Run | None) -> dict[str, Any]:
    """What a run reads for a backfill; a retry reads what the run did that it repeats."""
    if turn is not None:
        return {"backfill": turn.backfill, "slice": turn.position, "batch": turn.batch}
    return {"backfill_id": retry_of.backfill_id, "slice": retry_of.slice} if retry_of is not None else {}


def _steps(run: Run, document: Document, only: Sequence[str]) -> list[StepRun]:
    """The rows of a new run: `plan`, then the document's steps in the order of the graph."""
    graph, chosen = document.graph(), document.only(only).steps
    rows = [StepRun(run=run, key=PLAN, kind=PLAN, position=0, queue=run.queue)]
    for position, key in enumerate(graph.order, start=1):
        step, node = document.steps[key], graph.nodes[key]
        after = [each for each in node.after if each in chosen and each not in node.upstream]
        rows.append(
            StepRun(
                run=run,
                key=key,
                kind=step.kind,
                position=position,
                spec=step.written,
                upstream=[*node.upstream, *after] or [PLAN],
                after=after,
                may_fail=node.may_fail,
                queue=run.queue,
                timeout_s=step.settings.timeout,
                state="pending" if key in chosen else "skipped",
            )
        )
    return rows


def _record(verb: str, run: Run, pipeline: Pipeline, data: dict[str, Any]) -> None:
    project = pipeline.project_id
    record(verb, object_type="run", object_id=run.pk, object_name=pipeline.slug, project=project, data=data)


def admit(pipeline_id: uuid.UUID) -> list[Ready]:
    """Make the oldest pending run the running one, when no other is active and the pipeline is not paused.

    Where none is pending, a backfill has its turn. Returns the ready steps.

    The caller is in a transaction and sends these steps after commit; the sweep does it if nobody did. A run that
    waited beyond its `start_before` is expired instead.
    """
    pipeline = lock_pipeline(pipeline_id)
    pending = Run.objects.filter(pipeline_id=pipeline_id, state="pending")
    for late in pending.filter(start_before__lt=Now()):
        _expire(late, pipeline)
    if pipeline.paused_at is not None or Run.objects.filter(pipeline_id=pipeline_id, state__in=RUN_ACTIVE).exists():
        return []
    run = pending.select_for_update(no_key=True).order_by("id").first() or _next_slice(pipeline)
    if run is None:
        return []
    deadline = None if run.timeout_s is None else Now() + timedelta(seconds=run.timeout_s)
    Run.objects.filter(pk=run.pk).update(state="running", started_at=Now(), deadline_at=deadline)
    waited = round((timezone.now() - run.created_at).total_seconds(), 3)
    _record("run started", run, pipeline, {"waited_s": waited})
    fields: dict[str, Any] = {"version": run.version.number, "trigger": run.trigger, "waited_s": waited}
    runlog.say(run.pk, f"Started by {run.actor_name}, version {run.version.number}.", **fields)
    # `plan`; in a retry that reuses it, the steps behind the reused ones.
    return release.release_next(run)


def _expire(run: Run, pipeline: Pipeline) -> None:
    reason = "It waited for its turn beyond its deadline."
    run.steps.filter(state="pending").update(state="skipped", finished_at=Now())
    Run.objects.filter(pk=run.pk).update(state="expired", finished_at=Now(), mode_reason=reason)
    runlog.say(run.pk, f"The run has expired. {reason}", "warning")
    _record("run expired", run, pipeline, {"reason": reason})


def _next_slice(pipeline: Pipeline) -> Run | None:
    """The run of the slice whose turn it is, if a backfill has one."""
    turn = backfills.take_next(pipeline)
    if turn is None:
        return None
    backfill = turn.backfill
    return create_run(
        pipeline,
        backfill.version,
        actor=Actor(cast(ActorKind, backfill.actor_kind), backfill.actor_id, backfill.actor_name),
        trigger="backfill",
        asked=Asked("auto", tuple(backfill.loads)),
        turn=turn,
    )


def waiting_pipelines() -> list[uuid.UUID]:
    """Pipelines whose oldest pending run, or next slice, could start now; the sweep admits for them."""
    active = Run.objects.filter(state__in=RUN_ACTIVE).values("pipeline_id")
    late = Q(start_before__lt=Now())
    free = ~Q(pipeline_id__in=active) & Q(pipeline__paused_at__isnull=True)
    pending = Run.objects.filter(state="pending").filter(free | late).values_list("pipeline_id", flat=True)
    sliced = Backfill.objects.filter(free, state="running").values_list("pipeline_id", flat=True)
    return sorted({*pending, *sliced})


def lock_trigger_key(project_id: uuid.UUID, trigger_key: str) -> None:
    """Hold everybody else who comes with this key, for whichever pipeline, until the transaction ends."""
    digest = hashlib.sha256(f"{project_id}/{trigger_key}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], "big", signed=True)])
