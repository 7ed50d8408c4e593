"""From a declared stream and a window to SQL: what the server runs, and what DuckDB makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from pymysql.connections import Connection

from dataplane.connectors.base import Column, StreamConfig, Window
from dataplane.connectors.mysql import catalog, session
from dataplane.connectors.mysql.catalog import Relation
from dataplane.connectors.mysql.params import MySQLParams
from dataplane.connectors.mysql.types import Arrival, SourceColumn, arrival, quoted, text
from dataplane.errors import ConfigurationError
from dataplane.relations import identifier, literal

_NO_LOOKBACK = frozenset({"char", "varchar"})


@dataclass(frozen=True)
class Cursor:
    """The column that a stream is read by, and how it is compared."""

    name: str
    column: SourceColumn

    @property
    def sql(self) -> str:
        """Texts are compared byte by byte, as DuckDB compares them afterwards; the column's collation may differ."""
        if self.column.base in _NO_LOOKBACK:
            return f"CAST(CONVERT({quoted(self.name)} USING utf8mb4) AS BINARY)"
        return quoted(self.name)

    @property
    def shown(self) -> str:
        """A value as the text that `value` takes."""
        return f"CAST({quoted(self.name)} AS CHAR)"

    def value(self, shown: str) -> str:
        base = self.column.base
        if base in _NO_LOOKBACK:
            return f"X'{shown.encode().hex()}'"
        if base == "decimal":
            return f"CAST({text(shown)} AS DECIMAL({self.column.digits[0]},{self.column.digits[1]}))"
        if base == "date":
            return f"CAST({text(shown)} AS DATE)"
        if base in ("datetime", "timestamp"):
            # Sessions are in UTC, and a time without an offset is one of it.
            return f"CAST({text(shown.removesuffix('+00'))} AS DATETIME(6))"
        return f"CAST({text(shown)} AS {'UNSIGNED' if self.column.unsigned else 'SIGNED'})"

    def earlier(self, shown: str, amount: float) -> str:
        """The value less `amount`: seconds of times, else its own unit."""
        value, base = self.value(shown), self.column.base
        if base in ("datetime", "timestamp"):
            return f"({value} - INTERVAL {round(amount * 1_000_000)} MICROSECOND)"
        if base == "date":
            return f"({value} - INTERVAL {-int(-amount // 86400)} DAY)"
        if base == "decimal":
            return f"({value} - CAST({amount!r} AS DECIMAL({self.column.digits[0]},{self.column.digits[1]})))"
        less = f"CAST({value} AS DECIMAL(20,0)) - {int(amount // 1)}"
        return f"greatest({less}, 0)" if self.column.unsigned else f"({less})"


@dataclass(frozen=True)
class Prepared:
    """A stream as it will be read now: where from, which columns in which order, under which condition."""

    stream: StreamConfig
    relation: Relation
    arrivals: tuple[Arrival, ...]
    columns: tuple[Column, ...]
    cursor: Cursor | None
    mariadb: bool
    warnings: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """What follows FROM: the table, or the operator's query in brackets."""
        if self.stream.query:
            # The line break ends a comment in the query's last line.
            return f"(\n{bare(self.stream.query)}\n) AS stream"
        return self.relation.sql

    def where(self, window: Window | None) -> str:
        conditions = [f"(\n{self.stream.row_filter}\n)"] if self.stream.row_filter else []
        if window is not None and window.by_cursor:
            conditions += self._bounds(window)
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def _bounds(self, window: Window) -> list[str]:
        cursor = self._cursor_of(window)
        start = window.reread_from if window.reread_from is not None else window.lower
        bounds = [f"{cursor.sql} >= {cursor.value(start)}"] if start is not None else []
        if window.upper is not None:
            before = "<" if window.kind == "slice" else "<="
            bounds.append(f"{cursor.sql} {before} {cursor.value(window.upper)}")
        return bounds or [f"{cursor.sql} IS NOT NULL"]

    def _cursor_of(self, window: Window) -> Cursor:
        if self.cursor is None or self.cursor.name != window.column:
            raise ConfigurationError(
                f"The window of {self.stream.name} was planned by column {window.column}, but the stream's cursor is "
                f"now {self.stream.cursor}. Run the pipeline with mode seed to begin anew.",
                code="cursor_changed",
                evidence={"stream": self.stream.name, "window": window.column, "cursor": self.stream.cursor},
            )
        return self.cursor

    def select(self, window: Window | None, limit: int | None = None) -> str:
        """One SELECT in the server's dialect with every column, `c0, c1, …`, as its arrival wants it."""
        items = ", ".join(f"{each.server} AS c{place}" for place, each in enumerate(self.arrivals))
        tail = f" LIMIT {limit}" if limit is not None else ""
        return f"SELECT {items} FROM {self.origin}{self.where(window)}{tail}"

    def queried(self, window: Window | None, seconds: float, limit: int | None = None) -> str:
        """The same as one SELECT of DuckDB's, run by the server as it stands."""
        items = ", ".join(
            f"{each.made(f'c{place}')} AS {identifier(each.name)}" for place, each in enumerate(self.arrivals)
        )
        inner = session.limited(self.select(window, limit), seconds, mariadb=self.mariadb)
        return f"SELECT {items} FROM mysql_query('{session.CATALOG}', {literal(inner)})"


