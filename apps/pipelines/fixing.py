"""What an error suggests, done on request: a file is set aside, everything is read again, or the run is repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.audit.services import record
from apps.pipelines import drifting, services
from apps.pipelines.models import Run, StepRun
from apps.sources import services as sources
from apps.sources.models import SourceFile

Fix = Callable[[Run, StepRun, Actor, str | None], Run]


def fixable(run: Run) -> frozenset[str]:
    """The ids of the suggestions of a failed run that `apply` can do."""
    return frozenset(_suggested(run)) if run.state == "failed" else frozenset()


def apply(run: Run, suggestion: str, *, actor: Actor, trigger_key: str | None = None) -> Run:
    """Do what a failed run suggests; returns the run that follows it.

    Raises Conflict where the run does not suggest it, or where it cannot be done any more.
    """
    step = _suggested(run).get(suggestion) if run.state == "failed" else None
    if step is None:
        known = ", ".join(f"`{each}`" for each in sorted(fixable(run)))
        remedy = f"It can do: {known}." if known else "Nothing of what it suggests can be done by Manifold."
        raise Conflict(f"The run does not suggest `{suggestion}`. {remedy}", code="not_suggested")
    with acting(actor):
        record(
            "suggestion applied",
            object_type="run",
            object_id=run.pk,
            object_name=run.pipeline.slug,
            project=run.project_id,
            data={"suggestion": suggestion, "step": step.key},
        )
        return _FIXES[suggestion](run, step, actor, trigger_key)


def _suggested(run: Run) -> dict[str, StepRun]:
    """Suggestion -> the first failed step that makes it and that Manifold can do it for."""
    found: dict[str, StepRun] = {}
    for step in run.steps.filter(state="failed").order_by("position"):
        for each in (step.error or {}).get("suggestions", ()):
            if each["applicable"] and each["id"] in _FIXES:
                found.setdefault(each["id"], step)
    return found


def _seed(run: Run, _step: StepRun, actor: Actor, trigger_key: str | None) -> Run:
    return services.start_run(run.pipeline, actor=actor, mode="seed", trigger_key=trigger_key, only=run.only)


def _again(run: Run, _step: StepRun, actor: Actor, trigger_key: str | None) -> Run:
    return services.retry_run(run, actor=actor, trigger_key=trigger_key)


def _without_files(run: Run, step: StepRun, actor: Actor, trigger_key: str | None) -> Run:
    """Set the files that the error names aside, and repeat the run without them."""
    evidence: dict[str, Any] = (step.error or {})["evidence"]
    paths = evidence.get("files") or [evidence.get("file")]
    extract = run.steps.get(key=evidence.get("step", step.key))
    files = SourceFile.objects.filter(
        stream__source__project_id=run.project_id,
        stream__source__slug=extract.spec["source"],
        stream__name=extract.spec["stream"],
        path__in=paths,
    ).select_related("stream__source")
    if not files:
        raise Conflict("The files that the error names are not known any more. Run again.", code="files_unknown")
    for each in files:
        sources.ignore_file(each, ignored=True, actor=actor)
    return _again(run, step, actor, trigger_key)


def _accept_columns(run: Run, step: StepRun, actor: Actor, trigger_key: str | None) -> Run:
    """Take over the columns that have stopped the run, and repeat it."""
    for each in drifting.stopping(run):
        sources.accept_drift(each, actor=actor)
    return _again(run, step, actor, trigger_key)


_FIXES: dict[str, Fix] = {
    "seed": _seed,
    "run_again": _again,
    "accept_columns": _accept_columns,
    "ignore_file": _without_files,
    "ignore_files": _without_files,
}
