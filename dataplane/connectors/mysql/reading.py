"""From a declared stream and a window to SQL: what the server runs, and what DuckDB makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from pymysql.connections import Connection

from dataplane.connectors.databases import reading
from dataplane.connectors.databases.attaching import CATALOG
from dataplane.connectors.databases.declared import bare, chosen, cursor_column, no_lookback, no_order
from dataplane.connectors.mysql import catalog, session
from dataplane.connectors.mysql.catalog import Relation
from dataplane.connectors.mysql.params import MySQLParams
from dataplane.connectors.mysql.types import Arrival, SourceColumn, arrival, quoted, text
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Window
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


@dataclass(frozen=True, kw_only=True)
class Prepared(reading.Prepared[Cursor]):
    """A stream as it will be read now, and how each of its columns arrives."""

    relation: Relation
    arrivals: tuple[Arrival, ...]
    mariadb: bool

    @property
    def table(self) -> str:
        return self.relation.sql

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
        return f"SELECT {items} FROM mysql_query('{CATALOG}', {literal(inner)})"


def prepare(connection: Connection, params: MySQLParams, stream: StreamConfig) -> Prepared:
    """Look at the source once: does it still have what was declared, and how does each column arrive?

    Raises pymysql's errors, and ConfigurationError for a stream that cannot be read as declared.
    """
    _refuse_nul(stream)
    if stream.query:
        here = catalog.query_relation(connection, bare(stream.query))
    else:
        here = catalog.relation(connection, params.database, stream)
    columns, declared, warnings = chosen(stream, here.columns)
    prepared = Prepared(
        stream=stream,
        relation=here,
        arrivals=tuple(arrival(each, declared.get(each.name)) for each in columns),
        columns=tuple(catalog.as_column(each, declared.get(each.name)) for each in columns),
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


def _cursor(here: Relation, stream: StreamConfig) -> Cursor | None:
    if not stream.cursor:
        return None
    column = cursor_column(stream, here.columns)
    # A decimal of more digits arrives as text, and texts have another order.
    if column.base not in catalog.CURSOR_TYPES or column.digits[0] > 38:
        raise no_order(stream, column.native, "a time, a number or a text that only grows")
    if stream.lookback and column.base in _NO_LOOKBACK:
        raise no_lookback(stream, column.native)
    return Cursor(column.name, column)
