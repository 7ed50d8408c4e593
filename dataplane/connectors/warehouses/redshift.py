"""Amazon Redshift: the wire of PostgreSQL, with types and a catalogue of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from dataplane import authorities
from dataplane.connectors.databases.attaching import own_words
from dataplane.connectors.files.server import another_protocol
from dataplane.connectors.postgresql.faults import ANOTHER_PROTOCOL
from dataplane.connectors.warehouses import faults
from dataplane.connectors.warehouses.adbc import AdbcSession
from dataplane.connectors.warehouses.connector import Warehouse
from dataplane.connectors.warehouses.dialect import InformationSchema
from dataplane.connectors.warehouses.params import WarehouseParams
from dataplane.connectors.warehouses.session import Session
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
    unchanged,
)
from dataplane.errors import ManifoldError

_NUMBERS = {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double precision": "DOUBLE",
    "boolean": "BOOLEAN",
}
# Of a query's columns the driver tells the names that PostgreSQL gives its types.
_SHORT = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "varchar": "character varying",
    "bpchar": "character",
}
_TEXTS = frozenset({"character varying", "character", "text", "name"})
_CURSOR = "manifold_rows"
# A cluster of one node gives no more at once.
_AT_ONCE = 1_000
_NOT_CONNECTED = {
    "authentication failed": "authentication",
    "SSL": "encryption",
    "certificate": "encryption",
    "does not exist": "database_missing",
}


class RedshiftParams(WarehouseParams):
    """Address, sign-in and encryption of one database of a cluster or workgroup."""

    port: int = Field(default=5439, title="Port", ge=1, le=65535)
    sslmode: Literal["disable", "prefer", "require", "verify-full"] = Field(
        default="require",
        title="Encryption",
        description="require: refused where it is not encrypted. verify-full: the server's certificate and name are "
        "checked too.",
    )


class RedshiftSQL(InformationSchema):
    product, grammar = "Redshift", "redshift"
    hidden = ("information_schema", "pg_catalog", "pg_internal", "pg_automv")
    described = (
        "CASE WHEN c.data_type = 'numeric' AND c.numeric_precision IS NOT NULL THEN 'numeric(' || "
        "CAST(c.numeric_precision AS varchar) || ',' || CAST(c.numeric_scale AS varchar) || ')' "
        "ELSE CAST(c.data_type AS varchar) END"
    )

    def text_constant(self, value: str) -> str:
        # A backslash is one of a constant's letters with PostgreSQL, and not with Redshift.
        pieces = value.split("\\")
        return " || chr(92) || ".join("'" + each.replace("'", "''") + "'" for each in pieces)

    def bytewise(self, column: Native) -> Expression | None:
        texts = ("character varying", "text")
        return (lambda sql: f"CAST({sql} AS varbyte)") if column.base in texts else None

    def natural(self, column: Native) -> Arrival:
        name, base = column.name, column.base
        if base in _NUMBERS:
            return as_it_is(name, _NUMBERS[base], _text)
        if base in _TEXTS:
            return by_text(name, "VARCHAR", unchanged)
        if base == "numeric":
            digits, scale = column.numbers or (39, 0)
            return decimal(name, digits, scale, _text)
        if base == "date":
            return by_text(name, "DATE", _text)
        if base.startswith("timestamp"):
            return moment(name, 6, _text, zoned=base.endswith("with time zone"))
        if base == "time without time zone":
            return by_text(name, "TIME", _text)
        if base == "binary varying":
            return by_hex(name, lambda sql: f"FROM_VARBYTE({sql}, 'hex')")
        if base == "super":
            return by_text(name, "VARCHAR", lambda sql: f"JSON_SERIALIZE({sql})", "super arrives as JSON")
        return other(name, column.native, _text)

    def constant(self, column: Native, value: str) -> str:
        return f"CAST({self.text_constant(value)} AS {column.native})"


def _text(sql: str) -> str:
    return f"CAST({sql} AS varchar)"


class Redshift(Warehouse):
    """Amazon Redshift, a cluster or serverless."""

    key = "redshift"
    title = "Amazon Redshift"
    summary = "Tables, views and queries of a Redshift database, whole or by a cursor column."
    tested_with = "PostgreSQL 17, whose wire it speaks; no Redshift was at hand"
    Params: ClassVar[type[RedshiftParams]] = RedshiftParams
    params: RedshiftParams
    server = "Redshift"
    dialect = RedshiftSQL()
    schemes = ("redshift",)
    services = ("redshift.amazonaws.com", "redshift-serverless.amazonaws.com")

    def opened(self, address: str, seconds: float) -> Session:
        return RedshiftSession(self.params, address, seconds)

    def version(self, session: Session) -> str:
        said = str(session.one("SELECT version()", "the version"))
        return said.partition(" on ")[0].partition(",")[0]


class RedshiftSession(AdbcSession):
    """One transaction that only reads. Rows come through a cursor, for the driver would take all of them at once."""

    module, extra, product = "adbc_driver_postgresql", "redshift", "Redshift"
    states = {
        "28": "authentication",
        "3D": "database_missing",
        "42501": "missing_grant",
        "42P01": "table_missing",
        "42703": "column_missing",
        "42": "query_syntax",
        "25006": "query_writes",
        "57014": "statement_timeout",
        "57": "connection_lost",
        "08": "connection_lost",
        "53": "server_busy",
    }
    params: RedshiftParams

    def __init__(self, params: RedshiftParams, address: str, seconds: float) -> None:
        self._at = {
            "host": params.host,
            "hostaddr": address,
            "port": str(params.port),
            "dbname": params.database,
            "user": params.user,
            "password": params.password or "",
            "sslmode": params.sslmode,
            **({"sslrootcert": authorities.trusted()} if params.sslmode == "verify-full" else {}),
            "connect_timeout": "10",
            "application_name": "manifold",
        }
        self._seconds = seconds
        super().__init__(params)

    def connected(self) -> Any:
        uri = " ".join(f"{name}={_quoted(value)}" for name, value in self._at.items())
        connection = self._driver.connect(uri)
        self._connection = connection
        for each in (
            f"SET statement_timeout = {int(self._seconds * 1000)}",
            "SET timezone = 'UTC'",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        ):
            self._fetched(each)
        connection.commit()
        return connection

    def rows(self, sql: str) -> pa.RecordBatchReader:
        self._connection.rollback()
        self._fetched(f"DECLARE {_CURSOR} CURSOR FOR {sql}")
        first = self._next()
        return pa.RecordBatchReader.from_batches(first.schema, self._batches(first))

    def _batches(self, table: pa.Table) -> Iterator[pa.RecordBatch]:
        while table.num_rows:
            yield from table.to_batches()
            table = self._next()

    def _next(self) -> pa.Table:
        return self._fetched(f"FETCH FORWARD {_AT_ONCE} FROM {_CURSOR}")

    def _fetched(self, sql: str) -> pa.Table:
        # Without this the driver wraps what it is asked into a COPY, which Redshift does not have.
        with self._connection.cursor(adbc_stmt_kwargs={"adbc.postgresql.use_copy": "false"}) as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def native(self, field: pa.Field) -> str:
        said = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        short = said or str(getattr(field.type, "type_name", field.type))
        return _SHORT.get(short, short)

    def explained(self, error: Exception, what: str) -> ManifoldError | None:
        if any(each in str(error) for each in ANOTHER_PROTOCOL):
            return another_protocol(self._at["host"], int(self._at["port"]), "Redshift")
        # Of a connection that is not made, the driver tells no state.
        found = next((code for words, code in _NOT_CONNECTED.items() if words in str(error)), None)
        if found and "Failed to connect" in str(error):
            return faults.refused(found, self.said(error), what, self._params.about)
        return super().explained(error, what)

    def said(self, error: Exception) -> str:
        told = dict(getattr(error, "details", None) or ()).get(b"PG_DIAG_MESSAGE_PRIMARY", b"")
        # Of a connection that ends, the driver tells a statement in quotes, and then what libpq said.
        text = str(error)
        return told.decode() or own_words(text) or text.rpartition("failed: ")[2].rpartition("': ")[2]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
