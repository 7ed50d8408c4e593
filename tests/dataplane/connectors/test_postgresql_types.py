"""Each type of PostgreSQL, from a table to Parquet: nothing changes silently."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from dataplane.connectors.postgresql import PostgreSQL
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Window
from dataplane.engine import connector_instance
from dataplane.errors import DataError, ManifoldError
from tests.dataplane.connectors.databases import connector, staged

FULL = Window("full")

# PostgreSQL's type, a value, the type that arrives, and the value as DuckDB's text.
TYPES = [
    ("smallint", "-32768", "SMALLINT", "-32768"),
    ("integer", "2147483647", "INTEGER", "2147483647"),
    ("bigint", "-9223372036854775808", "BIGINT", "-9223372036854775808"),
    ("real", "1.5", "FLOAT", "1.5"),
    ("double precision", "0.1", "DOUBLE", "0.1"),
    ("double precision", "NaN", "DOUBLE", "nan"),
    ("double precision", "-Infinity", "DOUBLE", "-inf"),
    ("numeric(10,2)", "12345678.91", "DECIMAL(10,2)", "12345678.91"),
    ("numeric(38,10)", "1234567890123456789012345678.0123456789", "DECIMAL(38,10)", None),
    ("numeric(3,5)", "0.00123", "DECIMAL(5,5)", ".00123"),
    ("numeric(10,-2)", "1234500", "DECIMAL(12,0)", "1234500"),
    ("numeric(50,10)", "1.5", "DECIMAL(38,10)", "1.5000000000"),
    ("numeric", "1.10", "DECIMAL(38,10)", "1.1000000000"),
    ("numeric", "123456789012345678901234567890.123", "DECIMAL(38,3)", "123456789012345678901234567890.123"),
    ("numeric", "NaN", "VARCHAR", "NaN"),
    ("numeric", "1" * 60, "VARCHAR", "1" * 60),
    ("boolean", "true", "BOOLEAN", "true"),
    ("text", "naïve ' \" \\ 漢字", "VARCHAR", "naïve ' \" \\ 漢字"),
    ("varchar(5)", "ab", "VARCHAR", "ab"),
    ("char(5)", "ab", "VARCHAR", "ab"),
    ('"char"', "x", "VARCHAR", "x"),
    ("name", "nm", "VARCHAR", "nm"),
    ("bytea", r"\x00ff", "BLOB", r"\x00\xFF"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "UUID", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("date", "2013-06-01", "DATE", "2013-06-01"),
    ("date", "infinity", "DATE", "infinity"),
    ("date", "4713-01-01 BC", "DATE", "4713-01-01 (BC)"),
    ("timestamp", "2013-06-01 12:34:56.789012", "TIMESTAMP", "2013-06-01 12:34:56.789012"),
    ("timestamp", "-infinity", "TIMESTAMP", "-infinity"),
    ("timestamptz", "2013-06-01 12:00:00+05", "TIMESTAMP WITH TIME ZONE", "2013-06-01 07:00:00+00"),
    ("timestamptz", "infinity", "TIMESTAMP WITH TIME ZONE", "infinity"),
    ("time", "24:00:00", "TIME", "24:00:00"),
    ("timetz", "10:00:00+05:30", "VARCHAR", "10:00:00+05:30"),
    ("interval", "-1 mon 2 days 03:04:05.678901", "VARCHAR", "-1 mons +2 days 03:04:05.678901"),
    ("json", '{"a":  1}', "VARCHAR", '{"a":  1}'),
    ("jsonb", '{"a": 1}', "VARCHAR", '{"a": 1}'),
    ("integer[]", "{1,NULL,3}", "INTEGER[]", "[1, NULL, 3]"),
    ("text[]", "{a,b c}", "VARCHAR[]", "[a, b c]"),
    ("integer[][]", "{{1,2},{3,4}}", "VARCHAR", "[[1, 2], [3, 4]]"),
    ("numeric[]", "{1.5}", "VARCHAR", "[1.5]"),
    ("mood", "ok", "VARCHAR", "ok"),
    ("mood[]", "{ok,sad}", "VARCHAR", '["ok", "sad"]'),
    ("positive", "4", "INTEGER", "4"),
    ("amount", "1.25", "DECIMAL(10,2)", "1.25"),
    ("label", "a", "VARCHAR", "a"),
    ("pair", "(1,x)", "VARCHAR", '{"a": 1, "b": "x"}'),
    ("money", "12.34", "DECIMAL(22,4)", "12.3400"),
    ("int4range", "[1,5)", "VARCHAR", "[1,5)"),
    ("tstzrange", "[2020-01-01 00:00+01,)", "VARCHAR", '["2019-12-31 23:00:00+00",)'),
    ("inet", "10.0.0.1/24", "VARCHAR", "10.0.0.1/24"),
    ("macaddr", "08:00:2b:01:02:03", "VARCHAR", "08:00:2b:01:02:03"),
    ("bit(4)", "1010", "VARCHAR", "1010"),
    ("point", "(1,2)", "VARCHAR", "(1,2)"),
    ("xml", "<a/>", "VARCHAR", "<a/>"),
    ("tsvector", "a b", "VARCHAR", "'a' 'b'"),
    ("oid", "4294967295", "BIGINT", "4294967295"),
    ("pg_lsn", "16/B374D848", "VARCHAR", "16/B374D848"),
]
# What does not arrive in a type of its own kind says so.
WARNED = {
    "timetz", "interval", "integer[][]", "numeric[]", "mood[]", "pair", "money", "int4range", "tstzrange", "inet",
    "macaddr", "bit(4)", "point", "xml", "tsvector", "pg_lsn", "numeric", "numeric(50,10)",
}  # fmt: skip


# What DuckDB's scanner brings over by itself, in parallel; a table with any other column is read by a query.
SCANNED = [
    place
    for place, (native, *_) in enumerate(TYPES)
    if native not in (WARNED - {"int4range", "tstzrange", "inet", "macaddr", "bit(4)", "xml", "tsvector", "pg_lsn"})
    and native not in ("numeric(3,5)", "numeric(10,-2)", "positive", "amount", "label", "oid")
]


@dataclass(frozen=True)
class Arrived:
    """What one read has brought: the columns as discovered, and types and texts of the rows as they lie in Parquet."""

    columns: dict[str, Column]
    types: dict[str, str]
    first: dict[str, str | None]
    second: dict[str, str | None]
    scanned: bool


@pytest.fixture(scope="module")
def arrived(module_postgres_url: str) -> dict[str, Arrived]:
    """Every type read by table, by query, and, where it can be, by the scanner: a row of values and one of NULLs."""
    names = [f"v{place}" for place in range(len(TYPES))]
    with psycopg.connect(module_postgres_url, autocommit=True) as database:
        for statement in (
            "CREATE TYPE mood AS ENUM ('sad', 'ok')",
            "CREATE TYPE pair AS (a int, b text)",
            "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
            "CREATE DOMAIN amount AS numeric(10,2)",
            "CREATE DOMAIN label AS text",
        ):
            database.execute(statement)
        for table, places in (("every", range(len(TYPES))), ("fast", SCANNED)):
            columns = ", ".join(f"v{place} {TYPES[place][0]}" for place in places)
            values = sql.SQL(", ").join(sql.Literal(TYPES[place][1]) for place in places)
            database.execute(f"CREATE TABLE {table} (place int, {columns})")
            database.execute(sql.SQL("INSERT INTO {} VALUES (1, {})").format(sql.Identifier(table), values))
            database.execute(f"INSERT INTO {table} (place) VALUES (2)")
    source = connector(module_postgres_url)
    every, fast = (
        {each.name: each for each in info.columns} for info in sorted(source.discover(), key=lambda info: info.name)
    )
    query = StreamConfig("mine", query="SELECT * FROM every -- a comment;", columns=tuple(every.values()))
    assert set(names) < set(every)
    return {
        "table": _arrived(source, StreamConfig("public.every"), every),
        "query": _arrived(source, query, every),
        "scanner": _arrived(source, StreamConfig("public.fast"), fast),
    }


def _arrived(source: PostgreSQL, stream: StreamConfig, columns: dict[str, Column]) -> Arrived:
    names = [name for name in columns if name != "place"]
    types, texts = (
        ", ".join(f"{how.format(name)} AS {name}" for name in names) for how in ("typeof({})", "{}::VARCHAR")
    )
    first, second = sorted(staged(source, stream, FULL, f"place, {texts}"))
    (kinds, _) = staged(source, stream, FULL, types)
    with (
        connector_instance(extensions=PostgreSQL.extensions, threads=1) as duck,
        source.read(stream, FULL, duck) as reading,
    ):
        scanned = "postgres_query" not in reading.query
    return Arrived(
        columns,
        dict(zip(names, kinds, strict=True)),
        dict(zip(names, first[1:], strict=True)),
        dict(zip(names, second[1:], strict=True)),
        scanned,
    )


CASES = [(way, place) for way in ("table", "query") for place in range(len(TYPES))] + [("scanner", p) for p in SCANNED]


@pytest.mark.parametrize(("way", "place"), CASES, ids=[f"{w} {TYPES[p][0]} {TYPES[p][1][:12]}" for w, p in CASES])
def test_it_arrives_as_it_was(arrived: dict[str, Arrived], way: str, place: int) -> None:
    native, value, type_, text = TYPES[place]
    found, name = arrived[way], f"v{place}"
    assert (found.types[name], found.first[name]) == (type_, value if text is None else text)
    assert found.second[name] is None
    assert found.columns[name].type == type_
    assert bool(found.columns[name].warning) == (native in WARNED), found.columns[name].warning
    assert found.scanned == (way == "scanner")


@pytest.mark.parametrize("way", ["scanner", "query"])
def test_a_nan_in_a_bounded_numeric_is_named_and_never_becomes_a_number(postgres_url: str, way: str) -> None:
    _table(postgres_url, "CREATE TABLE n (price numeric(10,2)); INSERT INTO n VALUES (1), ('NaN'), (0)")
    stream = StreamConfig("public.n", row_filter="true" if way == "query" else None)
    with pytest.raises(DataError, match=r"Column price of public\.n holds NaN") as caught:
        staged(connector(postgres_url), stream, FULL)
    assert caught.value.code == "number_out_of_range"


@pytest.mark.parametrize("way", ["scanner", "query"])
def test_a_time_that_would_arrive_as_another_is_refused(postgres_url: str, way: str) -> None:
    _table(
        postgres_url,
        "CREATE TABLE late (a timestamp, b timestamptz); INSERT INTO late VALUES "
        "('4713-01-01 BC', '-infinity'), ('294247-01-10 04:00:54.775806', 'infinity')",
    )
    stream = StreamConfig("public.late", row_filter="true" if way == "query" else None)
    first, second = "4713-01-01 (BC) 00:00:00", "294247-01-10 04:00:54.775806"
    read = staged(connector(postgres_url), stream, FULL, "CAST(a AS VARCHAR), CAST(b AS VARCHAR)")
    assert read == [(first, "-infinity"), (second, "infinity")]
    _table(postgres_url, "INSERT INTO late (b) VALUES ('294276-12-31 23:59:59+00')")
    with pytest.raises(DataError, match=r"Column b of public\.late holds a time after 294247-01-10"):
        staged(connector(postgres_url), stream, FULL)
    kept = StreamConfig("public.late", columns=(Column("b", "VARCHAR"),))
    assert ("294276-12-31 23:59:59+00",) in staged(connector(postgres_url), kept, FULL, "b")


@pytest.mark.parametrize(("type_", "text"), [("VARCHAR", "NaN"), ("DOUBLE", "nan")])
def test_a_nan_is_kept_by_the_declared_type_that_the_refusal_names(postgres_url: str, type_: str, text: str) -> None:
    _table(postgres_url, "CREATE TABLE n (price numeric(10,2)); INSERT INTO n VALUES ('NaN')")
    stream = StreamConfig("public.n", columns=(Column("price", type_),))
    assert staged(connector(postgres_url), stream, FULL, "typeof(price), CAST(price AS VARCHAR)") == [(type_, text)]


def test_a_number_that_outgrows_the_sample_is_named(postgres_url: str) -> None:
    _table(postgres_url, "CREATE TABLE n (x numeric); INSERT INTO n VALUES (1.5)")
    source = connector(postgres_url)
    (info,) = source.discover()
    _table(postgres_url, "INSERT INTO n VALUES (0.12345678901)")
    with pytest.raises(DataError, match=r"Column x of public.n holds 0.12345678901"):
        staged(source, StreamConfig(info.name, columns=info.columns), FULL)


def test_an_array_of_more_dimensions_than_declared_is_refused_with_a_remedy(postgres_url: str) -> None:
    _table(postgres_url, "CREATE TABLE a (v int[]); INSERT INTO a VALUES ('{{1,2},{3,4}}')")
    with pytest.raises(DataError, match="Declare the column as VARCHAR"):
        staged(connector(postgres_url), StreamConfig("public.a"), FULL)
    kept = staged(connector(postgres_url), StreamConfig("public.a", columns=(Column("v", "VARCHAR"),)), FULL)
    assert kept == [("[[1, 2], [3, 4]]",)]


@pytest.mark.parametrize("type_", ["INTEGER); DROP TABLE a; --", "nonsense(", "'x'"])
def test_a_declared_type_that_is_none_is_refused(postgres_url: str, type_: str) -> None:
    _table(postgres_url, "CREATE TABLE a (v int)")
    with pytest.raises(ManifoldError) as caught:
        staged(connector(postgres_url), StreamConfig("public.a", columns=(Column("v", type_),)), FULL)
    assert caught.value.code == "type_unknown"


def _numbers(places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(allow_nan=False, allow_infinity=False, places=places, min_value=-(10**23), max_value=10**23)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([2, 8, 12]).flatmap(lambda places: st.lists(_numbers(places), min_size=1, max_size=8)))
def test_a_numeric_arrives_exactly_or_not_at_all(postgres_url: str, numbers: list[Decimal]) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("CREATE TABLE IF NOT EXISTS n (x numeric); TRUNCATE n")
        database.cursor().executemany("INSERT INTO n VALUES (%s)", [(each,) for each in numbers])
    declared = StreamConfig("public.n", columns=(Column("x", "DECIMAL(30,8)"),))
    fits = all(abs(each) < 10**22 and (Fraction(each) * 10**8).denominator == 1 for each in numbers)
    if fits:
        assert sorted(staged(connector(postgres_url), declared, FULL)) == sorted((each,) for each in numbers)
    else:
        with pytest.raises(DataError, match=r"Column x of public\.n holds"):
            staged(connector(postgres_url), declared, FULL)
    as_text = StreamConfig("public.n", columns=(Column("x", "VARCHAR"),))
    assert sorted(Decimal(text) for (text,) in staged(connector(postgres_url), as_text, FULL)) == sorted(numbers)


def _table(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(statements)
