"""Redshift, at a PostgreSQL server: the wire, the driver, the cursor and the standard's catalogue are the same.

What only Redshift has (SUPER, VARBYTE, its own catalogue) is tested down to the SQL that is sent.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dataplane.connectors.base import Stage
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.warehouses.redshift import Redshift, RedshiftSQL
from dataplane.connectors.warehouses.types import Native
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ConfigurationError, DataError, ManifoldError
from tests.certificates import self_signed, tls_before
from tests.dataplane.connectors.databases import params_of, read_as_it_grows, staged

FULL = Window("full")

# The server's type, a value as it is written there, the type that arrives, and the value as DuckDB's text.
TYPES = [
    ("smallint", "-32768", "SMALLINT", "-32768"),
    ("integer", "-2147483648", "INTEGER", "-2147483648"),
    ("bigint", "-9223372036854775808", "BIGINT", "-9223372036854775808"),
    ("real", "1.5", "FLOAT", "1.5"),
    ("double precision", "1e-300", "DOUBLE", "1e-300"),
    ("double precision", "'NaN'", "DOUBLE", "nan"),
    ("boolean", "true", "BOOLEAN", "true"),
    (
        "numeric(38,10)",
        "-1234567890123456789012345678.0123456789",
        "DECIMAL(38,10)",
        "-1234567890123456789012345678.0123456789",
    ),
    ("numeric(4,0)", "1234", "DECIMAL(4,0)", "1234"),
    ("varchar(20)", "'gr\u00fc\u00df '' \\ {}'", "VARCHAR", "gr\u00fc\u00df ' \\ {}"),
    ("char(4)", "'ab'", "VARCHAR", "ab  "),
    ("date", "'0001-01-01'", "DATE", "0001-01-01"),
    ("timestamp", "'9999-12-31 23:59:59.999999'", "TIMESTAMP", "9999-12-31 23:59:59.999999"),
    ("timestamptz", "'2026-07-01 12:00:00.5+02'", "TIMESTAMP WITH TIME ZONE", "2026-07-01 10:00:00.5+00"),
    ("time", "'23:59:59.999999'", "TIME", "23:59:59.999999"),
    ("timetz", "'12:00:00+02'", "VARCHAR", "12:00:00+02"),
]
WARNED = {"timetz"}
NAMES = [f"v{place}" for place in range(len(TYPES))]


@pytest.fixture
def types(postgres_url: str) -> str:
    columns = ", ".join(f"{name} {native}" for name, (native, *_) in zip(NAMES, TYPES, strict=True))
    execute(postgres_url, f"CREATE TABLE types (place int PRIMARY KEY, {columns})")
    execute(postgres_url, f"INSERT INTO types VALUES (1, {', '.join(value for _, value, *_ in TYPES)})")
    execute(postgres_url, "INSERT INTO types (place) VALUES (2)")
    return postgres_url


def execute(url: str, statement: str, *given: Any) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement, given or None)


def source(url: str, **changes: Any) -> Redshift:
    return Redshift(Redshift.Params(**{**params_of(url), "sslmode": "disable", **changes}))


def test_each_type_arrives_whole(types: str) -> None:
    here = source(types)
    (info,) = here.discover()
    stream = StreamConfig(info.name, settings=info.settings)
    expected = [type_ for _, _, type_, _ in TYPES]
    assert [each.type for each in info.columns[1:]] == expected
    assert [bool(each.warning) for each in info.columns[1:]] == [native in WARNED for native, *_ in TYPES]
    assert list(staged(here, stream, FULL, ", ".join(f"typeof({each})" for each in NAMES))[0]) == expected
    first, second = sorted(staged(here, stream, FULL, ", ".join(["place", *(f"{each}::VARCHAR" for each in NAMES)])))
    assert list(first[1:]) == [text for *_, text in TYPES]
    assert set(second[1:]) == {None}


def test_a_connection_is_tested_and_read(types: str) -> None:
    here = source(types)
    assert [(each.name, each.ok) for each in here.test()] == [
        (name, True) for name in ("resolve", "connect", "authenticate", "list", "read a row")
    ]
    assert here.discover()[0].primary_key == ("place",)
    assert here.preview(StreamConfig("public.types", select=("v0",)), 1).to_pylist() == [{"v0": -32768}]
    query = StreamConfig("mine", query="SELECT place + 1 AS n, v13 AS moment FROM types -- all of them")
    assert [each.type for each in here.describe(query).columns] == ["INTEGER", "TIMESTAMP WITH TIME ZONE"]
    assert sorted(staged(here, query, FULL, "n")) == [(2,), (3,)]


def test_many_rows_come_in_several_fetches_and_new_ones_by_a_cursor(postgres_url: str) -> None:
    execute(postgres_url, "CREATE TABLE ticks (id bigint, at timestamp)")
    moments = "timestamp '2026-01-01' + n * interval '1 second'"
    grown = f"INSERT INTO ticks SELECT n, {moments} FROM generate_series(%s::int, %s::int) n"
    execute(postgres_url, grown, 1, 25_000)
    here, stream = source(postgres_url), StreamConfig("public.ticks", cursor="at", lookback=2.5)
    first = here.plan(stream, "incremental", Mark()).window
    assert first is not None
    assert staged(here, stream, first, "count(*), sum(id)") == [(25_000, 312_512_500)]
    mark = Mark(upper=first.upper, boundary_rows=3)
    assert here.plan(stream, "incremental", mark).window is None
    execute(postgres_url, grown, 25_001, 25_003)
    more = here.plan(stream, "incremental", mark).window
    assert more is not None
    assert (more.reread_from, more.upper) == ("2026-01-01 06:56:37.5", "2026-01-01 06:56:43")
    assert (staged(here, stream, more, "min(id), max(id)"), here.count(stream, more)) == ([(24_998, 25_003)], 3)


def test_declared_types_are_kept_or_the_value_is_named(postgres_url: str) -> None:
    execute(postgres_url, "CREATE TABLE sums (a numeric, b varchar(30))")
    execute(postgres_url, "INSERT INTO sums VALUES (12.50, '2026-01-01 00:00:00.123456')")
    here = source(postgres_url)
    (info,) = here.discover()
    assert info.columns[0].type == "VARCHAR"

    def read(a: str, b: str) -> list[tuple[Any, ...]]:
        columns = tuple(type(each)(each.name, given) for each, given in zip(info.columns, (a, b), strict=True))
        return staged(here, StreamConfig(info.name, columns=columns), FULL, "a::VARCHAR, typeof(a), b::VARCHAR")

    assert read("DECIMAL(9,1)", "TIMESTAMP") == [("12.5", "DECIMAL(9,1)", "2026-01-01 00:00:00.123456")]
    for a, b, named in (("INTEGER", "VARCHAR", "12.50"), ("VARCHAR", "DATE", "2026-01-01 00:00:00.123456")):
        with pytest.raises(DataError, match=named):
            read(a, b)
    with pytest.raises(ConfigurationError) as caught:
        read("GEOMETRY", "VARCHAR")
    assert caught.value.code == "type_unknown"


def test_a_text_is_a_cursor_by_its_bytes(postgres_url: str) -> None:
    execute(postgres_url, "CREATE DOMAIN varbyte AS bytea")
    execute(postgres_url, "CREATE TABLE texts (c varchar(9))")

    def insert(value: str) -> None:
        execute(postgres_url, "INSERT INTO texts VALUES (%s)", value)

    values = ["", "B", "Z'", "a", "a ", "a+00", "\u00e9"]
    read_as_it_grows(source(postgres_url), StreamConfig("public.texts", cursor="c"), insert, values)


@pytest.mark.parametrize(
    ("changes", "stage", "code"),
    [
        ({"password": "canary-of-mine"}, "authenticate", "authentication"),
        ({"database": "nowhere"}, "authenticate", "database_missing"),
        ({"sslmode": "require"}, "authenticate", "encryption"),
        ({"host": "169.254.169.254"}, "resolve", "address_refused"),
        ({"schemas": ("none",)}, "list", "nothing_to_read"),
    ],
    ids=["password", "database", "encryption", "metadata", "nothing"],
)
def test_each_stage_fails_in_its_own_words(types: str, changes: dict[str, Any], stage: str, code: str) -> None:
    *_, last = source(types, **changes).test()
    assert last.error is not None
    assert (last.name, last.error.code) == (stage, code), last.error.message
    assert "canary" not in f"{last.error.message}{last.error.evidence}"


def test_what_the_server_says_of_a_sign_in_is_told_whole(types: str) -> None:
    *_, last = source(types, user='a\': "b": failed: c').test()
    assert last.error is not None
    assert last.error.evidence["server"].endswith('authentication failed for user "a\': "b": failed: c"')


def test_the_certificate_and_the_name_on_it_are_checked(
    types: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, at = tmp_path / "own.pem", params_of(types)
    self_signed(own, "localhost")
    with tls_before(at["host"], at["port"], own, postgresql=True) as port:

        def last(host: str) -> Stage:
            *_, found = source(types, host=host, port=port, sslmode="verify-full").test()
            return found

        unknown = last("localhost").error
        monkeypatch.setenv("SSL_CERT_FILE", str(own))
        known, elsewhere = last("localhost"), last("127.0.0.1").error
    assert unknown is not None and unknown.code == "encryption"
    assert "certificate verify failed" in unknown.message
    assert (known.name, known.ok) == ("read a row", True), known.error
    assert elsewhere is not None and elsewhere.code == "encryption"


def test_a_session_that_cannot_be_set_up_leaves_no_connection(types: str) -> None:
    here = source(types)
    with pytest.raises(ManifoldError) as caught:
        # No statement may be limited to so long, so the first SET is refused.
        here.opened("127.0.0.1", 1e9)
    assert caught.value.code == "statement_refused"
    held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'manifold'"
    end = time.monotonic() + 60
    with closing(here.opened("127.0.0.1", 20)) as session:
        while (found := session.one(held, "it")) != 1 and time.monotonic() < end:
            time.sleep(0.05)
    assert found == 1


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT nothing FROM types", "column_missing"),
        ("SELECT * FROM nowhere", "table_missing"),
        ("SELECT 1 / (place - 1) AS n FROM types", "statement_refused"),
        ("SELECT 1 AS n; DROP TABLE types", "query_syntax"),
        ("SELECT setval('pg_catalog.x', 1)", "table_missing"),
        ("SELECT lo_create(0) AS n", "query_writes"),
    ],
)
def test_what_is_refused_says_why(types: str, query: str, code: str) -> None:
    with pytest.raises(ManifoldError) as caught:
        staged(source(types), StreamConfig("mine", query=query), FULL)
    assert caught.value.code == code, caught.value.message


@pytest.mark.parametrize(
    ("native", "server", "local"),
    [
        ("super", 'JSON_SERIALIZE("c")', "x"),
        ("binary varying", "FROM_VARBYTE(\"c\", 'hex')", "unhex(x)"),
        ("geometry", 'CAST("c" AS varchar)', "x"),
    ],
)
def test_what_only_redshift_has_is_asked_for_in_its_words(native: str, server: str, local: str) -> None:
    found = RedshiftSQL().arrival(Native("c", native))
    assert (found.server('"c"'), found.local("x")) == (server, local)