def bare(query: str) -> str:
    """A query without the semicolon at its end."""
    return query.strip().rstrip(";").rstrip()


def prepare(connection: Connection, params: MySQLParams, stream: StreamConfig) -> Prepared:
    """Look at the source once: does it still have what was declared, and how does each column arrive?

    Raises pymysql's errors, and ConfigurationError for a stream that cannot be read as declared.
    """
    _refuse_nul(stream)
    if stream.query:
        here = catalog.query_relation(connection, bare(stream.query))
    else:
        here = catalog.relation(connection, params.database, stream)
    chosen, declared, warnings = _chosen(here, stream)
    prepared = Prepared(
        stream=stream,
        relation=here,
        arrivals=tuple(arrival(each, declared.get(each.name)) for each in chosen),
        columns=tuple(catalog.as_column(each, declared.get(each.name)) for each in chosen),
        cursor=_cursor(here, stream),
        mariadb=session.is_mariadb(connection),
        warnings=warnings,
    )
    session.ask(connection, prepared.select(None, 0))
    return prepared


def _refuse_nul(stream: StreamConfig) -> None:
    if "\0" in f"{stream.query or ''}{stream.row_filter or ''}":
        raise ConfigurationError(
            f"The query or filter of {stream.name} holds a null character. Take it out.",
            code="query_syntax",
            evidence={"stream": stream.name},
        )


def _chosen(here: Relation, stream: StreamConfig) -> tuple[list[SourceColumn], dict[str, str], tuple[str, ...]]:
    """The columns to read, in the order they are chosen or declared in; their declared types; what is new."""
    there = {each.name: each for each in here.columns}
    declared = {each.name: each.type for each in stream.columns}
    names = list(stream.select or declared or there)
    missing = [name for name in names if name not in there]
    if missing:
        raise ConfigurationError(
            f"{stream.name} has no column {', '.join(dict.fromkeys(missing))} any more, or this user may not read it. "
            "Discover the source again, or take the column out of the stream.",
            code="column_missing",
            evidence={"stream": stream.name, "missing": list(dict.fromkeys(missing)), "columns": list(there)},
        )
    new = [name for name in there if declared and name not in declared]
    warning = f"{stream.name} has new columns that are not read: {', '.join(new)}. Discover it again to add them."
    return [there[name] for name in names], declared, (warning,) if new else ()


def _cursor(here: Relation, stream: StreamConfig) -> Cursor | None:
    if not stream.cursor:
        return None
    column = next((each for each in here.columns if each.name == stream.cursor), None)
    if column is None:
        raise ConfigurationError(
            f"{stream.name} has no column {stream.cursor}, which is its cursor. Choose another cursor.",
            code="column_missing",
            evidence={"stream": stream.name, "missing": [stream.cursor]},
        )
    # A decimal of more digits arrives as text, and texts have another order.
    if column.base not in catalog.CURSOR_TYPES or column.digits[0] > 38:
        raise ConfigurationError(
            f"Column {stream.cursor} of {stream.name} is {column.native}, which has no order to read by. "
            "Choose a time, a number or a text that only grows.",
            code="cursor_type",
            evidence={"stream": stream.name, "cursor": stream.cursor, "type": column.native},
        )
    if stream.lookback and column.base in _NO_LOOKBACK:
        raise ConfigurationError(
            f"Column {stream.cursor} of {stream.name} is {column.native}: nothing can be taken off it, so there is no "
            "lookback. Take the lookback out, or choose a time or a number.",
            code="lookback",
            evidence={"stream": stream.name, "cursor": stream.cursor, "type": column.native},
        )
    return Cursor(stream.cursor, column)
