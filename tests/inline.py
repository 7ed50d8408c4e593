"""A worker in the test's own process: takes the ready steps of a run until it has ended."""

from __future__ import annotations

from apps.pipelines.execution import steps
from apps.pipelines.models import Run, StepRun


def run_inline(run: Run) -> Run:
    """Run what is ready, in the order of the steps, until nothing is; the run as it then is."""
    while True:
        ready = StepRun.objects.filter(run=run, state="ready", run__state="running").order_by("position")
        step = ready.values_list("pk", flat=True).first()
        if step is None:
            break
        steps.run_step(step, "inline:0/inline", may_exit=False)
    run.refresh_from_db()
    return run
