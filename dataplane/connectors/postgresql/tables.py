"""The table that a load goes into: found, made, or given columns, under the names that PostgreSQL keeps apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from dataplane.connectors.databases.names import Name
from dataplane.connectors.databases.widening import Wider, cannot
from dataplane.connectors.destination import LEDGER, Arrangement, Load, TableColumn, arranged, listed
from dataplane.connectors.postgresql import catalog, wire
from dataplane.connectors.postgresql.catalog import Connection
from dataplane.connectors.postgresql.types import SourceColumn, quoted
from dataplane.connectors.schema import StreamConfig
from dataplane.errors import ConfigurationError, DataError
from dataplane.steps.base import ColumnType

_LONGEST = 63
LETTERS = 10_485_760
"""The longest varchar."""
# What depends on the column, or whose table it is, forbids a change of its type.
_UNCHANGEABLE = frozenset({"0A", "2B", "42"})
_TABLE = """
SELECT c.oid, c.relkind::text, c.relrowsecurity
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
_COLUMNS = """
SELECT attname, atttypid, atttypmod, attnotnull AND NOT atthasdef AND attidentity = '', attgenerated <> ''
FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_UNIQUE = """
SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int[]) k(num)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num)
FROM pg_index i
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
"""


@dataclass(frozen=True)
class Into:
    """One column of a load: how it is sent, and the table's column that takes it."""

    column: ColumnType
    sent: wire.Sent
    there: SourceColumn

    @property
    def name(self) -> str:
        return quoted(self.there.name)

    @property
    def direct(self) -> bool:
        return wire.way(self.sent, self.there) == "direct"

    @property
    def value(self) -> str:
        """The value in the table of sent rows (`r`) as the target takes it."""
        return wire.cast(self.sent, self.there, f"r.{self.name}")

    @property
    def differs(self) -> str:
        return wire.compared(self.there, f"t.{self.name}", self.value)


@dataclass(frozen=True)
class Found:
    """The target as it is now."""

    oid: int
    secured: bool
    columns: dict[str, SourceColumn]
    shape: tuple[TableColumn, ...]

    def fits(self, column: ColumnType, there: TableColumn) -> bool:
        """Whether every value arrives unchanged, or is refused."""
        return wire.way(sending(column), self.columns[there.name]) is not None


def named(load: Load) -> Name:
    """The target of a load. Raises ConfigurationError for a name that PostgreSQL would not keep as it is."""
    schema, table = catalog.parts(StreamConfig(load.table))
    if table == LEDGER or any(_unusable(each) for each in (schema, table)):
        raise ConfigurationError(
            f"{load.table!r} cannot be the name of a table. Write `table` or `schema.table`, each of at most "
            f"{_LONGEST} bytes and without a percent sign; {LEDGER} is taken.",
            code="table_name",
            evidence={"table": load.table},
        )
    return Name(schema, table)


def _unusable(name: str) -> bool:
    """A percent sign would be taken for a parameter of a statement."""
    return not name or "\0" in name or "%" in name or len(name.encode()) > _LONGEST


def find(connection: Connection, name: Name) -> Found | None:
    """The table, or None. Raises ConfigurationError for a view or the like."""
    row = connection.execute(_TABLE, [name.schema, name.table]).fetchone()
    if row is None:
        return None
    oid, kind, secured = row
    if kind not in ("r", "p"):
        raise ConfigurationError(
            f"{name.text} is no table, so no rows can be loaded into it. Name a table, or one that is not there yet.",
            code="not_a_table",
            evidence={"table": name.text},
        )
    rows = connection.execute(_COLUMNS, [oid]).fetchall()
    types = catalog.types_of(connection, [(row[1], row[2]) for row in rows])
    columns, shape = {}, []
    for column, type_, modifier, needed, generated in rows:
        known = types[type_, modifier]
        columns[column] = SourceColumn(**{**vars(known), "name": column})
        shape.append(TableColumn(column, known.native, needed, generated))
    return Found(oid, secured, columns, tuple(shape))


def make(connection: Connection, load: Load, name: Name, arriving: Sequence[ColumnType]) -> None:
    """A new table for these rows; what a merge goes by is its primary key."""
    keys = {each.lower() for each in load.by}
    items = [f"{quoted(each.name)} {sending(each).new}" for each in arriving]
    by = [quoted(each.name) for each in arriving if each.name.lower() in keys]
    if by:
        items.append(f"PRIMARY KEY ({', '.join(by)})")
    connection.execute(f"CREATE TABLE {name.sql} ({', '.join(items)})")


def arrange(
    connection: Connection, load: Load, name: Name, found: Found, arriving: Sequence[ColumnType]
) -> Arrangement:
    """Settle which column goes where, and add those that are new. Raises ManifoldError."""
    arrangement = arranged(load, arriving, found.shape, found.fits)
    if arrangement.added:
        items = ", ".join(f"ADD COLUMN {quoted(each.name)} {sending(each).new}" for each in arrangement.added)
        connection.execute(f"ALTER TABLE {name.sql} {items}")
    return arrangement


def widen(connection: Connection, load: Load, name: Name, wider: Sequence[Wider]) -> tuple[str, ...]:
    """Make columns wider. Raises DataError for one that the server does not let be changed."""
    said = []
    for each in wider:
        type_ = f"varchar({each.letters})" if each.letters else sending(ColumnType(each.name, each.number)).new
        try:
            with connection.transaction():
                connection.execute(f"ALTER TABLE {name.sql} ALTER COLUMN {quoted(each.name)} TYPE {type_}")
        except psycopg.Error as error:
            if (error.sqlstate or "")[:2] not in _UNCHANGEABLE:
                raise
            raise cannot(load, each, type_, str(error.diag.message_primary)) from None
        said.append(each.said(type_))
    return tuple(said)


def sending(column: ColumnType) -> wire.Sent:
    """How a column travels. Raises DataError where it cannot be kept."""
    found = wire.sent(column.name, column.type)
    if found is None or len(column.name.encode()) > _LONGEST:
        why = f"is {column.type}, for which PostgreSQL has no counterpart"
        if found is not None:
            why = f"has a name of more than {_LONGEST} bytes, which PostgreSQL would cut"
        raise DataError(
            f"The column {listed([column.name])} {why}. Change it in a sql step before the load.",
            code="column_unsupported",
            evidence={"column": column.name, "type": column.type},
        )
    return found


def unique(connection: Connection, found: Found, by: Sequence[str]) -> bool:
    """Whether an index makes sure that no value of these columns stands twice."""
    rows = connection.execute(_UNIQUE, [found.oid]).fetchall()
    return any(row[0] and set(row[0]) <= set(by) for row in rows)
