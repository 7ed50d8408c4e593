"""Values that a type cannot hold: DuckDB stops at the first, and names it with its column."""

from __future__ import annotations

import re

from dataplane.connectors.files.casts import careful, guarded
from dataplane.errors import DataError
from dataplane.relations import literal

MARK = "manifold found "
"""Begins the text by which a guard names a value that its column's type cannot hold."""

# What a cast to a narrower type changes without a word.
_ROUNDED = ("FLOAT", "DOUBLE", "DECIMAL(", "TIMESTAMP")
_MARKED = re.compile(re.escape(MARK) + r"(?P<value>.+?) in (?P<column>.*)")


def alarm(name: str, value: str, type_: str) -> str:
    """SQL of DuckDB's that fails and names the value (an expression) of this column, where a `type_` is expected."""
    return f"CAST(error(concat({literal(MARK)}, {value}, {literal(f' in {name}')})) AS {type_})"


def exactly(name: str, value: str, natural: str, type_: str) -> str:
    """A value of the column `name`, which arrives as `natural`, in the type that is declared.

    SQL of DuckDB's that fails at one that a cast would change: `1.5` for a whole number, a time of day for a DATE. Who
    declares a floating-point number accepts rounding.
    """
    cast = f"CAST({value} AS {type_})"
    if not guarded(type_):
        return cast
    shown = alarm(name, f"CAST({value} AS VARCHAR)", type_)
    if natural == "VARCHAR":
        return f"CASE WHEN {value} IS NOT NULL THEN coalesce({careful(value, type_)}, {shown}) END"
    if not natural.startswith(_ROUNDED):
        return cast
    return f"CASE WHEN {value} IS NULL OR CAST({cast} AS {natural}) = {value} THEN {cast} ELSE {shown} END"


def marked(said: str) -> tuple[str, str] | None:
    """The column and the value that a guard has named; None when no guard spoke."""
    found = _MARKED.search(said)
    return (found["column"].strip(), found["value"]) if found else None


def unreadable_value(what: str, said: str) -> DataError | None:
    """The value that a guard found, or None when no guard spoke."""
    found = marked(said)
    if found is None:
        return None
    return cannot_hold(what, *found)


def cannot_hold(what: str, column: str, value: str) -> DataError:
    """A value that ends a read, as its column's type has none like it."""
    return DataError(
        f"Column {column} of {what} holds {value}, which its type cannot hold. Declare {column} as VARCHAR to keep "
        "every value as it is, or leave such rows out with a filter.",
        code="value",
        evidence={"stream": what, "column": column, "value": value},
    )
