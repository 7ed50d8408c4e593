"""Reading again around the last mark without doubling a row.

A cursor's last value may belong to rows that came after the last read, so every window begins at the mark itself (or
earlier, by the lookback). What was read before is known as a multiset of row hashes; it is taken out of the part of the
rows at or below the mark, and only there, so the bulk costs nothing.

A window that is read once more although a load has taken its rows (another has not) gives that other one the same rows:
what has come to its end since is left to the next window, which brings it to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import duckdb

from dataplane.connectors.schema import Column
from dataplane.connectors.windows import Window
from dataplane.engine import PARQUET, flush, write_parquet
from dataplane.errors import ConfigurationError, DataError
from dataplane.failures import duckdb_errors
from dataplane.relations import identifier, literal, path_list
from dataplane.steps.base import StagedFile, StepContext
from dataplane.types import is_integer

_FLUSH_ROWS = 122_880


@dataclass(frozen=True)
class Cursor:
    """The column that a window is read by, its DuckDB type, the window's bounds, and where its reading starts."""

    column: str
    type: str
    lower: str | None
    upper: str | None
    start: str | None
    columns: tuple[Column, ...]

    @property
    def sql(self) -> str:
        return identifier(self.column)

    def value(self, text: str) -> str:
        return f"CAST({literal(text)} AS {self.type})"


def cursor_of(window: Window, columns: Sequence[Column]) -> Cursor | None:
    """The cursor of a window; None for windows of other kinds. Raises ConfigurationError when it is not read along."""
    if window.kind != "cursor" or window.column is None:
        return None
    found = next((each for each in columns if each.name == window.column), None)
    if found is None:
        raise ConfigurationError(
            f"The cursor column {window.column} is not among the columns that are read. Add it to the step's columns.",
            code="cursor_not_selected",
            evidence={"cursor": window.column, "columns": [each.name for each in columns]},
        )
    start = window.lower if window.reread_from is None else window.reread_from
    return Cursor(window.column, found.type, window.lower, window.upper, start, tuple(columns))


def write(
    context: StepContext, connection: duckdb.DuckDBPyConnection, query: str, cursor: Cursor
) -> tuple[tuple[StagedFile, ...], dict[str, Any]]:
    """Stage the rows of a window that were not read before. Returns the files, and the facts for the next window.

    `known` counts the rows that are left out: they were read before, or are left to the next window.

    `extras["seen"]` is the previous window's file of hashes below the storage root, or empty when it found no row
    there; None is no memory at all, and nothing at or below the mark is taken. `extras["hashed"]` has the columns that
    it was made of (None: those of now), `extras["stream"]` the lookback. `extras["held"]` is there where a load has
    taken the window's rows before: `seen` and `hashed` of that read itself, `since` (from where on it remembers) and
    `rows` (how many).
    """
    query = f"SELECT * FROM ({query}) WHERE {cursor.sql} IS NOT NULL"
    if context.extras.get("held") is None:
        return _written(context, connection, query, cursor)
    whole = write_parquet(connection, query, storage=context.storage, folder=context.output, name="whole", split=True)
    if not whole:
        return _written(context, connection, query, cursor)
    query = _as_before(context, connection, [each.path for each in whole], cursor)
    cursor = replace(cursor, start=context.extras["held"]["since"])
    files, facts = _written(context, connection, query, cursor)
    for each in whole:
        context.storage.remove(each.path)
    left = sum(each.rows for each in whole) - sum(each.rows for each in files)
    return files, {**facts, "known": left}


