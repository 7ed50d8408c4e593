"""What would make reading only the new rows of a table slow, or lose some: grants, an index, NULLs, hidden rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dataplane.connectors.base import Finding
from dataplane.connectors.postgresql.catalog import Connection, parts
from dataplane.connectors.postgresql.types import quoted
from dataplane.connectors.schema import StreamConfig

_LOOK = """
SELECT c.relkind::text, has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'),
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT') ORDER BY a.attnum),
       row_security_active(c.oid) AND NOT EXISTS (
           SELECT FROM pg_policy p
           WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
             AND pg_get_expr(p.polqual, p.polrelid) = 'true'
             AND (p.polroles = '{0}' OR current_user::regrole = ANY (p.polroles))
       ), k.attnotnull,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL
                 AND i.indkey[0] = k.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute k ON k.attrelid = c.oid AND k.attname = %(cursor)s AND k.attnum > 0 AND NOT k.attisdropped
WHERE n.nspname = %(schema)s AND c.relname = %(table)s
"""
_INDEXED = {"r": "CREATE INDEX CONCURRENTLY", "m": "CREATE INDEX CONCURRENTLY", "p": "CREATE INDEX"}


def findings(connection: Connection, user: str, stream: StreamConfig) -> list[Finding]:
    """What stands against reading a table by its cursor. Of a query, or without a cursor, there is nothing to say."""
    if stream.query or not stream.cursor:
        return []
    schema, table = parts(stream)
    row = connection.execute(_LOOK, {"schema": schema, "table": table, "cursor": stream.cursor}).fetchone()
    return [] if row is None else list(_told(stream, f"{quoted(schema)}.{quoted(table)}", quoted(schema), user, row))


def grant(stream: StreamConfig, user: str) -> str:
    """The statement that lets a user read all of a table."""
    schema, table = parts(stream)
    return f"GRANT SELECT ON {quoted(schema)}.{quoted(table)} TO {quoted(user)};"


def _told(stream: StreamConfig, table: str, schema: str, user: str, row: tuple[Any, ...]) -> Iterator[Finding]:
    kind, readable, withheld, secured, not_null, indexed = row
    name, cursor, reader = stream.name, str(stream.cursor), quoted(user)
    read = {*(stream.select or [each.name for each in stream.columns] or withheld), cursor}
    hidden = [each for each in withheld if each in read]
    if not readable:
        both = f"GRANT USAGE ON SCHEMA {schema} TO {reader}; {grant(stream, user)}"
        yield Finding(name, "missing_grant", f"{user} may not read {name}.", both)
        return
    if hidden:
        said = f"{user} may not read {', '.join(hidden)} of {name}."
        yield Finding(name, "missing_grant", said, grant(stream, user))
    if secured:
        said = f"Row security of {name} may hide rows from {user}; they would be missed without a word."
        yield Finding(
            name, "row_security", said, f"CREATE POLICY manifold_reads ON {table} FOR SELECT TO {reader} USING (true);"
        )
    if not_null is False and kind in ("r", "p"):
        said = f"{cursor} of {name} may be NULL; such rows are not read incrementally."
        yield Finding(name, "cursor_nullable", said, f"ALTER TABLE {table} ALTER COLUMN {quoted(cursor)} SET NOT NULL;")
    if not indexed and kind in _INDEXED:
        said = f"No index begins with {cursor} of {name}, so each look for new rows reads the whole table."
        yield Finding(name, "cursor_unindexed", said, f"{_INDEXED[kind]} ON {table} ({quoted(cursor)});")
