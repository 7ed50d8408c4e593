"""`check`: the outcome of every rule is kept, also when one of them stops the run."""

from __future__ import annotations

from typing import Any

from apps.pipelines import ingestion
from apps.pipelines.execution.frame import new_context
from apps.pipelines.execution.kinds import Done, KindAdapter, Refused, Verdict
from apps.pipelines.kinds.inputs import input_tables, spec_of
from apps.pipelines.models import Run, StepRun
from apps.quality import services as quality
from dataplane.checks.outcome import CheckFailed, found, question
from dataplane.steps.base import StepContext, StepResult
from dataplane.steps.log import Line


class CheckAdapter(KindAdapter):
    kind = "check"

    def prepare(self, step: StepRun, run: Run) -> tuple[StepContext, Any]:
        spec = spec_of(step)
        return new_context(step, input_tables(step, run, spec)), spec

    def execute(self, context: StepContext, spec: Any) -> StepResult:
        """A failed check is a result like any other here, so that `commit` keeps its outcomes."""
        try:
            return super().execute(context, spec)
        except CheckFailed as failed:
            return StepResult(rows_in=failed.rows, checks=failed.outcomes, facts={"failed": failed})

    def tell(self, step: StepRun, result: StepResult, verdict: Verdict) -> list[Line]:
        return [_told(each) for each in result.checks]

    def commit(self, step: StepRun, run: Run, result: StepResult) -> Verdict:
        quality.record_results(
            project_id=run.project_id,
            pipeline_id=run.pipeline_id,
            run_id=run.pk,
            step_id=step.pk,
            step_key=step.key,
            outcomes=result.checks,
        )
        failed = [each for each in result.checks if not each["passed"]]
        output = {"rules": len(result.checks), "failed": len(failed)}
        if "failed" in result.facts:
            return Refused(result.facts["failed"], output)
        assert result.table is not None
        aside = sum(each.rows for each in result.table.rejected)
        ingestion.prove_step(step.key, result.rows_in, result.table.rows + aside)
        return Done(output, warned=bool(failed), asks=question(result.checks))


def _told(outcome: dict[str, Any]) -> Line:
    """The outcome of one rule; one that has failed says what was found."""
    passed, name = outcome["passed"], outcome["name"]
    fields = {key: outcome[key] for key in ("rule", "action", "failed_rows", "total_rows")}
    if passed:
        return Line(f"{name} passed.", fields=fields)
    stops = outcome["action"] == "stop"
    return Line(f"{name} failed: {found(outcome)}.", "error" if stops else "warning", fields)
