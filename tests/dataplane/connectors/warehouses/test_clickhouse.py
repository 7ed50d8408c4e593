"""ClickHouse: tested, discovered, planned and read, with its own engine behind HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.warehouses.clickhouse import ClickHouse, ClickHouseSQL, _Answer, _Refused
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ManifoldError
from tests.clickhouse_server import PASSWORD, ClickHouseServer
from tests.dataplane.connectors.databases import read_as_it_grows, staged

FULL = Window("full")


@pytest.fixture
def database(clickhouse_server: ClickHouseServer) -> str:
    """A database of one test's own, with a table of 12,000 orders."""
    name = f"shop_{uuid4().hex}"
    clickhouse_server.do(
        f"CREATE DATABASE {name}",
        f"CREATE TABLE {name}.orders (id UInt64, at DateTime64(3), `a name` Nullable(String)) "
        "ENGINE = MergeTree ORDER BY id",
        f"INSERT INTO {name}.orders SELECT number, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + number, "
        "if(number % 2, NULL, toString(number)) FROM numbers(12000)",
        f"CREATE VIEW {name}.even AS SELECT * FROM {name}.orders WHERE id % 2 = 0",
    )
    return name


def source(server: ClickHouseServer, database: str = "", **changes: Any) -> ClickHouse:
    given = {**server.params, **({"database": database, "schemas": [database]} if database else {}), **changes}
    return ClickHouse(ClickHouse.Params(**given))


def refusal(server: ClickHouseServer, **stream: Any) -> ManifoldError:
    with pytest.raises(ManifoldError) as caught:
        staged(source(server), StreamConfig("mine", **stream), FULL)
    return caught.value


def test_it_works(clickhouse_server: ClickHouseServer, database: str) -> None:
    here = source(clickhouse_server, database)
    stages = list(here.test())
    assert [(each.name, each.ok) for each in stages] == [
        (name, True) for name in ("resolve", "connect", "authenticate", "list", "read a row")
    ]
    assert stages[2].detail.startswith("ClickHouse ")
    even, orders = here.discover()
    assert (even.name, even.settings["kind"]) == (f"{database}.even", "view")
    assert (orders.rows, orders.settings["kind"]) == (12_000, "table")
    assert [(each.name, each.type, each.nullable) for each in orders.columns] == [
        ("id", "UBIGINT", False),
        ("at", "TIMESTAMP WITH TIME ZONE", False),
        ("a name", "VARCHAR", True),
    ]
    stream = StreamConfig(orders.name, settings=orders.settings)
    assert staged(here, stream, FULL, 'count(*), sum(id), count("a name")') == [(12_000, 71_994_000, 6_000)]
    assert here.preview(stream, 2).num_rows == 2
    assert here.count(stream, FULL) == 12_000


def test_chosen_columns_a_filter_and_a_query(clickhouse_server: ClickHouseServer, database: str) -> None:
    here = source(clickhouse_server, database)
    some = StreamConfig(f"{database}.orders", select=("a name", "id"), row_filter="id < 4 -- the first")
    assert sorted(staged(here, some, FULL), key=lambda row: row[1]) == [("0", 0), (None, 1), ("2", 2), (None, 3)]
    query = StreamConfig("mine", query="SELECT max(id) AS top, count() AS n FROM orders; ")
    assert [(each.name, each.type) for each in here.describe(query).columns] == [("top", "UBIGINT"), ("n", "UBIGINT")]
    assert staged(here, query, FULL) == [(11_999, 12_000)]


def test_new_rows_by_a_cursor_with_lookback(clickhouse_server: ClickHouseServer, database: str) -> None:
    here = source(clickhouse_server, database)
    stream = StreamConfig(f"{database}.orders", cursor="at", lookback=2)
    first = here.plan(stream, "incremental", Mark()).window
    assert first is not None
    assert (first.lower, first.upper) == (None, "2026-01-01 03:19:59+00")
    mark = Mark(upper=first.upper, boundary_rows=3, seen_from="2026-01-01 03:19:57+00")
    assert here.plan(stream, "incremental", mark).window is None
    clickhouse_server.do(f"INSERT INTO {database}.orders VALUES (5, '2026-01-01 03:19:58', NULL)")
    late = here.plan(stream, "incremental", mark).window
    assert late is not None
    assert (late.reread_from, late.upper) == ("2026-01-01 03:19:57+00", first.upper)
    assert staged(here, stream, late, "count(*)") == [(4,)]
    clickhouse_server.do(f"INSERT INTO {database}.orders VALUES (6, '2026-01-02 00:00:00.123', NULL)")
    more = here.plan(stream, "incremental", mark).window
    assert more is not None
    assert more.upper == "2026-01-02 00:00:00.123+00"
    assert (staged(here, stream, more, "count(*)"), here.count(stream, more)) == ([(5,)], 1)
    ids = StreamConfig(f"{database}.orders", cursor="id", lookback=10)
    assert here.plan(ids, "incremental", Mark(upper="11990")).window == Window(
        "cursor", column="id", lower="11990", upper="11999", reread_from="11980"
    )


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("Nullable(String)", ["", "B", "Z'\\", "a", "a ", "a+00", "\u00e9", "\U0001f600"]),
        # ClickHouse itself compares the second half of one first.
        ("UUID", ["00000000-0000-0000-f000-000000000000", "f0000000-0000-0000-0000-00000000000a"]),
    ],
    ids=["text", "uuid"],
)
def test_a_text_is_a_cursor_by_its_bytes(clickhouse_server: ClickHouseServer, type_: str, values: list[str]) -> None:
    table = f"default.t{uuid4().hex}"
    clickhouse_server.do(f"CREATE TABLE {table} (c {type_}, n UInt8) ENGINE = Memory")
    sql = ClickHouseSQL()

    def insert(value: str) -> None:
        clickhouse_server.do(f"INSERT INTO {table} VALUES ({sql.text_constant(value)}, 1)")

    read_as_it_grows(source(clickhouse_server), StreamConfig(table, cursor="c"), insert, values)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(0, 9), max_size=8), st.lists(st.integers(0, 9), max_size=8), st.integers(0, 3))
