"""Reading by a cursor: what a window holds, on both ways of reading, and what is said when nothing is new."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.connectors.databases import server
from dataplane.connectors.postgresql import PostgreSQL, reading, session, writers
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, TransientError
from dataplane.steps.base import StepContext
from dataplane.steps.extract import ExtractStep
from dataplane.storage import Storage
from tests.dataplane.connectors.databases import connector, parquet, staged

STREAM = StreamConfig("public.t", cursor="c")
# The cursor's type, and values in rising order.
CURSORS = [
    ("int", ["-5", "9", "10", "200"]),
    ("bigint", ["1", "9", "10", "9007199254740993"]),
    ("numeric(20,4)", ["-1.5", "9.25", "10", "10000000000.0001"]),
    ("date", ["2013-01-09", "2013-01-10", "2013-12-01", "2024-02-29"]),
    ("timestamp", ["2013-01-01 00:00:00", "2013-01-01 00:00:00.000001", "2013-02-01 00:00:00", "2024-01-01 00:00:00"]),
    ("timestamptz", ["2013-01-01 00:00:00Z", "2013-01-01 00:00:00.000001Z", "2013-02-01 00:00:00Z", "2024-01-01Z"]),
    ("uuid", [f"{each:08x}-0000-7000-8000-000000000000" for each in (1, 9, 10, 200)]),
    ("text", ["B", "Z", "a", "é"]),
]  # fmt: skip


def fill(url: str, type_: str, values: list[str | None]) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(f"CREATE TABLE IF NOT EXISTS t (id serial, c {type_})")
        database.cursor().executemany("INSERT INTO t (c) VALUES (%s)", [(each,) for each in values])


def test_a_dry_run_waits_for_no_long_statement(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = connector(postgres_url)
    slow = StreamConfig("slow", query="SELECT 1 AS c FROM pg_sleep(60)", cursor="c")
    source.hurried = True
    monkeypatch.setattr(server, "ASK_SECONDS", 1.0)
    with pytest.raises(TransientError) as caught:
        source.plan(slow, "incremental", Mark())
    assert caught.value.code == "statement_timeout"


@pytest.mark.parametrize(("type_", "values"), CURSORS, ids=[type_ for type_, _ in CURSORS])
def test_it_works(postgres_url: str, type_: str, values: list[str]) -> None:
    source = connector(postgres_url)
    fill(postgres_url, type_, [*values[:2], None])
    first = source.plan(STREAM, "incremental", Mark())
    assert first.window == Window("cursor", column="c", upper=first.window.upper if first.window else None)
    assert [row[0] for row in sorted(staged(source, STREAM, first.window, "id"))] == [1, 2]
    assert first.warnings == ("1 rows of public.t have no c and are not read incrementally.",)

    fill(postgres_url, type_, [*values[2:], None])
    second = source.plan(STREAM, "incremental", Mark(upper=first.window.upper))
    assert second.window is not None
    assert (second.window.lower, second.window.reread_from) == (first.window.upper, first.window.upper)
    # The lower bound is read again, for rows that came late with the same value; the extract step takes out the others.
    assert [row[0] for row in sorted(staged(source, STREAM, second.window, "id"))] == [2, 4, 5]
    assert source.count(STREAM, second.window) == 2
    assert source.count(STREAM, Window("slice", column="c", upper=second.window.reread_from)) == 1

    third = source.plan(STREAM, "incremental", Mark(upper=second.window.upper))
    assert third.window is None
    assert "nothing after" in third.reason


@pytest.mark.parametrize("type_", ["text", "varchar(9)"])
def test_the_bounds_of_texts_are_compared_by_their_bytes_as_the_column_is(postgres_url: str, type_: str) -> None:
    """The server of the tests knows no other order of texts, so it is asked by which it would compare them."""
    source = connector(postgres_url)
    fill(postgres_url, type_, ["B"])
    with session.connected(source.params) as connection:
        cursor = reading.prepare(connection, source.params, STREAM).cursor
        assert cursor is not None
        sides = f"SELECT COLLATION FOR ({cursor.value('a')}), COLLATION FOR ({cursor.sql}) FROM t"
        assert connection.execute(sides).fetchone() == ('"C"', '"C"')


def test_of_a_table_without_statistics_nobody_knows_how_many_rows_it_has(postgres_url: str) -> None:
    fill(postgres_url, "int", ["1", "2", "3"])
    planned = connector(postgres_url).plan(STREAM, "full_refresh", Mark())
    assert (planned.rows, planned.bytes) == (None, None)
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("ANALYZE t")
    assert connector(postgres_url).plan(STREAM, "full_refresh", Mark()).rows == 3


def test_an_empty_table_has_nothing_to_read(postgres_url: str) -> None:
    fill(postgres_url, "int", [None])
    planned = connector(postgres_url).plan(STREAM, "incremental", Mark())
    assert (planned.window, planned.reason) == (None, "public.t has no row with a c.")


def test_a_lookback_begins_earlier(postgres_url: str) -> None:
    fill(postgres_url, "timestamptz", ["2013-01-01 00:00:00Z", "2013-01-01 01:00:00Z", "2013-01-01 02:00:00Z"])
    stream = replace(STREAM, lookback=1800.0)
    window = connector(postgres_url).plan(stream, "incremental", Mark(upper="2013-01-01 01:00:00+00")).window
    assert window is not None
    assert window.reread_from == "2013-01-01 00:30:00+00"


def test_rows_that_came_late_at_the_boundary_are_noticed(postgres_url: str) -> None:
    fill(postgres_url, "int", ["1", "2", "2"])
    source = connector(postgres_url)
    assert source.plan(STREAM, "incremental", Mark(upper="2", boundary_rows=2)).window is None
    fill(postgres_url, "int", ["2"])
    late = source.plan(STREAM, "incremental", Mark(upper="2", boundary_rows=2))
    assert late.window == Window("cursor", column="c", lower="2", upper="2", reread_from="2")
    assert late.reason == "1 rows of public.t arrived late, at or before c 2."
    assert len(staged(source, STREAM, late.window)) == 3


def test_endless_values_do_not_hide_what_comes_later(postgres_url: str) -> None:
    fill(postgres_url, "timestamptz", ["2013-01-01Z", "infinity"])
    window = connector(postgres_url).plan(STREAM, "incremental", Mark()).window
    assert window is not None
    assert window.upper == "2013-01-01 00:00:00+00"


def test_a_filter_and_a_query_move_the_cursor_only_over_their_rows(postgres_url: str) -> None:
    fill(postgres_url, "int", ["1", "2", "3"])
    source = connector(postgres_url)
    filtered = source.plan(replace(STREAM, row_filter="c < 3"), "incremental", Mark()).window
    queried = source.plan(
        StreamConfig("mine", query="SELECT c * 10 AS c FROM t", cursor="c"), "incremental", Mark(upper="10")
    ).window
    assert filtered is not None and queried is not None
    assert (filtered.upper, queried.upper) == ("2", "30")
    stream = StreamConfig("mine", query="SELECT c * 10 AS c FROM t", cursor="c")
    assert sorted(staged(source, stream, queried)) == [(10,), (20,), (30,)]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (StreamConfig("public.t"), "cursor_missing"),
        (StreamConfig("public.t", cursor="nope"), "column_missing"),
        (StreamConfig("public.t", cursor="j"), "cursor_type"),
    ],
)
def test_a_cursor_that_is_none_is_refused(postgres_url: str, stream: StreamConfig, code: str) -> None:
    fill(postgres_url, "int", ["1"])
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("ALTER TABLE t ADD j jsonb")
    with pytest.raises(ConfigurationError) as caught:
        connector(postgres_url).plan(stream, "incremental", Mark())
    assert caught.value.code == code


def test_a_window_of_another_cursor_is_refused(postgres_url: str) -> None:
    fill(postgres_url, "int", ["1"])
    with pytest.raises(ConfigurationError) as caught:
        staged(connector(postgres_url), replace(STREAM, cursor="id"), Window("cursor", column="c", upper="1"))
    assert caught.value.code == "cursor_changed"


def test_bounds_are_quoted(postgres_url: str) -> None:
    fill(postgres_url, "text", ["it's", "z"])
    source = connector(postgres_url)
    window = source.plan(STREAM, "incremental", Mark(upper="it's")).window
    assert window is not None
    assert len(staged(source, STREAM, window)) == 2
    declared = replace(STREAM, columns=(Column("c", "VARCHAR"),))
    assert sorted(staged(source, declared, window)) == [("it's",), ("z",)]


def test_a_lookback_needs_something_to_take_it_off(postgres_url: str) -> None:
    fill(postgres_url, "text", ["a"])
    with pytest.raises(ConfigurationError) as caught:
        connector(postgres_url).plan(replace(STREAM, lookback=1.0), "incremental", Mark())
    assert caught.value.code == "lookback"


def extracted(
    source: PostgreSQL, stream: StreamConfig, storage: Storage, *, run: int, mark: Mark, seen: str | None
) -> Any:
    """One run of the extract step as the run engine calls it: its rows, and the mark and hashes for the next."""
    window = source.plan(stream, "incremental", mark).window
    extras = {"connector": source, "stream": stream, "window": window, "seen": seen}
    spill = str(storage.root / f"spill-{run}")
    context = StepContext("t", storage, {}, f"out-{run}", spill, 2**28, 2, extras=extras)
    spec = ExtractStep.Spec(source="s", stream="t", mode="incremental")
    result = ExtractStep.run(context, spec)
    assert result.table is not None
    rows = parquet([storage.absolute(each.path) for each in result.table.files], "c, v")
    if window is None:
        return rows, mark, seen
    return rows, Mark(upper=window.upper, boundary_rows=result.facts["boundary_rows"]), result.facts["seen"]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(0, 6), max_size=5), min_size=1, max_size=4),
    st.sampled_from([0.0, 2.0, 2.5, 100.0]),
)
def test_what_runs_have_read_together_is_what_is_there(
    postgres_url: str, batches: list[list[int]], lookback: float
) -> None:
    """Rows rise by two a run and come up to six late: whatever the lookback reaches is there, and nothing twice."""
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("CREATE TABLE IF NOT EXISTS h (c int, v text); TRUNCATE h")
    source, stream = connector(postgres_url), StreamConfig("public.h", cursor="c", lookback=lookback)
    expected: Counter[tuple[int, str]] = Counter()
    loaded: Counter[tuple[int, str]] = Counter()
    mark, seen = Mark(), None
    with tempfile.TemporaryDirectory() as folder:
        for run, batch in enumerate(batches):
            rows = [(2 * run + each, "same") for each in batch]
            with psycopg.connect(postgres_url, autocommit=True) as database:
                database.cursor().executemany("INSERT INTO h VALUES (%s, %s)", rows)
            reach = -1.0 if mark.upper is None else int(mark.upper) - lookback
            expected.update(row for row in rows if row[0] >= reach)
            found, mark, seen = extracted(source, stream, Storage(Path(folder).as_uri()), run=run, mark=mark, seen=seen)
            loaded.update(found)
            assert loaded == expected


@pytest.mark.all
def test_rows_of_a_transaction_that_was_open_when_they_were_planned(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sequence gives its numbers before they are committed: what ends in a moment is read, of the rest is warned."""
    source, stream = connector(postgres_url), StreamConfig("public.t", cursor="id")
    fill(postgres_url, "int", ["1"])
    with psycopg.connect(postgres_url) as slow:
        slow.execute("INSERT INTO t (c) VALUES (2)")
        fill(postgres_url, "int", ["3"])
        window = source.plan(stream, "incremental", Mark(upper="1")).window
        assert window is not None and window.upper == "3"
        monkeypatch.setattr(writers, "WAIT_SECONDS", 0.1)
        assert staged(source, stream, window, "c") == [(1,), (3,)]
        with connector_instance(extensions=source.extensions) as duck:
            with source.read(stream, window, duck) as reading_:
                assert [each.partition(" that ")[0] for each in reading_.warnings] == ["A transaction"]
            with source.read(replace(stream, lookback=10), window, duck) as reading_:
                assert reading_.warnings == []
        monkeypatch.setattr(writers, "WAIT_SECONDS", 60.0)
        ending = threading.Timer(0.3, slow.commit)
        ending.start()
        assert staged(source, stream, window, "c") == [(1,), (2,), (3,)]
        ending.join()


