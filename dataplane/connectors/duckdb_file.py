"""DuckDB files: tables of a database that another program writes, read-only and in their own types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from dataplane.connectors import recognising
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.databases import cursors, tables, writing
from dataplane.connectors.databases.attaching import detach
from dataplane.connectors.databases.file import CATALOG, DatabaseFile, Offered, chosen_columns, gone
from dataplane.connectors.databases.guards import exactly, unreadable_value
from dataplane.connectors.databases.names import Name
from dataplane.connectors.databases.writing import Dialect
from dataplane.connectors.destination import LEDGER, Destination, Load, Loaded, Rows, TableColumn, Watch
from dataplane.connectors.files.single import allowed_file
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.errors import ConfigurationError, DataError, TransientError
from dataplane.relations import identifier, literal
from dataplane.steps.base import ColumnType
from dataplane.types import is_integer, stored, widest

# Parquet does not keep these whole, whether they stand alone or inside a list or a struct.
_AS_TEXT = re.compile(
    r"\b(INTERVAL|TIME WITH TIME ZONE|TIME_NS|BIT|BIGNUM|VARINT|UNION|VARIANT|GEOMETRY)\b|^(?:TIMESTAMP_[SM]+)\[",
)

_TABLES = f"""
SELECT schema_name, table_name, estimated_size
FROM duckdb_tables() WHERE database_name = '{CATALOG}' AND NOT internal ORDER BY ALL
"""
_COLUMNS = f"""
SELECT schema_name, table_name, column_name, data_type, is_nullable
FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (database_name, schema_name, table_name)
WHERE database_name = '{CATALOG}' AND NOT internal ORDER BY column_index
"""
_KEYS = f"""
SELECT schema_name, table_name, constraint_column_names
FROM duckdb_constraints() WHERE database_name = '{CATALOG}' AND constraint_type = 'PRIMARY KEY'
"""


class DuckDBFile(DatabaseFile, Destination):
    """Tables of a DuckDB file. Views are left out: their SQL is not ours, and could read any file of the machine."""

    key = "duckdb"
    title = "DuckDB file"
    summary = "Tables of a DuckDB database file, whole or by a cursor column."
    tested_with = "files of DuckDB"

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.database_file(clue, product="DuckDB", scheme="duckdb", suffixes=(".duckdb", ".ddb"))

    @contextmanager
    def _attached(self, duck: duckdb.DuckDBPyConnection, path: str) -> Iterator[None]:
        try:
            duck.execute(f"ATTACH {literal(path)} AS {CATALOG} (TYPE duckdb, READ_ONLY)")
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            raise refused(self.params.path, path, error) from None
        try:
            duck.execute("BEGIN TRANSACTION")
            yield
        except (duckdb.ConversionException, duckdb.InvalidInputException, DataError) as error:
            raised = error if isinstance(error, duckdb.Error) else error.__cause__
            if named := unreadable_value(self.params.path, str(raised)):
                raise named from error
            if not isinstance(raised, duckdb.ConversionException):
                raise
            raise self._misfit(str(raised).partition("\n")[0]) from error
        finally:
            detach(duck)

    def _misfit(self, said: str) -> DataError:
        return DataError(
            f"A value in {self.params.path} does not fit its type: {said}. Declare its column as VARCHAR to keep every "
            "value as it is.",
            code="value",
            evidence={"file": self.params.path, "said": said[:1000]},
        )

    def _tables(self, duck: duckdb.DuckDBPyConnection, path: str) -> list[StreamInfo]:
        keys = {(schema, table): tuple(names) for schema, table, names in duck.execute(_KEYS).fetchall()}
        columns = _columns(duck)
        found = []
        for schema, table, rows in duck.execute(_TABLES).fetchall():
            if table == LEDGER:
                continue
            own = tuple(columns[schema, table].values())
            found.append(
                StreamInfo(
                    f"{schema}.{table}",
                    own,
                    primary_key=keys.get((schema, table), ()),
                    cursor_candidates=tuple(each.name for each in own if cursors.can_be_cursor(each.type)),
                    rows=rows,
                    settings={"schema": schema, "table": table},
                )
            )
        return found

    def _offer(self, duck: duckdb.DuckDBPyConnection, path: str, stream: StreamConfig) -> Offered:
        schema, _, table = stream.name.partition(".")
        place = (str(stream.settings.get("schema", schema)), str(stream.settings.get("table", table)))
        there = _columns(duck).get(place)
        if there is None:
            raise gone(stream)
        columns, warnings = chosen_columns(stream, tuple(there.values()))
        items = ", ".join(_item(each, there[each.name], cursor=each.name == stream.cursor) for each in columns)
        query = f"SELECT {items} FROM {CATALOG}.{identifier(place[0])}.{identifier(place[1])}"
        return Offered(query, columns, warnings=warnings)

    def load(self, load: Load, rows: Rows, watch: Watch) -> Loaded:
        dialect = _DuckDB(self.params.path, allowed_file(self.params.path, self.roots))
        return writing.load(dialect, load, rows, watch)


class _DuckDB(Dialect):
    """A DuckDB file as a destination: every type is its own."""

    widens = True

    def attach(self, duck: duckdb.DuckDBPyConnection) -> None:
        duck.execute(f"ATTACH {literal(self.path)} AS {tables.CATALOG} (TYPE duckdb)")

    def locked(self, said: str) -> bool:
        return "lock on file" in said

    def named(self, load: Load) -> Name:
        schema, _, table = load.table.rpartition(".")
        if not table or table.lower() == LEDGER:
            raise tables.refuse_name(load, "Write `table` or `schema.table`.")
        return tables.named(schema or "main", table)

    def new_type(self, column: ColumnType) -> str:
        return column.type

    def fits(self, column: ColumnType, there: TableColumn) -> bool:
        """Whole numbers may go into smaller types and texts into enums: DuckDB refuses what does not fit."""
        if widest(there.type, column.type) == there.type:
            return True
        whole = ("HUGEINT", "UHUGEINT")
        if is_integer(column.type) or re.fullmatch(r"DECIMAL\(\d+,\s*0\)", column.type):
            return is_integer(there.type) or there.type in whole
        return column.type == "VARCHAR" and there.type.startswith("ENUM(")


def _item(wanted: Column, there: Column, *, cursor: bool) -> str:
    """A column as it arrives, or as an operator declared it: a cast that does not fit fails the read.

    A cursor of texts is compared by its bytes, as it is once it is read; the column's own collation may differ.
    """
    name = identifier(there.name)
    if wanted.type == "VARCHAR":
        collation = ' COLLATE "binary"' if cursor else ""
        return f"CAST({name} AS VARCHAR){collation} AS {name}"
    exact = f"CAST({name} AS {there.type})" if there.native != there.type else name
    declared = exactly(there.name, exact, there.type, wanted.type) if wanted.type != there.type else exact
    return f"{declared} AS {name}"


def _columns(duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], dict[str, Column]]:
    found: dict[tuple[str, str], dict[str, Column]] = {}
    for schema, table, name, native, nullable in duck.execute(_COLUMNS).fetchall():
        type_ = "VARCHAR" if _AS_TEXT.search(native) else stored(native)
        note = (
            f"{native} arrives as its text" if type_ == "VARCHAR" and not native.startswith(("VARCHAR", "ENUM")) else ""
        )
        if type_.startswith("DECIMAL(38,0)") and "HUGEINT" in native:
            note = f"{native} arrives as {type_}; a number of 39 digits fails the read; declared as VARCHAR it does not"
        found.setdefault((schema, table), {})[name] = Column(name, type_, nullable, native, note)
    return found


def refused(shown: str, path: str, error: duckdb.Error) -> TransientError | ConfigurationError:
    """Why a DuckDB file cannot be opened, in our words."""
    said = str(error).replace(path, shown)
    if "lock on file" in said:
        return TransientError(
            f"{shown} is open in another program that writes to it, and a DuckDB file has one writer at a time. Close "
            "it there.",
            code="file_locked",
            evidence={"file": shown, "said": said[:500]},
        )
    return ConfigurationError(
        f"{shown} cannot be opened as a DuckDB file: {said.partition(chr(10))[0]} Name another file, or bring it "
        "to the format of the DuckDB that Manifold uses.",
        code="file_format",
        evidence={"file": shown, "said": said[:500]},
    )