def test_windows_leave_no_row_out(clickhouse_server: ClickHouseServer, early: list[int], late: list[int], back: int):
    """What a window and the one after it read is all there is, whatever came between them at or behind the mark."""
    table = f"default.t{uuid4().hex}"
    clickhouse_server.do(f"CREATE TABLE {table} (n Int32) ENGINE = Memory")
    stream, here = StreamConfig(table, cursor="n", lookback=back), source(clickhouse_server)

    def insert(numbers: list[int]) -> None:
        if numbers:
            clickhouse_server.do(f"INSERT INTO {table} VALUES {', '.join(f'({each})' for each in numbers)}")

    insert(early)
    first = here.plan(stream, "incremental", Mark()).window
    assert (first is None) is (not early)
    insert(late)
    if first is not None:
        newest = max(early)
        known = sum(each >= newest - back for each in early)
        mark = Mark(upper=str(newest), boundary_rows=known)
        second = here.plan(stream, "incremental", mark).window
        again = [each for each in early + late if each >= newest - back]
        assert (sorted(row[0] for row in staged(here, stream, second)) if second else []) == (
            sorted(again) if len(again) > known or max(early + late) > newest else []
        )


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        ({"query": "SELECT nothing FROM numbers(3)"}, "column_missing"),
        ({"query": "SELECT * FROM nowhere"}, "table_missing"),
        ({"query": "SELECT throwIf(number = 9000) AS a FROM numbers(20000)"}, "statement_refused"),
        ({"query": "SELECT 1 AS a WHERE"}, "query_syntax"),
        ({"query": "INSERT INTO t SELECT 1"}, "query_syntax"),
        ({"query": "SELECT 1) AS a, (SELECT 2"}, "query_syntax"),
        ({"query": "SELECT 1; DROP TABLE t"}, "query_syntax"),
        ({"query": "SELECT 'a"}, "query_syntax"),
        ({"row_filter": "1 = 1) OR (1 = 1"}, "query_syntax"),
        ({}, "table_missing"),
        ({"query": "SELECT unhex('FF') AS a"}, "value"),
        ({"query": "SELECT 1 AS a", "cursor": "b"}, "column_missing"),
        ({"query": "SELECT 'x' AS a", "cursor": "a", "lookback": 1}, "lookback"),
        ({"query": "SELECT [1] AS a", "cursor": "a"}, "cursor_type"),
        ({"query": "SELECT now() AS a", "cursor": "a", "columns": (Column("a", "VARCHAR"),)}, "cursor_type"),
    ],
    ids=lambda given: "" if isinstance(given, str) else str(next(iter(given.values()), "gone")),
)
def test_what_is_refused_says_why(clickhouse_server: ClickHouseServer, stream: dict[str, Any], code: str) -> None:
    error = refusal(clickhouse_server, **stream)
    assert error.code == code, error.message
    assert PASSWORD not in f"{error.message}{error.evidence}"


def test_a_wrong_password_is_told_without_it(clickhouse_server: ClickHouseServer) -> None:
    *_, last = source(clickhouse_server, password="canary-\u00f6f-mine").test()
    assert last.error is not None
    assert (last.name, last.error.code) == ("authenticate", "authentication")
    assert "canary" not in f"{last.error.message}{last.error.evidence}"


def test_metadata_services_are_not_asked() -> None:
    first, *rest = ClickHouse(ClickHouse.Params(host="169.254.169.254")).test()
    assert first.error is not None
    assert (first.error.code, rest) == ("address_refused", [])


def test_what_stands_against_a_cursor(clickhouse_server: ClickHouseServer, database: str) -> None:
    here, table = source(clickhouse_server, database), f"{database}.orders"
    gone, nullable = here.preflight([StreamConfig(table, cursor=each) for each in ("x", "a name", "at")])
    assert (gone.code, gone.remedy) == ("column_missing", "")
    assert nullable.code == "cursor_nullable"
    (unseen,) = here.preflight([StreamConfig(f"{database}.none", cursor="x")])
    assert (unseen.code, unseen.remedy) == ("missing_grant", f"GRANT SELECT ON `{database}`.`none` TO `reader`;")


def test_an_answer_that_is_cut_off_is_not_taken_for_a_whole_one() -> None:
    answer = _Answer(iter([b"12345", b"678"]))
    assert (answer.read(7), answer.read(1)) == (b"1234567", b"8")
    with pytest.raises(_Refused, match="before its end"):
        answer.read(8)
    broken = _Answer(iter([b"1234", b"5678\r\nCode: 395. DB::Exception: no"]))
    broken.read(4)
    assert broken.broken().number == "395"
