"""`sql`: one SELECT over its inputs. Nothing but its table has to be kept."""

from __future__ import annotations

from typing import Any

from apps.pipelines.execution.frame import new_context
from apps.pipelines.execution.kinds import Done, KindAdapter, Verdict
from apps.pipelines.kinds.inputs import input_tables, spec_of
from apps.pipelines.models import Run, StepRun
from dataplane.steps.base import StepContext, StepResult
from dataplane.steps.log import Line


class SqlAdapter(KindAdapter):
    kind = "sql"

    def prepare(self, step: StepRun, run: Run) -> tuple[StepContext, Any]:
        spec = spec_of(step)
        return new_context(step, input_tables(step, run, spec)), spec

    def tell(self, step: StepRun, result: StepResult, verdict: Verdict) -> list[Line]:
        rows = result.table.rows if result.table else 0
        return [Line(f"Made {rows:,} rows.", fields={"rows": rows})]

    def commit(self, step: StepRun, run: Run, result: StepResult) -> Verdict:
        return Done({"rows": result.table.rows} if result.table else None)
