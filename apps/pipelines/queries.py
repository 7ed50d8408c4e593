"""Reads of pipelines and runs that more than one door needs, and the shapes in which every door shows them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import BigIntegerField, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.accounts.models import Project
from apps.pipelines.models import Pipeline, Run, StepRun, Window
from apps.pipelines.states import RUN_ACTIVE, RUN_TERMINAL, STEP_TERMINAL
from apps.pipelines.waiting import pending_files
from apps.quality import queries as quality
from apps.sources.models import Source


def with_totals(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Runs with what their steps add up to: rows read, written and set aside, and how many steps have ended.

    Each total is a subquery of its own, so that a list costs what its page costs, however many runs there are.
    """
    extracts, loads = Q(kind="extract"), Q(kind="load")
    ours = Q(reused_from__isnull=True)

    def of_steps(which: Q, value: Any) -> Coalesce:
        steps = StepRun.objects.filter(which, run=OuterRef("pk")).order_by().values("run")
        return Coalesce(Subquery(steps.annotate(found=value).values("found")), 0, output_field=BigIntegerField())

    def total(field: str, which: Q) -> Coalesce:
        return of_steps(which & ours, Sum(field))

    return runs.select_related("pipeline", "version").annotate(
        rows_read=of_steps(extracts & ours, Sum(F("rows_out") + F("rows_rejected"))),
        rows_written=total("rows_out", loads),
        rows_rejected=total("rows_rejected", ~loads),
        bytes_written=total("bytes_out", loads),
        steps_total=of_steps(Q(), Count("pk")),
        steps_ended=of_steps(Q(state__in=STEP_TERMINAL), Count("pk")),
    )


