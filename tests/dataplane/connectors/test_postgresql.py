"""The PostgreSQL connector against a real server: what it finds, what it refuses and how it says so."""

from __future__ import annotations

import random
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from dataplane.connectors.base import Connector
from dataplane.connectors.fields import secret_names
from dataplane.connectors.postgresql import PostgreSQL
from dataplane.connectors.postgresql.faults import refused_connection
from dataplane.connectors.registry import build, get
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance, write_parquet
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from dataplane.storage import Storage
from tests.dataplane.connectors.databases import connector, params_of, staged
from tests.dataplane.connectors.unheard import unheard
from tests.dataplane.interrupting import interrupted

FULL = Window("full")
FLIGHTS = StreamConfig("public.flights")


@pytest.fixture
def url(postgres_url: str) -> str:
    """A database with a table, a view, a materialised view, and a schema that is none of our business."""
    run(
        postgres_url,
        """
        CREATE TABLE flights (id bigint PRIMARY KEY, carrier text NOT NULL, seen_at timestamptz NOT NULL, note text);
        INSERT INTO flights SELECT g, 'AA', timestamptz '2013-01-01Z' + g * interval '1 hour', NULL
            FROM generate_series(1, 100) g;
        CREATE INDEX ON flights (seen_at);
        COMMENT ON TABLE flights IS 'Flights out of New York';
        CREATE VIEW late AS SELECT * FROM flights WHERE id > 90;
        CREATE MATERIALIZED VIEW carriers AS SELECT carrier, count(*) AS flights FROM flights GROUP BY carrier;
        CREATE TABLE days (day date, id int, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
        CREATE TABLE days_2013 PARTITION OF days FOR VALUES FROM ('2013-01-01') TO ('2014-01-01');
        INSERT INTO days VALUES ('2013-05-05', 1);
        CREATE SCHEMA other;
        CREATE TABLE other."odd ""name"".x" ("a b" int);
        INSERT INTO other."odd ""name"".x" VALUES (1);
        ANALYZE;
        """,
    )
    return postgres_url


def run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(statements)


def failed(source: Connector) -> tuple[str, ManifoldError]:
    """The stage of a test that failed, and its error; every stage before it was fine, and none came after it."""
    stages = list(source.test())
    assert [each.ok for each in stages] == [True] * (len(stages) - 1) + [False]
    last = stages[-1]
    assert last.error is not None
    assert last.detail == last.error.message
    assert last.seconds >= 0
    return last.name, last.error


def test_it_is_registered_and_hides_its_password() -> None:
    assert get("postgresql") is PostgreSQL
    assert secret_names(PostgreSQL.Params) == {"password"}


def test_each_stage_of_a_test_passes_with_its_time(url: str) -> None:
    stages = list(connector(url).test())
    assert [each.name for each in stages] == ["resolve", "connect", "authenticate", "list", "read a row"]
    assert all(each.ok and each.seconds >= 0 and each.detail for each in stages)
    assert "superuser" not in stages[2].detail


