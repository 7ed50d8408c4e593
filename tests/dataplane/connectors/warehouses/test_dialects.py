"""What each product is asked, and what its driver is given; of products that no server can be had of, that is all.

That a statement is one of the product's language is said by sqlglot, which parses it and is none of our own.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlglot

from dataplane.connectors import registry
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.warehouses import bigquery, reading, session, snowflake, sqlserver
from dataplane.connectors.warehouses.connector import Warehouse
from dataplane.connectors.warehouses.dialect import Dialect
from dataplane.connectors.warehouses.questions import Asking
from dataplane.connectors.warehouses.reading import Prepared
from dataplane.connectors.warehouses.session import Session
from dataplane.connectors.warehouses.types import Native
from dataplane.connectors.windows import Window
from dataplane.errors import ConfigurationError, ManifoldError

KEYS = ("clickhouse", "redshift", "sqlserver", "oracle", "snowflake", "bigquery", "trino")
ZONED = "TIMESTAMP WITH TIME ZONE"

# Of each product: a type in its words, what arrives, the expression that is sent, and a text that it may answer with,
# with what it then is to DuckDB.
TYPES: dict[str, list[tuple[str, str, str, str, str]]] = {
    "sqlserver": [
        ("tinyint", "UTINYINT", "[c]", "255", "255"),
        ("smallint", "SMALLINT", "[c]", "-32768", "-32768"),
        ("int", "INTEGER", "[c]", "-2147483648", "-2147483648"),
        ("bigint", "BIGINT", "[c]", "-9223372036854775808", "-9223372036854775808"),
        ("bit", "BOOLEAN", "CAST([c] AS varchar(1))", "1", "true"),
        ("money", "DECIMAL(19,4)", "CONVERT(varchar(40), [c], 2)", "-1.5000", "-1.5000"),
        ("smallmoney", "DECIMAL(10,4)", "CONVERT(varchar(40), [c], 2)", "214748.3647", "214748.3647"),
        ("decimal(38,10)", "DECIMAL(38,10)", "CAST([c] AS varchar(60))", "1.0000000000", "1.0000000000"),
        ("float(53)", "DOUBLE", "[c]", "1e-300", "1e-300"),
        ("float(24)", "FLOAT", "[c]", "1.5", "1.5"),
        ("real", "FLOAT", "[c]", "1.5", "1.5"),
        ("char", "VARCHAR", "CAST([c] AS nvarchar(max))", "ab ", "ab "),
        ("nvarchar", "VARCHAR", "CAST([c] AS nvarchar(max))", "x", "x"),
        ("xml", "VARCHAR", "CAST([c] AS nvarchar(max))", "<a/>", "<a/>"),
        (
            "timestamp",
            "BLOB",
            "CONVERT(varchar(max), CAST([c] AS varbinary(max)), 2)",
            "00000000000007D1",
            "\\x00\\x00\\x00\\x00\\x00\\x00\\x07\\xD1",
        ),
        ("varbinary", "BLOB", "CONVERT(varchar(max), CAST([c] AS varbinary(max)), 2)", "FF00", "\\xFF\\x00"),
        ("date", "DATE", "CONVERT(varchar(10), [c], 23)", "0001-01-01", "0001-01-01"),
        (
            "smalldatetime",
            "TIMESTAMP",
            "CONVERT(varchar(19), [c], 120)",
            "2026-01-01 00:01:00",
            "2026-01-01 00:01:00",
        ),
        (
            "datetime",
            "TIMESTAMP",
            "CONVERT(varchar(23), [c], 121)",
            "2026-01-01 00:00:00.003",
            "2026-01-01 00:00:00.003",
        ),
        (
            "datetime2(7)",
            "TIMESTAMP_NS",
            "CONVERT(varchar(27), [c], 121)",
            "2026-01-01 00:00:00.1234567",
            "2026-01-01 00:00:00.1234567",
        ),
        ("time(7)", "TIME", "CAST([c] AS varchar(16))", "23:59:59.1234560", "23:59:59.123456"),
        (
            "datetimeoffset(7)",
            ZONED,
            "CONVERT(varchar(27), CAST(SWITCHOFFSET([c], 0) AS datetime2(7)), 121) + '+00'",
            "2026-01-01 00:00:00.1234560+00",
            "2026-01-01 00:00:00.123456+00",
        ),
        (
            "uniqueidentifier",
            "UUID",
            "CAST([c] AS varchar(36))",
            "00112233-4455-6677-8899-AABBCCDDEEFF",
            "00112233-4455-6677-8899-aabbccddeeff",
        ),
        ("hierarchyid", "VARCHAR", "[c].ToString()", "/1/", "/1/"),
        ("geography", "VARCHAR", "[c].ToString()", "POINT (1 2)", "POINT (1 2)"),
        ("sql_variant", "VARCHAR", "CAST([c] AS nvarchar(4000))", "1", "1"),
    ],
    "oracle": [
        ("NUMBER(10,2)", "DECIMAL(10,2)", "TO_CHAR(\"c\", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')", "-.5", "-0.50"),
        ("NUMBER(38,0)", "DECIMAL(38,0)", "TO_CHAR(\"c\", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')", "7", "7"),
        ("NUMBER", "VARCHAR", "TO_CHAR(\"c\", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')", "1E-10", "1E-10"),
        ("FLOAT", "VARCHAR", "TO_CHAR(\"c\", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')", "0.1", "0.1"),
        ("BOOLEAN", "BOOLEAN", "CASE WHEN \"c\" THEN '1' WHEN NOT \"c\" THEN '0' END", "1", "true"),
        ("CHAR", "VARCHAR", '"c"', "ab ", "ab "),
        ("VARCHAR2", "VARCHAR", '"c"', "x", "x"),
        ("BINARY_DOUBLE", "DOUBLE", '"c"', "1.5", "1.5"),
        ("BINARY_FLOAT", "FLOAT", '"c"', "1.5", "1.5"),
        ("RAW", "BLOB", 'RAWTOHEX("c")', "FF", "\\xFF"),
        ("DATE", "TIMESTAMP", "TO_CHAR(\"c\", 'YYYY-MM-DD HH24:MI:SS')", "2026-01-01 12:00:00", "2026-01-01 12:00:00"),
        (
            "TIMESTAMP(6)",
            "TIMESTAMP",
            "TO_CHAR(\"c\", 'YYYY-MM-DD HH24:MI:SS.FF6')",
            "2026-01-01 12:00:00.500000",
            "2026-01-01 12:00:00.5",
        ),
        (
            "TIMESTAMP(6) WITH TIME ZONE",
            ZONED,
            'TO_CHAR(SYS_EXTRACT_UTC(CAST("c" AS TIMESTAMP(9) WITH TIME ZONE)), '
            "'YYYY-MM-DD HH24:MI:SS.FF6') || '+00'",
            "2026-01-01 12:00:00.500000+00",
            "2026-01-01 12:00:00.5+00",
        ),
        ("CLOB", "VARCHAR", '"c"', "x", "x"),
        (
            "TIMESTAMP(9)",
            "TIMESTAMP_NS",
            "TO_CHAR(\"c\", 'YYYY-MM-DD HH24:MI:SS.FF9')",
            "2026-01-01 12:00:00.123456789",
            "2026-01-01 12:00:00.123456789",
        ),
        (
            "TIMESTAMP(6) WITH LOCAL TIME ZONE",
            ZONED,
            'TO_CHAR(SYS_EXTRACT_UTC(CAST("c" AS TIMESTAMP(9) WITH TIME ZONE)), '
            "'YYYY-MM-DD HH24:MI:SS.FF6') || '+00'",
            "2026-01-01 12:00:00.500000+00",
            "2026-01-01 12:00:00.5+00",
        ),
        ("INTERVAL DAY(2) TO SECOND(6)", "VARCHAR", 'TO_CHAR("c")', "+01 00:00:00.000000", "+01 00:00:00.000000"),
        ("ROWID", "VARCHAR", 'TO_CHAR("c")', "AAAR3qAAEAAAACHAAA", "AAAR3qAAEAAAACHAAA"),
        ("XMLTYPE", "VARCHAR", 'XMLSERIALIZE(CONTENT "c" AS CLOB)', "<a/>", "<a/>"),
        ("JSON", "VARCHAR", 'JSON_SERIALIZE("c" RETURNING CLOB)', "{}", "{}"),
    ],
    "snowflake": [
        ("NUMBER(38,0)", "DECIMAL(38,0)", 'TO_VARCHAR("c")', "7", "7"),
        ("FLOAT", "DOUBLE", '"c"', "1.5", "1.5"),
        ("TEXT", "VARCHAR", '"c"', "x", "x"),
        ("BOOLEAN", "BOOLEAN", '"c"', "true", "true"),
        ("DATE", "DATE", "TO_VARCHAR(\"c\", 'YYYY-MM-DD')", "2026-01-01", "2026-01-01"),
        (
            "TIMESTAMP_NTZ(9)",
            "TIMESTAMP_NS",
            "TO_VARCHAR(\"c\", 'YYYY-MM-DD HH24:MI:SS.FF9')",
            "2026-01-01 00:00:00.123456789",
            "2026-01-01 00:00:00.123456789",
        ),
        (
            "TIMESTAMP_TZ(3)",
            ZONED,
            "TO_VARCHAR(CONVERT_TIMEZONE('UTC', \"c\"), 'YYYY-MM-DD HH24:MI:SS.FF3') || '+00'",
            "2026-01-01 00:00:00.123+00",
            "2026-01-01 00:00:00.123+00",
        ),
        ("BINARY", "BLOB", 'HEX_ENCODE("c")', "FF", "\\xFF"),
        ("TIME(9)", "TIME", "TO_VARCHAR(\"c\", 'HH24:MI:SS.FF9')", "23:59:59.123456000", "23:59:59.123456"),
        (
            "TIMESTAMP_LTZ(9)",
            ZONED,
            "TO_VARCHAR(CONVERT_TIMEZONE('UTC', \"c\"), 'YYYY-MM-DD HH24:MI:SS.FF9') || '+00'",
            "2026-01-01 00:00:00.123456000+00",
            "2026-01-01 00:00:00.123456+00",
        ),
        ("OBJECT", "VARCHAR", 'TO_JSON(TO_VARIANT("c"))', "{}", "{}"),
        ("ARRAY", "VARCHAR", 'TO_JSON(TO_VARIANT("c"))', "[]", "[]"),
        ("GEOGRAPHY", "VARCHAR", 'ST_ASWKT("c")', "POINT(1 2)", "POINT(1 2)"),
        ("VARIANT", "VARCHAR", 'TO_JSON(TO_VARIANT("c"))', "{}", "{}"),
    ],
    "trino": [
        ("bigint", "BIGINT", '"c"', "9223372036854775807", "9223372036854775807"),
        ("tinyint", "TINYINT", '"c"', "-128", "-128"),
        ("smallint", "SMALLINT", '"c"', "-32768", "-32768"),
        ("integer", "INTEGER", '"c"', "-2147483648", "-2147483648"),
        ("real", "FLOAT", '"c"', "1.5", "1.5"),
        ("double", "DOUBLE", '"c"', "NaN", "nan"),
        ("boolean", "BOOLEAN", '"c"', "true", "true"),
        ("decimal(10, 2)", "DECIMAL(10,2)", 'CAST("c" AS varchar)', "-1.50", "-1.50"),
        ("varchar(5)", "VARCHAR", '"c"', "x", "x"),
        ("char(5)", "VARCHAR", '"c"', "ab   ", "ab   "),
        ("date", "DATE", 'CAST("c" AS varchar)', "0001-01-01", "0001-01-01"),
        ("time(6)", "TIME", 'CAST("c" AS varchar)', "23:59:59.123456", "23:59:59.123456"),
        (
            "timestamp(9)",
            "TIMESTAMP_NS",
            'CAST("c" AS varchar)',
            "2026-01-01 00:00:00.123456789",
            "2026-01-01 00:00:00.123456789",
        ),
        (
            "uuid",
            "UUID",
            'CAST("c" AS varchar)',
            "00112233-4455-6677-8899-aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeeff",
        ),
        ("json", "VARCHAR", 'json_format("c")', "{}", "{}"),
        ("map(varchar, bigint)", "VARCHAR", 'json_format(CAST("c" AS json))', "{}", "{}"),
        ("row(a bigint)", "VARCHAR", 'json_format(CAST("c" AS json))', "{}", "{}"),
        ("interval day to second", "VARCHAR", 'CAST("c" AS varchar)', "1 00:00:00.000", "1 00:00:00.000"),
        ("ipaddress", "VARCHAR", 'CAST("c" AS varchar)', "10.0.0.1", "10.0.0.1"),
        ("timestamp(3)", "TIMESTAMP", 'CAST("c" AS varchar)', "2026-01-01 00:00:00.123", "2026-01-01 00:00:00.123"),
        (
            "timestamp(6) with time zone",
            ZONED,
            "CAST(CAST(at_timezone(\"c\", 'UTC') AS timestamp(6)) AS varchar) || '+00'",
            "2026-01-01 00:00:00.123456+00",
            "2026-01-01 00:00:00.123456+00",
        ),
        ("varbinary", "BLOB", 'to_hex("c")', "FF", "\\xFF"),
        ("array(row(a bigint))", "VARCHAR", 'json_format(CAST("c" AS json))', "[]", "[]"),
    ],
    "bigquery": [
        ("INT64", "BIGINT", "`c`", "-9223372036854775808", "-9223372036854775808"),
        ("FLOAT64", "DOUBLE", "`c`", "1e-300", "1e-300"),
        ("BOOL", "BOOLEAN", "`c`", "true", "true"),
        ("STRING", "VARCHAR", "`c`", "x", "x"),
        ("DATE", "DATE", "CAST(`c` AS STRING)", "0001-01-01", "0001-01-01"),
        ("TIME", "TIME", "CAST(`c` AS STRING)", "23:59:59.123456", "23:59:59.123456"),
        ("STRUCT<a INT64>", "VARCHAR", "TO_JSON_STRING(`c`)", "{}", "{}"),
        ("RANGE<DATE>", "VARCHAR", "TO_JSON_STRING(`c`)", "{}", "{}"),
        ("GEOGRAPHY", "VARCHAR", "ST_ASTEXT(`c`)", "POINT(1 2)", "POINT(1 2)"),
        ("INTERVAL", "VARCHAR", "CAST(`c` AS STRING)", "0-0 1 0:0:0", "0-0 1 0:0:0"),
        ("NUMERIC", "DECIMAL(38,9)", "CAST(`c` AS STRING)", "1.5", "1.500000000"),
        ("NUMERIC(10, 2)", "DECIMAL(10,2)", "CAST(`c` AS STRING)", "1.5", "1.50"),
        ("BIGNUMERIC", "VARCHAR", "CAST(`c` AS STRING)", "1.5", "1.5"),
        ("BYTES", "BLOB", "TO_HEX(`c`)", "ff", "\\xFF"),
        (
            "DATETIME",
            "TIMESTAMP",
            "FORMAT_DATETIME('%F %H:%M:%E6S', `c`)",
            "9999-12-31 23:59:59.999999",
            "9999-12-31 23:59:59.999999",
        ),
        (
            "TIMESTAMP",
            ZONED,
            "FORMAT_TIMESTAMP('%F %H:%M:%E6S+00', `c`, 'UTC')",
            "2026-01-01 00:00:00.500000+00",
            "2026-01-01 00:00:00.5+00",
        ),
        ("ARRAY<STRUCT<a INT64, b STRING>>", "VARCHAR", "TO_JSON_STRING(`c`)", "[]", "[]"),
        ("JSON", "VARCHAR", "TO_JSON_STRING(`c`)", "{}", "{}"),
    ],
}
CURSORS = {
    "clickhouse": ("DateTime64(3)", "toDateTime64('2026-01-01 00:00:00.5', 6, 'UTC')"),
    "redshift": ("timestamp without time zone", "CAST('2026-01-01 00:00:00.5' AS timestamp without time zone)"),
    "sqlserver": ("datetime", "CAST(CAST('2026-01-01 00:00:00.5' AS datetime2(7)) AS datetime)"),
    "oracle": ("DATE", "TO_TIMESTAMP('2026-01-01 00:00:00.5', 'YYYY-MM-DD HH24:MI:SS.FF9')"),
    "snowflake": ("TIMESTAMP_NTZ(9)", "CAST('2026-01-01 00:00:00.5' AS TIMESTAMP_NTZ(9))"),
    "trino": ("timestamp(3)", "CAST('2026-01-01 00:00:00.5' AS timestamp(3))"),
    "bigquery": ("DATETIME", "CAST('2026-01-01 00:00:00.5' AS DATETIME)"),
}
# What a text, or a UUID, is compared as.
BYTEWISE = [
    ("clickhouse", "LowCardinality(String)", "{}"),
    ("clickhouse", "UUID", "toString({})"),
    ("redshift", "character varying", "CAST({} AS varbyte)"),
    (
        "sqlserver",
        "nvarchar",
        "CONVERT(varchar(max), CAST(CAST({} COLLATE Latin1_General_100_BIN2_UTF8 AS varchar(max)) AS varbinary(max)), "
        "2) COLLATE Latin1_General_BIN2",
    ),
    ("sqlserver", "uniqueidentifier", "CAST({} AS varchar(36)) COLLATE Latin1_General_BIN2"),
    ("oracle", "VARCHAR2", "UTL_I18N.STRING_TO_RAW({}, 'AL32UTF8')"),
    ("snowflake", "TEXT", "HEX_ENCODE({})"),
    ("trino", "uuid", "CAST({} AS varchar)"),
    ("trino", "varchar(5)", "CAST({} AS varchar)"),
    ("bigquery", "STRING", "CAST({} AS BYTES)"),
]


def dialect(key: str) -> Dialect:
    kind = registry.get(key)
    assert issubclass(kind, Warehouse)
    return kind.dialect


def parsed(key: str, sql: str) -> None:
    (statement,) = sqlglot.parse(sql, dialect=dialect(key).grammar)
    assert isinstance(statement, sqlglot.exp.Query), sql


@pytest.mark.parametrize("key", KEYS)
def test_every_statement_is_one_of_the_products_language(key: str) -> None:
    sql = dialect(key)
    for schemas in ([], ["a schema", "it's"]):
        if key == "bigquery" and not schemas:
            continue
        parsed(key, sql.relations(schemas))
        parsed(key, sql.columns(schemas, "a 'table'"))
        if asked := sql.keys(schemas):
            parsed(key, asked)


@pytest.mark.parametrize("key", TYPES)
def test_each_type_is_asked_for_in_the_products_words(key: str) -> None:
    sql = dialect(key)
    with duckdb.connect() as duck:
        duck.execute("SET TimeZone = 'UTC'")
        for native, type_, server, came, value in TYPES[key]:
            found = sql.arrival(Native("c", native))
            assert (found.type, found.server(sql.quoted("c"))) == (type_, server), native
            if not any(each in server for each in ("RETURNING", "CONTENT")):  # sqlglot does not know them.
                parsed(key, f"SELECT {server} AS c0")
            read = duck.execute(f"SELECT typeof({found.local('$1')}), CAST({found.local('$1')} AS VARCHAR)", [came])
            assert read.fetchone() == (type_, value), native


class Columns(Session):
    """A session of which only the columns of a query are asked."""

    def __init__(self, *columns: Native) -> None:
        self.found = list(columns)

    def columns(self, query: str, what: str) -> list[Native]:
        return self.found

    def rows(self, sql: str) -> pa.RecordBatchReader:
        raise AssertionError(sql)

    def explained(self, error: Exception, what: str) -> ManifoldError | None:
        return None

    def close(self) -> None:
        """There is nothing to let go of."""


def prepared(key: str, stream: StreamConfig) -> Prepared:
    return reading.prepare(Columns(Native("it's at", CURSORS[key][0])), dialect(key), stream)


@pytest.mark.parametrize("key", KEYS)
def test_a_window_of_a_query_is_one_select(key: str) -> None:
    query = StreamConfig("mine", query="SELECT 1 AS a -- (", cursor="it's at", row_filter="1 = 1 -- )")
    here = prepared(key, query)
    window = Window("cursor", column="it's at", lower="2026-01-01 00:00:00.5", upper="2026-01-01 00:00:00.5")
    said = here.select(window)
    assert said.count(CURSORS[key][1]) == 2
    parsed(key, said)
    parsed(key, here.select(None, 7))
    assert "7" in here.select(None, 7)


@pytest.mark.parametrize(("key", "native", "compared"), BYTEWISE)
def test_a_text_is_compared_by_its_bytes(key: str, native: str, compared: str) -> None:
    session, sql = Columns(Native("c", native)), dialect(key)
    here = reading.prepare(session, sql, StreamConfig("mine", query="SELECT 1 AS c", cursor="c"))
    assert here.cursor is not None
    value = "f0000000-0000-0000-0000-00000000000a"
    expected = (
        sql.constant(here.cursor.column, value) if here.cursor.arrival.type == "UUID" else sql.text_constant(value)
    )
    assert (here.cursor.sql, here.cursor.value(value)) == (
        compared.format(sql.quoted("c")),
        compared.format(expected),
    )
    parsed(key, here.select(Window("cursor", column="c", lower=value, upper=value)))
    with pytest.raises(AssertionError, match="DESC") as asked:
        Asking(here, session).newest()
    parsed(key, str(asked.value))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "query",
    ["DELETE FROM t", "SELECT 1; SELECT 2", "SELECT 1) AS a; DROP TABLE t --", "SELECT (1", "SELECT 'a", "", "EXEC p"],
)
def test_what_is_more_than_one_select_is_refused(key: str, query: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prepared(key, StreamConfig("mine", query=query or " "))
    assert caught.value.code == "query_syntax"


def test_snowflakes_driver_is_given_the_account_and_no_more_than_it_needs() -> None:
    given = {"host": "Acme-One.SnowflakeComputing.com", "database": "SALES", "user": "reader"}
    by_password = snowflake.SnowflakeParams.model_validate({**given, "password": "canary", "role": "READING"})
    assert snowflake.given_to_the_driver(by_password) == {
        "username": "reader",
        "password": "canary",
        "adbc.snowflake.sql.account": "acme-one",
        "adbc.snowflake.sql.uri.host": "acme-one.snowflakecomputing.com",
        "adbc.snowflake.sql.uri.port": "443",
        "adbc.snowflake.sql.uri.protocol": "https",
        "adbc.snowflake.sql.db": "SALES",
        "adbc.snowflake.sql.role": "READING",
        "adbc.snowflake.sql.client_option.use_high_precision": "true",
        "adbc.snowflake.sql.client_option.login_timeout": "20s",
    }
    pem = f"-----BEGIN PRIVATE KEY-----\n{'a' * 64}\n{'b' * 10}\n-----END PRIVATE KEY-----\n"
    pasted = {**given, "private_key": pem.replace("\n", "")}
    by_key = snowflake.given_to_the_driver(snowflake.SnowflakeParams.model_validate(pasted))
    assert by_key["adbc.snowflake.sql.auth_type"] == "auth_jwt"
    assert by_key["adbc.snowflake.sql.client_option.jwt_private_key_pkcs8_value"] == pem
    assert "password" not in by_key
    with pytest.raises(ValueError, match="BEGIN PRIVATE KEY"):
        snowflake.SnowflakeParams.model_validate({**given, "private_key": "canary"})
    with pytest.raises(ValueError, match="host of an account"):
        snowflake.SnowflakeParams.model_validate({**given, "host": "snowflakecomputing.com.example.org"})


BIGQUERY_KEY = {
    "type": "service_account",
    "private_key": "canary",
    "client_email": "reader@acme.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
    "universe_domain": "googleapis.com",
}
BIGQUERY: dict[str, Any] = {"database": "acme", "schemas": ["sales", "stock"], "location": "EU"}


def test_bigquerys_driver_is_given_no_more_of_the_key_than_was_looked_at() -> None:
    # The driver reads names whatever their letters' case, and of two the last.
    key = json.dumps({**BIGQUERY_KEY, "Token_URI": "http://169.254.169.254/", "auth_uri": "https://example.org"})
    params = bigquery.BigQueryParams.model_validate({**BIGQUERY, "password": key})
    given = bigquery.given_to_the_driver(params)
    seen = json.loads(given.pop("adbc.bigquery.sql.auth_credentials"))
    assert seen == {name: value for name, value in BIGQUERY_KEY.items() if name != "universe_domain"}
    assert given == {
        "adbc.bigquery.sql.project_id": "acme",
        "adbc.bigquery.sql.dataset_id": "sales",
        "adbc.bigquery.sql.location": "EU",
        "adbc.bigquery.sql.auth_type": "adbc.bigquery.sql.auth_type.json_credential_string",
    }
    assert params.about["secrets"] == (key, "canary")


@pytest.mark.parametrize(
    "key",
    [
        "canary",
        "{}",
        "[1]",
        json.dumps({**BIGQUERY_KEY, "type": "external_account"}),
        json.dumps({**BIGQUERY_KEY, "token_uri": "http://169.254.169.254/latest"}),
        json.dumps({each: value for each, value in BIGQUERY_KEY.items() if each != "token_uri"}),
        json.dumps({**BIGQUERY_KEY, "universe_domain": "example.org"}),
        json.dumps({**BIGQUERY_KEY, "private_key": ["canary"]}),
        '{"canary":' * 100_000,
        json.dumps({each: value for each, value in BIGQUERY_KEY.items() if each != "private_key"}),
    ],
    ids=["text", "empty", "list", "type", "elsewhere", "nowhere", "universe", "key-no-text", "deep", "no-key"],
)
def test_a_key_that_leads_elsewhere_or_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="service account"):
        bigquery.BigQueryParams.model_validate({**BIGQUERY, "password": key})


def test_bigquery_reads_the_datasets_that_are_named() -> None:
    with pytest.raises(ValueError, match="schemas"):
        bigquery.BigQueryParams.model_validate({**BIGQUERY, "schemas": []})


def test_sql_servers_driver_asks_for_no_replica_and_takes_a_value_as_one() -> None:
    given = {"host": "sql.example.org", "database": "shop", "user": "u", "password": "a};ApplicationIntent=ReadOnly"}
    params = sqlserver.SQLServerParams.model_validate(given)
    begin, signed = "Database={shop};UID={u}", "PWD={a}};ApplicationIntent=ReadOnly};Encrypt={yes}"
    said = sqlserver.given_to_the_driver(params, "10.0.0.7")
    assert said == f"Server={{10.0.0.7,1433}};{begin};{signed};TrustServerCertificate={{yes}}"
    said = sqlserver.given_to_the_driver(params.model_copy(update={"sslmode": "verify-full"}), "10.0.0.7")
    assert said == f"Server={{sql.example.org,1433}};{begin};{signed};TrustServerCertificate={{no}}"


@contextmanager
def hanging_up() -> Iterator[int]:
    """The port of somebody who lets everybody in and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize("key", ["oracle", "redshift"])
