"""What a kind of step adds on the database's side: what it reads before the work, and what it commits after it.

The work itself, from files to files, is a `StepKind` of the data plane. An adapter of the same name stands on both of
its sides: `prepare` reads rows and makes the context, `commit` writes rows in the one transaction that ends the step.
Adapters are registered when the application is ready (`apps/pipelines/kinds`); tests and benchmarks add their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from apps.pipelines.models import Run, StepRun
from dataplane.errors import BugError, ManifoldError
from dataplane.steps import registry
from dataplane.steps.base import StepContext, StepResult
from dataplane.steps.log import Line


@dataclass(frozen=True)
class Done:
    """The step has succeeded. `output` is shown with it; `warned` makes the run's outcome `warned`.

    `asks`: a person has to decide before anything after it starts, so the run waits; the text is the question.
    """

    output: dict[str, Any] | None = None
    warned: bool = False
    asks: str = ""


@dataclass(frozen=True)
class SkipRun:
    """The step has succeeded and found that the run has nothing to do: it ends as `skipped` with this reason."""

    reason: str
    output: dict[str, Any] | None = None


@dataclass(frozen=True)
class Refused:
    """The step fails with this error, and what `commit` has written stays (the results of a check, for instance).

    It is final: the rows have been looked at, so nothing is tried again.
    """

    error: ManifoldError
    output: dict[str, Any] | None = None


Verdict = Done | SkipRun | Refused


class RunAgain(Exception):
    """Raised by `commit`: what the work was based on has moved. All is rolled back and the step is ready again at once.

    It counts neither as an attempt nor as lost.
    """


class KindAdapter(ABC):
    """One kind of step on the side of the database. An adapter has no state: one instance serves every step."""

    kind: ClassVar[str]

    @abstractmethod
    def prepare(self, step: StepRun, run: Run) -> tuple[StepContext, Any]:
        """The context (see `frame.new_context`) and the spec of the work, from plain reads without locks.

        Runs outside a transaction, after the claim. Raises ManifoldError when the work cannot begin.
        """

    def execute(self, context: StepContext, spec: Any) -> StepResult:
        """The work. It may last for hours and holds no transaction; all it needs stands in `context` and `spec`."""
        return registry.get(self.kind).run(context, spec)

    def tell(self, step: StepRun, result: StepResult, verdict: Verdict) -> list[Line]:
        """What the log keeps of an execution that was committed, beside what the work said; nothing unless told."""
        return []

    @abstractmethod
    def commit(self, step: StepRun, run: Run, result: StepResult) -> Verdict:
        """Write what the step has made. Called inside the transaction that ends the step, with the Run's row locked.

        It may lock Dataset rows (by id), then Window rows, in that order; it may save fields of `run` other than its
        state (mode, mode_reason, batch). The engine stores `result`'s table, counts and checks' totals itself. The
        transaction may not last: statements end after 20 seconds. Raises RunAgain to start over.
        """


# Called with the Run locked and its final state set, in the transaction that closes it. It may insert rows (a follow-up
# run, pending), but locks no Pipeline: the order is Pipeline before Run.
CloseHook = Callable[[Run], None]

_adapters: dict[str, KindAdapter] = {}
_close_hooks: list[CloseHook] = []


def register(adapter: KindAdapter) -> None:
    """Make a kind known. Registering the same kind again replaces it."""
    _adapters[adapter.kind] = adapter


def get(kind: str) -> KindAdapter:
    """The adapter of a kind. Raises BugError for a kind nobody registered."""
    try:
        return _adapters[kind]
    except KeyError:
        raise BugError(
            f"No adapter is registered for the step kind `{kind}`; this worker is older than the pipeline.",
            code="unknown_kind",
        ) from None


def on_close(hook: CloseHook) -> None:
    """Call `hook` in the transaction that ends a run, for every run that was ever running."""
    if hook not in _close_hooks:
        _close_hooks.append(hook)


def call_close_hooks(run: Run) -> None:
    for hook in _close_hooks:
        hook(run)
