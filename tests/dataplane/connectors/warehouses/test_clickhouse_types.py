"""Each type of ClickHouse, from its engine to Parquet: nothing changes silently."""

from __future__ import annotations

import pytest

from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.warehouses.clickhouse import ClickHouse, ClickHouseSQL
from dataplane.connectors.warehouses.types import Native
from dataplane.connectors.windows import Window
from dataplane.errors import DataError
from tests.clickhouse_server import ClickHouseServer
from tests.dataplane.connectors.databases import staged

pytestmark = pytest.mark.all

FULL = Window("full")
ZONED = "TIMESTAMP WITH TIME ZONE"

# The server's type, a value as it is written there, the type that arrives, and the value as DuckDB's text.
TYPES = [
    ("Int8", "-128", "TINYINT", "-128"),
    ("Int16", "-32768", "SMALLINT", "-32768"),
    ("Int32", "-2147483648", "INTEGER", "-2147483648"),
    ("Int64", "-9223372036854775808", "BIGINT", "-9223372036854775808"),
    ("UInt8", "255", "UTINYINT", "255"),
    ("UInt16", "65535", "USMALLINT", "65535"),
    ("UInt32", "4294967295", "UINTEGER", "4294967295"),
    ("UInt64", "18446744073709551615", "UBIGINT", "18446744073709551615"),
    ("Int128", "-5", "VARCHAR", "-5"),
    ("Float32", "1.5", "FLOAT", "1.5"),
    ("Float64", "1e-300", "DOUBLE", "1e-300"),
    ("Float64", "nan", "DOUBLE", "nan"),
    ("BFloat16", "1.5", "FLOAT", "1.5"),
    ("Bool", "true", "BOOLEAN", "true"),
    ("Decimal(9, 2)", "'-1234567.89'", "DECIMAL(9,2)", "-1234567.89"),
    ("Decimal(18, 0)", "'123456789012345678'", "DECIMAL(18,0)", "123456789012345678"),
    ("Decimal(76, 10)", "1.5", "VARCHAR", "1.5"),
    ("String", "'gr\u00fc\u00df \\' {}'", "VARCHAR", "gr\u00fc\u00df ' {}"),
    ("LowCardinality(String)", "'one of few'", "VARCHAR", "one of few"),
    ("FixedString(3)", "'US'", "VARCHAR", "US"),
    ("Enum8('a (b' = 1)", "'a (b'", "VARCHAR", "a (b"),
    ("UUID", "'00112233-4455-6677-8899-aabbccddeeff'", "UUID", "00112233-4455-6677-8899-aabbccddeeff"),
    ("Date", "'2149-06-06'", "DATE", "2149-06-06"),
    ("Date32", "'1900-01-01'", "DATE", "1900-01-01"),
    ("DateTime", "'2026-01-01 12:00:00'", ZONED, "2026-01-01 12:00:00+00"),
    ("DateTime('Europe/Berlin')", "'2026-07-01 12:00:00'", ZONED, "2026-07-01 10:00:00+00"),
    ("DateTime64(3)", "'1900-01-01 00:00:00.001'", ZONED, "1900-01-01 00:00:00.001+00"),
    ("DateTime64(6, 'Asia/Kolkata')", "'2026-01-01 00:00:00.123456'", ZONED, "2025-12-31 18:30:00.123456+00"),
    ("DateTime64(9)", "'2026-01-01 00:00:00.123456000'", ZONED, "2026-01-01 00:00:00.123456+00"),
    ("IPv4", "'1.2.3.4'", "VARCHAR", "1.2.3.4"),
    ("IPv6", "'::1'", "VARCHAR", "::1"),
    ("Array(Nullable(String))", "['a', NULL]", "VARCHAR", '["a",null]'),
    ("Map(String, Int8)", "{'a': 1}", "VARCHAR", '{"a":1}'),
    ("Tuple(x Int8, y String)", "(1, 'z')", "VARCHAR", '{"x":1,"y":"z"}'),
    ("JSON", '\'{"a":"b"}\'', "VARCHAR", '{"a":"b"}'),
    ("Point", "(1, 2)", "VARCHAR", "[1,2]"),
]
WARNED = {
    *("Int128", "Decimal(76, 10)", "DateTime64(9)", "IPv4", "IPv6", "Array(Nullable(String))", "Map(String, Int8)"),
    *("Tuple(x Int8, y String)", "JSON", "Point"),
}
NAMES = [f"v{place}" for place in range(len(TYPES))]
# Of these the engine keeps no NULL.
_ALWAYS = ("Array(", "Map(", "Tuple(", "Point", "LowCardinality(")


@pytest.fixture(scope="module")
def source(clickhouse_server: ClickHouseServer) -> ClickHouse:
    columns = ", ".join(
        f"{name} {native}" + ("" if native.startswith(_ALWAYS) else " NULL")
        for name, (native, *_) in zip(NAMES, TYPES, strict=True)
    )
    clickhouse_server.do(
        "CREATE DATABASE types",
        f"CREATE TABLE types.types (place Int32, {columns}) ENGINE = MergeTree ORDER BY place",
        f"INSERT INTO types.types VALUES (1, {', '.join(value for _, value, *_ in TYPES)})",
        "INSERT INTO types.types (place) VALUES (2)",
    )
    return ClickHouse(ClickHouse.Params(**clickhouse_server.params, schemas=("types",)))


@pytest.mark.parametrize("query", [None, "SELECT * FROM types.types"], ids=["table", "query"])
def test_each_type_arrives_whole(source: ClickHouse, query: str | None) -> None:
    stream = StreamConfig("types.types", query=query)
    found = source.describe(stream).columns[1:]
    expected = [type_ for _, _, type_, _ in TYPES]
    assert [each.type for each in found] == expected
    assert [bool(each.warning) for each in found] == [native in WARNED for native, *_ in TYPES]
    assert list(staged(source, stream, FULL, ", ".join(f"typeof({each})" for each in NAMES))[0]) == expected
    first, second = sorted(staged(source, stream, FULL, ", ".join(["place", *(f"{each}::VARCHAR" for each in NAMES)])))
    assert list(first[1:]) == [text for *_, text in TYPES]
    nulls = [name for name, (native, *_) in zip(NAMES, TYPES, strict=True) if not native.startswith(_ALWAYS)]
    assert {second[1:][NAMES.index(each)] for each in nulls} == {None}


def test_a_time_finer_than_microseconds_is_named(source: ClickHouse) -> None:
    query = "SELECT toDateTime64('2026-01-01 00:00:00.123456789', 9) AS fine"
    with pytest.raises(DataError, match="fine of mine holds a time finer than microseconds"):
        staged(source, StreamConfig("mine", query=query), FULL)


def test_wide_decimals_are_asked_for_as_texts() -> None:
    """The trimmed engine that tests use makes no decimals of 128 bits."""
    found = ClickHouseSQL().arrival(Native("c", "Nullable(Decimal(38, 10))"))
    assert (found.type, found.server("c")) == ("DECIMAL(38,10)", "toString(c)")
