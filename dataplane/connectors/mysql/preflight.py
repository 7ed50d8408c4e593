"""What would make reading a table slow, lose rows or fail: an index, NULLs, its engine, dates of zeros."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic

from pymysql.connections import Connection

from dataplane.connectors.base import Finding
from dataplane.connectors.databases.guards import cannot_hold
from dataplane.connectors.mysql import session
from dataplane.connectors.mysql.catalog import table_of
from dataplane.connectors.mysql.reading import Prepared
from dataplane.connectors.mysql.types import MOMENTS, Arrival, quoted
from dataplane.connectors.schema import StreamConfig

_COLUMN = """
SELECT c.is_nullable, c.column_type FROM information_schema.columns c
WHERE c.table_schema = %s AND c.table_name = %s AND c.column_name = %s AND find_in_set('select', c.privileges)
"""
_INDEXED = """
SELECT count(*) FROM information_schema.statistics s
WHERE s.table_schema = %s AND s.table_name = %s AND s.column_name = %s AND s.seq_in_index = 1
"""
_TABLE = """
SELECT t.table_type, coalesce(t.engine, '') FROM information_schema.tables t
WHERE t.table_schema = %s AND t.table_name = %s
"""
# What keeps a reader's moment apart from what is written meanwhile.
_TRANSACTIONAL = ("innodb", "rocksdb", "tokudb")

ZERO_SECONDS = 3.0
"""So long the rows of a stream are searched for dates of zeros; what is not found by then, a run finds."""


def findings(connection: Connection, database: str, stream: StreamConfig) -> list[Finding]:
    """What stands against reading a table by its cursor. Of a query, or without a cursor, there is nothing to say."""
    if stream.query or not stream.cursor:
        return []
    return list(_told(connection, database, table_of(stream), stream))


def zero_dates(connection: Connection, prepared: Prepared) -> list[Finding]:
    """The columns that hold a date of zeros, or one without month or day, each with the first that was found.

    The text that a run would read is looked at, so it matters to no answer what the server allows now. Raises pymysql's
    errors, among them that a statement took longer than ZERO_SECONDS.
    """
    bases = {each.name: each.base for each in prepared.relation.columns}
    left = [each for each in prepared.arrivals if bases[each.name] in MOMENTS and each.type != "VARCHAR"]
    found: list[Finding] = []
    ends = monotonic() + ZERO_SECONDS
    while left and monotonic() < ends:
        rows = session.ask(connection, _with_a_zero(prepared, left))
        if not rows:
            break
        zeros = {each: value for each, value in zip(left, rows[0], strict=True) if value and "-00" in value}
        told = [cannot_hold(prepared.stream.name, each.name, value) for each, value in zeros.items()]
        found += [Finding(prepared.stream.name, each.code, each.message) for each in told]
        left = [each for each in left if each not in zeros]
    return found


def _with_a_zero(prepared: Prepared, columns: Sequence[Arrival]) -> str:
    """These columns of one row that holds a date of zeros in one of them, as SQL with a limit of time."""
    items = ", ".join(each.server for each in columns)
    either = " OR ".join(f"instr({each.server}, '-00')" for each in columns)
    where = prepared.where(None)
    select = f"SELECT {items} FROM {prepared.origin}{where}{' AND' if where else ' WHERE'} ({either}) LIMIT 1"
    return session.limited(select, ZERO_SECONDS, mariadb=prepared.mariadb)


def grant(connection: Connection, database: str, stream: StreamConfig) -> str:
    """The statement that lets the user of a session read all of a table."""
    user, _, host = str(session.one(connection, "SELECT current_user()")).rpartition("@")
    return f"GRANT SELECT ON {quoted(database)}.{quoted(table_of(stream))} TO {quoted(user)}@{quoted(host)};"


def _told(connection: Connection, database: str, name: str, stream: StreamConfig) -> Iterator[Finding]:
    cursor, table = str(stream.cursor), f"{quoted(database)}.{quoted(name)}"
    column = session.ask(connection, _COLUMN, database, name, cursor)
    if not column:
        return
    nullable, type_ = column[0]
    kind, engine = session.ask(connection, _TABLE, database, name)[0]
    if "VIEW" in kind:
        return
    if nullable == "YES":
        said = f"{cursor} of {stream.name} may be NULL; such rows are not read incrementally."
        mended = f"ALTER TABLE {table} MODIFY {quoted(cursor)} {type_} NOT NULL;"
        yield Finding(stream.name, "cursor_nullable", said, mended)
    if not session.one(connection, _INDEXED, database, name, cursor):
        said = f"No index begins with {cursor} of {stream.name}, so each look for new rows reads the whole table."
        index = quoted(f"manifold_{cursor}"[:64])
        yield Finding(stream.name, "cursor_unindexed", said, f"CREATE INDEX {index} ON {table} ({quoted(cursor)});")
    if engine.lower() not in _TRANSACTIONAL:
        said = f"{stream.name} is kept by {engine}, so rows that are written while it is read may be missed."
        yield Finding(stream.name, "no_snapshot", said, f"ALTER TABLE {table} ENGINE = InnoDB;")
