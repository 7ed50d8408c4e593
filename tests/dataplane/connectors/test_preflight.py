"""What stands against reading a table by its cursor, at real servers; and its remedies mend it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from dataplane.connectors import registry
from dataplane.connectors.base import Finding
from dataplane.connectors.databases import server
from dataplane.connectors.mysql import MySQL, connector, preflight
from dataplane.connectors.schema import Column, StreamConfig
from tests.dataplane.connectors.databases import params_of
from tests.mariadb import Database


def found(params: dict[str, Any], name: str, cursor: str | None = "at", **more: Any) -> list[Finding]:
    return registry.build("postgresql", params).preflight([StreamConfig(name, cursor=cursor, **more)])


@pytest.fixture
def database(postgres_url: str) -> Any:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE good (id bigint PRIMARY KEY, at timestamptz NOT NULL)")
        connection.execute("CREATE INDEX ON good (at, id)")
        connection.execute('CREATE TABLE "Odd one" (id bigint, at timestamptz)')
        connection.execute('CREATE INDEX half ON "Odd one" (at) WHERE id > 7')
        connection.execute("CREATE TABLE many (at date NOT NULL) PARTITION BY RANGE (at)")
        connection.execute("CREATE VIEW seen AS SELECT * FROM good")
        yield connection


def test_a_table_that_is_fit_has_nothing_against_it(database: Any, postgres_url: str) -> None:
    params = params_of(postgres_url)
    assert found(params, "public.good") == []
    assert found(params, "public.good", "id") == []
    assert found(params, "public.seen") == []
    assert found(params, "public.Odd one", None) == []
    assert found(params, "mine", query="SELECT 1 AS at") == []


def test_a_cursor_or_table_that_no_run_could_read_by_is_told_alone(database: Any, postgres_url: str) -> None:
    database.execute("CREATE TABLE loose (at double precision)")
    params = params_of(postgres_url)
    for name, cursor, code in [
        ("public.loose", "at", "cursor_type"),
        ("public.loose", "when", "column_missing"),
        ("public.gone", "at", "table_missing"),
    ]:
        (against,) = found(params, name, cursor)
        assert (against.stream, against.code, against.remedy) == (name, code, "")
    assert "at of public.loose is double precision, which has no order" in found(params, "public.loose")[0].message


def test_what_one_stream_computes_keeps_no_other_from_being_looked_at(database: Any, postgres_url: str) -> None:
    source = registry.build("postgresql", params_of(postgres_url))
    broken = StreamConfig("broken", cursor="at", query="SELECT 'x'::int AS at")
    against = source.preflight([broken, StreamConfig("public.Odd one", cursor="at")])
    assert [(each.stream, each.code) for each in against] == [
        ("broken", "value"),
        ("public.Odd one", "cursor_nullable"),
        ("public.Odd one", "cursor_unindexed"),
    ]


def test_streams_that_there_is_no_time_for_are_told(
    database: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PREFLIGHT_SECONDS", 0.0)
    (against,) = found(params_of(postgres_url), "public.good")
    assert (against.stream, against.code, against.remedy) == ("public.good", "not_looked_at", "")


def test_each_remedy_mends_what_it_is_told_for(database: Any, postgres_url: str) -> None:
    params = params_of(postgres_url)
    against = found(params, "public.Odd one")
    assert [each.code for each in against] == ["cursor_nullable", "cursor_unindexed"]
    assert against[1].remedy == 'CREATE INDEX CONCURRENTLY ON "public"."Odd one" ("at");'
    against += found(params, "public.many")
    assert against[2].remedy == 'CREATE INDEX ON "public"."many" ("at");'
    for each in against:
        database.execute(each.remedy)
    assert found(params, "public.Odd one") == found(params, "public.many") == []


def test_a_reader_without_rights_is_told_of_each_grant(database: Any, postgres_url: str, superuser_url: str) -> None:
    role = f"reader_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
    try:
        database.execute("CREATE SCHEMA own; CREATE TABLE own.t (id bigint PRIMARY KEY, at date, hidden text)")
        database.execute("ALTER TABLE good ENABLE ROW LEVEL SECURITY")
        database.execute(f"GRANT SELECT ON good TO {role}")
        params = params_of(postgres_url) | {"user": role, "password": "p"}
        secured = found(params, "public.good")
        assert [each.code for each in secured] == ["row_security"]
        missing = found(params, "own.t", "id")
        assert [each.code for each in missing] == ["missing_grant"]
        database.execute(f"GRANT USAGE ON SCHEMA own TO {role}; GRANT SELECT (id) ON own.t TO {role}")
        some = found(params, "own.t", "id")
        assert [each.message for each in some] == [f"{role} may not read at, hidden of own.t."]
        for each in (*secured, *missing, *some):
            database.execute(each.remedy)
        assert found(params, "own.t", "id") == found(params, "public.good") == []
    finally:
        database.execute("DROP POLICY IF EXISTS manifold_reads ON good; DROP SCHEMA IF EXISTS own CASCADE")
        database.execute(f"REVOKE ALL ON good FROM {role}")
        with psycopg.connect(superuser_url, autocommit=True) as superuser:
            superuser.execute(f"DROP ROLE {role}")


@pytest.fixture
def zeros(mysql: Database, monkeypatch: pytest.MonkeyPatch) -> MySQL:
    monkeypatch.setattr(preflight, "ZERO_SECONDS", 20.0)
    monkeypatch.setattr(connector, "_ZEROS_SECONDS", 600.0)
    mysql.do(
        "CREATE TABLE odd (id int, a date, b datetime, `at {}` timestamp NULL, c date)",
        "SET SESSION sql_mode = ''",
        "INSERT INTO odd VALUES (1, '2013-01-01', NULL, NULL, '2013-10-20'),"
        " (2, '0000-00-00', NULL, NULL, '2013-01-01'), (3, '2013-01-01', '2013-00-00 10:00:00', NULL, NULL),"
        " (4, '2013-02-00', '2013-01-01', '0000-00-00 00:00:00', NULL)",
    )
    return MySQL(MySQL.Params(**mysql.params))


def test_dates_of_zeros_are_found_before_a_run_whatever_the_server_allows_now(mysql: Database, zeros: MySQL) -> None:
    (mode,) = mysql.ask("SELECT @@global.sql_mode")
    mysql.do("SET GLOBAL sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'")
    try:
        against = zeros.preflight([StreamConfig("odd")])
    finally:
        mysql.do(f"SET GLOBAL sql_mode = '{mode[0]}'")
    assert {(each.stream, each.code, each.remedy) for each in against} == {("odd", "value", "")}
    held = {"a": "0000-00-00", "b": "2013-00-00 10:00:00", "at {}": "0000-00-00 00:00:00"}
    assert [each.message for each in against] == [
        f"Column {column} of odd holds {value}, which its type cannot hold. Declare {column} as VARCHAR to keep every "
        "value as it is, or leave such rows out with a filter."
        for column, value in held.items()
    ]


def test_dates_of_zeros_that_no_run_would_read_are_not_told(zeros: MySQL) -> None:
    declared = [Column("a", "VARCHAR"), Column("b", "VARCHAR"), Column("at {}", "TIMESTAMP WITH TIME ZONE")]
    texts = StreamConfig("odd", columns=tuple(declared), row_filter="id < 4 OR id > 9")
    assert zeros.preflight([texts, StreamConfig("odd", select=("id", "c"))]) == []
    asked = StreamConfig("mine", query="SELECT a, b FROM odd -- mine")
    assert [each.message[:10] for each in zeros.preflight([asked])] == ["Column a o", "Column b o"]
    assert zeros.preflight([replace(asked, query="SELECT c FROM odd")]) == []


@pytest.mark.all
def test_a_search_for_dates_of_zeros_ends_in_time(zeros: MySQL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "ZERO_SECONDS", 1.0)
    slow = StreamConfig("slow", query="SELECT a FROM odd WHERE sleep(120) = 0")
    assert zeros.preflight([slow]) == []


@pytest.mark.all
def test_mysql_is_looked_at_alike(mysql: Database) -> None:
    mysql.do("CREATE TABLE good (id int PRIMARY KEY, at datetime NOT NULL, KEY (at))")
    mysql.do("CREATE TABLE bad (id int, at datetime) ENGINE = MyISAM", "CREATE VIEW seen AS SELECT * FROM good")
    source = MySQL(MySQL.Params(**mysql.params))
    assert source.preflight([StreamConfig(each, cursor="at") for each in ("good", "seen")]) == []
    against = source.preflight([StreamConfig("bad", cursor="at")])
    assert [each.code for each in against] == ["cursor_nullable", "cursor_unindexed", "no_snapshot"]
    mysql.do(*(each.remedy for each in against))
    assert source.preflight([StreamConfig("bad", cursor="at")]) == []
    gone = source.preflight([StreamConfig("bad", cursor="gone")])
    assert [(each.code, each.remedy) for each in gone] == [("column_missing", "")]
