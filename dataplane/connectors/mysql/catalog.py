"""What a database holds: tables and views, columns with their types, keys, possible cursors, rough sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pymysql.connections import Connection
from pymysql.constants import ER, FIELD_TYPE
from pymysql.err import MySQLError

from dataplane.connectors.mysql import session
from dataplane.connectors.mysql.types import SourceColumn, arrival, quoted, text
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.errors import ConfigurationError

CURSOR_TYPES = frozenset(
    {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "date", "datetime", "timestamp"}
    | {"char", "varchar"}
)
_RANKED = CURSOR_TYPES - {"decimal", "char", "varchar"}
_TIMES = frozenset({"date", "datetime", "timestamp"})

_RELATIONS = """
SELECT t.table_name AS a, t.table_type AS b, t.table_rows AS c, t.data_length AS d, t.table_comment AS e
FROM information_schema.tables t
WHERE t.table_schema = %s AND t.table_type <> 'SEQUENCE' AND t.table_name NOT LIKE '\\_manifold\\_%%'
ORDER BY t.table_name
"""
_COLUMNS = """
SELECT c.table_name AS a, c.column_name AS b, c.data_type AS c, c.column_type AS d, c.is_nullable AS e,
       c.numeric_precision AS f, c.numeric_scale AS g, c.collation_name AS h
FROM information_schema.columns c
WHERE c.table_schema = %s AND find_in_set('select', c.privileges) AND (%s = '' OR c.table_name = %s)
ORDER BY c.table_name, c.ordinal_position
"""
_KEYS = """
SELECT s.table_name AS a, s.index_name AS b, s.column_name AS c
FROM information_schema.statistics s WHERE s.table_schema = %s
ORDER BY s.table_name, s.index_name, s.seq_in_index
"""

# What a result set says of its columns; texts and bytes are told apart by their character set.
_FIELDS = {
    FIELD_TYPE.TINY: "tinyint",
    FIELD_TYPE.SHORT: "smallint",
    FIELD_TYPE.INT24: "mediumint",
    FIELD_TYPE.LONG: "int",
    FIELD_TYPE.LONGLONG: "bigint",
    FIELD_TYPE.FLOAT: "float",
    FIELD_TYPE.DOUBLE: "double",
    FIELD_TYPE.DECIMAL: "decimal",
    FIELD_TYPE.NEWDECIMAL: "decimal",
    FIELD_TYPE.DATE: "date",
    FIELD_TYPE.DATETIME: "datetime",
    FIELD_TYPE.TIMESTAMP: "timestamp",
    FIELD_TYPE.TIME: "time",
    FIELD_TYPE.YEAR: "year",
    FIELD_TYPE.BIT: "bit",
    FIELD_TYPE.GEOMETRY: "geometry",
    FIELD_TYPE.JSON: "json",
}
_UNSIGNED, _BINARY = 0x20, 0x80
_NO_TEXT = 63


@dataclass(frozen=True)
class Relation:
    """A table or view with its columns, or an operator's query (no name)."""

    name: str
    columns: tuple[SourceColumn, ...]

    @property
    def sql(self) -> str:
        return quoted(self.name)


def table_of(stream: StreamConfig) -> str:
    return str(stream.settings.get("table") or stream.name)


def relation(connection: Connection, database: str, stream: StreamConfig) -> Relation:
    """The table or view of a stream. Raises ConfigurationError (`table_missing`)."""
    name = table_of(stream)
    columns = tuple(column for _, column in _columns(connection, database, name))
    if not columns:
        raise ConfigurationError(
            f"There is no table or view {name} in {database} any more, or the user may not read it. Discover the "
            f"source again, or GRANT SELECT ON {database}.{name}.",
            code="table_missing",
            evidence={"stream": stream.name, "table": name},
        )
    return Relation(name, columns)


def withheld(connection: Connection, stream: StreamConfig, names: Iterable[str]) -> list[str]:
    """Those of these columns that the server refuses to show, and does not miss: its catalogue hides both alike."""
    return [each for each in names if _refuses(connection, f"SELECT {quoted(each)} FROM {quoted(table_of(stream))}")]