def run_json(run: Run, *, steps: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The shape `run`, from a row of `with_totals`. Lists leave out `steps`."""
    row: Any = run
    shown: dict[str, Any] = {
        "id": str(run.pk),
        "pipeline": run.pipeline.slug,
        "version": run.version.number,
        "state": run.state,
        "outcome": run.outcome,
        "mode": run.mode or run.requested_mode,
        "mode_reason": run.mode_reason,
        "trigger": run.trigger,
        "actor": run.actor_name,
        "created_at": shown_time(run.created_at),
        "started_at": shown_time(run.started_at),
        "finished_at": shown_time(run.finished_at),
        "duration_s": _seconds(run.started_at, run.finished_at),
        "rows_read": row.rows_read,
        "rows_written": row.rows_written,
        "rows_rejected": row.rows_rejected,
        "bytes_written": row.bytes_written,
        "progress": _run_progress(run),
        "error": run.error,
        "retry_of": str(run.retry_of_id) if run.retry_of_id else None,
        "only": run.only,
        "files": run.files,
        "backfill": str(run.backfill_id) if run.backfill_id else None,
        "waits_for": waits_for(run),
    }
    return shown if steps is None else shown | {"steps": list(steps)}


def waits_for(run: Run) -> str | None:
    """Why a run does not go on, in one sentence; None where it does, or is over."""
    if run.state == "pending":
        pipeline = run.pipeline
        if pipeline.paused_at is None:
            return "Its turn: another run of this pipeline has not ended."
        return _said(f"The pipeline was paused by {pipeline.paused_by}", pipeline.paused_reason)
    if run.state == "paused":
        return _said(f"It was paused by {run.halted_by}", run.halt_reason)
    return run.halt_reason if run.state == "waiting" else None


def _said(what: str, reason: str) -> str:
    return f"{what}: {reason.rstrip('.')}." if reason else f"{what}."


def run_detail(run: Run) -> dict[str, Any]:
    """A run with its steps, the outcomes of its checks, and what they asked, in four queries."""
    full = with_totals(Run.objects.filter(pk=run.pk)).get()
    return run_json(full, steps=steps_json(full)) | {"decisions": decisions_json(full)}


def decisions_json(run: Run) -> list[dict[str, Any]]:
    """What the checks of a run asked, and what was answered."""
    return [
        {
            "step": each.step.key,
            "question": each.question,
            "answer": each.answer,
            "reason": each.reason,
            "asked_at": shown_time(each.asked_at),
            "decided_at": shown_time(each.decided_at),
            "decided_by": each.decided_by,
        }
        for each in run.decisions.select_related("step")
    ]


def steps_json(run: Run) -> list[dict[str, Any]]:
    """The steps of a run in the shape `step`; a step that was reused shows the checks of the one that did the work."""
    steps = list(run.steps.order_by("position"))
    checks = quality.results_of([each.reused_from or each.pk for each in steps if each.kind == "check"])
    return [step_json(each, checks.get(each.reused_from or each.pk, [])) for each in steps]


def step_json(step: StepRun, checks: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    """The shape `step`."""
    return {
        "id": str(step.pk),
        "key": step.key,
        "kind": step.kind,
        "state": step.state,
        "attempt": step.attempt,
        "fence": step.fence,
        "upstream": step.upstream,
        "queued_at": shown_time(step.queued_at),
        "started_at": shown_time(step.started_at),
        "finished_at": shown_time(step.finished_at),
        "duration_s": _seconds(step.started_at, step.finished_at),
        "due_at": shown_time(step.due_at if step.state == "retry_wait" else None),
        "rows_in": step.rows_in,
        "rows_out": step.rows_out,
        "rows_rejected": step.rows_rejected,
        "bytes_out": step.bytes_out,
        "peak_memory": step.peak_memory,
        "progress": step.progress,
        "error": step.error,
        "output": step.output,
        "checks": list(checks),
    }


def with_last_run(pipelines: QuerySet[Pipeline]) -> QuerySet[Pipeline]:
    """Pipelines with the state and time of their newest run, and the end of their last good one."""
    newest = Run.objects.filter(pipeline=OuterRef("pk")).order_by("-id")
    good = newest.filter(state="succeeded")
    return pipelines.select_related("published").annotate(
        last_run_id=Subquery(newest.values("id")[:1]),
        last_run_state=Subquery(newest.values("state")[:1]),
        last_run_outcome=Subquery(newest.values("outcome")[:1]),
        last_run_at=Subquery(newest.values("created_at")[:1]),
        last_good_at=Subquery(good.values("finished_at")[:1]),
        is_active=Exists(Run.objects.filter(pipeline=OuterRef("pk"), state__in=RUN_ACTIVE)),
    )


def health_of(pipeline: Any) -> str:
    """One word for a row of `with_last_run`: draft, idle, running, healthy, warning or failing."""
    if pipeline.published_id is None:
        return "draft"
    if pipeline.is_active:
        return "running"
    if pipeline.last_run_state in ("failed", "timed_out"):
        return "failing"
    if pipeline.last_run_state == "succeeded" and pipeline.last_run_outcome != "clean":
        return "warning"
    return "idle" if pipeline.last_run_state is None else "healthy"


def pipeline_json(pipeline: Pipeline) -> dict[str, Any]:
    """A row of `with_last_run` as the API shows it in lists."""
    row: Any = pipeline
    last = None
    if row.last_run_id:
        last = {
            "id": str(row.last_run_id),
            "state": row.last_run_state,
            "outcome": row.last_run_outcome,
            "created_at": shown_time(row.last_run_at),
        }
    return {
        "slug": pipeline.slug,
        "title": pipeline.title,
        "published_version": pipeline.published.number if pipeline.published else None,
        "has_draft": bool(pipeline.draft),
        "health": health_of(pipeline),
        "last_run": last,
        "last_good_at": shown_time(row.last_good_at),
        "paused_at": shown_time(pipeline.paused_at),
        "paused_by": pipeline.paused_by,
        "paused_reason": pipeline.paused_reason,
        "created_at": shown_time(pipeline.created_at),
        "changed_at": shown_time(pipeline.changed_at),
    }


def pipeline_detail(pipeline: Pipeline) -> dict[str, Any]:
    """A pipeline with its text: the draft if there is one, else what is published."""
    row = with_last_run(Pipeline.objects.filter(pk=pipeline.pk)).get()
    published = row.published.text if row.published else ""
    return pipeline_json(row) | {"text": row.draft or published, "draft": row.draft, "published_text": published}


def readers_of(source: Source, stream: str | None = None) -> list[str]:
    """Slugs of the pipelines whose published version reads a source or writes into it, or reads one of its streams."""
    published = Pipeline.objects.filter(project_id=source.project_id, published__isnull=False)
    documents = published.order_by("slug").values_list("slug", "published__document")
    return [
        slug
        for slug, document in documents
        if any(_uses(step, source.slug, stream) for step in document["steps"].values())
    ]


def _uses(step: dict[str, Any], source: str, stream: str | None) -> bool:
    extract, load = step.get("extract", {}), step.get("load", {})
    reads = extract.get("source") == source and stream in (None, extract.get("stream"))
    return reads or (stream is None and load.get("destination") == source)


def windows_of_files(project: Project, stream: str, source: uuid.UUID) -> dict[str, str]:
    """The state of each file of a stream that a pipeline of the project has taken: processed, failed or pending."""
    shown = {"done": "processed", "failed": "failed"}
    states: dict[str, str] = {}
    rows = Window.objects.filter(pipeline__project=project, source=source, stream=stream).exclude(state="forgotten")
    for bounds, state in rows.order_by("id").values_list("bounds", "state"):
        states |= {each["path"]: shown.get(state, "pending") for each in bounds.get("files", ())}
    return states


def currency(project: Project) -> dict[str, Any]:
    """Whether a project's data is current: its last runs and what waits; advice in sentences.

    failing: the pipelines whose newest run failed, and that run, by their ids.
    """
    pipelines = list(with_last_run(Pipeline.objects.filter(project=project)))
    ended = Run.objects.filter(project=project, state__in=RUN_TERMINAL).select_related("pipeline").order_by("-id")
    good, last = ended.filter(state="succeeded").first(), ended.first()
    failing = [each for each in pipelines if health_of(each) == "failing"]
    advice = [f"The last run of {each.slug} failed: `manifold runs show {_last_id(each)}`." for each in failing]
    advice += [f"Publish the draft of {each.slug}." for each in pipelines if each.draft and each.published is None]
    pending = pending_files(project)
    if pending:
        waiting = "1 file waits" if pending == 1 else f"{pending} files wait"
        advice.append(f"{waiting} to be read: run {'its' if pending == 1 else 'their'} pipeline.")
    return {
        "last_good_run": _brief(good),
        "last_run": _brief(last),
        "pending_files": pending,
        "failing": {each.pk: _last_id(each) for each in failing},
        "advice": advice,
    }


def _last_id(pipeline: Any) -> Any:
    return pipeline.last_run_id


def _brief(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "id": str(run.pk),
        "pipeline": run.pipeline.slug,
        "state": run.state,
        "outcome": run.outcome,
        "finished_at": shown_time(run.finished_at),
    }


def _run_progress(run: Any) -> float | None:
    if run.state in ("pending", "expired"):
        return None
    if run.state in ("succeeded", "skipped"):
        return 1.0
    return round(run.steps_ended / run.steps_total, 3) if run.steps_total else None


def shown_time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None:
        return None
    return round(((end or timezone.now()) - start).total_seconds(), 3)


def can_retry(run: Run) -> bool:
    """Whether `services.retry_run` may have something to repeat."""
    partly = run.state == "succeeded" and run.outcome == "partial"
    return partly or run.state in ("failed", "cancelled", "timed_out")
