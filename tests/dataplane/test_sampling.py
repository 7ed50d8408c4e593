"""A declaration is tried as a run would read: what arrives, what is set aside and why, and that it ends."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import duckdb
import psycopg
import pytest

from dataplane.connectors.reading import Rejected
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.errors import DataError, TransientError
from dataplane.sampling import SHOWN, tried
from tests.dataplane.connectors import databases
from tests.dataplane.steps.files_source import Drop, rejects, typed


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def test_everything_arrives(drop: Drop) -> None:
    drop.write("a.csv", "id,at\n1,2026-01-01\n2,\n")
    found = tried(drop.connector, drop.stream())
    assert (found.rows, found.rejected, found.samples, found.file) == (2, 0, (), "a.csv")


def test_it_says_what_a_run_would_set_aside(drop: Drop) -> None:
    drop.write("a.csv", "id,at,ok\n1,2026-01-01,true\nx,2026-01-02,true\n3,never,true\n4,2026-01-04,perhaps\n5,1,2,3\n")
    stream = typed(drop.stream(), id="BIGINT", at="DATE", ok="BOOLEAN")
    found = tried(drop.connector, stream)
    assert (found.rows, found.rejected) == (1, 4)
    assert found.samples[0] == Rejected("a.csv", 3, "id is not BIGINT", "x,2026-01-02,true")
    assert [(each.file, each.row, each.reason, each.raw) for each in found.samples] == sorted(
        rejects(drop.root, drop.extract(stream))
    )


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_json_is_tried_too(drop: Drop, name: str) -> None:
    rows = ['{"n": 1}', '{"n": "two"}']
    drop.write(name, "\n".join(rows) if name == "a.ndjson" else f"[{', '.join(rows)}]")
    found = tried(drop.connector, typed(drop.stream(), n="INTEGER"))
    assert (found.rows, [each.reason for each in found.samples]) == (1, ["n is not INTEGER"])


def test_few_rows_are_shown_and_one_file_is_read(drop: Drop) -> None:
    drop.write("a_1.csv", "id\n" + "x\n" * 500)
    drop.write("a_2.csv", "id\n1\n")
    found = tried(drop.connector, typed(drop.stream(pattern=["a_*.csv"]), id="BIGINT"))
    assert (found.rows, found.rejected, len(found.samples), found.file) == (0, 500, SHOWN, "a_1.csv")


def test_a_file_that_may_still_grow_is_tried_where_there_is_no_other(drop: Drop) -> None:
    drop.write("a_1.csv", "id\n1\nx\n")
    waiting = typed(drop.stream(pattern=["a_*.csv"], settle_seconds=3600), id="BIGINT")
    found = tried(drop.connector, waiting)
    assert (found.rows, found.rejected, found.file) == (1, 1, "a_1.csv")
    assert found.warnings == ("a_1.csv was changed a moment ago and is left for the next run.",)
    os.utime(drop.write("a_2.csv", "id\n1\n"), (0, 0))
    assert tried(drop.connector, waiting).file == "a_2.csv"


def test_without_files_there_is_nothing_to_try_it_on(drop: Drop) -> None:
    drop.write("a.csv", "id\n1\n")
    stream = replace(drop.stream(), settings={**drop.stream().settings, "pattern": ["b_{YYYY}.csv"]})
    with pytest.raises(DataError, match="b_"):
        tried(drop.connector, stream)


def test_a_cell_of_sqlite_that_is_not_of_its_type(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as base:
        base.execute("CREATE TABLE t (n INTEGER, s TEXT)")
        base.executemany("INSERT INTO t VALUES (?, ?)", [(1, "a"), ("two", "b"), (3, "c")])
    base.close()
    connector = build("sqlite", {"path": str(tmp_path / "a.db")}, roots=[str(tmp_path)])
    [info] = connector.discover()
    stream = typed(StreamConfig(info.name, info.settings, info.columns), n="BIGINT")
    found = tried(connector, stream)
    assert (found.rows, found.rejected, found.file) == (2, 1, None)


def test_a_table_of_postgresql_fails_as_a_run_would(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("CREATE TABLE t AS SELECT i::text AS n FROM generate_series(1, 20000) i")
    connector = databases.connector(postgres_url)
    [info] = connector.discover()
    stream = StreamConfig(info.name, info.settings, info.columns)
    found = tried(connector, typed(stream, n="BIGINT"))
    assert (found.rows, found.rejected, found.file) == (10_000, 0, None)
    with pytest.raises(DataError):
        tried(connector, typed(stream, n="DATE"))


def test_a_nan_that_would_be_read_as_0_fails_the_sample_as_it_fails_a_run(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("CREATE TABLE t (price numeric(10,2)); INSERT INTO t VALUES (1), ('NaN')")
    with pytest.raises(DataError, match="holds NaN"):
        tried(databases.connector(postgres_url), StreamConfig("public.t"))


def test_it_ends(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as base:
        base.execute("CREATE TABLE t AS SELECT range AS n FROM range(5000000)")
    connector = build("duckdb", {"path": str(tmp_path / "a.duckdb")}, roots=[str(tmp_path)])
    with pytest.raises(TransientError, match="took longer than"):
        tried(connector, StreamConfig("main.t", row_filter="md5(md5(md5(n::VARCHAR))) = 'x'"), seconds=0)
