"""Every write on pipelines and runs that a person or a trigger asks for. Each is one transaction, with its actor."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal

from django.db import transaction

from apps.accounts.models import Project
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import (
    collecting,
    freshness,
    planning,
    retries,
    retrying,
    rewriting,
    schedules,
    seeding,
    starting,
    validation,
)
from apps.pipelines import document as documents
from apps.pipelines import text as texts
from apps.pipelines.document import Document
from apps.pipelines.execution import closing, dispatch
from apps.pipelines.models import Pipeline, PipelineVersion, Run
from apps.pipelines.problems import DocumentError, Problem
from apps.pipelines.states import RUN_ACTIVE, RUN_TERMINAL
from apps.snapshots import services as snapshots
from dataplane.steps.plan import Picked

MODES = ("auto", "seed", "incremental", "repair")


def validate(project: Project, text: str) -> tuple[Document | None, list[Problem]]:
    """A document as understood, or None, and all that is wrong with it, in itself and within its project."""
    return validation.validate(project, text)


def create_pipeline(project: Project, slug: str, *, text: str = "", actor: Actor) -> Pipeline:
    """A new pipeline with a draft. Raises Conflict where the slug is taken."""
    with acting(actor):
        _one_at_a_time(project)
        if Pipeline.objects.filter(project=project, slug=slug).exists():
            raise Conflict(f"There is a pipeline `{slug}` already. Choose another name.", code="slug_taken")
        document, _ = documents.parse(text)
        return Pipeline.objects.create(
            project=project, slug=slug, title=document.title if document else "", draft=_storable(text)
        )


def _published(pipeline: Pipeline) -> str | None:
    return pipeline.published.text if pipeline.published else None


def _one_at_a_time(project: Project) -> None:
    """Two requests that create the same pipeline wait for each other: the second finds the first one's."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def mark_of(pipeline: Pipeline) -> str:
    """What tells the text that somebody begins to edit from any other."""
    return hashlib.sha256(text_of(pipeline).encode()).hexdigest()


def save_draft(pipeline: Pipeline, text: str, *, actor: Actor, begun_from: str | None = None) -> Pipeline:
    """Keep a text as the draft, right or not yet; a text equal to what is published is no draft.

    begun_from: the mark of the text that this one was made of. Raises Conflict where another has been saved since.
    """
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        published = _published(locked)
        if text != (locked.draft or published):
            _still(locked, begun_from)
        draft = "" if text == published else _storable(text)
        if draft != locked.draft:
            locked.draft = draft
            locked.save(update_fields=["draft", "changed_at"])
        return locked


def _still(pipeline: Pipeline, begun_from: str | None) -> None:
    if begun_from not in (None, mark_of(pipeline)):
        raise Conflict("Somebody has saved another text since this one was opened.", code="edited_meanwhile")


def text_of(pipeline: Pipeline) -> str:
    """The draft, or what is published where there is none."""
    return pipeline.draft or _published(pipeline) or ""


def write_part(
    pipeline: Pipeline,
    path: Sequence[str],
    value: dict[str, Any] | None,
    *,
    actor: Actor,
    begun_from: str | None = None,
) -> Pipeline:
    """Change one part of the draft, or take it out; the rest of its text stays as it is written.

    begun_from: the mark of the text that was looked at. Raises Conflict where it is another now, and where the draft
    cannot be read.
    """
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        _still(locked, begun_from)
        return save_draft(locked, rewriting.with_part(text_of(locked), path, value), actor=actor)


def write_retry(
    pipeline: Pipeline,
    given: dict[str, Any] | None,
    *,
    step: str | None = None,
    actor: Actor,
    begun_from: str | None = None,
) -> Pipeline:
    """Say in the draft when failed steps are tried again, or one step with a policy of its own; None takes it out.

    A policy that the draft says already stays as it is written. Raises DocumentError where the policy is wrong, Invalid
    for a step that is not there, Conflict where the draft cannot be read or is another than it was begun from.
    """
    path = ("retry",) if step is None else ("steps", step, "retry")
    wanted = None if given is None else retries.plain(retries.understood(given, path))
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        _still(locked, begun_from)
        said = texts.said(text_of(locked))
        if step is not None and step not in retries.steps_of(said):
            raise Invalid("step", f"There is no step `{step}` in the draft.", code="no_such_step")
        if wanted is not None and wanted == retries.written(said, step):
            return locked
        return write_part(locked, path, wanted, actor=actor)


def apply_document(project: Project, text: str, *, actor: Actor, publish: bool = False) -> Pipeline:
    """Write a document as the draft of the pipeline that it names, which is created when there is none; or publish it.

    Raises DocumentError when it is wrong: unlike an editor's draft, an applied document has to be usable.
    """
    document, problems = validation.validate(project, text)
    if document is None:
        raise DocumentError(problems)
    with acting(actor):
        _one_at_a_time(project)
        pipeline = Pipeline.objects.filter(project=project, slug=document.pipeline).first()
        if pipeline is None:
            pipeline = create_pipeline(project, document.pipeline, text=text, actor=actor)
        else:
            pipeline = save_draft(pipeline, text, actor=actor)
        if publish and pipeline.draft:
            publish_draft(pipeline, actor=actor)
            pipeline.refresh_from_db()
        return pipeline


