"""An SQLite file as a destination: which values it keeps as they are, and as what."""

from __future__ import annotations

import duckdb

from dataplane.connectors.databases import tables
from dataplane.connectors.databases.names import Name
from dataplane.connectors.databases.writing import Dialect
from dataplane.connectors.destination import LEDGER, Load, TableColumn
from dataplane.relations import literal
from dataplane.steps.base import ColumnType
from dataplane.types import is_integer

_SMALL = ("TINYINT", "UTINYINT", "SMALLINT", "USMALLINT", "INTEGER", "UINTEGER")


class SQLiteDialect(Dialect):
    """Whole numbers, floating-point numbers and bytes as such; everything else as its exact text.

    A decimal goes as text into a column of texts: SQLite would make a DOUBLE of it anywhere else. A NaN, of which
    SQLite would make a NULL, is refused.
    """

    def attach(self, duck: duckdb.DuckDBPyConnection) -> None:
        # The waiting is ours: it can be told of and cancelled.
        duck.execute(f"ATTACH {literal(self.path)} AS {tables.CATALOG} (TYPE sqlite, BUSY_TIMEOUT 300)")

    def locked(self, said: str) -> bool:
        return "database is locked" in said or "database is busy" in said

    def named(self, load: Load) -> Name:
        if not load.table or load.table.lower() == LEDGER or load.table.lower().startswith("sqlite_"):
            raise tables.refuse_name(load, "Write the name of a table that does not begin with sqlite_.")
        return tables.named("main", load.table)

    def new_type(self, column: ColumnType) -> str:
        if is_integer(column.type) or column.type == "BOOLEAN":
            return "BIGINT"
        if column.type in ("FLOAT", "DOUBLE"):
            return "DOUBLE"
        return "BLOB" if column.type == "BLOB" else "VARCHAR"

    def fits(self, column: ColumnType, there: TableColumn) -> bool:
        kind = self.new_type(column)
        if there.type == "DOUBLE":
            return kind == "DOUBLE" or column.type in _SMALL
        if there.type == "VARCHAR":
            return kind != "BLOB"
        if there.type in ("DATE", "TIMESTAMP"):
            return column.type == there.type
        return kind == there.type

    def sent(self, column: ColumnType, value: str) -> str:
        if column.type in ("FLOAT", "DOUBLE"):
            alarm = f"error(concat('A NaN arrives in ', {literal(column.name)}, ', which SQLite cannot keep'))"
            return f"CASE WHEN isnan({value}) THEN CAST({alarm} AS DOUBLE) ELSE CAST({value} AS DOUBLE) END"
        kind = self.new_type(column)
        return f"CAST({value} AS {kind})" if kind != column.type else value
