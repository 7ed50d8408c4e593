"""Reading MySQL and MariaDB by a cursor: what a window holds, and what is said when nothing is new."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataplane import drift
from dataplane.connectors.mysql import MySQL
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ConfigurationError
from tests.dataplane.connectors.databases import staged
from tests.mariadb import Database

pytestmark = pytest.mark.all

STREAM = StreamConfig("t", cursor="c")
# The cursor's type, and values in rising order.
CURSORS = [
    ("int", ["-5", "9", "10", "200"]),
    ("bigint unsigned", ["1", "9", "9223372036854775808", "18446744073709551615"]),
    ("decimal(20,4)", ["-1.5", "9.25", "10", "10000000000.0001"]),
    ("date", ["'2013-01-09'", "'2013-01-10'", "'2013-12-01'", "'2024-02-29'"]),
    ("datetime(6)", ["'2013-01-01'", "'2013-01-01 00:00:00.000001'", "'2013-02-01'", "'2024-01-01'"]),
    ("timestamp(6) NULL", ["'2013-01-01'", "'2013-01-01 00:00:00.000001'", "'2013-02-01'", "'2024-01-01'"]),
    ("varchar(9) COLLATE utf8mb4_general_ci", ["'B'", "'Z\\'\\\\'", "'a'", "'é'"]),
    ("char(9) CHARACTER SET latin1", ["'B'", "'Z'", "'a'", "'é'"]),
]


def fill(base: Database, type_: str, values: list[str]) -> MySQL:
    base.do(f"CREATE TABLE IF NOT EXISTS t (id int AUTO_INCREMENT PRIMARY KEY, c {type_})")
    base.do("SET time_zone = '+00:00'", *(f"INSERT INTO t (c) VALUES ({each})" for each in values))
    return MySQL(MySQL.Params(**base.params))


@pytest.mark.parametrize(("type_", "values"), CURSORS, ids=[type_ for type_, _ in CURSORS])
def test_it_works(mysql: Database, type_: str, values: list[str]) -> None:
    source = fill(mysql, type_, [*values[:2], "NULL"])
    first = source.plan(STREAM, "incremental", Mark())
    assert first.window is not None
    assert [row[0] for row in sorted(staged(source, STREAM, first.window, "id"))] == [1, 2]
    assert first.warnings == ("1 rows of t have no c and are not read incrementally.",)

    fill(mysql, type_, [*values[2:], "NULL"])
    second = source.plan(STREAM, "incremental", Mark(upper=first.window.upper))
    assert second.window is not None
    assert (second.window.lower, second.window.reread_from) == (first.window.upper, first.window.upper)
    # The lower bound is read again, for rows that came late with the same value; the extract step takes out the others.
    assert [row[0] for row in sorted(staged(source, STREAM, second.window, "id"))] == [2, 4, 5]
    assert source.count(STREAM, second.window) == 2
    assert source.count(STREAM, Window("slice", column="c", upper=second.window.reread_from)) == 1
    assert source.plan(STREAM, "incremental", Mark(upper=second.window.upper)).window is None


def test_an_empty_table_has_nothing_to_read(mysql: Database) -> None:
    planned = fill(mysql, "int", ["NULL"]).plan(STREAM, "incremental", Mark())
    assert (planned.window, planned.reason) == (None, "t has no row with a c.")


@pytest.mark.parametrize(
    ("type_", "upper", "amount", "start"),
    [
        ("timestamp(6) NULL", "2013-01-01 01:00:00.000000", 1800.0, "2013-01-01 00:30:00.000000"),
        ("datetime", "2013-01-01 01:00:00", 0.5, "2013-01-01 00:59:59.500000"),
        ("date", "2013-01-10", 86401.0, "2013-01-08"),
        ("decimal(20,4)", "10.5000", 0.25, "10.2500"),
        ("int", "10", 3.0, "7"),
        ("int unsigned", "1", 3.0, "0"),
    ],
)
def test_a_lookback_begins_earlier(mysql: Database, type_: str, upper: str, amount: float, start: str) -> None:
    source = fill(mysql, type_, [f"'{upper}'"])
    stream = replace(STREAM, lookback=amount)
    fill(mysql, type_, ["'99'" if "int" in type_ or "dec" in type_ else "'2024-01-01'"])
    window = source.plan(stream, "incremental", Mark(upper=upper)).window
    assert window is not None
    assert window.reread_from == start
    assert len(staged(source, stream, window)) == 2
    known = source.plan(stream, "incremental", Mark(upper=upper, seen_from=upper)).window
    assert known is not None
    assert len(staged(source, stream, known)) == 2


def test_rows_that_came_late_at_the_boundary_are_noticed(mysql: Database) -> None:
    source = fill(mysql, "int", ["1", "2", "2"])
    assert source.plan(STREAM, "incremental", Mark(upper="2", boundary_rows=2)).window is None
    fill(mysql, "int", ["2"])
    late = source.plan(STREAM, "incremental", Mark(upper="2", boundary_rows=2))
    assert late.window == Window("cursor", column="c", lower="2", upper="2", reread_from="2")
    assert late.reason == "1 rows of t arrived late, at or before c 2."


def test_a_slice_ends_before_its_upper_bound(mysql: Database) -> None:
    source = fill(mysql, "timestamp(6) NULL", [])
    mysql.do("SET time_zone = '+00:00'", "INSERT INTO t (c) VALUES ('2024-01-01'), ('2024-01-02'), ('2024-01-03')")
    part = Window("slice", column="c", lower="2024-01-01 00:00:00+00", upper="2024-01-03 00:00:00+00")
    assert sorted(staged(source, STREAM, part, "id")) == [(1,), (2,)]
    assert source.count(STREAM, part) == 2


def test_a_filter_and_a_query_move_the_cursor_only_over_their_rows(mysql: Database) -> None:
    source = fill(mysql, "int", ["1", "2", "3"])
    filtered = source.plan(replace(STREAM, row_filter="c < 3"), "incremental", Mark()).window
    stream = StreamConfig("mine", query="SELECT c * 10 AS c FROM t", cursor="c")
    queried = source.plan(stream, "incremental", Mark(upper="10")).window
    assert filtered is not None and queried is not None
    assert (filtered.upper, queried.upper) == ("2", "30")
    assert sorted(staged(source, stream, queried)) == [(10,), (20,), (30,)]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (StreamConfig("t"), "cursor_missing"),
        (StreamConfig("t", cursor="nope"), "column_missing"),
        (StreamConfig("t", cursor="j"), "cursor_type"),
        (StreamConfig("t", cursor="d"), "cursor_type"),
        (StreamConfig("t", cursor="v", lookback=1.0), "lookback"),
    ],
)
def test_a_cursor_that_is_none_is_refused(mysql: Database, stream: StreamConfig, code: str) -> None:
    source = fill(mysql, "int", ["1"])
    mysql.do("ALTER TABLE t ADD j json, ADD v varchar(9), ADD d decimal(40,2)")
    with pytest.raises(ConfigurationError) as caught:
        source.plan(stream, "incremental", Mark())
    assert caught.value.code == code


def test_a_window_of_another_cursor_is_refused(mysql: Database) -> None:
    source = fill(mysql, "int", ["1"])
    with pytest.raises(ConfigurationError) as caught:
        staged(source, replace(STREAM, cursor="id"), Window("cursor", column="c", upper="1"))
    assert caught.value.code == "cursor_changed"


def test_columns_that_have_changed_are_told_without_reading_rows(mysql: Database) -> None:
    mysql.do("CREATE TABLE t (id int, name varchar(9), fare double)", "INSERT INTO t VALUES (1, 'x', 2.5)")
    source = MySQL(MySQL.Params(**mysql.params))
    (info,) = source.discover()
    stream = StreamConfig("t", columns=info.columns)
    assert drift.compared(stream.columns, source.columns_now(stream, ())) == ()
    mysql.do("ALTER TABLE t DROP COLUMN name, MODIFY fare varchar(9), ADD COLUMN at date")
    changes = drift.compared(stream.columns, source.columns_now(stream, ()))
    assert {each.column: each.kind for each in changes} == {"name": "removed", "fare": "retyped", "at": "added"}
