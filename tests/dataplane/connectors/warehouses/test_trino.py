"""Trino's protocol: pages, errors, a server that is busy, and one that sends on to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pydantic import ValidationError

from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.warehouses import trino
from dataplane.connectors.warehouses.trino import Trino
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from tests.dataplane.connectors.databases import read_as_it_grows, staged
from tests.trino_server import TrinoServer, trino_server

FULL = Window("full")


@pytest.fixture
def server() -> Iterator[TrinoServer]:
    with trino_server() as found:
        found.duck.execute(
            "CREATE TABLE orders AS SELECT n AS id, n / 3 AS share, CAST(n AS DECIMAL(10,2)) AS price, "
            "'é ' || n AS name, TIMESTAMP '2026-01-01' + to_seconds(n) AS at, CAST(NULL AS DATE) AS never "
            "FROM range(10) r(n)"
        )
        yield found


def source(server: TrinoServer, **changes: Any) -> Trino:
    return Trino(Trino.Params(**{**server.params, **changes}))


def test_it_works(server: TrinoServer) -> None:
    here = source(server)
    assert [(each.name, each.ok) for each in here.test()] == [
        (name, True) for name in ("resolve", "connect", "authenticate", "list", "read a row")
    ]
    (orders,) = here.discover()
    assert [(each.name, each.type) for each in orders.columns] == [
        *(("id", "BIGINT"), ("share", "DOUBLE"), ("price", "DECIMAL(10,2)")),
        *(("name", "VARCHAR"), ("at", "TIMESTAMP"), ("never", "DATE")),
    ]
    rows = sorted(
        staged(here, StreamConfig(orders.name, settings=orders.settings), FULL, "id, share, price, name, never")
    )
    assert rows[1][:1] + rows[1][3:] == (1, "é 1", None)
    assert (rows[1][1], str(rows[1][2]), len(rows)) == (1 / 3, "1.00", 10)


def test_new_rows_by_a_cursor(server: TrinoServer) -> None:
    here, stream = source(server), StreamConfig("main.orders", cursor="at", lookback=2)
    first = here.plan(stream, "incremental", Mark()).window
    assert first is not None
    assert first.upper == "2026-01-01 00:00:09"
    mark = Mark(upper=first.upper, boundary_rows=3)
    assert here.plan(stream, "incremental", mark).window is None
    server.duck.execute("INSERT INTO orders (id, \"at\") VALUES (11, '2026-01-01 00:00:11')")
    more = here.plan(stream, "incremental", mark).window
    assert more is not None
    assert sorted(staged(here, stream, more, "id")) == [(7,), (8,), (9,), (11,)]
    assert here.count(stream, more) == 1


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("VARCHAR", ["B", "Z'", "a", "a+00", "\u00e9"]),
        ("UUID", ["00000000-0000-0000-f000-000000000000", "f0000000-0000-0000-0000-00000000000a"]),
    ],
    ids=["text", "uuid"],
)
def test_a_text_is_a_cursor_by_its_bytes(server: TrinoServer, type_: str, values: list[str]) -> None:
    server.duck.execute(f"CREATE TABLE texts (c {type_})")

    def insert(value: str) -> None:
        server.duck.execute("INSERT INTO texts VALUES (?)", [value])

    read_as_it_grows(source(server), StreamConfig("main.texts", cursor="c"), insert, values)


def test_a_query_without_rows_has_its_columns(server: TrinoServer) -> None:
    query = StreamConfig("mine", query="SELECT id, name FROM orders WHERE id > 99")
    assert [each.type for each in source(server).describe(query).columns] == ["BIGINT", "VARCHAR"]
    assert staged(source(server), query, FULL) == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT nothing FROM orders", "column_missing"),
        ("SELECT * FROM nowhere", "table_missing"),
        ("SELECT 1 FROM FROM", "query_syntax"),
        ("DELETE FROM orders", "query_syntax"),
    ],
)
def test_what_is_refused_says_why(server: TrinoServer, query: str, code: str) -> None:
    with pytest.raises(ManifoldError) as caught:
        staged(source(server), StreamConfig("mine", query=query), FULL)
    assert caught.value.code == code


def test_a_busy_server_is_asked_again(server: TrinoServer) -> None:
    server.busy = 2
    assert source(server).preview(StreamConfig("main.orders", select=("id",)), 4).num_rows == 4


def test_nobody_is_sent_on_to_another_server(server: TrinoServer) -> None:
    server.elsewhere = "http://169.254.169.254/latest/"
    with pytest.raises(ManifoldError, match="another server"):
        source(server).preview(StreamConfig("main.orders"), 4)


def test_a_query_that_nobody_reads_on_is_ended_there(server: TrinoServer) -> None:
    sql = "SELECT id FROM orders"
    with closing(source(server).opened("127.0.0.1", 20)) as session:
        assert len(session.ask(sql, "it")) == 10
        session.rows(sql)
        assert server.ended == []
        session.rows(sql).read_next_batch()
        assert server.ended == ["2"]
    assert server.ended == ["2", "3"]


def test_a_page_without_end_is_not_read_to_its_end(server: TrinoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trino, "_LARGEST", 400)
    with pytest.raises(ConfigurationError, match="more than 400 bytes") as caught:
        source(server).preview(StreamConfig("mine", query="SELECT repeat('x', 500) AS a"))
    assert caught.value.code == "answer_too_large"


def test_a_page_that_does_not_fit_is_no_lost_connection(server: TrinoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trino, "_MEMORY", 8 << 20)
    with pytest.raises(ConfigurationError) as caught:
        source(server).preview(StreamConfig("mine", query="SELECT repeat('x', 6000000) AS a"))
    assert caught.value.code == "answer_too_large"


def test_a_server_that_sends_a_byte_now_and_then_gets_no_further(
    server: TrinoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trino, "GRACE_SECONDS", 0.0)
    session, server.drips = source(server).opened("127.0.0.1", 0.5), True
    with closing(session), pytest.raises(TransientError) as caught:
        session.ask("SELECT 1", "it")
    assert caught.value.code == "answer_timeout"


def test_sign_in(server: TrinoServer) -> None:
    for user in ("nobody", "J\u00fcrgen"):
        *_, last = source(server, user=user).test()
        assert last.error is not None
        assert (last.name, last.error.code) == ("authenticate", "authentication")
    server.user = "J\u00fcrgen"
    *_, last = source(server).test()
    assert last.ok, last.error
    with pytest.raises(ValidationError, match="needs the encryption"):
        source(server, password="canary")
