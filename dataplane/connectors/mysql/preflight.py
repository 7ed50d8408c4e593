"""What would make reading only the new rows of a table slow, or lose some: grants, an index, NULLs, its engine."""

from __future__ import annotations

from collections.abc import Iterator

from pymysql.connections import Connection

from dataplane.connectors.base import Finding
from dataplane.connectors.mysql import session
from dataplane.connectors.mysql.catalog import table_of
from dataplane.connectors.mysql.types import quoted
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


def findings(connection: Connection, database: str, stream: StreamConfig) -> list[Finding]:
    """What stands against reading a table by its cursor. Of a query, or without a cursor, there is nothing to say."""
    if stream.query or not stream.cursor:
        return []
    return list(_told(connection, database, table_of(stream), stream))


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
