"""Oracle Database, by Oracle's own driver without its client libraries, which hands over Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from dataplane.connectors.databases.drivers import driver
from dataplane.connectors.databases.stages import CONNECT_SECONDS
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
    unchanged,
)
from dataplane.errors import ManifoldError

_TEXTS = frozenset({"varchar2", "nvarchar2", "char", "nchar", "clob", "nclob", "long", "varchar"})
_MOMENT = "YYYY-MM-DD HH24:MI:SS"
_CODES = {
    "ORA-01017": "authentication",
    "ORA-28000": "authentication",
    "ORA-28001": "authentication",
    "ORA-12514": "database_missing",
    "ORA-12505": "database_missing",
    "DPY-6001": "database_missing",
    "ORA-00942": "table_missing",
    "ORA-00904": "column_missing",
    "ORA-01031": "missing_grant",
    "ORA-01456": "query_writes",
    "ORA-00933": "query_syntax",
    "ORA-00936": "query_syntax",
    "ORA-00907": "query_syntax",
    "DPY-4024": "statement_timeout",
    "DPY-6005": "connection_lost",
    "DPY-4011": "connection_lost",
    "ORA-03113": "connection_lost",
    "ORA-03114": "connection_lost",
    "ORA-01555": "connection_lost",
    "ORA-12519": "server_busy",
}
# What the driver calls the types of a query's columns.
_DESCRIBED = {
    "DB_TYPE_VARCHAR": "VARCHAR2",
    "DB_TYPE_NVARCHAR": "NVARCHAR2",
    "DB_TYPE_TIMESTAMP_TZ": "TIMESTAMP(9) WITH TIME ZONE",
    "DB_TYPE_TIMESTAMP_LTZ": "TIMESTAMP(9) WITH LOCAL TIME ZONE",
    "DB_TYPE_TIMESTAMP": "TIMESTAMP(9)",
    "DB_TYPE_XMLTYPE": "XMLTYPE",
}


class OracleParams(WarehouseParams):
    """Address and sign-in of one service."""

    port: int = Field(default=1521, title="Port", ge=1, le=65535)
    database: str = Field(title="Service", description="The name of the service, such as FREEPDB1.", min_length=1)
    sslmode: Literal["disable", "verify-full"] = Field(
        default="disable",
        title="Encryption",
        description="verify-full: TLS, and the server's certificate and name are checked.",
    )


class OracleSQL(Dialect):
    product, grammar = "Oracle", "oracle"

    def subquery(self, query: str) -> str:
        return f"(\n{query}\n) stream"

    def limited(self, items: str, rest: str, rows: int) -> str:
        return f"SELECT {items} {rest} FETCH FIRST {rows} ROWS ONLY"

    def natural(self, column: Native) -> Arrival:
        name, base = column.name, column.base
        if base in _TEXTS:
            return by_text(name, "VARCHAR", unchanged)
        if base == "number" and column.inner:
            return decimal(name, int(column.inner[0]), int(column.inner[1]), _number)
        if base in ("number", "float"):
            return decimal(name, 39, 0, _number)
        if base in ("binary_float", "binary_double"):
            return as_it_is(name, "FLOAT" if base == "binary_float" else "DOUBLE", lambda sql: f"TO_CHAR({sql})")
        if base == "boolean":
            return by_text(name, "BOOLEAN", lambda sql: f"CASE WHEN {sql} THEN '1' WHEN NOT {sql} THEN '0' END")
        if base == "raw":
            return by_hex(name, lambda sql: f"RAWTOHEX({sql})")
        if base == "blob":
            return Arrival(name, "BLOB", unchanged, unchanged, unchanged)
        return _moment(column) or _other(column)

    def constant(self, column: Native, value: str) -> str:
        if column.base == "number":
            return format(Decimal(value), "f")
        second, _, fraction = value.removesuffix("+00").partition(".")
        text = f"{second}.{fraction or '0'}"
        if "zone" in column.base:
            return f"TO_TIMESTAMP_TZ('{text} +00:00', '{_MOMENT}.FF9 TZH:TZM')"
        return f"TO_TIMESTAMP('{text}', '{_MOMENT}.FF9')"

    def bytewise(self, column: Native) -> Expression | None:
        texts = ("varchar2", "nvarchar2", "varchar")
        return (lambda sql: f"UTL_I18N.STRING_TO_RAW({sql}, 'AL32UTF8')") if column.base in texts else None

    def chosen(self, column: str, schemas: Sequence[str]) -> str:
        if schemas:
            return super().chosen(column, schemas)
        return f"{column} NOT IN (SELECT u.username FROM all_users u WHERE u.oracle_maintained = 'Y')"

    def relations(self, schemas: Sequence[str]) -> str:
        return (
            f"SELECT t.owner, t.table_name, 'table', t.num_rows, NULL FROM all_tables t WHERE "
            f"{self.chosen('t.owner', schemas)} AND t.nested = 'NO' AND t.secondary = 'N' UNION ALL "
            f"SELECT v.owner, v.view_name, 'view', NULL, NULL FROM all_views v WHERE {self.chosen('v.owner', schemas)} "
            "ORDER BY 1, 2"
        )

    def columns(self, schemas: Sequence[str], table: str = "") -> str:
        only = f" AND c.table_name = {self.text_constant(table)}" if table else ""
        return (
            "SELECT c.owner, c.table_name, c.column_name, CASE WHEN c.data_type = 'NUMBER' AND c.data_precision IS NOT "
            "NULL THEN 'NUMBER(' || c.data_precision || ',' || c.data_scale || ')' WHEN c.data_type = 'NUMBER' AND "
            "c.data_scale = 0 THEN 'NUMBER(38,0)' ELSE c.data_type END, c.nullable FROM all_tab_columns c "
            f"WHERE {self.chosen('c.owner', schemas)}{only} ORDER BY c.owner, c.table_name, c.column_id"
        )

    def keys(self, schemas: Sequence[str]) -> str:
        return (
            "SELECT k.owner, k.table_name, k.column_name FROM all_constraints c JOIN all_cons_columns k "
            "ON k.owner = c.owner AND k.constraint_name = c.constraint_name WHERE c.constraint_type = 'P' AND "
            f"{self.chosen('c.owner', schemas)} ORDER BY k.owner, k.table_name, k.position"
        )

    def not_null(self, table: str, column: Native) -> str:
        return f"ALTER TABLE {table} MODIFY ({self.quoted(column.name)} NOT NULL);"


def _number(sql: str) -> str:
    return f"TO_CHAR({sql}, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')"


def _moment(column: Native) -> Arrival | None:
    name, base = column.name, column.base
    if base == "date":
        return moment(name, 0, lambda sql: f"TO_CHAR({sql}, '{_MOMENT}')", zoned=False)
    if not base.startswith("timestamp"):
        return None
    digits = column.numbers[0] if column.numbers else 6
    shown = f"{_MOMENT}.FF{digits}" if digits else _MOMENT
    if base == "timestamp":
        return moment(name, digits, lambda sql: f"TO_CHAR({sql}, '{shown}')", zoned=False)

    def in_utc(sql: str) -> str:
        return f"TO_CHAR(SYS_EXTRACT_UTC(CAST({sql} AS TIMESTAMP(9) WITH TIME ZONE)), '{shown}') || '+00'"

    return moment(name, digits, in_utc, zoned=True, offset="local" not in base)


def _other(column: Native) -> Arrival:
    name, base = column.name, column.base
    if base == "json":
        return by_text(name, "VARCHAR", lambda sql: f"JSON_SERIALIZE({sql} RETURNING CLOB)")
    if base == "xmltype":
        return by_text(name, "VARCHAR", lambda sql: f"XMLSERIALIZE(CONTENT {sql} AS CLOB)")
    return other(name, column.native, lambda sql: f"TO_CHAR({sql})")


class Oracle(Warehouse):
    """Oracle Database 12.2 and later, Autonomous Database."""

    key = "oracle"
    title = "Oracle Database"
    summary = "Tables, views and queries of an Oracle database, whole or by a cursor column."
    tested_with = "no server was at hand: the SQL that is sent, and the driver where nothing listens"
    Params: ClassVar[type[OracleParams]] = OracleParams
    params: OracleParams
    server = "Oracle's listener"
    dialect = OracleSQL()
    schemes = ("oracle",)
    services = ("oraclecloud.com",)

    def opened(self, address: str, seconds: float) -> Session:
        return OracleSession(self.params, address, seconds)

    def version(self, session: Session) -> str:
        return f"Oracle {session.one('SELECT version FROM product_component_version FETCH FIRST 1 ROW ONLY', 'it')}"


class OracleSession(Session):
    """One transaction that only reads, in UTC."""

    def __init__(self, params: OracleParams, address: str, seconds: float) -> None:
        self._params = params
        module = driver("oracledb", "oracle", "Oracle")
        encrypted = params.sslmode != "disable"
        protocol = "tcps" if encrypted else "tcp"
        self._connection: Any = None
        with self.opening():
            self._connection = self.signed_in(
                lambda: module.connect(
                    user=params.user,
                    password=params.password or "",
                    host=params.host if encrypted else address,
                    port=params.port,
                    service_name=params.database,
                    protocol=protocol,
                    tcp_connect_timeout=CONNECT_SECONDS,
                    # In minutes: a server that is gone is noticed, and what waits for it ends.
                    expire_time=1,
                ),
                *("oracle", protocol, address, params.port, params.user),
            )
            self._connection.call_timeout = int(seconds * 1000)
            with self._connection.cursor() as cursor:
                cursor.execute("ALTER SESSION SET TIME_ZONE = 'UTC'")
                cursor.execute("SET TRANSACTION READ ONLY")

    def rows(self, sql: str) -> pa.RecordBatchReader:
        frames = (pa.table(each) for each in self._connection.fetch_df_batches(sql, size=BATCH_ROWS))
        first = next(frames, None) or pa.table(self._connection.fetch_df_all(sql))

        def batches() -> Iterator[pa.RecordBatch]:
            yield from first.to_batches()
            for each in frames:
                yield from each.to_batches()

        return pa.RecordBatchReader.from_batches(first.schema, batches())

    def columns(self, query: str, what: str) -> list[Native]:
        with self.told(what), self._connection.cursor() as cursor:
            cursor.parse(query)
            return [Native(each.name, _described(each), each.null_ok) for each in cursor.description]

    def explained(self, error: Exception, what: str) -> ManifoldError | None:
        told = error.args[0] if error.args else None
        number = getattr(told, "full_code", None)
        if number is None:
            return None
        return faults.refused(_CODES.get(number, "statement_refused"), str(told), what, self._params.about)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _described(column: Any) -> str:
    """The type of a query's column in the server's words."""
    said = str(column.type_code.name)
    if said == "DB_TYPE_NUMBER" and column.precision:
        return f"NUMBER({column.precision},{column.scale})"
    return _DESCRIBED.get(said, said.removeprefix("DB_TYPE_"))
