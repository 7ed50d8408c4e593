"""From a declared stream and a window to SQL: what the server runs, and what DuckDB makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataplane.connectors.databases import reading
from dataplane.connectors.databases.attaching import CATALOG
from dataplane.connectors.databases.declared import bare, chosen, cursor_column, no_lookback, no_order
from dataplane.connectors.postgresql import catalog, session
from dataplane.connectors.postgresql.catalog import Connection, Relation
from dataplane.connectors.postgresql.params import PostgreSQLParams
from dataplane.connectors.postgresql.types import Arrival, SourceColumn, arrival, literal, quoted
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark, Window

# These compare the same way in PostgreSQL and in DuckDB, so that DuckDB may send the bounds of a window along.
_SAME_ORDER = frozenset({"int2", "int4", "int8", "date", "timestamp", "timestamptz", "uuid"})

_WHOLE = frozenset({"SMALLINT", "INTEGER", "BIGINT"})


@dataclass(frozen=True)
class Cursor:
    """The column that a stream is read by, and how it is compared."""

    name: str
    column: SourceColumn

    @property
    def sql(self) -> str:
        return self._compared(quoted(self.name))

    def value(self, text: str) -> str:
        return self._compared(f"{literal(text)}::{self.column.cast}")

    def _compared(self, sql: str) -> str:
        """Text is compared byte by byte, as DuckDB compares it afterwards; the database's own collation may differ."""
        return f'({sql} COLLATE "C")' if self.column.base in ("text", "varchar") else sql


@dataclass(frozen=True, kw_only=True)
class Prepared(reading.Prepared[Cursor]):
    """A stream as it will be read now, and how each of its columns arrives."""

    relation: Relation
    arrivals: tuple[Arrival, ...]

    @property
    def table(self) -> str:
        return self.relation.sql

    def select(self, window: Window | None, limit: int | None = None) -> str:
        """One SELECT in PostgreSQL's dialect with every column as its arrival wants it."""
        items = ", ".join(f"{each.server} AS {quoted(each.name)}" for each in self.arrivals)
        tail = f" LIMIT {limit}" if limit is not None else ""
        return f"SELECT {items} FROM {self.origin}{self.where(window)}{tail}"

    def queried(self, window: Window | None, limit: int | None = None) -> str:
        """The same as one SELECT of DuckDB's, run by the server as it stands."""
        items = ", ".join(f"{each.local} AS {quoted(each.name)}" for each in self.arrivals)
        inner = literal(self.select(window, limit))
        return f"SELECT {items} FROM postgres_query('{CATALOG}', {inner})"

    def scanned(self, window: Window) -> str:
        """The same through DuckDB's scanner, in parallel ranges of pages on one snapshot."""
        items = ", ".join(f"{each.local} AS {quoted(each.name)}" for each in self.arrivals)
        here = f"{CATALOG}.{self.relation.sql}"
        bound = ""
        if window.kind == "cursor" and self.cursor is not None:
            type_ = arrival(self.cursor.column).type
            bound = f" WHERE {quoted(self.cursor.name)} <= CAST({literal(window.upper or '')} AS {type_})"
        return f"SELECT {items} FROM {here}{bound}"

    @property
    def whole(self) -> str | None:
        """The first column of whole numbers that are read as they are."""
        plain = (each.name for each in self.arrivals if each.type in _WHOLE and each.server == each.local)
        return next(plain, None)

    def scannable(self, window: Window) -> bool:
        """Whether the scanner brings exactly these rows, and is the faster way.

        A later window is a small part of the table: the server's index finds it, the scanner would read every page.
        """
        if self.relation.oid == 0 or not self.relation.parallel or self.stream.row_filter:
            return False
        if not all(each.scannable for each in self.arrivals):
            return False
        if window.kind == "full":
            return True
        first = window.lower is None and window.reread_from is None and window.upper is not None
        return first and self.cursor is not None and self.cursor.column.base in _SAME_ORDER


def prepare(connection: Connection, params: PostgreSQLParams, stream: StreamConfig) -> Prepared:
    """Look at the source once: does it still have what was declared, and how does each column arrive?

    Raises ConfigurationError for a stream that cannot be read as declared.
    """
    if stream.query:
        here = catalog.query_relation(connection, params, stream, bare(stream.query))
    else:
        here = catalog.relation(connection, params, stream)
    columns, declared, warnings = chosen(stream, here.columns)
    unknown = [each for each in columns if not declared.get(each.name)]
    sampled = {each.name: each for each in catalog.with_digits(connection, here, unknown)}
    columns = [sampled.get(each.name, each) for each in columns]
    prepared = Prepared(
        stream=stream,
        relation=here,
        arrivals=tuple(arrival(each, declared.get(each.name)) for each in columns),
        columns=tuple(catalog.as_column(each, declared.get(each.name)) for each in columns),
        cursor=_cursor(here, stream),
        warnings=warnings,
    )
    if stream.query or stream.row_filter:
        # Parsed whole by the server, as one statement: nothing in it can leave the brackets it is put in.
        session.described(connection, params, prepared.select(None), stream.name)
    return prepared


