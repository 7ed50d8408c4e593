"""Microsoft SQL Server and Azure SQL, by Microsoft's own driver, which hands over Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from dataplane.connectors import recognising
from dataplane.connectors.databases.drivers import driver
from dataplane.connectors.databases.stages import CONNECT_SECONDS
from dataplane.connectors.files.server import another_protocol
from dataplane.connectors.warehouses import faults
from dataplane.connectors.warehouses.connector import Warehouse
from dataplane.connectors.warehouses.dialect import Dialect
from dataplane.connectors.warehouses.params import WarehouseParams
from dataplane.connectors.warehouses.session import BATCH_ROWS, Session
from dataplane.connectors.warehouses.types import (
    Arrival,
    Expression,
    Native,
    as_it_is,
    by_hex,
    by_text,
    decimal,
    moment,
    other,
)
from dataplane.errors import ManifoldError

_NUMBERS = {"tinyint": "UTINYINT", "smallint": "SMALLINT", "int": "INTEGER", "bigint": "BIGINT"}
_SHORT_TEXTS = frozenset({"char", "varchar", "nchar", "nvarchar", "sysname"})
_TEXTS = _SHORT_TEXTS | {"text", "ntext", "xml"}
_BINARY = "Latin1_General_BIN2"
_BYTES = frozenset({"binary", "varbinary", "image", "timestamp", "rowversion"})
_MONEY = {"money": (19, 4), "smallmoney": (10, 4)}
_SHAPES = frozenset({"geometry", "geography", "hierarchyid"})

# The driver tells no numbers, so its words, or the server's own, have to say what it was.
_SAID = {
    "Login failed": "authentication",
    "Cannot open database": "database_missing",
    "certificate": "encryption",
    "SSL": "encryption",
    "Invalid object name": "table_missing",
    "Invalid column name": "column_missing",
    "permission was denied": "missing_grant",
    "Incorrect syntax": "query_syntax",
    "imeout": "statement_timeout",
    "Communication link failure": "connection_lost",
    "server is not found": "connection_lost",
    "unable to establish connection": "connection_lost",
}


class SQLServerParams(WarehouseParams):
    """Address, sign-in and encryption of one database."""

    port: int = Field(default=1433, title="Port", ge=1, le=65535)
    sslmode: Literal["require", "verify-full"] = Field(
        default="require",
        title="Encryption",
        description="require: encrypted, whoever answers. verify-full: the server's certificate and name are checked.",
    )


class SQLServerSQL(Dialect):
    product, grammar = "SQL Server", "tsql"
    hidden = ("sys", "INFORMATION_SCHEMA")

    def quoted(self, name: str) -> str:
        return "[" + name.replace("]", "]]") + "]"

    def text_constant(self, value: str) -> str:
        return "N'" + value.replace("'", "''") + "'"

    def limited(self, items: str, rest: str, rows: int) -> str:
        return f"SELECT TOP ({rows}) {items} {rest}"

    def natural(self, column: Native) -> Arrival:
        name, base = column.name, column.base
        if base in _NUMBERS:
            return as_it_is(name, _NUMBERS[base], _text())
        if base in ("decimal", "numeric"):
            return decimal(name, column.numbers[0], column.numbers[1], _text())
        if base in _MONEY:
            return decimal(name, *_MONEY[base], text=_text("varchar(40)", 2))
        if base in ("real", "float"):
            small = base == "real" or column.numbers[:1] == (24,)
            return as_it_is(name, "FLOAT" if small else "DOUBLE", _text("varchar(40)", 3))
        if base == "bit":
            return by_text(name, "BOOLEAN", _text("varchar(1)"))
        if base in _BYTES:
            return by_hex(name, lambda sql: f"CONVERT(varchar(max), CAST({sql} AS varbinary(max)), 2)")
        return _moment(column) or _other(column)

    def constant(self, column: Native, value: str) -> str:
        if column.base in _NUMBERS:
            return str(int(value))
        if column.base == "datetimeoffset":
            return f"CAST('{value}:00' AS datetimeoffset(7))"
        if column.base in ("datetime", "smalldatetime"):
            # Its ticks are thirds of a hundredth of a second: only as one of them a value is equal to itself.
            return f"CAST(CAST('{value}' AS datetime2(7)) AS {column.base})"
        return f"CAST('{value}' AS {column.native})"

    def bytewise(self, column: Native) -> Expression | None:
        if column.base == "uniqueidentifier":
            return lambda sql: f"CAST({sql} AS varchar(36)) COLLATE {_BINARY}"
        return _digits if column.base in _SHORT_TEXTS else None

    def relations(self, schemas: Sequence[str]) -> str:
        return (
            "SELECT s.name, o.name, CASE o.type WHEN 'V' THEN 'view' ELSE 'table' END, (SELECT sum(p.rows) FROM "
            "sys.partitions p WHERE p.object_id = o.object_id AND p.index_id IN (0, 1)), NULL FROM sys.objects o "
            f"JOIN sys.schemas s ON s.schema_id = o.schema_id WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0 "
            f"AND {self.chosen('s.name', schemas)} ORDER BY s.name, o.name"
        )

    def columns(self, schemas: Sequence[str], table: str = "") -> str:
        only = f" AND o.name = {self.text_constant(table)}" if table else ""
        base = "COALESCE(TYPE_NAME(c.system_type_id), TYPE_NAME(c.user_type_id))"
        return (
            f"SELECT s.name, o.name, c.name, CASE WHEN {base} IN ('decimal', 'numeric') THEN CONCAT({base}, '(', "
            f"c.precision, ',', c.scale, ')') WHEN {base} IN ('datetime2', 'datetimeoffset', 'time') THEN "
            f"CONCAT({base}, '(', c.scale, ')') WHEN {base} = 'float' THEN CONCAT('float(', c.precision, ')') "
            f"ELSE {base} END, CASE c.is_nullable WHEN 1 THEN 'YES' ELSE 'NO' END FROM sys.columns c "
            "JOIN sys.objects o ON o.object_id = c.object_id JOIN sys.schemas s ON s.schema_id = o.schema_id "
            f"WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0 AND {self.chosen('s.name', schemas)}{only} "
            "ORDER BY s.name, o.name, c.column_id"
        )

    def keys(self, schemas: Sequence[str]) -> str:
        return (
            "SELECT s.name, o.name, c.name FROM sys.indexes i "
            "JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id "
            "JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id "
            "JOIN sys.objects o ON o.object_id = i.object_id JOIN sys.schemas s ON s.schema_id = o.schema_id "
            f"WHERE i.is_primary_key = 1 AND {self.chosen('s.name', schemas)} ORDER BY s.name, o.name, k.key_ordinal"
        )

    def not_null(self, table: str, column: Native) -> str:
        return f"ALTER TABLE {table} ALTER COLUMN {self.quoted(column.name)} {column.native} NOT NULL;"


def _text(type_: str = "varchar(60)", style: int | None = None) -> Expression:
    return lambda sql: f"CAST({sql} AS {type_})" if style is None else f"CONVERT({type_}, {sql}, {style})"


def _digits(sql: str) -> str:
    """The bytes of a text in UTF-8, as hexadecimal digits: to bytes and texts themselves, what they end with is
    nothing (blanks, zeros)."""
    text = f"CAST({sql} COLLATE Latin1_General_100_BIN2_UTF8 AS varchar(max))"
    return f"CONVERT(varchar(max), CAST({text} AS varbinary(max)), 2) COLLATE {_BINARY}"


def _moment(column: Native) -> Arrival | None:
    name, base = column.name, column.base
    digits = column.numbers[0] if column.numbers else 7
    if base == "date":
        return by_text(name, "DATE", _text("varchar(10)", 23))
    if base == "datetime":
        return moment(name, 3, _text("varchar(23)", 121), zoned=False)
    if base == "smalldatetime":
        return moment(name, 0, _text("varchar(19)", 120), zoned=False)
    if base == "datetime2":
        return moment(name, digits, _text("varchar(27)", 121), zoned=False)
    if base == "datetimeoffset":
        in_utc = _text("varchar(27)", 121)
        return moment(
            name,
            digits,
            lambda sql: f"{in_utc(f'CAST(SWITCHOFFSET({sql}, 0) AS datetime2(7))')} + '+00'",
            zoned=True,
            offset=True,
        )
    if base == "time":
        return by_text(name, "TIME", _text("varchar(16)"))
    return None


def _other(column: Native) -> Arrival:
    name, base = column.name, column.base
    if base in _TEXTS:
        # Texts in the server's old code pages become Unicode there, and not on the way.
        return by_text(name, "VARCHAR", _text("nvarchar(max)"))
    if base == "uniqueidentifier":
        return by_text(name, "UUID", _text("varchar(36)"))
    if base in _SHAPES:
        return other(name, column.native, lambda sql: f"{sql}.ToString()")
    return other(name, column.native, _text("nvarchar(4000)"))


class SQLServer(Warehouse):
    """SQL Server 2016 and later, and Azure SQL."""

    key = "sqlserver"
    title = "Microsoft SQL Server"
    summary = "Tables, views and queries of a SQL Server or Azure SQL database, whole or by a cursor column."
    tested_with = "no server was at hand: the SQL that is sent"
    Params: ClassVar[type[SQLServerParams]] = SQLServerParams
    params: SQLServerParams
    server = "SQL Server"
    dialect = SQLServerSQL()
    schemes = ("sqlserver", "mssql")
    services = ("database.windows.net", "fabric.microsoft.com")
    # A connection string without the name of a product is often its.
    unsure = recognising.WEAK

    def opened(self, address: str, seconds: float) -> Session:
        return SQLServerSession(self.params, address, seconds)

    def version(self, session: Session) -> str:
        said = str(session.one("SELECT @@VERSION", "the version"))
        return " ".join(said.partition("\n")[0].split())


class SQLServerSession(Session):
    """One connection."""

    def __init__(self, params: SQLServerParams, address: str, seconds: float) -> None:
        self._params = params
        module = driver("mssql_python", "sqlserver", "SQL Server")
        text = given_to_the_driver(params, address)
        self._connection: Any = None
        with self.opening():
            self._connection = module.connect(text, autocommit=True, timeout=CONNECT_SECONDS)
            self._connection.timeout = int(seconds)
        self._cursor: Any = None

    def rows(self, sql: str) -> pa.RecordBatchReader:
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = self._connection.cursor()
        self._cursor.execute(sql)
        reader = self._cursor.arrow_reader(BATCH_ROWS)
        return pa.RecordBatchReader.from_batches(reader.schema, reader)

    def columns(self, query: str, what: str) -> list[Native]:
        asked = SQLServerSQL().text_constant(query)
        found = self.ask(
            "SELECT name, system_type_name, is_nullable, error_message "
            f"FROM sys.dm_exec_describe_first_result_set({asked}, NULL, 0) ORDER BY column_ordinal",
            what,
        )
        if found and found[0][3]:
            raise faults.refused("query_syntax", found[0][3], what, self._params.about)
        return [Native(name, type_, bool(nullable)) for name, type_, nullable, _ in found]

    def explained(self, error: Exception, what: str) -> ManifoldError | None:
        if not hasattr(error, "ddbc_error"):
            return None
        said = str(error.ddbc_error or error)
        if "Failed to load the driver" in said:
            return faults.refused("driver_libraries", said, what, self._params.about)
        if "Protocol error in TDS stream" in said:
            return another_protocol(self._params.host, self._params.port, "SQL Server")
        code = next((code for words, code in _SAID.items() if words in said), "statement_refused")
        return faults.refused(code, said, what, self._params.about)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def given_to_the_driver(params: SQLServerParams, address: str) -> str:
    """The driver's options, by its own names.

    No replica is asked for: each session might get another, and a window what the one that told of it has not got yet.
    """
    # Under verify-full the certificate is compared with the name, so a name that leads elsewhere gets nowhere.
    host = params.host if params.sslmode == "verify-full" else address
    given = {
        "Server": f"{host},{params.port}",
        "Database": params.database,
        "UID": params.user,
        "PWD": params.password or "",
        "Encrypt": "yes",
        "TrustServerCertificate": "no" if params.sslmode == "verify-full" else "yes",
    }
    return ";".join(f"{name}={_braced(value)}" for name, value in given.items())


def _braced(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"