def _refuses(connection: Connection, query: str) -> bool:
    try:
        session.ask(connection, f"{query} LIMIT 0")
    except MySQLError as error:
        return bool(error.args and error.args[0] == ER.COLUMNACCESS_DENIED_ERROR)
    return False


def query_relation(connection: Connection, query: str) -> Relation:
    """The columns of an operator's query. Raises pymysql's errors.

    Parsed by itself first: what the server takes as one statement cannot leave the brackets it is put in.
    """
    session.ask(connection, f"SET @manifold_query = {text(query)}")
    session.ask(connection, "PREPARE manifold_query FROM @manifold_query")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM (\n{query}\n) AS stream LIMIT 0")
        # PyMySQL tells of a result's character sets here only.
        fields = cursor._result.fields
    return Relation("", tuple(_field(each) for each in fields))


def _field(field: Any) -> SourceColumn:
    base = _FIELDS.get(field.type_code)
    bytes_ = field.charsetnr == _NO_TEXT
    if base is None:
        base = "longblob" if bytes_ else "longtext"
    unsigned = bool(field.flags & _UNSIGNED)
    # The length of a decimal counts its point, and its sign.
    digits = field.length - (field.scale > 0) - (not unsigned)
    return SourceColumn(
        name=str(field.name),
        base=base,
        native=base,
        unsigned=unsigned,
        digits=(digits, field.scale) if base == "decimal" else (0, 0),
        coded=not bytes_ and bool(field.flags & _BINARY),
        length=field.length if base == "bit" else 0,
        raw=bool(field.flags & _BINARY),
    )


def discover(connection: Connection, database: str) -> list[StreamInfo]:
    """Every table and view this user may read, as streams."""
    columns: dict[str, list[SourceColumn]] = {}
    for table, column in _columns(connection, database):
        columns.setdefault(table, []).append(column)
    keys: dict[str, dict[str, list[str]]] = {}
    for table, index, column_name in session.ask(connection, _KEYS, database):
        keys.setdefault(table, {}).setdefault(index, []).append(column_name)
    found = []
    for name, kind, rows, size, comment in session.ask(connection, _RELATIONS, database):
        if name in columns:
            # A view's comment is the word VIEW.
            view = "VIEW" in kind
            info = _info(name, columns[name], keys.get(name, {}), kind="view" if view else "table")
            found.append(replace(info, title="" if view else comment, rows=rows, bytes=size))
    return found


def _info(name: str, columns: list[SourceColumn], keys: dict[str, list[str]], *, kind: str) -> StreamInfo:
    arriving = tuple(as_column(each) for each in columns)
    return StreamInfo(
        name=name,
        columns=arriving,
        primary_key=tuple(keys.get("PRIMARY", ())),
        cursor_candidates=_cursors(columns, {each[0] for each in keys.values()}),
        settings={"table": name, "kind": kind},
        warnings=tuple(f"{each.name}: {each.warning}" for each in arriving if each.warning),
    )


def as_column(column: SourceColumn, declared: str | None = None) -> Column:
    how = arrival(column, declared)
    return Column(column.name, how.type, column.nullable, column.native, how.warning)


def _columns(connection: Connection, database: str, table: str = "") -> Iterable[tuple[str, SourceColumn]]:
    for owner, name, base, native, nullable, precision, scale, collation in session.ask(
        connection, _COLUMNS, database, table, table
    ):
        length = re.match(r"(?:bit|tinyint)\((\d+)\)", native)
        yield (
            owner,
            SourceColumn(
                name=name,
                base=base,
                native=native,
                unsigned="unsigned" in native or "zerofill" in native,
                digits=(int(precision or 0), int(scale or 0)) if base == "decimal" else (0, 0),
                coded=str(collation or "").endswith("_bin"),
                length=int(length[1]) if length else 0,
                nullable=nullable == "YES",
            ),
        )


def _cursors(columns: list[SourceColumn], leading: set[str]) -> tuple[str, ...]:
    """Times and numbers that an index suggests; the best first."""
    ranked = []
    for place, column in enumerate(columns):
        indexed, is_time = column.name in leading, column.base in _TIMES
        if column.base in _RANKED and (indexed or is_time):
            ranked.append((not (indexed and is_time), not indexed, place, column.name))
    return tuple(name for *_, name in sorted(ranked))