def _as_before(context: StepContext, connection: duckdb.DuckDBPyConnection, paths: list[str], cursor: Cursor) -> str:
    """The rows of a window that was read before, as a query, without those that have come to its end since.

    Where there are no more than there were, others in the place of some are the same rows, mended. Raises DataError
    where nobody can tell any more which have come.
    """
    held = context.extras["held"]
    rows, at_the_end = _parquet(context, paths), f"{cursor.sql} >= {cursor.value(held['since'])}"
    with duckdb_errors():
        found = connection.execute(f"SELECT count(*) FROM {rows} WHERE {at_the_end}").fetchone()
    there = found[0] if found else 0
    if there <= held["rows"]:
        return f"SELECT * FROM {rows}"
    gone = set(held["hashed"] or ()).difference(each.name for each in cursor.columns)
    if gone:
        raise DataError(
            f"{there - held['rows']:,} rows have come to the end of what was read and is loaded in part, and without "
            f"the column {', '.join(sorted(gone))} they cannot be told from the others. Let the step read it again, or "
            "read everything again with mode seed.",
            code="closed_window_differs",
            evidence={"columns": sorted(gone), "rows_there": there, "rows_read": held["rows"]},
        )
    same = _compared(context, cursor, f"(SELECT * FROM {rows} WHERE {at_the_end})", held, "<=")
    return f"SELECT * FROM {rows} WHERE NOT ({at_the_end}) UNION ALL {same}"


def _written(
    context: StepContext, connection: duckdb.DuckDBPyConnection, query: str, cursor: Cursor
) -> tuple[tuple[StagedFile, ...], dict[str, Any]]:
    if cursor.lower is None:
        files = write_parquet(
            connection, query, storage=context.storage, folder=context.output, name="rows", split=True
        )
        return files, _remember(context, connection, cursor, [each.path for each in files])
    fresh, again = _parted(context, connection, query, cursor)
    facts = _remember(context, connection, cursor, [each.path for each in fresh] + sorted(again))
    seen = None if no_longer_read(context, cursor) else context.extras.get("seen")
    late = _late(context, connection, cursor, sorted(again), seen)
    for path in again:
        context.storage.remove(path)
    late_rows = sum(each.rows for each in late)
    return fresh + late, {**facts, "late": late_rows, "known": sum(again.values()) - late_rows}


def no_longer_read(context: StepContext, cursor: Cursor) -> list[str]:
    """The columns without which nobody can say whether a row was read before."""
    there = {each.name for each in cursor.columns}
    return [] if cursor.lower is None else [each for each in context.extras.get("hashed") or () if each not in there]


def _parted(
    context: StepContext, connection: duckdb.DuckDBPyConnection, query: str, cursor: Cursor
) -> tuple[tuple[StagedFile, ...], dict[str, int]]:
    """One write of all rows into two sets of files: those after the mark, and those that may have been read before.

    Of the latter the rows by path.
    """
    target = f"{context.output}/window"
    with duckdb_errors():
        connection.execute(f"SET partitioned_write_flush_threshold = {_FLUSH_ROWS}")
        written = connection.execute(
            f"COPY (SELECT *, {cursor.sql} <= {cursor.value(cursor.lower or '')} AS __again FROM ({query})) "
            f"TO {literal(context.storage.absolute(target))} ({PARQUET}, "
            "PARTITION_BY (__again))"
        ).fetchall()
    fresh: list[StagedFile] = []
    again: dict[str, int] = {}
    for path, rows, size, *_ in written:
        relative = path.removeprefix(f"{context.storage.root}/")
        if "/__again=true/" in relative:
            again[relative] = rows
        else:
            flush(context.storage, relative)
            fresh.append(StagedFile(relative, rows, size))
    return tuple(sorted(fresh, key=lambda each: each.path)), again


def _late(
    context: StepContext, connection: duckdb.DuckDBPyConnection, cursor: Cursor, again: list[str], seen: str | None
) -> tuple[StagedFile, ...]:
    """Of the rows at or below the mark, those that the previous windows did not have."""
    if not again or seen is None:
        return ()
    memory = {"seen": seen, "hashed": context.extras.get("hashed")}
    query = _compared(context, cursor, _parquet(context, again), memory, ">")
    return write_parquet(connection, query, storage=context.storage, folder=context.output, name="late")


