"""From a declared stream and a window to SQL: what the server runs, and what DuckDB makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot.dialects.dialect import Dialect as Grammar
from sqlglot.errors import TokenError
from sqlglot.tokens import TokenType

from dataplane.connectors.databases import cursors, reading
from dataplane.connectors.databases.declared import bare, chosen, cursor_column, no_lookback, no_order
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.warehouses.dialect import Dialect
from dataplane.connectors.warehouses.session import Session
from dataplane.connectors.warehouses.types import Arrival, Expression, Native
from dataplane.connectors.windows import Window
from dataplane.errors import ConfigurationError
from dataplane.relations import identifier


@dataclass(frozen=True)
class Cursor:
    """The column that a stream is read by."""

    column: Native
    arrival: Arrival
    dialect: Dialect

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def bytewise(self) -> Expression | None:
        return self.dialect.bytewise(self.column)

    @property
    def sql(self) -> str:
        return self._compared(self.dialect.quoted(self.name))

    @property
    def here(self) -> cursors.Cursor:
        """The same in DuckDB's terms."""
        return cursors.Cursor(self.name, self.arrival.type)

    def value(self, text: str) -> str:
        texts = self.arrival.type == "VARCHAR"
        return self._compared(self.dialect.text_constant(text) if texts else self.dialect.constant(self.column, text))

    def _compared(self, sql: str) -> str:
        return self.bytewise(sql) if self.bytewise else sql


@dataclass(frozen=True, kw_only=True)
class Prepared(reading.Prepared[Cursor]):
    """A stream as it will be read now, and how each of its columns arrives."""

    dialect: Dialect
    schema: str
    name: str
    arrivals: tuple[Arrival, ...]

    @property
    def table(self) -> str:
        return self.dialect.table(self.schema, self.name)

    @property
    def origin(self) -> str:
        return self.dialect.subquery(bare(self.stream.query)) if self.stream.query else self.table

    def select(self, window: Window | None, limit: int | None = None) -> str:
        """One SELECT in the server's dialect with every column, `c0, c1, …`, as its arrival wants it."""
        items = ", ".join(
            f"{each.server(self.dialect.quoted(each.name))} AS c{place}" for place, each in enumerate(self.arrivals)
        )
        rest = f"FROM {self.origin}{self.where(window)}"
        return f"SELECT {items} {rest}" if limit is None else self.dialect.limited(items, rest, limit)

    def queried(self, given: str, names: Sequence[str]) -> str:
        """The rows as they arrive, of what the server gave: a relation of DuckDB's, and its columns in their order."""
        items = ", ".join(
            f"{each.local(identifier(name))} AS {identifier(each.name)}"
            for name, each in zip(names, self.arrivals, strict=True)
        )
        return f"SELECT {items} FROM {given}"


def prepare(session: Session, dialect: Dialect, stream: StreamConfig) -> Prepared:
    """Look at the source once: does it still have what was declared, and how does each column arrive?

    Raises ManifoldError, for a stream that cannot be read as declared ConfigurationError.
    """
    refuse_more_than_one(dialect, stream)
    schema, name = parts(stream)
    if stream.query:
        there = session.columns(bare(stream.query), stream.name)
    else:
        there = [Native.told(each) for each in session.ask(dialect.columns([schema], name), stream.name)]
    if not there:
        raise ConfigurationError(
            f"There is no table or view {stream.name} any more, or this user may not read it. Discover the source "
            "again, or have SELECT on it granted.",
            code="table_missing",
            evidence={"stream": stream.name, "table": name},
        )
    columns, wanted, warnings = chosen(stream, there)
    arrivals = tuple(dialect.arrival(each, wanted.get(each.name)) for each in columns)
    return Prepared(
        dialect=dialect,
        schema=schema,
        name=name,
        stream=stream,
        arrivals=arrivals,
        columns=tuple(map(as_column, columns, arrivals)),
        cursor=_cursor(dialect, there, stream, wanted),
        warnings=warnings,
    )


def as_column(column: Native, how: Arrival) -> Column:
    return Column(column.name, how.type, column.nullable, column.native, how.warning)


def parts(stream: StreamConfig) -> tuple[str, str]:
    """Schema and table of a stream: as discovered, or from its name."""
    if stream.settings.get("table"):
        return str(stream.settings["schema"]), str(stream.settings["table"])
    schema, _, table = stream.name.rpartition(".")
    return schema, table


def _cursor(
    dialect: Dialect, there: Sequence[Native], stream: StreamConfig, wanted: Mapping[str, str]
) -> Cursor | None:
    if not stream.cursor:
        return None
    column = cursor_column(stream, there)
    found = Cursor(column, dialect.arrival(column), dialect)
    if not (found.here.counts or found.bytewise):
        raise no_order(stream, column.native, "a time, a number, a UUID or a text that only grows")
    if dialect.arrival(column, wanted.get(column.name)).type == "VARCHAR" != found.arrival.type:
        # The server's text of a time is not DuckDB's, so that nobody could tell which rows were read before.
        raise no_order(stream, f"{column.native} declared as VARCHAR", "the type that it was found with")
    if stream.lookback and not found.here.counts:
        raise no_lookback(stream, column.native)
    return found


def refuse_more_than_one(dialect: Dialect, stream: StreamConfig) -> None:
    """Refuse a query or a filter that would end the statement it is put into, or leave its brackets.

    Some servers run several statements where one is expected. Raises ConfigurationError (`query_syntax`).
    """
    for kind, given in (("query", stream.query and bare(stream.query)), ("filter", stream.row_filter)):
        said = _wrong(dialect, given, begins=kind == "query") if given is not None else ""
        if said:
            raise ConfigurationError(
                f"The {kind} of {stream.name} {said}. Write one {'SELECT' if kind == 'query' else 'condition'} in the "
                f"SQL of {dialect.product}.",
                code="query_syntax",
                evidence={"stream": stream.name, kind: given},
            )


def _wrong(dialect: Dialect, given: str, *, begins: bool) -> str:
    if "\0" in given:
        return "holds a null character"
    try:
        tokens = Grammar.get_or_raise(dialect.grammar).tokenize(given)
    except TokenError as error:
        return f"cannot be read: {str(error).partition(chr(10))[0]}"
    depth = 0
    for each in tokens:
        depth += (each.token_type == TokenType.L_PAREN) - (each.token_type == TokenType.R_PAREN)
        if depth < 0 or each.token_type == TokenType.SEMICOLON:
            return "is more than one statement" if depth >= 0 else "closes a bracket that it has not opened"
    if depth:
        return "leaves a bracket open"
    first = (TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN)
    return "is no SELECT" if begins and (not tokens or tokens[0].token_type not in first) else ""