@pytest.mark.parametrize(
    ("changes", "stage", "code"),
    [
        ({"host": "no-such-machine.invalid"}, "resolve", "host_unknown"),
        ({"host": "/var/run/postgresql"}, "resolve", "host_unknown"),
        ({"host": "169.254.169.254"}, "resolve", "address_refused"),
        ({"host": "::ffff:169.254.169.254"}, "resolve", "address_refused"),
        ({"host": "0.0.0.0"}, "resolve", "address_refused"),
        ({"password": "wrong-and-secret"}, "authenticate", "authentication"),
        ({"password": None}, "authenticate", "authentication"),
        ({"user": "nobody_here"}, "authenticate", "authentication"),
        ({"database": "nowhere"}, "authenticate", "database_missing"),
        ({"sslmode": "require"}, "authenticate", "encryption"),
        ({"sslmode": "verify-full"}, "authenticate", "encryption"),
        ({"schemas": ("empty",)}, "list", "nothing_to_read"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_has_its_own_stage_and_code(url: str, changes: dict[str, Any], stage: str, code: str) -> None:
    name, error = failed(connector(url, **changes))
    assert (name, error.code) == (stage, code)
    assert isinstance(error, ConfigurationError)
    assert str(params_of(url)["password"]) not in str(error.as_json())
    assert "wrong-and-secret" not in str(error.as_json())


def test_a_password_that_stands_in_other_words_does_not_hide_what_they_say() -> None:
    params = PostgreSQL.Params(host="db", database="d", user="u", password="p")
    error = refused_connection(params, psycopg.OperationalError("connection timeout expired"))
    assert (error.code, error.retryable) == ("connection_timeout", True)


def test_a_port_where_nothing_listens(url: str) -> None:
    with unheard() as port:
        name, error = failed(connector(url, port=port))
    assert (name, error.code) == ("connect", "connection_refused")
    assert error.retryable


def test_a_listener_that_is_no_postgresql(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(2):
                listener.accept()[0].close()

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        name, error = failed(connector(url, port=listener.getsockname()[1], sslmode="disable"))
        hanging_up.join()
    assert (name, error.code) == ("authenticate", "connection_lost")


@pytest.mark.parametrize("kind", ["postgresql", "redshift"])
@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_what_speaks_another_protocol_is_told_and_tried_again(kind: str, mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        params = {"host": "127.0.0.1", "port": port, "database": "d", "user": "u", "password": "p", "sslmode": mode}

        def answer() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection, suppress(OSError):
                        # What it was sent is read first, else its end would reach the client before its answer.
                        connection.recv(1000)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        name, error = failed(build(kind, params))
        listener.shutdown(socket.SHUT_RDWR)
    assert (name, error.code, error.retryable) == ("authenticate", "connection_lost", True)
    assert f"on port {port} in another protocol than" in error.message


def test_a_superuser_is_warned_of(superuser_url: str) -> None:
    assert "is a superuser" in list(connector(superuser_url).test())[2].detail


def test_discovery_finds_what_may_be_read(url: str) -> None:
    found = {each.name: each for each in connector(url).discover()}
    assert set(found) == {"public.flights", "public.late", "public.carriers", "public.days", 'other.odd "name".x'}
    flights = found["public.flights"]
    assert flights.title == "Flights out of New York"
    assert flights.primary_key == ("id",)
    assert flights.cursor_candidates == ("seen_at", "id")
    assert flights.rows == 100
    assert flights.columns[0] == Column("id", "BIGINT", False, "bigint")
    assert [each.name for each in flights.columns] == ["id", "carrier", "seen_at", "note"]


def test_discovery_keeps_to_the_schemas_that_were_named(url: str) -> None:
    assert [each.name for each in connector(url, schemas=("other",)).discover()] == ['other.odd "name".x']


def test_every_kind_of_relation_is_read(url: str) -> None:
    source = connector(url)
    counts = {
        info.name: len(staged(source, StreamConfig(info.name, settings=info.settings), FULL))
        for info in source.discover()
    }
    assert counts == {
        "public.flights": 100,
        "public.late": 10,
        "public.carriers": 1,
        "public.days": 1,
        'other.odd "name".x': 1,
    }


def test_chosen_columns_come_in_the_order_they_are_chosen_in(url: str) -> None:
    declared = (Column("carrier", "VARCHAR"), Column("id", "INTEGER"), Column("note", "VARCHAR"))
    stream = replace(FLIGHTS, columns=declared, select=("id", "carrier"), row_filter="id = 7 -- the seventh")
    assert staged(connector(url), stream, FULL, "*, typeof(id)") == [(7, "AA", "INTEGER")]


def test_a_query_is_read_with_its_filter(url: str) -> None:
    query = "WITH few AS (SELECT id, carrier AS c FROM flights) SELECT * FROM few; -- done"
    stream = StreamConfig("mine", query=query.replace("; -- done", ""), row_filter="id <= 3")
    assert sorted(staged(connector(url), stream, FULL)) == [(1, "AA"), (2, "AA"), (3, "AA")]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT 1 AS a; DROP TABLE flights", "query_syntax"),
        ("SELECT 1 AS a) TO STDOUT; COMMIT; DROP TABLE flights; COPY (SELECT 1 AS a", "query_syntax"),
        ("DELETE FROM flights RETURNING id", "query_syntax"),
        ("WITH gone AS (DELETE FROM flights RETURNING id) SELECT * FROM gone", "statement_refused"),
        ("COPY flights TO STDOUT", "query_columns"),
        ("SELECT id, id FROM flights", "query_columns"),
        ("SELECT 1", "query_columns"),
        ("SELECT nope FROM flights", "column_missing"),
        ("SELECT * FROM nope", "table_missing"),
        ("SELECT nope(id) AS a FROM flights", "query_syntax"),
        ("SELECT pg_read_file('/etc/passwd') AS a", "missing_grant"),
    ],
)
def test_a_query_that_is_not_one_select_is_refused(url: str, query: str, code: str) -> None:
    with pytest.raises(ManifoldError) as caught:
        staged(connector(url), StreamConfig("mine", query=query), FULL)
    assert caught.value.code == code
    assert len(staged(connector(url), FLIGHTS, FULL)) == 100


@pytest.mark.parametrize(
    "row_filter",
    [
        "true) TO STDOUT; COMMIT; DROP TABLE flights; COPY (SELECT * FROM flights WHERE (true",
        "id = 1; DROP TABLE flights",
        "id",
        "nope = 1",
        "(",
    ],
)
def test_a_filter_that_is_none_is_refused(url: str, row_filter: str) -> None:
    with pytest.raises(ConfigurationError):
        staged(connector(url), replace(FLIGHTS, row_filter=row_filter), FULL)
    assert len(staged(connector(url), FLIGHTS, FULL)) == 100


def test_a_function_that_writes_is_refused_by_the_read_only_session(url: str) -> None:
    run(url, "CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM flights RETURNING 1'")
    with pytest.raises(ManifoldError):
        staged(connector(url), StreamConfig("mine", query="SELECT wipe() AS a"), FULL)
    assert len(staged(connector(url), FLIGHTS, FULL)) == 100


@pytest.mark.parametrize("act", ["plan", "read", "preview", "count"])
@pytest.mark.parametrize(
    ("statement", "stream", "code"),
    [
        ("DROP TABLE flights CASCADE", FLIGHTS, "table_missing"),
        ("REVOKE ALL ON flights FROM CURRENT_USER", FLIGHTS, "missing_grant"),
        (
            "ALTER TABLE flights DROP COLUMN note CASCADE",
            replace(FLIGHTS, columns=(Column("id", "BIGINT"), Column("note", "VARCHAR"))),
            "column_missing",
        ),
    ],
)
def test_what_has_gone_is_named(url: str, statement: str, stream: StreamConfig, code: str, act: str) -> None:
    run(url, statement)
    source = connector(url)
    acts = {
        "plan": lambda: source.plan(stream, "full_refresh", Mark()),
        "read": lambda: staged(source, stream, FULL),
        "preview": lambda: source.preview(stream),
        "count": lambda: source.count(stream, FULL),
    }
    with pytest.raises(ConfigurationError) as caught:
        acts[act]()
    assert caught.value.code == code
    assert "flights" in caught.value.message


def test_new_columns_are_told_and_not_read(url: str) -> None:
    declared = replace(FLIGHTS, columns=(Column("id", "BIGINT"),))
    planned = connector(url).plan(declared, "full_refresh", Mark())
    assert planned.warnings == (
        "public.flights has new columns that are not read: carrier, seen_at, note. Discover it again to add them.",
    )
    assert len(staged(connector(url), declared, FULL)[0]) == 1


def test_a_preview_shows_rows_as_they_would_arrive(url: str) -> None:
    table = connector(url).preview(FLIGHTS, 5)
    assert table.num_rows == 5
    assert table.column_names == ["id", "carrier", "seen_at", "note"]


def test_nothing_shows_the_address_or_the_password(url: str) -> None:
    secret = str(params_of(url)["password"])
    with (
        connector_instance(extensions=PostgreSQL.extensions) as duck,
        connector(url).read(FLIGHTS, FULL, duck) as reading,
    ):
        seen = [
            duck.execute(f"FROM {each}()").fetchall()
            for each in ("duckdb_databases", "duckdb_secrets", "duckdb_settings")
        ]
        assert secret not in str(seen) + reading.query
        assert "127.0.0.1" not in str(seen)
        with pytest.raises(duckdb.Error) as caught:
            duck.execute("FROM source.public.nowhere")
        assert secret not in str(caught.value)


def test_sessions_have_a_name_and_end_by_themselves(url: str) -> None:
    settings = (
        "SELECT current_setting('application_name') AS name, current_setting('statement_timeout') AS timeout,"
        " current_setting('client_connection_check_interval') AS checked,"
        " current_setting('transaction_read_only') AS ro,"
        " current_setting('transaction_isolation') AS level"
    )
    rows = staged(connector(url), StreamConfig("mine", query=settings), FULL)
    assert rows == [("manifold", "6h", "5s", "on", "repeatable read")]


def test_a_read_sees_one_snapshot(url: str) -> None:
    with (
        connector_instance(extensions=PostgreSQL.extensions) as duck,
        connector(url).read(FLIGHTS, FULL, duck) as reading,
    ):
        before = duck.execute(f"SELECT count(*) FROM ({reading.query})").fetchone()
        run(url, "INSERT INTO flights VALUES (1000, 'ZZ', now(), NULL)")
        assert duck.execute(f"SELECT count(*) FROM ({reading.query})").fetchone() == before == (100,)
    assert len(staged(connector(url), FLIGHTS, FULL)) == 101


@pytest.mark.parametrize("where", ["plan", "rows"])
def test_a_view_that_cannot_be_computed_is_not_tried_again(url: str, where: str) -> None:
    run(url, "CREATE OR REPLACE VIEW broken AS SELECT id, 1 / (id - 50) AS part FROM generate_series(1, 100) id")
    stream = StreamConfig("broken", query="SELECT * FROM broken", row_filter=None if where == "rows" else "part > 5")
    with pytest.raises(DataError, match="broken: division by zero") as caught:
        staged(connector(url), stream, FULL)
    assert caught.value.code == "value"


def test_what_the_server_says_is_told_whole(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(
            "CREATE FUNCTION refuse(int) RETURNS int LANGUAGE plpgsql AS"
            """ $$ BEGIN RAISE 'row "x": not "good": here' USING DETAIL = 'of "y": z'; END $$"""
        )
        database.execute('CREATE TABLE odd AS SELECT 1 AS "a"": b"')
        database.execute('CREATE VIEW refused AS SELECT "a"": b", refuse("a"": b") FROM odd')
    with pytest.raises(TransientError) as caught:
        staged(connector(url), StreamConfig("public.refused"), FULL)
    assert 'broke off reading public.refused: row "x": not "good": here. If' in caught.value.message


def test_a_connection_that_breaks_is_tried_again(url: str, tmp_path: Path) -> None:
    storage = Storage(tmp_path.as_uri())

    def broken_read() -> None:
        with (
            connector_instance(extensions=PostgreSQL.extensions) as duck,
            connector(url).read(FLIGHTS, FULL, duck) as reading,
        ):
            duck.execute(f"SELECT count(*) FROM ({reading.query})").fetchall()
            run(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'manifold'"
                " AND datname = current_database()",
            )
            write_parquet(duck, reading.query, storage=storage, folder="out")

    with pytest.raises(TransientError) as caught:
        broken_read()
    assert caught.value.code == "connection_lost"


def test_whenever_a_connection_breaks_it_is_tried_again(url: str) -> None:
    """Sessions end at random moments: while signing in, while asked about the table, while attached, while read."""
    ended = threading.Event()

    def end_sessions() -> None:
        while not ended.wait(random.uniform(0, 0.01)):
            run(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'manifold'"
                " AND datname = current_database()",
            )

    thread = threading.Thread(target=end_sessions)
    thread.start()
    outcomes: list[int | str] = []
    try:
        until = time.monotonic() + 60
        while len(outcomes) < 10 or ("connection_lost" not in outcomes and time.monotonic() < until):
            try:
                outcomes.append(len(staged(connector(url), FLIGHTS, FULL)))
            except TransientError as error:
                outcomes.append(error.code)
    finally:
        ended.set()
        thread.join()
    assert set(outcomes) <= {100, "connection_lost", "server_starting"}
    assert "connection_lost" in outcomes


def test_an_interrupted_read_is_cancelled_and_not_explained(url: str) -> None:
    run(url, "CREATE TABLE many AS SELECT g AS id, md5(g::text) AS t FROM generate_series(1, 400000) g")

    def interrupted_read() -> None:
        with (
            connector_instance(extensions=PostgreSQL.extensions) as duck,
            connector(url).read(StreamConfig("public.many", row_filter="true"), FULL, duck) as reading,
            interrupted(duck),
        ):
            duck.execute(f"SELECT count(DISTINCT md5(t || i)) FROM ({reading.query}), range(200) r(i)").fetchall()

    with pytest.raises(duckdb.InterruptException):
        interrupted_read()


def test_a_statement_over_its_limit_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplane.connectors.postgresql.connector.ASK_SECONDS", 0.3)
    slow = StreamConfig("mine", query="SELECT id, pg_sleep(0.1)::text AS s FROM flights")
    with pytest.raises(TransientError) as caught:
        connector(url).preview(slow)
    assert caught.value.code == "statement_timeout"


def test_a_table_that_somebody_has_locked_still_tells_its_columns(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplane.connectors.databases.server.ASK_SECONDS", 60.0)
    flights = StreamConfig("public.flights")
    before = connector(url).columns_now(flights, [])
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE flights IN ACCESS EXCLUSIVE MODE")
        assert connector(url).columns_now(flights, []) == before
        monkeypatch.setattr("dataplane.connectors.databases.server.ASK_SECONDS", 0.3)
        with pytest.raises(TransientError) as caught:
            connector(url).describe(flights)
    assert caught.value.code == "statement_timeout"


def test_a_query_is_described_without_being_run(url: str) -> None:
    info = connector(url).describe(StreamConfig("mine", query="SELECT id, pg_sleep(60)::text AS s FROM flights"))
    assert [(each.name, each.type) for each in info.columns] == [("id", "BIGINT"), ("s", "VARCHAR")]
