"""A run that a person or a trigger asks for: started, stopped, tried again, or only planned."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from django.db import transaction

from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import document as documents
from apps.pipelines import planning, retrying, seeding, starting
from apps.pipelines.asked import Asked
from apps.pipelines.execution import closing, dispatch
from apps.pipelines.models import Pipeline, PipelineVersion, Run
from apps.pipelines.states import RUN_ACTIVE, RUN_TERMINAL

MODES = ("auto", "seed", "incremental", "repair")


def start_run(
    pipeline: Pipeline,
    *,
    actor: Actor,
    trigger: str = "manual",
    mode: str = "auto",
    trigger_key: str | None = None,
    start_before: datetime | None = None,
    if_running: Literal["queue", "skip"] | None = None,
    only: Sequence[str] = (),
    files: Sequence[str] = (),
    again: bool = False,
) -> Run:
    """A new run of the published version, started at once or when its turn comes.

    `only`: these steps, with everything that they need; the others are skipped. `files`: of new files only these, by
    path or with `*` and `?`; with `again` also such as were read before. `if_running` stands above what the
    document says for every run. The same `trigger_key` in the same project gives the same run again. Raises Conflict
    when nothing is published, when the key was used for another request, or where a seed of only some steps would take
    rows from a load; Invalid for a step or a file that is not there, or files that do not go with the mode.
    """
    asked = Asked.by(mode, only, files, again=again)
    _refuse_unknown_files(pipeline, asked, trigger_key)
    with acting(actor):
        locked, known = _locked(pipeline.pk, trigger_key)
        if known is not None:
            return _same_request(known, locked, asked)
        version = _version(locked)
        run = starting.create_run(
            locked,
            version,
            actor=actor,
            trigger=trigger,
            asked=_chosen(version, asked),
            trigger_key=trigger_key,
            start_before=start_before,
        )
        _take_turn(run, if_running)
    # Behind the commit: its first step waits for nothing else.
    run.refresh_from_db()
    return run


def cancel_run(run: Run, *, actor: Actor) -> Run:
    """Stop a run: a pending one at once, a running one when its steps have let go. Raises Conflict when it is over."""
    with acting(actor):
        starting.lock_pipeline(run.pipeline_id)
        locked = Run.objects.select_for_update(no_key=True).get(pk=run.pk)
        if locked.state in RUN_TERMINAL:
            raise Conflict(f"The run is over: {locked.state}.", code="run_over")
        closing.stop_run(locked, "cancelled")
        locked.refresh_from_db()
        return locked


def retry_run(run: Run, *, actor: Actor, trigger_key: str | None = None) -> Run:
    """A new run that repeats an ended one, with the same windows, reusing the steps whose outputs still stand.

    Raises Conflict when it has not ended, has nothing to repeat, or others have since loaded what it had read.
    """
    with acting(actor):
        locked, known = _locked(run.pipeline_id, trigger_key)
        if known is not None:
            return _same_request(known, locked, Asked.of(known))
        again = retrying.create_retry(run, locked, actor=actor, trigger_key=trigger_key)
        _admit(locked.pk)
        again.refresh_from_db()
        return again


def plan_run(
    pipeline: Pipeline,
    *,
    mode: str = "auto",
    only: Sequence[str] = (),
    files: Sequence[str] = (),
    again: bool = False,
) -> dict[str, Any]:
    """What a run would read and why, in the shape `plan`; asks the sources and writes nothing."""
    version = _version(pipeline)
    asked = _chosen(version, Asked.by(mode, only, files, again=again))
    return planning.dry_run(pipeline, version, asked)


def _refuse_unknown_files(pipeline: Pipeline, asked: Asked, trigger_key: str | None) -> None:
    """Before the pipeline is locked: a folder may be large."""
    if asked.picked and pipeline.published and not _known(pipeline.project_id, trigger_key):
        chosen = documents.load(pipeline.published.document).only(_known_steps(pipeline.published, asked.only))
        planning.refuse_unknown_files(chosen, pipeline.project_id, asked.picked)


def _take_turn(run: Run, if_running: str | None) -> None:
    """Begin a run, unless another has not ended; then it waits for its turn, or is skipped."""
    # A slice of a backfill is over soon, and no other begins before this run.
    others = Run.objects.filter(pipeline_id=run.pipeline_id, backfill=None).exclude(pk=run.pk)
    busy = others.filter(state__in=RUN_ACTIVE | {"pending"}).exists()
    if busy and (if_running or documents.load(run.version.document).header.if_running) == "skip":
        closing.skip_pending(run, "Another run of this pipeline had not ended, and it says `if_running: skip`.")
    else:
        _admit(run.pipeline_id)


def _locked(pipeline_id: uuid.UUID, trigger_key: str | None) -> tuple[Pipeline, Run | None]:
    """The pipeline's row, locked, and the run that somebody has started with this key before."""
    locked = starting.lock_pipeline(pipeline_id)
    if trigger_key is not None:
        # Two requests with one key for two pipelines hold different locks; this one they share.
        starting.lock_trigger_key(locked.project_id, trigger_key)
    return locked, _known(locked.project_id, trigger_key)


def _version(pipeline: Pipeline) -> PipelineVersion:
    """What runs of it do. Raises Conflict."""
    if pipeline.published is None:
        raise Conflict(
            f"The pipeline `{pipeline.slug}` has no published version. Publish its draft first.", code="not_published"
        )
    return pipeline.published


def _known(project_id: uuid.UUID, trigger_key: str | None) -> Run | None:
    if trigger_key is None:
        return None
    return Run.objects.filter(project_id=project_id, trigger_key=trigger_key).first()


def _chosen(version: PipelineVersion, asked: Asked) -> Asked:
    """What was asked for, its steps in their order. Raises Invalid for a step that is not there, Conflict where they
    are too few for a seed."""
    chosen = _known_steps(version, asked.only)
    if chosen and asked.mode == "seed":
        seeding.refuse_in_part(documents.load(version.document), version.pipeline_id, chosen)
    return replace(asked, only=tuple(chosen))


def _known_steps(version: PipelineVersion, only: Sequence[str]) -> list[str]:
    """The steps that were asked for, once each, as the document orders them. Raises Invalid for one not there."""
    steps = list(version.document.get("order", version.document["steps"])) if only else []
    unknown = next((each for each in only if each not in steps), None)
    if unknown is not None:
        raise Invalid("steps", f"There is no step `{unknown}`. Steps are: {', '.join(steps)}.", code="no_such_step")
    return [each for each in steps if each in only]


def _admit(pipeline_id: uuid.UUID) -> None:
    ready = starting.admit(pipeline_id)
    if ready:
        transaction.on_commit(partial(dispatch.send, ready), robust=True)


def _same_request(known: Run, pipeline: Pipeline, asked: Asked) -> Run:
    if known.pipeline_id != pipeline.pk or not asked.same(Asked.of(known)):
        raise Conflict("This key was used for another request. Send a new one.", code="key_used")
    return known
