"""What a database holds: relations, columns with their types, keys, what could serve as a cursor, and rough sizes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from dataplane.connectors.postgresql import faults, session
from dataplane.connectors.postgresql.params import PostgreSQLParams
from dataplane.connectors.postgresql.types import SourceColumn, arrival, quoted
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.errors import ConfigurationError

Connection = psycopg.Connection[Any]

CURSOR_TYPES = frozenset(
    {"int2", "int4", "int8", "numeric", "date", "timestamp", "timestamptz", "uuid", "text", "varchar"}
)
_KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialised view", "f": "foreign table"}
_PARALLEL = frozenset("rm")
_SAMPLE = 10_000

_RELATIONS = """
SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltuples::bigint, pg_table_size(c.oid), obj_description(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\\_temp\\_%%'
  AND c.relname <> '_manifold_loads'
  AND (%(schemas)s::text[] = '{}' OR n.nspname = ANY (%(schemas)s::text[]))
  AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')
ORDER BY 2, 3
"""

_COLUMNS = """
SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attndims, a.attnotnull,
       has_column_privilege(a.attrelid, a.attnum, 'SELECT')
FROM pg_attribute a
WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

_WITHHELD = """
SELECT a.attname::text FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.attname = ANY (%(names)s::text[])
  AND a.attnum > 0 AND NOT a.attisdropped AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')
ORDER BY a.attnum
"""

_UNREADABLE = """
SELECT a.attrelid, string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  AND NOT has_column_privilege(a.attrelid, a.attnum, 'SELECT')
GROUP BY a.attrelid
"""

# As DuckDB's scanner asks it: where one of these is so, its connections do not share a snapshot.
_APART = """
(pg_is_in_recovery() OR EXISTS (SELECT FROM pg_stat_wal_receiver)
 OR EXISTS (SELECT FROM pg_settings WHERE name LIKE 'rds%%'))
"""

# Domains are followed down to their base type; the innermost modifier counts.
_TYPES = """
WITH RECURSIVE wanted AS (
    SELECT DISTINCT t.oid AS named, t.modifier AS outer_modifier, t.oid, t.modifier, false AS domain
    FROM unnest(%s::oid[], %s::int[]) AS t(oid, modifier)
  UNION ALL
    SELECT w.named, w.outer_modifier, p.typbasetype, p.typtypmod, true
    FROM wanted w JOIN pg_type p ON p.oid = w.oid WHERE p.typtype = 'd'
)
SELECT w.named, w.outer_modifier, p.typname, p.typtype, format_type(w.named, w.outer_modifier),
       format_type(w.oid, w.modifier), w.modifier, w.domain,
       CASE WHEN p.typelem <> 0 AND p.typlen = -1 AND p.typcategory = 'A' THEN e.typname ELSE '' END,
       CASE WHEN p.typelem <> 0 THEN e.typtype ELSE '' END, p.typnamespace = 'pg_catalog'::regnamespace
FROM wanted w JOIN pg_type p ON p.oid = w.oid LEFT JOIN pg_type e ON e.oid = p.typelem
WHERE p.typtype <> 'd'
"""

_KEYS = """
SELECT i.indrelid, i.indisprimary,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int[]) WITH ORDINALITY k(num, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num ORDER BY k.place)
FROM pg_index i
WHERE i.indrelid = ANY (%s::oid[]) AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
"""

_ORDERED = """
SELECT format('%%I.%%I', s.schemaname, s.tablename)::regclass::oid, s.attname
FROM pg_stats s
WHERE abs(s.correlation) > 0.95 AND s.null_frac = 0
  AND format('%%I.%%I', s.schemaname, s.tablename)::regclass::oid = ANY (%s::oid[])
"""


@dataclass(frozen=True)
class Relation:
    """A table or view with its columns, or (oid 0) an operator's query.

    apart: several connections would each see a moment of their own, as on a replica or at Amazon RDS.
    """

    oid: int
    schema: str
    name: str
    kind: str
    columns: tuple[SourceColumn, ...]
    rows: int | None = None
    bytes: int | None = None
    apart: bool = False

    @property
    def parallel(self) -> bool:
        """Whether DuckDB's scanner reads it in ranges of pages, on several connections with one snapshot."""
        return self.kind in _PARALLEL and not self.apart

    @property
    def sql(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def parts(stream: StreamConfig) -> tuple[str, str]:
    """Schema and table of a stream: as discovered, or from its name."""
    if stream.settings.get("table"):
        return str(stream.settings.get("schema") or "public"), str(stream.settings["table"])
    schema, dot, table = stream.name.partition(".")
    return (schema, table) if dot else ("public", schema)


def relation(connection: Connection, params: PostgreSQLParams, stream: StreamConfig) -> Relation:
    """The table or view of a stream. Raises ConfigurationError (`table_missing`, `missing_grant`)."""
    schema, table = parts(stream)
    found = connection.execute(
        "SELECT c.oid, c.relkind::text, c.reltuples::bigint, has_any_column_privilege(c.oid, 'SELECT')"
        f" AND has_schema_privilege(n.oid, 'USAGE'), {_APART}"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        [schema, table],
    ).fetchone()
    if found is None:
        missing = psycopg.errors.UndefinedTable(f'relation "{schema}.{table}" does not exist')
        raise faults.refused_statement(params, missing, f"{schema}.{table}")
    oid, kind, rows, allowed, apart = found
    if not allowed:
        denied = psycopg.errors.InsufficientPrivilege(f"permission denied for {schema}.{table}")
        raise faults.refused_statement(params, denied, f"{schema}.{table}")
    columns = _columns(connection, [oid]).get(oid, ())
    return Relation(oid, schema, table, kind, columns, rows if rows >= 0 else None, apart=apart)


def withheld(connection: Connection, stream: StreamConfig, names: Iterable[str]) -> list[str]:
    """Those of these columns that a table has, and that this user may not read."""
    schema, table = parts(stream)
    given = {"schema": schema, "table": table, "names": list(names)}
    return [name for (name,) in connection.execute(_WITHHELD, given).fetchall()]


def query_relation(connection: Connection, params: PostgreSQLParams, stream: StreamConfig, sql: str) -> Relation:
    """The columns of an operator's query. Raises ConfigurationError for anything but one SELECT with named columns."""
    described = session.described(connection, params, sql, stream.name)
    names = [name for name, _, _ in described]
    twice = sorted({name for name in names if names.count(name) > 1} | ({"?column?"} & set(names)))
    if twice or not names:
        several = f"several columns called {', '.join(twice)}. Name each column with AS"
        raise ConfigurationError(
            f"The query of {stream.name} has {several if twice else 'no columns. Write a SELECT'}.",
            code="query_columns",
            evidence={"stream": stream.name, "columns": twice},
        )
    types = types_of(connection, [(oid, modifier) for _, oid, modifier in described])
    columns = tuple(replace(types[oid, modifier], name=name) for name, oid, modifier in described)
    return Relation(0, "", stream.name, "q", columns)


def discover(connection: Connection, params: PostgreSQLParams) -> list[StreamInfo]:
    """Every relation this user may read, as streams."""
    rows = connection.execute(_RELATIONS, {"schemas": list(params.schemas)}).fetchall()
    oids = [row[0] for row in rows]
    columns = _columns(connection, oids)
    unreadable = dict(connection.execute(_UNREADABLE, [oids]).fetchall())
    keys = connection.execute(_KEYS, [oids]).fetchall()
    primary = {oid: tuple(names) for oid, is_primary, names in keys if is_primary}
    leading = {(oid, names[0]) for oid, _, names in keys if names}
    ordered = {(oid, name) for oid, name in connection.execute(_ORDERED, [oids]).fetchall()}
    found = []
    for oid, schema, name, kind, count, size, comment in rows:
        here = Relation(oid, schema, name, kind, columns.get(oid, ()), count if count >= 0 else None, size)
        here = replace(here, columns=with_digits(connection, here, here.columns))
        info = _info(here, comment or "", primary.get(oid, ()), leading, ordered)
        if names := unreadable.get(oid):
            said = f"{params.user} may not read {names}: GRANT SELECT on the table brings such columns, too."
            info = replace(info, warnings=(*info.warnings, said))
        found.append(info)
    return found


def with_digits(connection: Connection, here: Relation, columns: Iterable[SourceColumn]) -> tuple[SourceColumn, ...]:
    """Look at some rows for how many digits the numerics without bounds need; a look that fails leaves them text."""
    open_ended = [
        each for each in columns if each.base == "numeric" and (each.modifier < 0 or each.modifier >> 16 > 38)
    ]
    if not open_ended or here.oid == 0:
        return tuple(columns)
    endless = "('NaN', 'Infinity', '-Infinity')" if connection.info.server_version >= 140000 else "('NaN')"
    looks = ", ".join(
        f"max(length(trunc(abs({name}))::text)), max(scale({name})), bool_or({name} IN {endless})"
        for name in (quoted(each.name) for each in open_ended)
    )
    try:
        with connection.transaction():
            row = connection.execute(f"SELECT {looks} FROM (SELECT * FROM {here.sql} LIMIT {_SAMPLE}) s").fetchone()
    except psycopg.Error:
        return tuple(columns)
    assert row is not None
    seen = {
        each.name: (int(row[3 * i] or 1), int(row[3 * i + 1] or 0)) if not row[3 * i + 2] else None
        for i, each in enumerate(open_ended)
    }
    return tuple(replace(each, digits=seen[each.name]) if each.name in seen else each for each in columns)


def as_column(column: SourceColumn, declared: str | None = None) -> Column:
    how = arrival(column, declared)
    return Column(column.name, how.type, column.nullable, column.native, how.warning)


def _columns(connection: Connection, oids: list[int]) -> dict[int, tuple[SourceColumn, ...]]:
    rows = connection.execute(_COLUMNS, [oids]).fetchall()
    types = types_of(connection, [(row[2], row[3]) for row in rows])
    found: dict[int, list[SourceColumn]] = {}
    for oid, name, type_, modifier, dimensions, not_null, allowed in rows:
        if allowed:
            column = replace(types[type_, modifier], name=name, dimensions=dimensions, nullable=not not_null)
            found.setdefault(oid, []).append(column)
    return {oid: tuple(columns) for oid, columns in found.items()}


def types_of(connection: Connection, wanted: list[tuple[int, int]]) -> dict[tuple[int, int], SourceColumn]:
    """What is known of these types and modifiers; each a column that has no name yet."""
    rows = connection.execute(_TYPES, [[oid for oid, _ in wanted], [modifier for _, modifier in wanted]]).fetchall()
    return {
        (named, outer): SourceColumn(
            name="",
            base=base if built_in else f"extension {base}",
            kind=kind,
            native=native,
            cast=cast,
            modifier=modifier,
            element=element or "",
            element_kind=element_kind or "",
            domain=domain,
        )
        for named, outer, base, kind, native, cast, modifier, domain, element, element_kind, built_in in rows
    }


def _info(
    here: Relation,
    comment: str,
    primary: tuple[str, ...],
    leading: set[tuple[int, str]],
    ordered: set[tuple[int, str]],
) -> StreamInfo:
    columns = tuple(as_column(each) for each in here.columns)
    return StreamInfo(
        name=f"{here.schema}.{here.name}",
        title=comment,
        columns=columns,
        primary_key=primary,
        cursor_candidates=_cursors(here, leading, ordered),
        rows=here.rows,
        bytes=here.bytes,
        settings={"schema": here.schema, "table": here.name, "kind": _KINDS[here.kind]},
        warnings=tuple(f"{each.name}: {each.warning}" for each in columns if each.warning),
    )


def _cursors(here: Relation, leading: set[tuple[int, str]], ordered: set[tuple[int, str]]) -> tuple[str, ...]:
    """Times and numbers that an index or the rows' own order suggest; the best first."""
    ranked = []
    for place, column in enumerate(here.columns):
        is_time = column.base in ("timestamp", "timestamptz", "date")
        if column.base not in CURSOR_TYPES or column.base in ("text", "varchar", "numeric"):
            continue
        indexed, rising = (here.oid, column.name) in leading, (here.oid, column.name) in ordered
        if indexed or rising or is_time:
            ranked.append((not (indexed and is_time), not indexed, not rising, place, column.name))
    return tuple(name for *_, name in sorted(ranked))
