"""Google BigQuery, by the ADBC driver of Apache Arrow's."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from dataplane.connectors import recognising
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.fields import secret_field
from dataplane.connectors.warehouses import faults
from dataplane.connectors.warehouses.adbc import AdbcSession
from dataplane.connectors.warehouses.connector import Warehouse
from dataplane.connectors.warehouses.dialect import Dialect
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

# The driver asks for its tokens where the key says, and not by way of our checked addresses.
_TOKENS = "https://oauth2.googleapis.com/token"
_UNIVERSE = "googleapis.com"
_OF_THE_KEY = ("type", "project_id", "private_key_id", "private_key", "client_email", "client_id", "token_uri")


class BigQueryParams(WarehouseParams):
    """The project, its datasets, and the key of an account that may read them."""

    # Nobody enters these, so they are no fields of the form.
    host: ClassVar[str] = "bigquery.googleapis.com"  # type: ignore[misc]
    port: ClassVar[int] = 443  # type: ignore[misc]
    user: ClassVar[str] = "the service account"  # type: ignore[misc]
    database: str = Field(title="Project", description="Its id; its queries are paid by it.", min_length=1)
    password: str | None = secret_field(
        "Key", "The JSON key of a service account with the roles Data Viewer and Job User.", multiline=True
    )
    schemas: tuple[str, ...] = Field(title="Datasets", description="Whose tables are the streams.", min_length=1)
    location: str | None = Field(default=None, title="Location", description="Of the datasets, such as EU.")

    @field_validator("password")
    @classmethod
    def _a_key(cls, value: str | None) -> str | None:
        if value:
            known = _read(value)
            if known.get("type") != "service_account" or not isinstance(known.get("private_key"), str):
                raise ValueError("must be the JSON key of a service account, as it was downloaded")
            if known.get("token_uri") != _TOKENS or known.get("universe_domain", _UNIVERSE) != _UNIVERSE:
                raise ValueError(
                    f"must be the JSON key of a service account of Google's own: its token_uri {_TOKENS}, and its "
                    f"universe_domain {_UNIVERSE} or none"
                )
        return value

    @property
    def about(self) -> dict[str, object]:
        hidden = _read(self.password)["private_key"] if self.password else None
        return {**super().about, "secrets": (self.password, hidden)}


def _read(key: str) -> dict[str, Any]:
    """What a key says; nothing where it is no object of JSON."""
    try:
        known = json.loads(key)
    except (ValueError, RecursionError):
        known = None
    return known if isinstance(known, dict) else {}


class BigQuerySQL(Dialect):
    product, grammar = "BigQuery", "bigquery"

    def quoted(self, name: str) -> str:
        return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"

    def text_constant(self, value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r") + "'"

    def natural(self, column: Native) -> Arrival:
        name, base = column.name, column.base
        if base in ("int64", "float64", "bool"):
            return as_it_is(name, {"int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN"}[base], _text)
        if base == "string":
            return by_text(name, "VARCHAR", unchanged)
        if base == "numeric":
            digits, scale = (*column.numbers, 0)[:2] if column.numbers else (38, 9)
            return decimal(name, digits, scale, _text)
        if base == "bignumeric":
            digits, scale = (*column.numbers, 0)[:2] if column.numbers else (76, 38)
            return decimal(name, digits, scale, _text)
        if base == "bytes":
            return by_hex(name, lambda sql: f"TO_HEX({sql})")
        if base == "date":
            return by_text(name, "DATE", _text)
        if base == "time":
            return by_text(name, "TIME", _text)
        if base == "datetime":
            return moment(name, 6, lambda sql: f"FORMAT_DATETIME('%F %H:%M:%E6S', {sql})", zoned=False)
        if base == "timestamp":
            return moment(name, 6, lambda sql: f"FORMAT_TIMESTAMP('%F %H:%M:%E6S+00', {sql}, 'UTC')", zoned=True)
        if base == "json" or column.native.startswith(("ARRAY", "STRUCT", "RANGE")):
            note = "" if base == "json" else f"{column.native.partition('<')[0].lower()} arrives as JSON"
            return by_text(name, "VARCHAR", lambda sql: f"TO_JSON_STRING({sql})", note)
        if base == "geography":
            return other(name, column.native, lambda sql: f"ST_ASTEXT({sql})")
        return other(name, column.native, _text)

    def constant(self, column: Native, value: str) -> str:
        return str(int(value)) if column.base == "int64" else f"CAST({self.text_constant(value)} AS {column.native})"

    def bytewise(self, column: Native) -> Expression | None:
        return (lambda sql: f"CAST({sql} AS BYTES)") if column.base == "string" else None

    def relations(self, schemas: Sequence[str]) -> str:
        each = (
            "SELECT table_schema, table_name, IF(table_type LIKE '%VIEW%', 'view', 'table'), NULL, NULL "
            f"FROM {self.quoted(schema)}.INFORMATION_SCHEMA.TABLES"
            for schema in schemas
        )
        return f"{' UNION ALL '.join(each)} ORDER BY 1, 2"

    def columns(self, schemas: Sequence[str], table: str = "") -> str:
        only = f" WHERE table_name = {self.text_constant(table)}" if table else ""
        each = (
            "SELECT table_schema, table_name, column_name, data_type, is_nullable, ordinal_position "
            f"FROM {self.quoted(schema)}.INFORMATION_SCHEMA.COLUMNS{only}"
            for schema in schemas
        )
        return f"{' UNION ALL '.join(each)} ORDER BY 1, 2, 6"

    def grant(self, table: str, user: str) -> str:
        return f'GRANT `roles/bigquery.dataViewer` ON TABLE {table} TO "serviceAccount:<its address>";'


def _text(sql: str) -> str:
    return f"CAST({sql} AS STRING)"


class BigQuery(Warehouse):
    """BigQuery, read as a service account."""

    key = "bigquery"
    title = "Google BigQuery"
    summary = "Tables, views and queries of datasets in BigQuery, whole or by a cursor column."
    tested_with = "no server was at hand: the SQL that is sent, and what the driver is given"
    Params: ClassVar[type[BigQueryParams]] = BigQueryParams
    params: BigQueryParams
    server = "BigQuery"
    dialect = BigQuerySQL()

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        address = clue.address
        if address is None or address.scheme != "bigquery":
            return None
        names = [each for each in address.path.split("/") if each]
        params: dict[str, Any] = {"database": address.host} | ({"schemas": names[:1]} if names else {})
        return Guess(recognising.CERTAIN, (f"It is {address.form} for {cls.title}.",), params, title=address.host)

    def opened(self, address: str, seconds: float) -> Session:
        return BigQuerySession(self.params, seconds)

    def version(self, session: Session) -> str:
        session.one("SELECT 1", "the version")
        return f"BigQuery, project {self.params.database}"


class BigQuerySession(AdbcSession):
    """Each statement is a job of the project's."""

    module, extra, product = "adbc_driver_bigquery", "bigquery", "BigQuery"
    states: Mapping[str, str] = {}

    def __init__(self, params: BigQueryParams, seconds: float) -> None:
        self._seconds = seconds
        self.given = given_to_the_driver(params)
        super().__init__(params)

    def rows(self, sql: str) -> pa.RecordBatchReader:
        """The driver knows no limit, and tries again for minutes what cannot be reached, so it is told to end."""
        cursor = self._connection.cursor()
        limit = threading.Timer(self._seconds, cursor.adbc_cancel)
        limit.daemon = True
        limit.start()
        try:
            cursor.execute(sql)
            return cursor.fetch_record_batch()
        finally:
            limit.cancel()

    def connected(self) -> Any:
        return self._driver.connect(db_kwargs=self.given, autocommit=True)

    def explained(self, error: Exception, what: str) -> ManifoldError | None:
        # Of Google's own codes the driver keeps the words only.
        code = next((code for words, code in _SAID.items() if words in str(error)), None)
        if code is None or not hasattr(error, "status_code"):
            return super().explained(error, what)
        return faults.refused(code, str(error), what, self._params.about)

    def native(self, field: pa.Field) -> str:
        type_ = field.type
        if pa.types.is_decimal(type_):
            return "NUMERIC" if pa.types.is_decimal128(type_) else "BIGNUMERIC"
        if pa.types.is_timestamp(type_):
            return "TIMESTAMP" if type_.tz else "DATETIME"
        return next((name for fits, name in _ARROW if fits(type_)), "STRING")


