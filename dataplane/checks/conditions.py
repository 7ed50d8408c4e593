"""A rule as the SQL condition that its bad rows meet.

NULL passes every rule but `not_null` and `null_fraction`, and an expression that is NULL passes. What cannot be asked
of a table's columns (a pattern of a number, a range of a text) is an error of the document, with place and remedy.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dataplane.checks.rules import AcceptedValues, ForeignKey, Range, Regex, Rule
from dataplane.errors import ConfigurationError
from dataplane.relations import identifier, literal
from dataplane.steps.base import Table
from dataplane.types import family

_FLOATS = ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class Reference:
    """A table that foreign keys refer to: what it has, and how to select from it."""

    table: Table
    relation: str


@dataclass(frozen=True)
class Asked:
    """A rule, its place in the document, the table it is asked of, and the tables it refers to."""

    rule: Rule
    place: str
    table: Table
    references: Mapping[str, Reference]

    def condition(self) -> str:
        """True for bad rows. Not for `row_count`, and not for `unique`, which no row fails alone."""
        return _CONDITIONS[self.rule.kind](self)

    def columns(self) -> list[str]:
        """The names of the rule's columns as the table spells them. Raises ConfigurationError for one it lacks."""
        return [self.column(each)[0] for each in self.rule.columns]

    def column(self, name: str) -> tuple[str, str]:
        """A column's name and type."""
        return _find(name, self.table, f"{self.place}.{self.rule.kind}", "the table")

    def wrong(self, what: str, remedy: str, key: str = "") -> ConfigurationError:
        place = f"{self.place}.{self.rule.kind}{key}"
        return ConfigurationError(
            f"{place}: {what}. {remedy}", code="rule_unfit", evidence={"path": place, "rule": self.rule.written()}
        )


def _find(name: str, table: Table, place: str, where: str) -> tuple[str, str]:
    for each in table.columns:
        if each.name.lower() == name.lower():
            return each.name, each.type
    known = [each.name for each in table.columns]
    close = difflib.get_close_matches(name, known, 1)
    remedy = f"Did you mean `{close[0]}`?" if close else f"Its columns are: {', '.join(known) or 'none'}."
    raise ConfigurationError(
        f"{place}: {where} has no column `{name}`. {remedy}",
        code="column_missing",
        evidence={"path": place, "column": name, "columns": known},
    )


def constant(value: str | int | float | bool) -> str:
    """A plain value as SQL. Numbers keep their digits: DuckDB reads 0.1 as an exact decimal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return literal(value)
    return repr(value) if math.isfinite(value) else f"'{value}'::DOUBLE"


def _not_null(asked: Asked) -> str:
    return " OR ".join(f"{identifier(each)} IS NULL" for each in asked.columns())


def _null_fraction(asked: Asked) -> str:
    return f"{identifier(asked.columns()[0])} IS NULL"


def _range(asked: Asked) -> str:
    part = asked.rule.range
    assert part is not None
    name, type_ = asked.column(part.column)
    kind = family(type_)
    if kind not in ("number", "time"):
        raise asked.wrong(
            f"the column `{name}` is {type_}, which has no range", "Cast it in a sql step, or use regex.", ".column"
        )
    column = identifier(name)
    # NaN sorts above every number; it is in no range.
    parts = [f"isnan({column})"] if type_ in _FLOATS else []
    parts += [f"{column} < {_end(asked, part, 'min', type_)}"] if part.min is not None else []
    parts += [f"{column} > {_end(asked, part, 'max', type_)}"] if part.max is not None else []
    return " OR ".join(parts)


def _end(asked: Asked, part: Range, key: str, type_: str) -> str:
    value = getattr(part, key)
    if family(type_) == "number":
        if isinstance(value, str):
            raise asked.wrong(f"{value!r} is no number, and `{part.column}` is {type_}", "Write a number.", f".{key}")
        return constant(value)
    if not isinstance(value, str):
        raise asked.wrong(f"{value!r} is a number, and `{part.column}` is {type_}", "Write it as text.", f".{key}")
    return f"CAST({literal(value)} AS {type_})"


def _regex(asked: Asked) -> str:
    part: Regex | None = asked.rule.regex
    assert part is not None
    name, type_ = asked.column(part.column)
    if family(type_) != "text":
        raise asked.wrong(
            f"the column `{name}` is {type_}, and a pattern needs text",
            "Use range or accepted_values, or declare the column as VARCHAR.",
            ".column",
        )
    return f"NOT regexp_matches({identifier(name)}, {literal(part.pattern)})"


def _accepted_values(asked: Asked) -> str:
    part: AcceptedValues | None = asked.rule.accepted_values
    assert part is not None
    name, type_ = asked.column(part.column)
    kind = family(type_)
    for value in part.values:
        given = "boolean" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "text"
        wanted = kind if kind in ("boolean", "number") else "text"
        if given != wanted:
            raise asked.wrong(
                f"{value!r} is a {given}, and the column `{name}` is {type_}",
                "Write it in quotes." if wanted == "text" else f"Write a {wanted} without quotes.",
                ".values",
            )
    # Each value is cast by itself, and a number keeps its fraction: 1.5 is no value of an INTEGER column.
    plain = kind in ("number", "boolean", "text")
    values = ", ".join(constant(each) if plain else f"CAST({constant(each)} AS {type_})" for each in part.values)
    return f"{identifier(name)} NOT IN ({values})"


def _foreign_key(asked: Asked) -> str:
    part: ForeignKey | None = asked.rule.foreign_key
    assert part is not None
    name, type_ = asked.column(part.column)
    reference = asked.references[part.step]
    place = f"{asked.place}.foreign_key.references"
    other, other_type = _find(part.referenced, reference.table, place, f"the table of `{part.step}`")
    if type_ != other_type and (family(type_) != family(other_type) or family(type_) == "other"):
        raise asked.wrong(
            f"`{name}` is {type_} and `{part.references}` is {other_type}",
            "Cast one of them in a sql step.",
            ".references",
        )
    known = f"SELECT {identifier(other)} FROM {reference.relation} AS reference WHERE {identifier(other)} IS NOT NULL"
    return f"{identifier(name)} IS NOT NULL AND {identifier(name)} NOT IN ({known})"


def _expression(asked: Asked) -> str:
    return f"NOT (\n{asked.rule.expression}\n)"


_CONDITIONS: dict[str, Callable[[Asked], str]] = {
    "not_null": _not_null,
    "null_fraction": _null_fraction,
    "range": _range,
    "regex": _regex,
    "accepted_values": _accepted_values,
    "foreign_key": _foreign_key,
    "expression": _expression,
}
