"""The check step: every rule looks at the input as it came; then rows are set aside, or the run is stopped."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from dataplane.checks.rules import Rule
from dataplane.steps.base import DatasetInput, Spec, StepKind


class CheckSpec(Spec):
    """The table to look at, and the rules, in the order in which their outcomes are shown."""

    input: Annotated[str, StringConstraints(min_length=1)] | DatasetInput
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=500)]


class CheckStep(StepKind):
    """Runs the rules over `input`; the tables that foreign keys refer to are inputs named `references.<step>`."""

    kind = "check"
    Spec = CheckSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        named: dict[str, Any] = {"input": spec.input}
        for rule in spec.rules:
            if rule.foreign_key is not None:
                named[f"references.{rule.foreign_key.step}"] = rule.foreign_key.step
        return named
