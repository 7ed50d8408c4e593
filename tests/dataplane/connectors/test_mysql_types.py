"""Each type of MySQL and MariaDB, from a table to Parquet: nothing changes silently."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from dataplane.connectors.mysql import MySQL
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Window
from dataplane.errors import DataError
from dataplane.steps.extract import ExtractSpec, ExtractStep
from tests.dataplane.connectors.databases import staged
from tests.dataplane.steps.files_source import context
from tests.mariadb import Database

pytestmark = pytest.mark.all

FULL = Window("full")
DIGITS = "12345678901234567890123456789012345678"

# The server's type, a value as it is written there, the type that arrives, and the value as DuckDB's text.
TYPES = [
    ("tinyint", "-128", "TINYINT", "-128"),
    ("tinyint(1)", "5", "TINYINT", "5"),
    ("tinyint unsigned", "255", "UTINYINT", "255"),
    ("smallint", "-32768", "SMALLINT", "-32768"),
    ("smallint unsigned", "65535", "USMALLINT", "65535"),
    ("mediumint", "-8388608", "INTEGER", "-8388608"),
    ("mediumint unsigned", "16777215", "UINTEGER", "16777215"),
    ("int", "-2147483648", "INTEGER", "-2147483648"),
    ("int(8) zerofill", "42", "UINTEGER", "42"),
    ("int unsigned", "4294967295", "UINTEGER", "4294967295"),
    ("bigint", "-9223372036854775808", "BIGINT", "-9223372036854775808"),
    ("bigint unsigned", "18446744073709551615", "UBIGINT", "18446744073709551615"),
    ("float", "1.5", "FLOAT", "1.5"),
    ("double", "1e-300", "DOUBLE", "1e-300"),
    ("double unsigned", "0.1e0", "DOUBLE", "0.1"),
    ("decimal(10,2)", "-12345678.91", "DECIMAL(10,2)", "-12345678.91"),
    ("decimal(10,0)", "-1234567890", "DECIMAL(10,0)", "-1234567890"),
    ("decimal(10,2) unsigned", "12345678.91", "DECIMAL(10,2)", "12345678.91"),
    ("decimal(8,3) zerofill", "1.5", "DECIMAL(8,3)", "1.500"),
    (
        "decimal(38,38)",
        f"0.{DIGITS}",
        "DECIMAL(38,38)",
        f".{DIGITS}",
    ),
    ("decimal(38,0)", DIGITS, "DECIMAL(38,0)", DIGITS),
    (
        "decimal(65,30)",
        "12345678901234567890123456789012345.123456789",
        "VARCHAR",
        "12345678901234567890123456789012345.123456789000000000000000000000",
    ),
    ("bit(1)", "b'1'", "BOOLEAN", "true"),
    ("bit(10)", "b'1010101010'", "UBIGINT", "682"),
    ("bit(64)", "0xFFFFFFFFFFFFFFFF", "UBIGINT", "18446744073709551615"),
    ("boolean", "true", "TINYINT", "1"),
    ("date", "'1000-01-01'", "DATE", "1000-01-01"),
    ("date", "'9999-12-31'", "DATE", "9999-12-31"),
    ("datetime", "'2024-02-29 12:34:56'", "TIMESTAMP", "2024-02-29 12:34:56"),
    ("datetime(6)", "'9999-12-31 23:59:59.999999'", "TIMESTAMP", "9999-12-31 23:59:59.999999"),
    ("datetime(3)", "'1000-01-01 00:00:00.001'", "TIMESTAMP", "1000-01-01 00:00:00.001"),
    ("timestamp(6) NULL", "'2024-06-01 12:00:00.5'", "TIMESTAMP WITH TIME ZONE", "2024-06-01 06:30:00.5+00"),
    ("time(3)", "'-838:59:59.5'", "VARCHAR", "-838:59:59.500"),
    ("time", "'838:59:59'", "VARCHAR", "838:59:59"),
    ("year", "1901", "SMALLINT", "1901"),
    ("year", "0", "SMALLINT", "0"),
    ("char(5)", "'ab '", "VARCHAR", "ab"),
    ("varchar(20)", "'it''s \\\\ \"x\" 😀 '", "VARCHAR", 'it\'s \\ "x" 😀 '),
    ("varchar(9) character set latin1", "'é€'", "VARCHAR", "é€"),
    ("varchar(9) character set ucs2", "'漢字'", "VARCHAR", "漢字"),
    ("varchar(9) collate utf8mb4_bin", "'É'", "VARCHAR", "É"),
    ("varchar(9) character set latin1 collate latin1_bin", "'É'", "VARCHAR", "É"),
    ("tinytext", "''", "VARCHAR", ""),
    ("longtext", "'a\\0b'", "VARCHAR", "a\0b"),
    ("enum('a','é')", "'é'", "VARCHAR", "é"),
    ("set('x','y','z')", "'z,x'", "VARCHAR", "x,z"),
    ("json", "'{\"a\":  1}'", "VARCHAR", '{"a":  1}'),
    ("binary(4)", "'ab'", "BLOB", "ab\\x00\\x00"),
    ("varbinary(9)", "0x00ff", "BLOB", "\\x00\\xFF"),
    ("longblob", "0x00ff41", "BLOB", "\\x00\\xFFA"),
    ("uuid", "'123E4567-e89b-12d3-a456-426614174000'", "UUID", "123e4567-e89b-12d3-a456-426614174000"),
    ("inet4", "'10.0.0.1'", "VARCHAR", "10.0.0.1"),
    ("inet6", "'::1'", "VARCHAR", "::1"),
    ("point", "ST_GeomFromText('POINT(1 2)', 4326)", "BLOB", ""),
    ("geometry", "ST_GeomFromText('POINT(1 2)')", "BLOB", ""),
]
SHAPES = {"point", "geometry"}
# What does not arrive in a type of its own kind says so.
WARNED = {"tinyint(1)", "boolean", "decimal(65,30)", "time", "time(3)", "inet4", "inet6", *SHAPES}


@dataclass(frozen=True)
class Arrived:
    """What one read has brought: the columns as discovered, and types and texts of the rows as they lie in Parquet."""

    columns: dict[str, Column]
    types: dict[str, str]
    first: dict[str, str | None]
    second: dict[str, str | None]


NAMES = [f"v{place}" for place in range(len(TYPES))]


@pytest.fixture(scope="module")
def arrived(module_mysql: Database) -> dict[str, Arrived]:
    """Every type read by table and by query: a row of values and one of NULLs."""
    columns = ", ".join(f"{name} {native}" for name, (native, *_) in zip(NAMES, TYPES, strict=True))
    values = ", ".join(value for _, value, *_ in TYPES)
    module_mysql.do(
        f"CREATE TABLE types (place int PRIMARY KEY, {columns}) ROW_FORMAT=DYNAMIC",
        f"INSERT INTO types VALUES (1, {values})",
        "INSERT INTO types (place) VALUES (2)",
    )
    source = MySQL(MySQL.Params(**module_mysql.params))
    found = {each.name: each for each in source.discover()[0].columns}
    read = {}
    for way, stream in {
        "table": StreamConfig("types"),
        "query": StreamConfig("q", query="SELECT * FROM types"),
    }.items():
        types = staged(source, stream, FULL, ", ".join(f"typeof({each})" for each in NAMES))[0]
        rows = staged(source, stream, FULL, ", ".join(["place", *(f"{each}::VARCHAR" for each in NAMES)]))
        first, second = sorted(rows)
        read[way] = Arrived(
            found,
            dict(zip(NAMES, types, strict=True)),
            dict(zip(NAMES, first[1:], strict=True)),
            dict(zip(NAMES, second[1:], strict=True)),
        )
    return read


@pytest.mark.parametrize("place", range(len(TYPES)), ids=[f"{native} {value}" for native, value, *_ in TYPES])
def test_a_type_arrives_whole(arrived: dict[str, Arrived], place: int) -> None:
    native, _, type_, text = TYPES[place]
    name = NAMES[place]
    table = arrived["table"]
    assert (table.columns[name].type, table.types[name]) == (type_, type_)
    if native not in SHAPES:
        assert table.first[name] == text
    assert table.second[name] is None
    assert bool(table.columns[name].warning) == (native in WARNED)


@pytest.mark.parametrize("place", range(len(TYPES)), ids=[f"{native} {value}" for native, value, *_ in TYPES])
def test_a_query_brings_the_same(arrived: dict[str, Arrived], place: int) -> None:
    """A result does not say that a text is a UUID, or that a number is a yes or no; all else is as from the table."""
    name = NAMES[place]
    assert arrived["query"].first[name] == arrived["table"].first[name]
    assert arrived["query"].second[name] is None


def test_a_geometry_is_well_known_binary(arrived: dict[str, Arrived]) -> None:
    shapes = [name for name, (native, *_) in zip(NAMES, TYPES, strict=True) if native in SHAPES]
    for name in shapes:
        told = arrived["table"].first[name] or ""
        assert told.startswith("\\x01\\x01\\x00\\x00\\x00"), "little endian, a point"


@pytest.fixture
def odd(mysql: Database) -> MySQL:
    mysql.do(
        "SET SESSION sql_mode = ''",
        "CREATE TABLE odd (id int, day date, moment datetime, `at {}` timestamp NULL, big decimal(65,30),"
        " n tinyint(1))",
        "INSERT INTO odd VALUES (1, '0000-00-00', '2024-00-10 00:00:00', '0000-00-00 00:00:00', 1.25, 2)",
    )
    return MySQL(MySQL.Params(**mysql.params))


@pytest.mark.parametrize(
    ("column", "type_", "said"),
    [
        ("day", "DATE", "0000-00-00"),
        ("moment", "TIMESTAMP", "2024-00-10 00:00:00"),
        ("at {}", "TIMESTAMP WITH TIME ZONE", "0000-00-00 00:00:00"),
        ("n", "BOOLEAN", "2"),
        ("big", "DECIMAL(10,1)", "1.250000000000000000000000000000"),
        ("big", "BIGINT", "1.250000000000000000000000000000"),
    ],
)
def test_a_value_that_does_not_fit_is_named(tmp_path: Path, odd: MySQL, column: str, type_: str, said: str) -> None:
    stream = StreamConfig("odd", columns=(Column(column, type_),))
    step = context(tmp_path, connector=odd, stream=stream, window=FULL)
    with pytest.raises(DataError) as caught:
        ExtractStep.run(step, ExtractSpec(source="s", stream="odd", mode="full_refresh"))
    assert caught.value.code == "value"
    assert caught.value.evidence["value"] == said
    assert caught.value.evidence["column"].startswith(column[:2])


@pytest.mark.parametrize(
    ("column", "type_", "value"),
    [
        ("day", "VARCHAR", "0000-00-00"),
        ("moment", "text", "2024-00-10 00:00:00"),
        ("big", "DECIMAL(10, 2)", "1.25"),
        ("big", "DOUBLE", "1.25"),
        ("n", "INTEGER", "2"),
        ("id", "BOOLEAN", "true"),
        ("id", "VARCHAR", "1"),
    ],
)
def test_a_column_may_be_declared(odd: MySQL, column: str, type_: str, value: str) -> None:
    stream = StreamConfig("odd", columns=(Column(column, type_),))
    assert staged(odd, stream, FULL, f"{column}::VARCHAR") == [(value,)]


def test_a_time_may_be_declared_as_one(mysql: Database) -> None:
    mysql.do("CREATE TABLE t (a time(6))", "INSERT INTO t VALUES ('23:59:59.999999')")
    stream = StreamConfig("t", columns=(Column("a", "TIME"),))
    source = MySQL(MySQL.Params(**mysql.params))
    assert staged(source, stream, FULL, "a::VARCHAR, typeof(a)") == [("23:59:59.999999", "TIME")]
    mysql.do("INSERT INTO t VALUES ('25:00:00')")
    with pytest.raises(DataError, match=r"25:00:00\.000000"):
        staged(source, stream, FULL)
