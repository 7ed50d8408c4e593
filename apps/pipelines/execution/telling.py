"""What the log of a run is told when an execution ends. Called in its transaction, with the Run's row locked.

A kind that has nothing to tell of a success leaves no line: its row says all there is.
"""

from __future__ import annotations

from collections.abc import Sequence

from apps.pipelines import runlog
from apps.pipelines.execution import kinds
from apps.pipelines.execution.claiming import Claim
from apps.pipelines.models import StepRun
from dataplane.errors import ManifoldError
from dataplane.steps.base import StepResult
from dataplane.steps.log import Line


def committed(claim: Claim, told: Sequence[Line], result: StepResult, verdict: kinds.Verdict) -> None:
    """What the work said and what its kind tells of the result."""
    lines = [*claim.log.lines, *told]
    if isinstance(verdict, kinds.Refused):
        lines.append(_failure(verdict.error))
    elif isinstance(verdict, kinds.SkipRun):
        lines.append(Line(verdict.reason))
    runlog.write(claim.speaker, lines)


def failed(claim: Claim, error: ManifoldError, delay: float | None) -> None:
    """The error, and whether it is tried again."""
    lines = [*claim.log.lines, _failure(error)]
    if delay is not None:
        lines.append(Line(f"It is tried again in {delay:g} s.", "warning", {"delay_s": delay}))
    runlog.write(claim.speaker, lines)


def interrupted(claim: Claim, what: str) -> None:
    """Handed back, or cancelled."""
    runlog.write(claim.speaker, [*claim.log.lines, Line(what, "warning")])


def lost(step: StepRun) -> None:
    """Taken from a worker that was not heard of any more; its own lines begin at 1."""
    line = Line("The worker was lost; the step was taken from it.", "warning", {"worker": step.worker})
    runlog.write(runlog.Speaker(step.run_id, step.key, step.attempt, step.fence), [line], first=0)


def _failure(error: ManifoldError) -> Line:
    return Line(str(error), "error", {"class": error.error_class, "code": error.code})
