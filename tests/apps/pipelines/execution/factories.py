"""Runs of `trial` steps as rows."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction

from apps.accounts.models import Project
from apps.audit.ids import new_id
from apps.pipelines.execution import dispatch
from apps.pipelines.models import Pipeline, PipelineVersion, Run, StepRun


def make_pipeline(steps: dict[str, dict[str, Any]] | None = None, **head: Any) -> Pipeline:
    """A published pipeline; `steps` by key with the spec of a trial, and `settings` of the step under that name."""
    slug = f"p{uuid.uuid4().hex[:10]}"
    project, _ = Project.objects.get_or_create(slug="default", defaults={"name": "Default"})
    pipeline = Pipeline.objects.create(project=project, slug=slug)
    written = {}
    for key, spec in (steps or {"a": {}}).items():
        own = {name: value for name, value in spec.items() if name != "settings"}
        written[key] = {"trial": own, **spec.get("settings", {})}
    document = {"manifold": 1, "pipeline": slug, "steps": written, **head}
    pipeline.published = PipelineVersion.objects.create(
        pipeline=pipeline, number=1, text="", document=document, published_by="test"
    )
    pipeline.save()
    return pipeline


def make_run(
    steps: dict[str, dict[str, Any]] | None = None,
    *,
    pipeline: Pipeline | None = None,
    state: str = "running",
    **head: Any,
) -> Run:
    """A run whose steps without inputs are ready, or one that still waits for its turn."""
    pipeline = pipeline or make_pipeline(steps, **head)
    version = pipeline.published
    assert version is not None
    run_id = new_id()
    run = Run.objects.create(
        id=run_id,
        project=pipeline.project,
        pipeline=pipeline,
        version=version,
        state=state,
        actor_kind="system",
        actor_name="test",
        root=run_id,
    )
    for position, (key, written) in enumerate(version.document["steps"].items()):
        spec = written["trial"]
        StepRun.objects.create(
            run=run,
            key=key,
            kind="trial",
            position=position,
            spec=spec,
            upstream=list(spec.get("inputs", [])),
            may_fail=written.get("if_failed") == "continue",
            timeout_s=written.get("timeout"),
            state="ready" if state == "running" and not spec.get("inputs") else "pending",
        )
    return run


def step_of(run: Run, key: str) -> StepRun:
    return StepRun.objects.get(run=run, key=key)


def error_of(row: Run | StepRun) -> dict[str, Any]:
    assert row.error is not None
    return row.error


def states_of(run: Run) -> dict[str, str]:
    return dict(StepRun.objects.filter(run=run).values_list("key", "state"))


def locked(run: Run) -> Run:
    """The run with its row locked; inside a transaction."""
    assert transaction.get_connection().in_atomic_block
    return Run.objects.select_for_update(no_key=True).get(pk=run.pk)


def queued() -> int:
    """How many messages wait in all queues of steps."""
    found = dispatch.queued()
    assert found is not None
    return sum(found.values())
