"""The connector for MySQL and MariaDB against a real server: what it finds, what it refuses and how it says so."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pymysql
import pytest

from dataplane import authorities
from dataplane.connectors.fields import secret_names
from dataplane.connectors.mysql import MySQL
from dataplane.connectors.registry import get
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from tests.certificates import self_signed
from tests.dataplane.connectors.databases import staged
from tests.dataplane.connectors.unheard import unheard
from tests.dataplane.interrupting import interrupted
from tests.mariadb import Database, MariaDB, database, mariadb
from tests.services import open_folder

pytestmark = pytest.mark.all

FULL = Window("full")
FLIGHTS = StreamConfig("flights")


@pytest.fixture
def base(mysql: Database) -> Database:
    """A database with a table, a view, and a table with an odd name."""
    mysql.do(
        "CREATE TABLE flights (id bigint PRIMARY KEY, carrier varchar(9) NOT NULL, seen_at timestamp(6) NOT NULL, "
        "note text, KEY (seen_at)) COMMENT 'Flights out of New York'",
        "SET time_zone = '+00:00'",
        "INSERT INTO flights SELECT seq, 'AA', timestamp'2013-01-01 00:00:00' + INTERVAL seq HOUR, NULL "
        "FROM seq_1_to_100",
        "CREATE VIEW late AS SELECT * FROM flights WHERE id > 90",
        "CREATE TABLE `odd ``name``.x '\"\\` (`a b'\"\\` int)",
        "INSERT INTO `odd ``name``.x '\"\\` VALUES (1)",
        "ANALYZE TABLE flights",
    )
    return mysql


def connector(base: Database, **changes: Any) -> MySQL:
    return MySQL(MySQL.Params(**{**base.params, **changes}))


def failed(source: MySQL) -> tuple[str, ManifoldError]:
    """The stage of a test that failed, and its error; every stage before it was fine, and none came after it."""
    stages = list(source.test())
    assert [each.ok for each in stages] == [True] * (len(stages) - 1) + [False]
    last = stages[-1]
    assert last.error is not None
    assert last.detail == last.error.message
    return last.name, last.error


def test_it_is_registered_and_hides_its_password() -> None:
    assert get("mysql") is MySQL
    assert secret_names(MySQL.Params) == {"password"}


def test_each_stage_of_a_test_passes_with_its_time(base: Database) -> None:
    stages = list(connector(base).test())
    assert [each.name for each in stages] == ["resolve", "connect", "authenticate", "list", "read a row"]
    assert all(each.ok and each.seconds >= 0 and each.detail for each in stages)
    assert "MariaDB" in stages[2].detail
    assert "Warning" not in stages[2].detail


@pytest.mark.parametrize(
    ("changes", "stage", "code"),
    [
        ({"host": "no-such-machine.invalid"}, "resolve", "host_unknown"),
        ({"host": "/run/mysqld/mysqld.sock"}, "resolve", "host_unknown"),
        ({"host": "169.254.169.254"}, "resolve", "address_refused"),
        ({"host": "::ffff:169.254.169.254"}, "resolve", "address_refused"),
        ({"password": "wrong-and-secret-é漢"}, "authenticate", "authentication"),
        ({"password": None}, "authenticate", "authentication"),
        ({"user": "nobody_here"}, "authenticate", "authentication"),
        ({"database": "mysql"}, "authenticate", "missing_grant"),
        ({"sslmode": "require"}, "authenticate", "encryption"),
        ({"sslmode": "verify-full"}, "authenticate", "encryption"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_has_its_own_stage_and_code(
    base: Database, changes: dict[str, Any], stage: str, code: str
) -> None:
    name, error = failed(connector(base, **changes))
    assert (name, error.code) == (stage, code)
    assert isinstance(error, ConfigurationError)
    assert base.password not in str(error.as_json())
    assert "wrong-and-secret" not in str(error.as_json())


def test_a_database_that_is_not_there(mysql_server: MariaDB, base: Database) -> None:
    name, error = failed(connector(base, user="root", password=None, database="nowhere"))
    assert (name, error.code) == ("authenticate", "database_missing")


def test_a_database_that_a_user_may_not_use_is_told_with_its_grant(base: Database) -> None:
    _, error = failed(connector(base, database="mysql"))
    assert error.message.endswith(f"GRANT SELECT ON mysql.* TO {base.name}.")


def test_the_certificate_is_checked_by_both_ways_into_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by an authority of the machine's list, which DuckDB's reader does not look for itself."""
    with tempfile.TemporaryDirectory(prefix="manifold-mariadb-", dir=open_folder()) as folder:
        own = Path(folder, "own.pem")
        self_signed(own, "localhost")
        own.chmod(0o644)
        encrypted = (f"--ssl-cert={own}", f"--ssl-key={own}")
        with mariadb(Path(folder, "server"), *encrypted) as server, database(server) as found:
            found.do("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
            at = connector(found, host="localhost", sslmode="verify-full")
            name, error = failed(at)
            assert (name, error.code) == ("authenticate", "encryption")
            monkeypatch.setenv("SSL_CERT_FILE", "")
            monkeypatch.setattr(authorities, "_SYSTEMS", (str(own),))
            assert at.preview(StreamConfig("t")).num_rows == 1


def test_a_port_that_duckdbs_reader_refuses(base: Database) -> None:
    with pytest.raises(ValueError, match="65353"):
        connector(base, port=65354)


def test_an_empty_database(mysql: Database) -> None:
    name, error = failed(connector(mysql))
    assert (name, error.code) == ("list", "nothing_to_read")


def test_a_port_where_nothing_listens(base: Database) -> None:
    with unheard() as port:
        name, error = failed(connector(base, port=port))
    assert (name, error.code) == ("connect", "connection_refused")
    assert error.retryable


def test_a_listener_that_is_no_server(base: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(2):
                listener.accept()[0].close()

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        name, error = failed(connector(base, port=listener.getsockname()[1]))
        hanging_up.join()
    assert (name, error.code) == ("authenticate", "connection_lost")


def test_a_user_who_may_read_files_is_warned_of(base: Database) -> None:
    assert "may read files" in list(connector(base, user="root", password=None).test())[2].detail


def test_discovery_finds_what_may_be_read(base: Database) -> None:
    found = {each.name: each for each in connector(base).discover()}
    assert set(found) == {"flights", "late", "odd `name`.x '\"\\"}
    flights = found["flights"]
    assert flights.title == "Flights out of New York"
    assert flights.primary_key == ("id",)
    assert flights.cursor_candidates == ("seen_at", "id")
    assert flights.rows == 100
    assert flights.columns[0] == Column("id", "BIGINT", False, "bigint(20)")
    assert (found["late"].settings["kind"], found["late"].title) == ("view", "")


def test_every_kind_of_relation_is_read(base: Database) -> None:
    source = connector(base)
    counts = {
        info.name: len(staged(source, StreamConfig(info.name, settings=info.settings), FULL))
        for info in source.discover()
    }
    assert counts == {"flights": 100, "late": 10, "odd `name`.x '\"\\": 1}


def test_a_view_needs_no_more_than_the_right_to_read_it(base: Database) -> None:
    reader = f"r{base.name[:20]}"
    base.do(f"CREATE USER {reader}@'127.0.0.1'", f"GRANT SELECT ON {base.name}.late TO {reader}@'127.0.0.1'")
    try:
        source = connector(base, user=reader, password=None)
        assert [each.name for each in source.discover()] == ["late"]
        assert source.plan(StreamConfig("late"), "full_refresh", Mark()).window == FULL
        assert len(staged(source, StreamConfig("late"), FULL)) == 10
        assert len(staged(source, StreamConfig("q", query="SELECT * FROM late"), FULL)) == 10
        with pytest.raises(ConfigurationError) as caught:
            staged(source, StreamConfig("q", query="SELECT * FROM flights"), FULL)
        assert caught.value.code == "missing_grant"
    finally:
        base.do(f"DROP USER {reader}@'127.0.0.1'")


def test_chosen_columns_come_in_the_order_they_are_chosen_in(base: Database) -> None:
    declared = (Column("carrier", "VARCHAR"), Column("id", "INTEGER"), Column("note", "VARCHAR"))
    stream = replace(FLIGHTS, columns=declared, select=("id", "carrier"), row_filter="id = 7 -- the seventh")
    assert staged(connector(base), stream, FULL, "*, typeof(id)") == [(7, "AA", "INTEGER")]


def test_a_query_is_read_with_its_filter(base: Database) -> None:
    query = "WITH few AS (SELECT id, carrier AS c, '%s' AS p FROM flights) SELECT * FROM few; "
    stream = StreamConfig("mine", query=query, row_filter="id <= 3 AND p LIKE '%s' # that's all")
    assert sorted(staged(connector(base), stream, FULL)) == [(1, "AA", "%s"), (2, "AA", "%s"), (3, "AA", "%s")]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT 1 AS a; DROP TABLE flights", "query_syntax"),
        ("SELECT 1 AS a) AS s; DROP TABLE flights; SELECT * FROM (SELECT 1 AS a", "query_syntax"),
        ("SELECT 1 AS a) AS s INTO OUTFILE '/tmp/manifold-outfile' -- ", "query_syntax"),
        ("SELECT 1 AS a INTO OUTFILE '/tmp/manifold-outfile'", "missing_grant"),
        ("DELETE FROM flights", "query_writes"),
        ("SELECT id, id FROM flights", "query_columns"),
        ("SELECT nope FROM flights", "column_missing"),
        ("SELECT * FROM nope", "table_missing"),
        ("SELECT nope(id) AS a FROM flights", "query_syntax"),
        ("SELECT wipe() AS a", "query_writes"),
    ],
)
def test_a_query_that_is_not_one_select_is_refused(base: Database, query: str, code: str) -> None:
    base.do("CREATE FUNCTION wipe() RETURNS int MODIFIES SQL DATA BEGIN DELETE FROM flights; RETURN 1; END")
    with pytest.raises(ManifoldError) as caught:
        staged(connector(base), StreamConfig("mine", query=query), FULL)
    assert caught.value.code == code
    assert len(staged(connector(base), FLIGHTS, FULL)) == 100