def test_of_a_table_that_was_made_anew_it_is_said_that_its_newest_row_is_older(postgres_url: str) -> None:
    source = connector(postgres_url)
    fill(postgres_url, "int", ["10"])
    same = source.plan(STREAM, "incremental", Mark(upper="10"))
    assert (same.window, same.reason) == (None, "public.t has nothing after c 10.")
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("DROP TABLE t")
    fill(postgres_url, "int", ["3"])
    anew = source.plan(STREAM, "incremental", Mark(upper="10", boundary_rows=1))
    assert anew.window is None
    assert anew.reason.startswith("public.t has nothing after c 10, and its newest is 3 now. If it was emptied")


def test_where_connections_share_no_snapshot_all_is_read_on_one(postgres_url: str) -> None:
    """DuckDB's scanner goes by a setting of Amazon RDS; here a view of the same name says that there is one."""
    source, full = connector(postgres_url), Window("full")
    fill(postgres_url, "int", ["1", "2"])
    found = []
    for path in ("public", "apart, pg_catalog, public"):
        with psycopg.connect(postgres_url, autocommit=True) as database:
            database.execute("CREATE SCHEMA IF NOT EXISTS apart")
            database.execute("CREATE OR REPLACE VIEW apart.pg_settings AS SELECT 'rds.extensions' AS name")
            database.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {database.info.dbname} SET search_path = {path}")
        with session.connected(source.params) as connection:
            found.append(reading.prepare(connection, source.params, replace(STREAM, cursor=None)).scannable(full))
        assert staged(source, replace(STREAM, cursor=None), full, "count(*)") == [(2,)]
    assert found == [True, False]
