"""Kinds that only tests and benchmarks register: `noop` does nothing, `trial` does what a test wants to see."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from apps.pipelines.execution import kinds
from apps.pipelines.execution.frame import new_context
from apps.pipelines.models import Run, StepRun
from dataplane.errors import CancelledError, DataError, InfrastructureError, TransientError
from dataplane.steps import registry
from dataplane.steps.base import Spec, StepContext, StepKind, StepResult


class NoopSpec(Spec):
    inputs: tuple[str, ...] = ()


class NoopStep(StepKind):
    kind = "noop"
    Spec = NoopSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return {each: each for each in spec.inputs}

    @classmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        return StepResult()


class TrialSpec(Spec):
    """`interruptible` work comes back when it is told to; without it only the end of its process ends it."""

    inputs: tuple[str, ...] = ()
    then: Literal["pass", "transient", "infrastructure", "data", "bug", "full_disk"] = "pass"
    seconds: float = 0.0
    interruptible: bool = True
    verdict: Literal["done", "warned", "skip", "refused", "again", "raise", "ask"] = "done"


class TrialStep(StepKind):
    """In the process of a test, `enough` ends the work from outside, and `told` says that it was asked to come back."""

    kind = "trial"
    Spec = TrialSpec
    enough: ClassVar[threading.Event] = threading.Event()
    told: ClassVar[threading.Event] = threading.Event()

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return {each: each for each in spec.inputs}

    @classmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        interrupted: list[bool] = []
        context.on_cancel(lambda: interrupted.append(True))
        end = time.monotonic() + spec.seconds
        while time.monotonic() < end and not cls.enough.is_set():
            time.sleep(0.01)
            context.progress.rows += 1
            if interrupted:
                cls.told.set()
                if spec.interruptible:
                    raise CancelledError
        return _FATES[spec.then]()


def _raise(error: Exception) -> Callable[[], StepResult]:
    def fate() -> StepResult:
        raise error

    return fate


_FATES: dict[str, Callable[[], StepResult]] = {
    "pass": lambda: StepResult(rows_in=7),
    "transient": _raise(TransientError("The network dropped.", code="connection_timeout")),
    "infrastructure": _raise(InfrastructureError("No memory.", code="out_of_memory")),
    "data": _raise(DataError("Row 3 is wrong.", code="check_failed", evidence={"row": 3})),
    "bug": _raise(ZeroDivisionError("a secret that belongs into the log only")),
    "full_disk": _raise(OSError(28, "No space left on device", "/data/x")),
}


class NoopAdapter(kinds.KindAdapter):
    kind = "noop"

    def prepare(self, step: StepRun, run: Run) -> tuple[StepContext, Any]:
        return new_context(step, {}), registry.get(self.kind).Spec.model_validate(step.spec)

    def commit(self, step: StepRun, run: Run, result: StepResult) -> kinds.Verdict:
        return kinds.Done()


class TrialAdapter(NoopAdapter):
    kind = "trial"
    # How often a step with the verdict `again` is sent back before it is done.
    again: ClassVar[int] = 0

    def commit(self, step: StepRun, run: Run, result: StepResult) -> kinds.Verdict:
        verdict = step.spec.get("verdict", "done")
        if verdict == "skip":
            return kinds.SkipRun("nothing new")
        if verdict == "refused":
            return kinds.Refused(DataError("The check failed.", code="check_failed"), {"kept": True})
        if verdict == "raise":
            raise DataError("The commit found a fault.", code="commit_fault")
        if verdict == "again" and TrialAdapter.again > 0:
            TrialAdapter.again -= 1
            raise kinds.RunAgain("the head has moved")
        asks = "Shall it go on?" if verdict == "ask" else ""
        return kinds.Done({"fence": step.fence}, warned=verdict == "warned", asks=asks)


def register() -> None:
    """Make both kinds known to the data plane and to the run engine. Harmless when repeated."""
    for kind in (NoopStep, TrialStep):
        if kind.kind not in registry.kinds():
            registry.register(kind)
    for adapter in (NoopAdapter(), TrialAdapter()):
        kinds.register(adapter)