def _compared(context: StepContext, cursor: Cursor, rows: str, memory: dict[str, Any], sign: Literal["<=", ">"]) -> str:
    """Those of some rows that a memory of earlier ones holds (`<=`), or those that it does not (`>`), as a query."""
    seen, hashed = memory["seen"], memory["hashed"]
    nothing = "(SELECT NULL::VARCHAR AS hash, 0 AS count WHERE false)"
    known = f"SELECT hash AS __known, count AS __times FROM {_parquet(context, [seen]) if seen else nothing}"
    columns = [each for each in cursor.columns if hashed is None or each.name in hashed]
    return (
        f"SELECT * EXCLUDE (__hash, __n, __known, __times) FROM ("
        f"SELECT *, row_number() OVER (PARTITION BY __hash) AS __n FROM ("
        f"SELECT *, {row_hash(columns)} AS __hash FROM {rows})) "
        f"LEFT JOIN ({known}) ON __known = __hash WHERE __n {sign} coalesce(__times, 0)"
    )


def _remember(
    context: StepContext, connection: duckdb.DuckDBPyConnection, cursor: Cursor, paths: list[str]
) -> dict[str, Any]:
    """Write the multiset that the next window needs: every row that it will read again, and from where on it knows."""
    lookback: float = context.extras["stream"].lookback
    rows = _parquet(context, paths) if paths else None
    upper = cursor.value(cursor.upper) if cursor.upper is not None else f"(SELECT max({cursor.sql}) FROM {rows})"
    if rows is None and cursor.upper is None:
        return {"seen": None, "boundary_rows": 0, "seen_from": None}
    bound = _earlier(upper, cursor.type, lookback)
    if cursor.start is not None:
        # What lies before was not read this time, however far the lookback reaches by now.
        bound = f"greatest({bound}, {cursor.value(cursor.start)})"
    whole = f"ceil({bound})" if lookback and is_integer(cursor.type) else bound
    with duckdb_errors():
        found = connection.execute(f"SELECT CAST(CAST({whole} AS {cursor.type}) AS VARCHAR)").fetchone()
    facts: dict[str, Any] = {"seen": None, "boundary_rows": 0, "seen_from": found[0] if found else None}
    facts["hashed"] = [each.name for each in cursor.columns]
    if rows is None:
        return facts
    query = (
        f"SELECT hash, count(*) AS count FROM (SELECT {row_hash(cursor.columns)} AS hash FROM {rows} "
        f"WHERE {cursor.sql} >= {bound}) GROUP BY hash"
    )
    files = write_parquet(connection, query, storage=context.storage, folder=context.output, name="seen")
    if not files:
        return facts
    with duckdb_errors():
        counted = connection.execute(f"SELECT sum(count)::BIGINT FROM {_parquet(context, [files[0].path])}").fetchone()
    return {**facts, "seen": files[0].path, "boundary_rows": counted[0] if counted else 0}


def _parquet(context: StepContext, paths: Sequence[str]) -> str:
    absolute = path_list(context.storage.absolute(each) for each in paths)
    return f"read_parquet({absolute}, hive_partitioning = false)"


def _earlier(value: str, type_: str, lookback: float) -> str:
    """A cursor's value less the lookback: seconds for times, days rounded up for dates, else a number."""
    if not lookback:
        return value
    upper = type_.upper()
    if upper.startswith("TIMESTAMP"):
        return f"{value} - to_microseconds({round(lookback * 1_000_000)})"
    if upper == "DATE":
        return f"CAST({value} - to_microseconds({round(lookback * 1_000_000)}) AS DATE)"
    return f"{value} - {lookback:.15g}"


def row_hash(columns: Sequence[Column]) -> str:
    """A row's hash as SQL: the same in every version of DuckDB and order of columns, and with new columns of NULLs."""
    parts = []
    for each in sorted(columns, key=lambda column: column.name):
        name, text = identifier(each.name), f"CAST({identifier(each.name)} AS VARCHAR)"
        parts.append(
            f"CASE WHEN {name} IS NULL THEN '' "
            f"ELSE {literal(each.name)} || '=' || strlen({text}) || ':' || {text} || ';' END"
        )
    return f"md5({' || '.join(parts)})"