@pytest.mark.parametrize("row_filter", ["id = 1; DROP TABLE flights", "nope = 1", "(", "1) INTO OUTFILE '/x' -- "])
def test_a_filter_that_is_none_is_refused(base: Database, row_filter: str) -> None:
    with pytest.raises(ConfigurationError):
        staged(connector(base), replace(FLIGHTS, row_filter=row_filter), FULL)
    assert len(staged(connector(base), FLIGHTS, FULL)) == 100


@pytest.mark.parametrize("act", ["plan", "read", "preview", "count"])
@pytest.mark.parametrize(
    ("statement", "stream", "code"),
    [
        ("DROP TABLE flights", FLIGHTS, "table_missing"),
        ("DROP TABLE flights", StreamConfig("late"), "table_missing"),
        (
            "ALTER TABLE flights DROP COLUMN note",
            replace(FLIGHTS, columns=(Column("id", "BIGINT"), Column("note", "VARCHAR"))),
            "column_missing",
        ),
    ],
)
def test_what_has_gone_is_named(base: Database, statement: str, stream: StreamConfig, code: str, act: str) -> None:
    base.do(statement)
    source = connector(base)
    acts = {
        "plan": lambda: source.plan(stream, "full_refresh", Mark()),
        "read": lambda: staged(source, stream, FULL),
        "preview": lambda: source.preview(stream),
        "count": lambda: source.count(stream, FULL),
    }
    with pytest.raises(ConfigurationError) as caught:
        acts[act]()
    assert caught.value.code == code
    assert stream.name in caught.value.message


