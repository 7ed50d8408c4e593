"""How a rule is written in a document: one kind, an action, and perhaps a name."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from dataplane import statements, syntax
from dataplane.steps.base import Spec

Action = Literal["stop", "ask", "warn", "quarantine"]
Kind = Literal[
    "not_null",
    "unique",
    "range",
    "regex",
    "accepted_values",
    "foreign_key",
    "row_count",
    "null_fraction",
    "expression",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Column = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Scalar = bool | int | float | str


def _listed(value: Any) -> Any:
    """One column may stand without its list."""
    return [value] if isinstance(value, str) else value


Columns = Annotated[tuple[Column, ...], Field(min_length=1, max_length=64), BeforeValidator(_listed)]


class Range(Spec):
    """Both ends belong to the range; either may be missing. Dates and times are written as text."""

    column: Column
    min: int | float | str | None = None
    max: int | float | str | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("A range needs an end. Give `min`, `max` or both.")
        return self


class Regex(Spec):
    """An RE2 pattern that is looked for anywhere in the text; `^` and `$` tie it to the ends."""

    column: Column
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]

    @field_validator("pattern")
    @classmethod
    def _readable(cls, value: str) -> str:
        wrong = syntax.pattern_fault(value)
        if wrong:
            raise ValueError(
                f"The pattern cannot be read: {wrong}. Patterns are RE2: no look-around, no back-references."
            )
        return value


class AcceptedValues(Spec):
    """The values that may occur. Dates and times are written as text."""

    column: Column
    values: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=10_000)]


class ForeignKey(Spec):
    """Every value of the column occurs in a column of another step's table: `references: airlines.carrier`."""

    column: Column
    references: Annotated[str, StringConstraints(pattern=r"^[^.]+\..+$", max_length=400)]

    @property
    def step(self) -> str:
        return self.references.partition(".")[0]

    @property
    def referenced(self) -> str:
        return self.references.partition(".")[2]

    @field_validator("references", mode="before")
    @classmethod
    def _two_parts(cls, value: Any) -> Any:
        if isinstance(value, str) and not all(value.partition(".")):
            raise ValueError(f"{value!r} names no column of a step. Write it as `step.column`.")
        return value


class RowCount(Spec):
    """How many rows there may be; both ends belong to the range."""

    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _bounded(self) -> RowCount:
        if self.min is None and self.max is None:
            raise ValueError("A row count needs an end. Give `min`, `max` or both.")
        return self


class NullFraction(Spec):
    """The largest part of the rows, from 0 to 1, whose column may be NULL."""

    column: Column
    max: Annotated[float, Field(ge=0, le=1)]


class Rule(Spec):
    """Exactly one kind of rule, what happens when it fails, and a name for people."""

    not_null: Columns | None = None
    unique: Columns | None = None
    range: Range | None = None
    regex: Regex | None = None
    accepted_values: AcceptedValues | None = None
    foreign_key: ForeignKey | None = None
    row_count: RowCount | None = None
    null_fraction: NullFraction | None = None
    expression: Annotated[str, StringConstraints(min_length=1, max_length=20_000)] | None = None
    action: Action = "stop"
    name: Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)] = ""

    @field_validator("expression")
    @classmethod
    def _one_expression(cls, value: str | None) -> str | None:
        if value is None:
            return value
        try:
            statements.check_expression(value)
        except syntax.StatementError as error:
            raise ValueError(error.message) from None
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Rule:
        given = [each for each in KINDS if getattr(self, each) is not None]
        if not given:
            raise ValueError(f"The rule has no kind. Kinds are: {', '.join(KINDS)}.")
        if len(given) > 1:
            raise ValueError(f"A rule has exactly one kind, this one has {' and '.join(given)}. Make two rules of it.")
        if self.action == "quarantine" and given[0] in ("row_count", "null_fraction"):
            raise ValueError(
                f"The rule {given[0]} looks at the whole table and cannot quarantine rows. "
                "Choose `action: stop`, `action: ask` or `action: warn`."
            )
        return self

    @property
    def kind(self) -> Kind:
        return next(each for each in KINDS if getattr(self, each) is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule names; an expression's are not told apart."""
        part = getattr(self, self.kind)
        if isinstance(part, tuple):
            return part
        return (part.column,) if hasattr(part, "column") else ()

    @property
    def title(self) -> str:
        """What a person calls the rule: its name, or its kind and columns."""
        if self.name:
            return self.name
        if self.expression is not None:
            return " ".join(self.expression.split())[:200]
        return f"{self.kind}({', '.join(self.columns)})" if self.columns else self.kind

    def written(self) -> dict[str, Any]:
        """The rule as it stands in a document."""
        unnamed = {"name"} if not self.name else set()
        return self.model_dump(mode="json", exclude_none=True, exclude=unnamed)
