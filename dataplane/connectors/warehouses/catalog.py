"""What a server holds: tables and views, columns with their types, keys, and what could serve as a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dataplane.connectors.base import Finding
from dataplane.connectors.databases.cursors import Cursor
from dataplane.connectors.schema import StreamConfig, StreamInfo
from dataplane.connectors.warehouses.dialect import Dialect
from dataplane.connectors.warehouses.reading import as_column, parts
from dataplane.connectors.warehouses.session import Session
from dataplane.connectors.warehouses.types import Native
from dataplane.errors import ConfigurationError

_WHAT = "the catalogue"
_TIMES = ("DATE", "TIMESTAMP")


def discover(session: Session, dialect: Dialect, schemas: Sequence[str]) -> list[StreamInfo]:
    """Every table and view that this user may read, as streams."""
    columns: dict[tuple[str, str], list[Native]] = {}
    for row in session.ask(dialect.columns(schemas), _WHAT):
        columns.setdefault((row[0], row[1]), []).append(Native.told(row))
    keys: dict[tuple[str, str], list[str]] = {}
    if asked := dialect.keys(schemas):
        for schema, table, name in session.ask(asked, _WHAT):
            keys.setdefault((schema, table), []).append(name)
    found = []
    for schema, name, kind, rows, size in session.ask(dialect.relations(schemas), _WHAT):
        if (schema, name) in columns:
            info = _info(dialect, f"{schema}.{name}", columns[schema, name], keys.get((schema, name), []))
            settings = {"schema": schema, "table": name, "kind": kind}
            found.append(replace(info, settings=settings, rows=_number(rows), bytes=_number(size)))
    return found


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _info(dialect: Dialect, name: str, there: Sequence[Native], keys: Sequence[str]) -> StreamInfo:
    arrivals = [dialect.arrival(each) for each in there]
    counting = [each for each in arrivals if Cursor(each.name, each.type).counts]
    times = [each.name for each in counting if each.type.startswith(_TIMES)]
    numbers = [each.name for each in counting if each.name in keys and each.name not in times]
    return StreamInfo(
        name=name,
        columns=tuple(map(as_column, there, arrivals)),
        primary_key=tuple(keys),
        cursor_candidates=tuple(times + numbers),
        warnings=tuple(f"{each.name}: {each.warning}" for each in arrivals if each.warning),
    )


def findings(session: Session, dialect: Dialect, user: str, stream: StreamConfig) -> list[Finding]:
    """What stands against reading a table by its cursor: a grant that is missing, or rows without a value.

    Of a query, or without a cursor, there is nothing to say.
    """
    if stream.query or not stream.cursor:
        return []
    schema, name = parts(stream)
    table = dialect.table(schema, name)
    found = session.ask(dialect.columns([schema], name), _WHAT)
    if not found:
        said = f"{user} may not read {stream.name}, or it is not there."
        return [Finding(stream.name, "missing_grant", said, dialect.grant(table, user))]
    column = next(
        (Native(each[2], each[3], str(each[4]).upper() == "YES") for each in found if each[2] == stream.cursor), None
    )
    if column is not None and column.nullable:
        said = f"{stream.cursor} of {stream.name} may be NULL; such rows are not read incrementally."
        return [Finding(stream.name, "cursor_nullable", said, dialect.not_null(table, column))]
    return []


def withheld(session: Session, dialect: Dialect, stream: StreamConfig, names: Sequence[str]) -> list[str]:
    """Those of these columns that the server refuses to show, and does not miss."""
    return [each for each in names if _refuses(session, dialect, stream, each)]


def _refuses(session: Session, dialect: Dialect, stream: StreamConfig, name: str) -> bool:
    try:
        session.ask(dialect.limited(dialect.quoted(name), f"FROM {dialect.table(*parts(stream))}", 1), stream.name)
    except ConfigurationError as error:
        return error.code == "missing_grant"
    return False
