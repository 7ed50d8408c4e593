"""The sql step: one SELECT over its inputs, each a table of the name that the step gives it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from dataplane import statements
from dataplane.steps.base import DatasetInput, Spec, StepKind

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]


class SqlSpec(Spec):
    """Inputs by the name they have in the query, and the query: one SELECT."""

    inputs: Annotated[dict[Name, Annotated[str, StringConstraints(min_length=1)] | DatasetInput], Field(min_length=1)]
    query: str

    @field_validator("inputs")
    @classmethod
    def _told_apart(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len({each.lower() for each in value}) < len(value):
            raise ValueError("Two inputs differ only in capital letters. SQL does not tell them apart; rename one.")
        return value

    @field_validator("query")
    @classmethod
    def _one_select(cls, value: str, info: ValidationInfo) -> str:
        if "inputs" not in info.data:
            return value
        try:
            return statements.check_select(value, info.data["inputs"])
        except statements.StatementError as error:
            raise ValueError(error.message) from None


class SqlStep(StepKind):
    """Runs the query in an operator instance and stages its rows."""

    kind = "sql"
    Spec = SqlSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return dict(spec.inputs)