_SAID = {
    "cannot fetch token": "authentication",
    "invalid_grant": "authentication",
    "context canceled": "statement_timeout",
    "Error 403": "missing_grant",
    "Error 404": "table_missing",
    "Unrecognized name": "column_missing",
    "Syntax error": "query_syntax",
}
_ARROW = (
    (pa.types.is_integer, "INT64"),
    (pa.types.is_floating, "FLOAT64"),
    (pa.types.is_boolean, "BOOL"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_time, "TIME"),
    (pa.types.is_binary, "BYTES"),
    (pa.types.is_list, "ARRAY"),
    (pa.types.is_struct, "STRUCT"),
)


def given_to_the_driver(params: BigQueryParams) -> dict[str, str]:
    """The driver's options, by its own names.

    Of the key it is given what was looked at: to the driver a name in other letters (Token_URI) is the same name.
    """
    begin = "adbc.bigquery.sql"
    known = _read(params.password or "")
    key = {name: known[name] for name in _OF_THE_KEY if name in known}
    given = {
        f"{begin}.project_id": params.database,
        f"{begin}.dataset_id": params.schemas[0],
        f"{begin}.location": params.location or "",
        f"{begin}.auth_type": f"{begin}.auth_type.json_credential_string",
        f"{begin}.auth_credentials": json.dumps(key) if key else "",
    }
    return {name: value for name, value in given.items() if value}
