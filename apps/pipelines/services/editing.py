"""A pipeline and the text of its document: drafted, published, removed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from apps.accounts.models import Project
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import (
    collecting,
    freshness,
    retries,
    rewriting,
    schedules,
    starting,
    validation,
)
from apps.pipelines import document as documents
from apps.pipelines import text as texts
from apps.pipelines.document import Document
from apps.pipelines.models import Pipeline, PipelineVersion
from apps.pipelines.problems import DocumentError, Problem
from apps.pipelines.states import RUN_TERMINAL
from apps.snapshots import services as snapshots


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


def _storable(text: str) -> str:
    """A draft may be wrong, but it has to be text that PostgreSQL and an editor can hold."""
    if len(text) > texts.LARGEST:
        raise Invalid("text", f"A document has at most {texts.LARGEST // 1024} KB.", code="document_too_long")
    return text.replace("\0", "")
