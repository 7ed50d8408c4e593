"""The first step of every run: ask each source what there is to read. What follows is decided above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataplane.connectors import slices
from dataplane.connectors.base import Connector, Mark, Planned, ReadMode, StreamConfig, Window
from dataplane.connectors.slices import Slice
from dataplane.errors import ManifoldError
from dataplane.steps.base import Spec, StepContext, StepKind, StepResult


@dataclass(frozen=True)
class Ask:
    """A question to one source: what would be read now, and, with `verify`, how many rows a window holds by now.

    part: ask for this slice of time alone. reserved: slices whose files are left for another run.
    """

    connector: Connector
    stream: StreamConfig
    mode: ReadMode
    mark: Mark
    verify: Window | None = None
    may_fail: bool = False
    part: Slice | None = None
    reserved: tuple[Slice, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the source said; `failed` instead of it where the step may fail and the source does not answer."""

    planned: Planned | None
    count: int | None = None
    failed: ManifoldError | None = None


class PlanSpec(Spec):
    """The plan has nothing to declare: it stands in no document."""


class PlanStep(StepKind):
    """Asks what `extras["asks"]` holds (by step key) and answers in `facts["answers"]`."""

    kind = "plan"
    Spec = PlanSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return {}

    @classmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        asks: dict[str, Ask] = context.extras["asks"]
        answers = {}
        for position, (key, ask) in enumerate(asks.items()):
            context.progress.detail = f"asking for {key}"
            context.progress.fraction = position / len(asks)
            answers[key] = answer(ask)
        return StepResult(facts={"answers": answers})


def answer(ask: Ask) -> Answer:
    """Put one question. Raises ManifoldError, unless the step that asks is allowed to fail."""
    try:
        planned = _planned(ask)
        count = None if ask.verify is None else ask.connector.count(ask.stream, ask.verify)
    except ManifoldError as error:
        if not ask.may_fail:
            raise
        return Answer(None, failed=error)
    return Answer(planned, count)


def _planned(ask: Ask) -> Planned:
    if ask.part is not None:
        return slices.plan(ask.connector, ask.stream, ask.part, ask.mark)
    return slices.without(ask.connector.plan(ask.stream, ask.mode, ask.mark), ask.reserved)
