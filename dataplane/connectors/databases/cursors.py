"""What is new in a relation: windows by a cursor column, all of it asked of DuckDB."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import duckdb

from dataplane.connectors.databases.declared import cursor_column, no_cursor, no_lookback, no_order
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Planned, Window
from dataplane.relations import identifier, literal
from dataplane.types import is_integer

_TIMES = ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS")


class Ordered(Protocol):
    """The column that a stream is read by, as its database compares it."""

    @property
    def name(self) -> str:
        """As the database spells it."""

    @property
    def sql(self) -> str:
        """What is compared."""

    def value(self, text: str, /) -> str:
        """A value as SQL that can be compared with `sql`."""


@dataclass(frozen=True)
class Cursor:
    """The column that a stream is read by, in DuckDB's terms."""

    name: str
    type: str

    @property
    def sql(self) -> str:
        return identifier(self.name)

    def value(self, text: str) -> str:
        return f"CAST({literal(text)} AS {self.type})"

    @property
    def counts(self) -> bool:
        """Whether something can be taken off its values."""
        return is_integer(self.type) or self.type.startswith(("DECIMAL", "DATE", "TIMESTAMP"))

    def earlier(self, text: str, amount: float) -> str:
        """The value less `amount`: seconds of times, else its own unit."""
        value = self.value(text)
        if self.type in _TIMES:
            return f"CAST({value} - to_microseconds(CAST({amount!r} * 1000000 AS BIGINT)) AS {self.type})"
        if self.type == "DATE":
            return f"CAST({value} - CAST(ceil({amount!r} / 86400.0) AS INTEGER) AS DATE)"
        if is_integer(self.type):
            return f"{value} - CAST(floor({amount!r}) AS BIGINT)"
        return f"CAST({value} - CAST({amount!r} AS {self.type}) AS {self.type})"


def cursor_of(stream: StreamConfig, columns: tuple[Column, ...]) -> Cursor:
    """The cursor of a stream. Raises ConfigurationError for one that is missing or has no order to read by."""
    if not stream.cursor:
        raise no_cursor(stream.name)
    column = cursor_column(stream, columns)
    if not can_be_cursor(column.type):
        raise no_order(stream, column.type, "a time, a number, a UUID or a text that only grows")
    cursor = Cursor(column.name, column.type)
    if stream.lookback and not cursor.counts:
        raise no_lookback(stream, column.type)
    return cursor


def can_be_cursor(type_: str) -> bool:
    return is_integer(type_) or type_ in ("DATE", "VARCHAR", "UUID", *_TIMES) or type_.startswith("DECIMAL(")


def bounds(cursor: Ordered, window: Window) -> str:
    """The condition of a window's rows, with what is read again before `lower`."""
    begin = window.reread_from if window.reread_from is not None else window.lower
    conditions = [f"{cursor.sql} >= {cursor.value(begin)}"] if begin is not None else []
    if window.upper is not None:
        before = "<" if window.kind == "slice" else "<="
        conditions.append(f"{cursor.sql} {before} {cursor.value(window.upper)}")
    return " AND ".join(conditions) or f"{cursor.sql} IS NOT NULL"


def planned(
    duck: duckdb.DuckDBPyConnection, relation: str, stream: StreamConfig, cursor: Cursor, mark: Mark
) -> Planned:
    """What is new in a relation since the mark: rows after it, or rows that came late at or before it."""
    finite = f" AND isfinite({cursor.sql})" if cursor.type == "DATE" or cursor.type in _TIMES else ""
    newest, without = _row(
        duck,
        f"SELECT CAST(max({cursor.sql}) FILTER (WHERE true{finite}) AS VARCHAR), "
        f"count(*) FILTER (WHERE {cursor.sql} IS NULL) FROM ({relation})",
    )
    warnings = (
        (f"{without:,} rows of {stream.name} have no {cursor.name} and are not read incrementally.",) if without else ()
    )
    if newest is None:
        return Planned(None, f"{stream.name} has no row with a {cursor.name}.", 0, 0, warnings)
    if mark.upper is None:
        window = Window("cursor", column=cursor.name, upper=newest)
        reason = f"First read of {stream.name}, up to {cursor.name} {newest}."
        return Planned(window, reason, counted(duck, relation, cursor, window), None, warnings)
    begin = start(duck, cursor, mark, stream.lookback)
    window = Window("cursor", column=cursor.name, lower=mark.upper, upper=newest, reread_from=begin)
    (grown,) = _row(duck, f"SELECT {cursor.value(newest)} > {cursor.value(mark.upper)}")
    if not grown:
        return _late(duck, relation, cursor, window, mark) or Planned(
            None, nothing_after(stream.name, window), 0, 0, warnings
        )
    reason = f"Rows of {stream.name} with {cursor.name} after {mark.upper}, up to {newest}."
    return Planned(window, reason, counted(duck, relation, cursor, window), None, warnings)


def nothing_after(stream: str, window: Window) -> str:
    """Why nothing is read; upper: the newest value that is there, which is older than `lower` where rows have gone."""
    nothing = f"{stream} has nothing after {window.column} {window.lower}"
    if window.upper == window.lower:
        return f"{nothing}."
    return f"{nothing}, and its newest is {window.upper} now. If it was emptied or made anew, read it with mode seed."


def start(duck: duckdb.DuckDBPyConnection, cursor: Cursor, mark: Mark, lookback: float) -> str:
    """Where reading begins again; never before what is remembered of earlier reads."""
    upper = mark.upper or ""
    if not lookback:
        return upper
    known = f", {cursor.value(mark.seen_from)}" if mark.seen_from is not None else ""
    (begin,) = _row(duck, f"SELECT CAST(greatest({cursor.earlier(upper, lookback)}{known}) AS VARCHAR)")
    return str(begin)


def _late(duck: duckdb.DuckDBPyConnection, relation: str, cursor: Cursor, window: Window, mark: Mark) -> Planned | None:
    """The newest cursor has not moved: rows may still have come at it, or within the lookback."""
    if mark.boundary_rows is None:
        return None
    again = replace(window, upper=window.lower)
    there = counted(duck, relation, cursor, again)
    late = there - mark.boundary_rows
    if late <= 0:
        return None
    return Planned(again, f"{late} rows arrived late, at or before {window.column} {window.lower}.", there)


def counted(
    duck: duckdb.DuckDBPyConnection, relation: str, cursor: Cursor, window: Window, *, alone: bool = False
) -> int:
    """The rows of a window: all that it reads, or `alone`, without what is read again before `lower`."""
    beyond = alone and window.kind == "cursor" and window.lower is not None
    after = f" AND {cursor.sql} > {cursor.value(window.lower or '')}" if beyond else ""
    (rows,) = _row(duck, f"SELECT count(*) FROM ({relation}) WHERE {bounds(cursor, window)}{after}")
    return int(rows)


def _row(duck: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = duck.execute(query).fetchone()
    assert row is not None
    return row
