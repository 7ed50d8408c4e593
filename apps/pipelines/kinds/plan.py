"""`plan`: the first step of every run. It asks the sources, decides what is read and why, and writes the windows."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models.functions import Now

from apps.pipelines import backfills, drifting, planning
from apps.pipelines import document as documents
from apps.pipelines.asked import Asked
from apps.pipelines.concluding import conclude
from apps.pipelines.execution.frame import new_context
from apps.pipelines.execution.kinds import Done, KindAdapter, Refused, SkipRun, Verdict
from apps.pipelines.models import Run, StepRun, Window
from apps.pipelines.plans import Plan, Reading, Survey
from apps.sources import services as sources
from dataplane.connectors.windows import FilesRefused
from dataplane.drift import Drift
from dataplane.steps.base import StepContext, StepResult
from dataplane.steps.log import Line
from dataplane.steps.plan import PlanSpec


class PlanAdapter(KindAdapter):
    kind = "plan"

    def prepare(self, step: StepRun, run: Run) -> tuple[StepContext, Any]:
        document = documents.load(run.version.document)
        reused = frozenset(run.steps.filter(kind="extract", state="reused").values_list("key", flat=True))
        survey = planning.survey(
            document,
            run.pipeline_id,
            run.project_id,
            run.requested_mode,
            batch=run.batch,
            reused=reused,
            only=run.only,
            part=backfills.part_of(run),
            picked=Asked.of(run).picked,
            follows=run.trigger == "follow_up",
        )
        return new_context(step, {}, {"asks": survey.asks, "survey": survey}), PlanSpec()

    def execute(self, context: StepContext, spec: Any) -> StepResult:
        survey: Survey = context.extras["survey"]
        try:
            result = super().execute(context, spec)
        except FilesRefused as refused:
            # Which files there are is so whatever becomes of the run.
            sources.record_files(survey.streams[refused.evidence["step"]], refused.listed)
            raise
        plan = conclude(survey, result.facts["answers"])
        return StepResult(facts={"plan": plan, "calls": result.facts["calls"]})

    def tell(self, step: StepRun, result: StepResult, verdict: Verdict) -> list[Line]:
        plan: Plan = result.facts["plan"]
        if isinstance(verdict, SkipRun):
            return []
        lines = [Line(f"Mode {plan.mode}. {plan.reason}", fields={"mode": plan.mode})]
        lines += [_told(each) for each in plan.readings]
        lines += [_changed(each.key, each.drift) for each in plan.readings if each.drift is not None]
        return lines + [Line(f"{each.key}: {said}", "warning") for each in plan.readings for said in each.warnings]

    def commit(self, step: StepRun, run: Run, result: StepResult) -> Verdict:
        plan: Plan = result.facts["plan"]
        document = documents.load(run.version.document)
        output = planning.summary(plan, document.only(run.only)) | {"calls": result.facts["calls"]}
        run.mode, run.mode_reason = plan.mode, plan.reason[:500]
        for each in plan.readings:
            sources.record_files(each.stream, each.listed, each.changed)
            sources.record_touched(each.stream, each.touched)
        output["drifts"] = drifting.note(run, plan)
        if stops := drifting.stopped(plan):
            return Refused(stops, output)
        _forget(run, plan, set(document.steps) - set(document.only(run.only).steps))
        if plan.skip:
            run.save(update_fields=["mode", "mode_reason"])
            return SkipRun(plan.skip[:500], output)
        run.batch = plan.batch or run.pk
        run.save(update_fields=["mode", "mode_reason", "batch"])
        for each in plan.readings:
            if each.incremental and each.bounds is not None:
                _write_window(run, plan, each)
        return Done(output, asks=drifting.question(plan))


def _changed(key: str, drift: Drift) -> Line:
    """What became of the columns of an extract's stream; the first that are found are no reason to warn."""
    if drift.first:
        return Line(f"{key}: the first rows of its stream settle its columns: {drift.said}.")
    return Line(f"{key}: {drift.said}.", "warning")


def _told(reading: Reading) -> Line:
    """What an extract is going to read, and why; a source that does not answer is a warning."""
    files = (reading.bounds or {}).get("files")
    fields: dict[str, Any] = {
        "extract": reading.key,
        "stream": reading.stream.name,
        "rows": reading.rows,
        "bytes": reading.bytes,
    }
    if files is not None:
        fields |= {"files": len(files), "first": [each["path"] for each in files[:10]]}
    elif reading.bounds is not None and reading.bounds["kind"] == "offsets":
        fields |= {"spans": reading.reads()[:20]}
    elif reading.bounds is not None:
        fields |= {name: reading.bounds.get(name) for name in ("column", "lower", "upper")}
    what = "reads" if reading.bounds is not None else "reads nothing"
    return Line(f"{reading.key} {what}: {reading.reason}", "warning" if reading.failed else "info", fields)


def _forget(run: Run, plan: Plan, left_out: set[str]) -> None:
    """A seed starts from nothing; otherwise only windows that nobody will read again are forgotten.

    Where a source did not answer, or the run leaves a step out, the seed reads nothing, so what was read of it goes on
    counting.
    """
    rows = Window.objects.filter(pipeline_id=run.pipeline_id).exclude(state="forgotten")
    for (before, source, stream), key in plan.renamed.items():
        rows.filter(step_key=before, source=source, stream=stream).update(step_key=key)
    if plan.replaces:
        rows = rows.exclude(step_key__in=[*left_out, *(each.key for each in plan.readings if each.failed)])
    else:
        rows = rows.filter(pk__in=plan.stale)
    rows.update(state="forgotten", closed_at=Now())


def _write_window(run: Run, plan: Plan, reading: Reading) -> None:
    """A new window; or one that is repeated, open again and with its files as they are now, unless it is done."""
    window = reading.window
    if window is None:
        Window.objects.create(
            pipeline_id=run.pipeline_id,
            step_key=reading.key,
            source=reading.stream.source_id,
            stream=reading.stream.name,
            batch=_id(run.batch),
            backfill_id=run.backfill_id,
            bounds=reading.bounds,
            replaces=plan.replaces,
            reason=reading.reason[:300],
        )
    elif window.state != "done":
        window.state = "planned" if window.state == "failed" else window.state
        window.bounds, window.closed_at = reading.bounds, None
        window.save(update_fields=["state", "bounds", "closed_at"])


def _id(batch: uuid.UUID | None) -> uuid.UUID:
    assert batch is not None
    return batch