def test_whoever_hangs_up_is_told_by_the_driver_itself(key: str) -> None:
    with hanging_up() as port:
        given: dict[str, Any] = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "password": "canary"}
        *_, last = registry.build(key, given).test()
    assert last.error is not None
    assert (last.name, last.error.code) == ("authenticate", "connection_lost"), last.error.message
    assert "canary" not in f"{last.error.message}{last.error.evidence}"


@pytest.mark.parametrize("key", ["oracle", "redshift"])
def test_whoever_takes_a_connection_and_says_nothing_is_not_waited_for(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SIGN_IN_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        given: dict[str, Any] = {"host": "127.0.0.1", "port": server.getsockname()[1], "database": "d", "user": "u"}
        again, waited = "has not answered the question before this one yet", "No answer within 0 seconds"
        for changed, said in (({}, waited), ({}, again), ({"user": "other"}, waited)):
            *_, last = registry.build(key, given | changed).test()
            assert last.error is not None
            assert (last.error.code, last.error.retryable) == ("answer_timeout", True)
            assert said in last.error.message
        monkeypatch.setattr(session, "AGAIN_SECONDS", 0)
        *_, last = registry.build(key, given).test()
        assert last.error is not None and waited in last.error.message


@pytest.mark.parametrize(
    ("said", "what", "code", "advice"),
    [
        ("[Microsoft]Protocol error in TDS stream", "the session", "connection_lost", "in another protocol than SQL"),
        ("[Microsoft]TCP Provider: Timeout error [258].", "the session", "connection_timeout", "no firewall"),
        ("[Microsoft]Query timeout expired", "dbo.t", "statement_timeout", "Read less at a time"),
    ],
)
def test_what_sql_servers_driver_says_of_a_connection(said: str, what: str, code: str, advice: str) -> None:
    given = {"host": "db.example.org", "database": "d", "user": "u", "password": "canary"}
    here = object.__new__(sqlserver.SQLServerSession)
    here._params = sqlserver.SQLServerParams.model_validate(given)
    error = Exception(said)
    error.ddbc_error = said  # type: ignore[attr-defined]
    told = here.explained(error, what)
    assert told is not None and (told.code, told.retryable) == (code, True)
    assert advice in told.message


@pytest.mark.parametrize(
    ("key", "module"),
    [
        ("redshift", "adbc_driver_postgresql"),
        ("sqlserver", "mssql_python"),
        ("oracle", "oracledb"),
        ("snowflake", "adbc_driver_snowflake"),
        ("bigquery", "adbc_driver_bigquery"),
    ],
)
def test_a_driver_that_is_not_there_is_told_with_the_command_that_installs_it(
    key: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So Python looks for it in vain, wherever it is installed.
    for each in (module, f"{module}.dbapi"):
        monkeypatch.setitem(sys.modules, each, None)
    beside: dict[str, dict[str, Any]] = {
        "snowflake": {"host": "acme.snowflakecomputing.com"},
        "bigquery": {"schemas": ["s"]},
    }
    given = {"host": "127.0.0.1", "database": "d", "user": "u"} if key != "bigquery" else {"database": "d"}
    here = registry.build(key, {**given, **beside.get(key, {})})
    assert isinstance(here, Warehouse)
    with pytest.raises(ConfigurationError) as caught:
        here.opened("127.0.0.1", 20)
    assert caught.value.code == "driver_missing"
    assert f'pip install "manifold[{key}]"' in caught.value.message
