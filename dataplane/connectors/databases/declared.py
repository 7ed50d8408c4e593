"""A stream as an operator declared it, held against the columns that its table has now."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol, TypeVar

from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Window
from dataplane.errors import ConfigurationError

DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_ALIASES = {
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "INT": "INTEGER",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "NUMERIC": "DECIMAL",
    "BOOL": "BOOLEAN",
    "REAL": "FLOAT",
}


class Described(Protocol):
    """A column as its database describes it."""

    @property
    def name(self) -> str:
        """As the database spells it."""


Found = TypeVar("Found", bound=Described)


def bare(query: str) -> str:
    """A query without the semicolon at its end."""
    return query.strip().rstrip(";").rstrip()


def chosen(stream: StreamConfig, columns: Iterable[Found]) -> tuple[list[Found], dict[str, str], tuple[str, ...]]:
    """The columns to read, in the order they are chosen or declared in; their declared types; what is new.

    Raises ConfigurationError for one that is gone.
    """
    there = {each.name: each for each in columns}
    declared = {each.name: each.type for each in stream.columns}
    names = list(stream.select or declared or there)
    missing = list(dict.fromkeys(name for name in names if name not in there))
    if missing:
        raise ConfigurationError(
            f"{stream.name} has no column {', '.join(missing)} any more. Discover the source again, or take the "
            "column out of the stream.",
            code="column_missing",
            evidence={"stream": stream.name, "missing": missing, "columns": list(there)},
        )
    new = [name for name in there if declared and name not in declared]
    warning = f"{stream.name} has new columns that are not read: {', '.join(new)}. Discover it again to add them."
    return [there[name] for name in names], declared, (warning,) if new else ()


def cursor_column(stream: StreamConfig, columns: Iterable[Found]) -> Found:
    """The column of a stream's cursor. Raises ConfigurationError where it is not there."""
    for each in columns:
        if each.name == stream.cursor:
            return each
    raise ConfigurationError(
        f"{stream.name} has no column {stream.cursor}, which is its cursor. Choose another cursor.",
        code="column_missing",
        evidence={"stream": stream.name, "missing": [stream.cursor]},
    )


def no_cursor(stream: str) -> ConfigurationError:
    return ConfigurationError(
        f"{stream} has no cursor, so it cannot be read incrementally. Choose the column that grows with every new "
        "row, or read it with mode full_refresh.",
        code="cursor_missing",
        evidence={"stream": stream},
    )


def no_order(stream: StreamConfig, type_: str, remedy: str) -> ConfigurationError:
    """A cursor whose values are not compared the same way everywhere."""
    return ConfigurationError(
        f"Column {stream.cursor} of {stream.name} is {type_}, which has no order to read by. Choose {remedy}.",
        code="cursor_type",
        evidence={"stream": stream.name, "cursor": stream.cursor, "type": type_},
    )


def no_lookback(stream: StreamConfig, type_: str) -> ConfigurationError:
    return ConfigurationError(
        f"Column {stream.cursor} of {stream.name} is {type_}: nothing can be taken off it, so there is no lookback. "
        "Take the lookback out, or choose a time or a number.",
        code="lookback",
        evidence={"stream": stream.name, "cursor": stream.cursor, "type": type_},
    )


def cursor_changed(stream: StreamConfig, window: Window) -> ConfigurationError:
    return ConfigurationError(
        f"The window of {stream.name} was planned by column {window.column}, but the stream's cursor is now "
        f"{stream.cursor}. Run the pipeline with mode seed to begin anew.",
        code="cursor_changed",
        evidence={"stream": stream.name, "window": window.column, "cursor": stream.cursor},
    )


def normal_type(text: str) -> str:
    """One spelling for one type: upper case, no blanks inside brackets, no aliases."""
    upper = re.sub(r"\s*([(),])\s*", r"\1", " ".join(text.upper().split()))
    head, bracket, rest = upper.partition("(")
    base, square, dimensions = head.partition("[")
    return _ALIASES.get(base, base) + square + dimensions + bracket + rest


def no_type(column: str, declared: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"{declared!r} is no type that column {column} can be declared as; use one of DuckDB's, such as VARCHAR, "
        "BIGINT or DECIMAL(18,4).",
        code="type_unknown",
        evidence={"column": column, "type": declared},
    )
