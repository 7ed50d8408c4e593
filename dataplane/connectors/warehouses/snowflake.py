"""Snowflake, by the ADBC driver that its makers and Apache Arrow's keep."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from dataplane.connectors import recognising
from dataplane.connectors.conditions import signing_in
from dataplane.connectors.fields import secret_field
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

_PEM = re.compile(r"-----BEGIN PRIVATE KEY-----(.*?)-----END PRIVATE KEY-----", re.DOTALL)
_DOMAIN = "snowflakecomputing.com"
_ZONED = ("timestamp_ltz", "timestamp_tz")
_TEXTS = ("text", "varchar", "char", "string")
_NESTED = ("variant", "object", "array", "map")


class SnowflakeParams(WarehouseParams):
    """The account, the sign-in, and what answers."""

    model_config = signing_in({"password": "a password", "key": "a private key"})

    host: str = Field(
        title="Host",
        description=f"Of the account: name.{_DOMAIN}.",
        min_length=1,
        max_length=255,
        examples=[f"name.{_DOMAIN}"],
    )
    port: int = Field(default=443, title="Port", ge=1, le=65535)
    warehouse: str | None = Field(default=None, title="Warehouse", description="What runs the queries, and is paid.")
    role: str | None = Field(default=None, title="Role", description="None: the user's own default.")
    password: str | None = secret_field("Password", only={"way": ["password"]})
    private_key: str | None = secret_field(
        "Private key",
        "The key in PEM (PKCS 8, without a passphrase).",
        multiline=True,
        only={"way": ["key"]},
        needed=True,
    )

    @field_validator("host")
    @classmethod
    def _of_snowflake(cls, value: str) -> str:
        # Its driver looks the name up by itself, so it has to be one that leads to nobody else.
        if not value.lower().endswith((f".{_DOMAIN}", ".snowflakecomputing.cn")):
            raise ValueError(f"must be the host of an account, such as name.{_DOMAIN}")
        return value.lower()

    @field_validator("private_key")
    @classmethod
    def _with_its_lines(cls, value: str | None) -> str | None:
        if not value:
            return None
        found = _PEM.search(value)
        if found is None:
            raise ValueError("must begin with -----BEGIN PRIVATE KEY----- and end with its END line")
        # A form may have taken out its line breaks.
        body = "".join(found[1].split())
        lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
        return f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n"

    @property
    def about(self) -> dict[str, object]:
        return {**super().about, "secrets": (self.password, self.private_key)}


class SnowflakeSQL(InformationSchema):
    product, grammar = "Snowflake", "snowflake"
    hidden = ("INFORMATION_SCHEMA",)
    sizes = ("t.row_count", "t.bytes")
    described = (
        "CASE WHEN c.data_type = 'NUMBER' THEN 'NUMBER(' || c.numeric_precision || ',' || c.numeric_scale || ')' "
        "WHEN c.data_type LIKE 'TIME%' THEN c.data_type || '(' || COALESCE(c.datetime_precision, 9) || ')' "
        "ELSE c.data_type END"
    )

    def text_constant(self, value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"

    def keys(self, schemas: object) -> str:
        # Its information schema does not tell which columns a key has.
        return ""

    def natural(self, column: Native) -> Arrival:
        name, base = column.name, column.base
        digits = column.numbers[0] if column.numbers else 9
        if base in _TEXTS:
            return by_text(name, "VARCHAR", unchanged)
        if base == "number":
            return decimal(name, column.numbers[0], column.numbers[1], _text)
        if base == "float":
            return as_it_is(name, "DOUBLE", _text)
        if base == "boolean":
            return as_it_is(name, "BOOLEAN", _text)
        if base == "date":
            return by_text(name, "DATE", _shown("YYYY-MM-DD"))
        if base == "time":
            return by_text(name, "TIME", _shown("HH24:MI:SS.FF9"))
        if base == "timestamp_ntz":
            return moment(name, digits, _shown(_moment(digits)), zoned=False)
        if base in _ZONED:
            shown = _shown(_moment(digits))

            def in_utc(sql: str) -> str:
                in_zone = f"CONVERT_TIMEZONE('UTC', {sql})"
                return f"{shown(in_zone)} || '+00'"

            return moment(name, digits, in_utc, zoned=True, offset=base == "timestamp_tz")
        if base == "binary":
            return by_hex(name, lambda sql: f"HEX_ENCODE({sql})")
        if base in _NESTED:
            return by_text(name, "VARCHAR", lambda sql: f"TO_JSON(TO_VARIANT({sql}))", f"{base} arrives as JSON")
        if base in ("geography", "geometry"):
            return other(name, column.native, lambda sql: f"ST_ASWKT({sql})")
        return other(name, column.native, _text)

    def constant(self, column: Native, value: str) -> str:
        return f"CAST({self.text_constant(value)} AS {column.native})"

    def bytewise(self, column: Native) -> Expression | None:
        return (lambda sql: f"HEX_ENCODE({sql})") if column.base in _TEXTS else None

    def not_null(self, table: str, column: Native) -> str:
        return f"ALTER TABLE {table} ALTER COLUMN {self.quoted(column.name)} SET NOT NULL;"

    def grant(self, table: str, user: str) -> str:
        return f"GRANT SELECT ON {table} TO ROLE <role>;"


def _text(sql: str) -> str:
    return f"TO_VARCHAR({sql})"


def _shown(form: str) -> Expression:
    return lambda sql: f"TO_VARCHAR({sql}, '{form}')"


def _moment(digits: int) -> str:
    return f"YYYY-MM-DD HH24:MI:SS.FF{digits}"


class Snowflake(Warehouse):
    """Snowflake, in any cloud."""

    key = "snowflake"
    title = "Snowflake"
    summary = "Tables, views and queries of a Snowflake database, whole or by a cursor column."
    tested_with = "no server was at hand: the SQL that is sent, and what the driver is given"
    Params: ClassVar[type[SnowflakeParams]] = SnowflakeParams
    params: SnowflakeParams
    server = "Snowflake"
    dialect = SnowflakeSQL()
    schemes = ("snowflake",)
    services = (_DOMAIN,)
    # Its port is that of every website.
    unsure = recognising.LIKELY

    def opened(self, address: str, seconds: float) -> Session:
        return SnowflakeSession(self.params, seconds)

    def version(self, session: Session) -> str:
        return f"Snowflake {session.one('SELECT CURRENT_VERSION()', 'the version')}"


class SnowflakeSession(AdbcSession):
    """One session in UTC."""

    module, extra, product = "adbc_driver_snowflake", "snowflake", "Snowflake"
    states = {"28": "authentication", "08": "authentication", "42501": "missing_grant", "02000": "table_missing"} | {
        "42S02": "table_missing",
        "42000": "query_syntax",
        "42601": "query_syntax",
        "57014": "statement_timeout",
    }

    def __init__(self, params: SnowflakeParams, seconds: float) -> None:
        self._seconds = seconds
        self.given = given_to_the_driver(params)
        super().__init__(params)

    def connected(self) -> Any:
        connection = self._driver.connect(db_kwargs=self.given, autocommit=True)
        self._connection = connection
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER SESSION SET TIMEZONE = 'UTC', STATEMENT_TIMEOUT_IN_SECONDS = {int(self._seconds)}")
        return connection

    def native(self, field: pa.Field) -> str:
        type_ = field.type
        if pa.types.is_decimal(type_):
            return f"NUMBER({type_.precision},{type_.scale})"
        if pa.types.is_timestamp(type_):
            return f"{'TIMESTAMP_LTZ' if type_.tz else 'TIMESTAMP_NTZ'}(9)"
        return next((name for fits, name in _ARROW if fits(type_)), "TEXT")


_ARROW = (
    (pa.types.is_integer, "NUMBER(38,0)"),
    (pa.types.is_floating, "FLOAT"),
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_time, "TIME(9)"),
    (pa.types.is_binary, "BINARY"),
)


def given_to_the_driver(params: SnowflakeParams) -> dict[str, str]:
    """The driver's options, by its own names."""
    begin = "adbc.snowflake.sql"
    signs = (
        {
            f"{begin}.auth_type": "auth_jwt",
            f"{begin}.client_option.jwt_private_key_pkcs8_value": params.private_key,
        }
        if params.private_key
        else {"password": params.password or ""}
    )
    given = {
        "username": params.user,
        f"{begin}.account": params.host.partition(f".{_DOMAIN.partition('.')[0]}.")[0],
        f"{begin}.uri.host": params.host,
        f"{begin}.uri.port": str(params.port),
        f"{begin}.uri.protocol": "https",
        f"{begin}.db": params.database,
        f"{begin}.warehouse": params.warehouse or "",
        f"{begin}.role": params.role or "",
        f"{begin}.client_option.use_high_precision": "true",
        f"{begin}.client_option.login_timeout": "20s",
        **signs,
    }
    return {name: value for name, value in given.items() if value}