def _cursor(here: Relation, stream: StreamConfig) -> Cursor | None:
    if not stream.cursor:
        return None
    column = cursor_column(stream, here.columns)
    if column.base not in catalog.CURSOR_TYPES or column.domain:
        raise no_order(stream, column.native, "a time, a number, a UUID or a text that only grows")
    if stream.lookback and column.base in ("uuid", "text", "varchar"):
        raise no_lookback(stream, column.native)
    return Cursor(column.name, column)


def behind(prepared: Prepared, cursor: Cursor, upper: str) -> str:
    """A row if a replica has no row at the end of a window or behind it, whatever the filter: one was there before.

    It says whether the replica has yet to replay some of what it was sent, and is more than a second late with it.
    """
    there = f"SELECT FROM {prepared.origin} WHERE {cursor.sql} >= {cursor.value(upper)}"
    late = "coalesce(clock_timestamp() - pg_last_xact_replay_timestamp() > interval '1 second', true)"
    replaying = f"pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn() AND {late} AS replaying"
    sql = f"SELECT {replaying} WHERE pg_is_in_recovery() AND NOT EXISTS ({there})"
    return f"SELECT * FROM postgres_query('{CATALOG}', {literal(sql)})"


def before_the_first(name: str, rows: str) -> str:
    """A row if a time is earlier than any that PostgreSQL has."""
    first = "TIMESTAMP '4714-01-01 (BC) 00:00:00'"
    return f"SELECT 1 FROM ({rows}) WHERE {quoted(name)} < {first} AND isfinite({quoted(name)}) LIMIT 1"


def zeros(name: str, rows: str) -> str:
    """A row if a column of what the scanner has read holds a 0, which is also what it makes of a NaN."""
    return f"SELECT 1 FROM ({rows}) WHERE {quoted(name)} = 0 LIMIT 1"


def around(names: Sequence[str], whole: str, rows: str) -> str:
    """The smallest and largest value of a whole-number column where one of these is 0, and if it is NULL there."""
    zero = " OR ".join(f"{quoted(name)} = 0" for name in names)
    column = quoted(whole)
    return f"SELECT min({column}), max({column}), bool_or({column} IS NULL) FROM ({rows}) WHERE {zero}"


def nans(names: Sequence[str], prepared: Prepared, window: Window, within: str) -> str:
    """For each of these columns whether the source's rows of a window hold a NaN in it, under one more condition."""
    looks = ", ".join(f"coalesce(bool_or({name} = 'NaN'), false) AS {name}" for name in map(quoted, names))
    filtered = prepared.where(window) or " WHERE true"
    sql = f"SELECT {looks} FROM {prepared.origin}{filtered} AND {within}"
    return f"SELECT * FROM postgres_query('{CATALOG}', {literal(sql)})"


def newest(prepared: Prepared, cursor: Cursor) -> str:
    """The largest cursor value as text; an index on the cursor answers it at once."""
    filtered = prepared.where(None) or " WHERE true"
    # ORDER BY takes a name of the output first; named otherwise, numbers would be sorted as their text.
    return (
        f"SELECT {quoted(cursor.name)}::text AS newest_value_of_cursor FROM {prepared.origin}{filtered}"
        f" AND {quoted(cursor.name)} IS NOT NULL{_finite(cursor)} ORDER BY {cursor.sql} DESC LIMIT 1"
    )


def lookback(cursor: Cursor, mark: Mark, amount: float) -> str:
    """Where reading begins again: the mark less the lookback in seconds for times and plainly for numbers.

    Never before what is remembered of earlier reads.
    """
    value = cursor.value(mark.upper or "")
    if not amount:
        return f"SELECT {value}::text"
    if cursor.column.base in ("timestamp", "timestamptz"):
        earlier = f"{value} - interval '1 second' * {amount!r}"
    elif cursor.column.base == "date":
        earlier = f"{value} - ceil({amount!r} / 86400.0)::int"
    elif cursor.column.base == "numeric":
        earlier = f"{value} - {amount!r}::numeric"
    else:
        earlier = f"{value} - floor({amount!r}::numeric)::bigint"
    known = "" if mark.seen_from is None else f", {cursor.value(mark.seen_from)}"
    return f"SELECT greatest({earlier}{known})::text"


def _finite(cursor: Cursor) -> str:
    """An endless value as cursor would hide every row that comes later."""
    if cursor.column.base in ("timestamp", "timestamptz", "date"):
        return f" AND isfinite({quoted(cursor.name)})"
    return f" AND {quoted(cursor.name)} <> 'NaN'" if cursor.column.base == "numeric" else ""