def test_new_columns_are_told_and_not_read(base: Database) -> None:
    declared = replace(FLIGHTS, columns=(Column("id", "BIGINT"),))
    planned = connector(base).plan(declared, "full_refresh", Mark())
    assert planned.warnings == (
        "flights has new columns that are not read: carrier, seen_at, note. Discover it again to add them.",
    )
    assert len(staged(connector(base), declared, FULL)[0]) == 1


def test_a_preview_shows_rows_as_they_would_arrive(base: Database) -> None:
    table = connector(base).preview(FLIGHTS, 5)
    assert table.num_rows == 5
    assert table.column_names == ["id", "carrier", "seen_at", "note"]


def test_nothing_shows_the_address_or_the_password(base: Database) -> None:
    with (
        connector_instance(extensions=MySQL.extensions) as duck,
        connector(base).read(FLIGHTS, FULL, duck) as reading,
    ):
        seen = [
            duck.execute(f"FROM {each}()").fetchall()
            for each in ("duckdb_databases", "duckdb_secrets", "duckdb_settings")
        ]
        assert base.password not in str(seen) + reading.query
        assert "127.0.0.1" not in str(seen)


def test_rows_are_not_packed_on_their_way(base: Database) -> None:
    """A server packs 50 MB a second at most."""
    asked = "SHOW SESSION STATUS LIKE 'Compression'"
    with connector_instance(extensions=MySQL.extensions) as duck, connector(base).read(FLIGHTS, FULL, duck):
        assert duck.execute("FROM mysql_query('source', ?)", [asked]).fetchall() == [("Compression", "OFF")]