def publish_draft(pipeline: Pipeline, *, actor: Actor) -> PipelineVersion:
    """Make the draft the version that runs use from now on; runs that have begun keep theirs.

    Claims the datasets that its load steps name. Raises Conflict without a draft, DocumentError when it is wrong.
    """
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        if not locked.draft:
            raise Conflict("There is no draft to publish. Edit the document first.", code="no_draft")
        document, problems = validation.validate(locked.project, locked.draft, pipeline=locked)
        if document is None:
            raise DocumentError(problems)
        newest = locked.versions.order_by("-number").values_list("number", flat=True).first() or 0
        version = PipelineVersion.objects.create(
            pipeline=locked,
            number=newest + 1,
            text=locked.draft,
            document=document.as_json(),
            published_by=actor.name,
        )
        for slug, step in document.loads().items():
            snapshots.claim_dataset(locked.project, slug, pipeline=locked.pk, step_key=step.key, actor=actor)
        freshness.follow(locked, document, locked.published)
        locked.published, locked.draft, locked.title = version, "", document.title
        locked.save(update_fields=["published", "draft", "title", "changed_at"])
        schedules.settle(locked, document.header.schedule, schedules.clock())
        return version


def delete_pipeline(pipeline: Pipeline, *, actor: Actor) -> None:
    """Remove a pipeline with its versions and runs. Its datasets stay, and may be claimed by another pipeline."""
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        if locked.runs.exclude(state__in=RUN_TERMINAL).exists():
            raise Conflict("A run of this pipeline has not ended. Cancel it first.", code="run_active")
        runs = list(locked.runs.values_list("pk", flat=True))
        locked.runs.all().delete()
        locked.published = None
        locked.save(update_fields=["published", "changed_at"])
        locked.versions.all().delete()
        locked.delete()
        transaction.on_commit(lambda: collecting.collect_orphans(runs), robust=True)


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
    picked = _picked(mode, files, again=again)
    if picked and pipeline.published and not _known(pipeline.project_id, trigger_key):
        # Looked into before the lock: a folder may be large.
        chosen = documents.load(pipeline.published.document).only(_known_steps(pipeline.published, only))
        planning.refuse_unknown_files(chosen, pipeline.project_id, picked)
    with acting(actor):
        locked, known = _locked(pipeline.pk, trigger_key)
        if known is not None:
            return _same_request(known, locked, mode, only, files, again=again)
        version = _version(locked)
        only = _chosen(version, mode, only)
        # A slice of a backfill is over soon, and no other begins before this run.
        busy = locked.runs.filter(state__in=RUN_ACTIVE | {"pending"}, backfill=None).exists()
        run = starting.create_run(
            locked,
            version,
            actor=actor,
            trigger=trigger,
            mode=mode,
            trigger_key=trigger_key,
            start_before=start_before,
            only=only,
            picked=picked,
        )
        if busy and (if_running or documents.load(version.document).header.if_running) == "skip":
            closing.skip_pending(run, "Another run of this pipeline had not ended, and it says `if_running: skip`.")
        else:
            _admit(locked.pk)
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
            return _same_request(known, locked, known.requested_mode, known.only, known.files, again=known.again)
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
    picked = _picked(mode, files, again=again)
    return planning.dry_run(pipeline, version, mode, _chosen(version, mode, only), picked)


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


def _picked(mode: str, files: Sequence[str], *, again: bool) -> Picked | None:
    """Raises Invalid."""
    if files and mode not in ("auto", "incremental"):
        raise Invalid("files", f"A run with mode {mode} picks no files. Use auto.", code="files_and_mode")
    if again and not files:
        raise Invalid("again", "Say which files are to be read again.", code="no_files")
    return Picked(tuple(files), again) if files else None


def _chosen(version: PipelineVersion, mode: str, only: Sequence[str]) -> list[str]:
    """The steps that were asked for. Raises Invalid for one not there, Conflict where they are too few for a seed."""
    chosen = _known_steps(version, only)
    if chosen and mode == "seed":
        seeding.refuse_in_part(documents.load(version.document), version.pipeline_id, chosen)
    return chosen


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


def _same_request(
    known: Run, pipeline: Pipeline, mode: str, only: Sequence[str], files: Sequence[str], *, again: bool
) -> Run:
    same = known.pipeline_id == pipeline.pk and known.requested_mode == mode and known.again == again
    if not same or set(known.only) != set(only) or set(known.files) != set(files):
        raise Conflict("This key was used for another request. Send a new one.", code="key_used")
    return known


def _storable(text: str) -> str:
    """A draft may be wrong, but it has to be text that PostgreSQL and an editor can hold."""
    if len(text) > texts.LARGEST:
        raise Invalid("text", f"A document has at most {texts.LARGEST // 1024} KB.", code="document_too_long")
    return text.replace("\0", "")