def test_a_connection_that_breaks_is_tried_again(base: Database) -> None:
    """The server lets each row wait, so the connection is there to be broken."""
    finished = threading.Event()

    def kill() -> None:
        sleeping = f"SELECT id FROM information_schema.processlist WHERE user = '{base.name}' AND state = 'User sleep'"
        while not finished.wait(0.01):
            for (number,) in base.ask(sleeping):
                with suppress(pymysql.err.MySQLError):
                    base.do(f"KILL {number}")

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        with pytest.raises(TransientError) as caught:
            staged(connector(base), StreamConfig("slow", query="SELECT id, sleep(1) AS s FROM flights"), FULL)
    finally:
        finished.set()
        killing.join()
    assert caught.value.code == "connection_lost"


def test_an_interrupted_read_is_cancelled_and_ends_on_the_server(base: Database) -> None:
    base.do("CREATE TABLE many AS SELECT seq AS id, md5(seq) AS t FROM seq_1_to_100000")

    def interrupted_read() -> None:
        with (
            connector_instance(extensions=MySQL.extensions) as duck,
            connector(base).read(StreamConfig("many"), FULL, duck) as reading,
            interrupted(duck),
        ):
            duck.execute(f"SELECT count(DISTINCT md5(t || i)) FROM ({reading.query}), range(2000) r(i)").fetchall()

    with pytest.raises(duckdb.InterruptException):
        interrupted_read()
    busy = f"SELECT count(*) FROM information_schema.processlist WHERE user = '{base.name}' AND command <> 'Sleep'"
    until = time.monotonic() + 60
    while base.ask(busy) != [(0,)]:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_statement_over_its_limit_says_so(base: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplane.connectors.databases.server.READ_SECONDS", 0.3)
    slow = replace(FLIGHTS, row_filter="sleep(0.1) = 0")
    with pytest.raises(TransientError) as caught:
        connector(base).count(slow, FULL)
    assert caught.value.code == "statement_timeout"


def test_a_query_is_described_without_being_run(base: Database) -> None:
    info = connector(base).describe(StreamConfig("mine", query="SELECT id, sleep(60) AS s, seen_at FROM flights"))
    assert [(each.name, each.type) for each in info.columns] == [
        ("id", "BIGINT"),
        ("s", "INTEGER"),
        ("seen_at", "TIMESTAMP WITH TIME ZONE"),
    ]
