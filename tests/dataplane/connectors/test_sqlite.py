"""SQLite: what is there, what arrives, what is set aside, and what is new; against real files."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataplane.connectors.databases import file, server
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.sqlite import SQLite
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from dataplane.steps.base import StepResult
from dataplane.steps.extract import ExtractSpec, ExtractStep
from tests.dataplane.tables import Staging

SPEC = ExtractSpec(source="s", stream="t")


@pytest.fixture
def base(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    (tmp_path / "files").mkdir()
    connection = sqlite3.connect(tmp_path / "files" / "a.db", isolation_level=None)
    yield connection
    connection.close()


def connector(tmp_path: Path, path: str = "a.db") -> SQLite:
    return SQLite(SQLite.Params(path=path), roots=[str(tmp_path / "files")])


def found(tmp_path: Path, name: str = "t") -> StreamInfo:
    return next(each for each in connector(tmp_path).discover() if each.name == name)


def stream(info: StreamInfo, **given: Any) -> StreamConfig:
    return StreamConfig(info.name, info.settings, info.columns, **given)


def extract(tmp_path: Path, config: StreamConfig, window: Window, **extras: Any) -> tuple[StepResult, list[Any]]:
    staging = Staging(tmp_path / "storage")
    context = staging.context(
        {}, connector=connector(tmp_path), stream=config, window=window, **{"seen": None, **extras}
    )
    result = ExtractStep.run(context, SPEC)
    assert result.table is not None
    return result, staging.rows(result.table)


def rejected(tmp_path: Path, result: StepResult) -> list[Any]:
    assert result.table is not None
    return Staging(tmp_path / "storage").rows_of(result.table.rejected)


def test_it_works(tmp_path: Path, base: sqlite3.Connection) -> None:
    base.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, amount REAL)")
    base.execute("INSERT INTO t VALUES (1, 'a', 0.1 + 0.2), (2, NULL, 9)")
    base.execute("CREATE VIEW v AS SELECT name FROM t")
    assert [(each.name, each.ok) for each in connector(tmp_path).test()] == [
        ("resolve", True),
        ("list", True),
        ("read a row", True),
    ]
    info = found(tmp_path)
    assert [(each.name, each.type) for each in info.columns] == [
        ("id", "BIGINT"),
        ("name", "VARCHAR"),
        ("amount", "DOUBLE"),
    ]
    assert (info.primary_key, info.cursor_candidates) == (("id",), ("id", "name"))
    assert connector(tmp_path).preview(stream(info), 1).to_pylist() == [{"id": 1, "name": "a", "amount": 0.1 + 0.2}]
    planned = connector(tmp_path).plan(stream(info), "full_refresh", Mark())
    assert planned.window == Window("full")
    _, rows = extract(tmp_path, stream(info), Window("full"))
    assert rows == [(1, "a", 0.1 + 0.2), (2, None, 9.0)]
    _, rows = extract(tmp_path, stream(found(tmp_path, "v")), Window("full"))
    assert rows == [("a",), (None,)]


# How a column is declared, its cells, the type that arrives, and whether discovery says something about it.
TYPES: list[tuple[str, list[Any], str, bool]] = [
    ("INTEGER", [7], "BIGINT", False),
    ("REAL", [0.1], "DOUBLE", False),
    ("TEXT", ["naïve 漢字"], "VARCHAR", False),
    ("DATE", ["2024-01-02"], "DATE", False),
    ("DATE", ["2024-01-02 03:00"], "TIMESTAMP", True),
    ("DATETIME", ["2024-01-02 03:04:05.123456", "2024-01-02T03:04"], "TIMESTAMP", False),
    ("TIMESTAMP", ["2024-01-02T03:04:05+02:00"], "TIMESTAMP WITH TIME ZONE", True),
    ("TIMESTAMP", [1700000000], "BIGINT", True),
    ("TIMESTAMP", ["soon"], "VARCHAR", True),
    ("BOOLEAN", [0, 1, None], "BOOLEAN", False),
    ("BOOLEAN", [2], "BIGINT", True),
    ("DECIMAL(10,2)", [12.34, 5], "DECIMAL(10,2)", False),
    ("DECIMAL(10,2)", [12.345], "DOUBLE", True),
    ("NUMERIC", [1.5, 2**53], "DOUBLE", False),
    ("NUMERIC", [2**53 + 1], "VARCHAR", True),
    ("INTEGER", [2**63 - 1, -(2**63)], "BIGINT", False),
    ("INTEGER", [1.5], "DOUBLE", True),
    ("BLOB", [b"\x00\xff"], "BLOB", False),
    ("", [5, "x", 0.1], "VARCHAR", False),
    ("TIME", ["10:11:12"], "TIME", False),
    ("VARCHAR(3)", ["longer than that"], "VARCHAR", False),
]


@pytest.mark.parametrize("case", TYPES, ids=[f"{declared} {cells}" for declared, cells, *_ in TYPES])
def test_each_type_arrives_unchanged(
    tmp_path: Path, base: sqlite3.Connection, case: tuple[str, list[Any], str, bool]
) -> None:
    declared, cells, type_, warned = case
    base.execute(f"CREATE TABLE t (c {declared})")
    base.executemany("INSERT INTO t VALUES (?)", [(each,) for each in cells])
    info = found(tmp_path)
    assert (info.columns[0].type, bool(info.columns[0].warning)) == (type_, warned)
    result, rows = extract(tmp_path, stream(info), Window("full"))
    assert len(rows) == len(cells)
    assert rejected(tmp_path, result) == []
    arrived = sorted(str(each[0]) for each in rows)
    if type_ in ("BIGINT", "VARCHAR", "BLOB", "DOUBLE", "DECIMAL(10,2)"):
        number = type_ in ("DOUBLE", "DECIMAL(10,2)")
        assert arrived == sorted(str(each) for each in cells) or (
            number and sorted(map(float, arrived)) == sorted(map(float, cells))
        )


def test_the_offset_of_a_time_is_not_lost(tmp_path: Path, base: sqlite3.Connection) -> None:
    base.execute("CREATE TABLE t (at TIMESTAMP)")
    base.execute("INSERT INTO t VALUES ('2024-01-02 03:04:05+02:00')")
    _, rows = extract(tmp_path, stream(found(tmp_path)), Window("full"))
    assert rows[0][0].isoformat() == "2024-01-02T01:04:05+00:00"


@pytest.mark.parametrize("declared", ["INTEGER", "DATE"])
def test_a_cell_of_another_kind_is_set_aside(tmp_path: Path, base: sqlite3.Connection, declared: str) -> None:
    """INTEGER by the scanner, which stops; DATE by what SQLite tells of each cell."""
    good = {"INTEGER": 7, "DATE": "2024-01-02"}[declared]
    base.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})")
    base.executemany("INSERT INTO t (c) VALUES (?)", [(good,)] * 1000 + [("nonsense",), (b"\x01",), (None,)])
    info = found(tmp_path)
    result, rows = extract(tmp_path, stream(info), Window("full"))
    assert (len(rows), result.rows_in) == (1001, 1003)
    bad = rejected(tmp_path, result)
    type_ = info.columns[1].type
    assert [(row, reason) for _, row, reason, _ in bad] == [
        (1001, f"c: text is no {type_}"),
        (1002, f"c: blob is no {type_}"),
    ]
    assert json.loads(bad[0][3]) == {"id": "1001", "c": "nonsense"}


def test_a_declared_type_is_kept(tmp_path: Path, base: sqlite3.Connection) -> None:
    base.execute("CREATE TABLE t (c INTEGER)")
    base.execute("INSERT INTO t VALUES (1), ('x')")
    _, rows = extract(tmp_path, StreamConfig("t", columns=(Column("c", "varchar"),)), Window("full"))
    assert rows == [("1",), ("x",)]
    with pytest.raises(ConfigurationError, match="is no type"):
        extract(tmp_path, StreamConfig("t", columns=(Column("c", "INTEGER); DROP"),)), Window("full"))


@pytest.mark.parametrize("column", ["id", "at"])
def test_what_is_new(tmp_path: Path, base: sqlite3.Connection, column: str) -> None:
    base.execute("CREATE TABLE t (id INTEGER, at DATETIME)")
    base.execute("INSERT INTO t VALUES (1, '2024-01-01 00:00:01'), (2, '2024-01-01 00:00:02'), (NULL, NULL)")
    config = stream(found(tmp_path), cursor=column)
    first = connector(tmp_path).plan(config, "incremental", Mark())
    assert (first.rows, first.warnings) == (2, (f"1 rows of t have no {column} and are not read incrementally.",))
    assert first.window is not None
    result, rows = extract(tmp_path, config, first.window)
    assert [each[0] for each in rows] == [1, 2]
    mark = Mark(upper=first.window.upper, boundary_rows=result.facts["boundary_rows"])
    assert connector(tmp_path).plan(config, "incremental", mark).window is None
    base.execute("INSERT INTO t VALUES (2, '2024-01-01 00:00:02'), (3, '2024-01-01 00:00:03')")
    second = connector(tmp_path).plan(config, "incremental", mark)
    assert second.window is not None
    assert second.window.lower == first.window.upper
    _, rows = extract(tmp_path, config, second.window, seen=result.facts["seen"])
    assert [each[0] for each in rows] == [2, 3]
    assert connector(tmp_path).count(config, second.window) == 1
    before = Window("slice", column=second.window.column, upper=second.window.reread_from)
    assert connector(tmp_path).count(config, before) == 1


def test_an_incremental_read_stops_at_a_cell_of_another_kind(tmp_path: Path, base: sqlite3.Connection) -> None:
    base.execute("CREATE TABLE t (id INTEGER, at DATE)")
    base.execute("INSERT INTO t VALUES (1, '2024-01-01')")
    config = stream(found(tmp_path), cursor="id")
    base.execute("INSERT INTO t VALUES (2, 'soon')")
    with pytest.raises(DataError, match="column at: the text soon is no DATE"):
        extract(tmp_path, config, Window("cursor", column="id", upper="2"))


def test_a_dry_run_does_not_wait_for_what_sqlite_computes(
    tmp_path: Path, base: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.execute(
        "CREATE VIEW slow AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) "
        "SELECT max(i) AS id FROM n"
    )
    base.commit()
    monkeypatch.setattr(server, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(file, "_GRACE_SECONDS", 0.05)
    slow, source = StreamConfig("slow", columns=(Column("id", "BIGINT"),), cursor="id"), connector(tmp_path)
    source.hurried = True
    with pytest.raises(TransientError) as caught:
        source.plan(slow, "incremental", Mark())
    assert (caught.value.code, "took longer than" in caught.value.message) == ("statement_timeout", True)
    assert connector(tmp_path).plan(slow, "incremental", Mark()).window == Window(
        "cursor", column="id", upper="1000000"
    )


def test_columns_and_filter(tmp_path: Path, base: sqlite3.Connection) -> None:
    base.execute('CREATE TABLE "odd ""name" (id INTEGER, "a b" TEXT, day DATE)')
    base.execute("""INSERT INTO "odd ""name" VALUES (1, 'x', '2024-01-01'), (2, 'y', '2024-01-02')""")
    info = found(tmp_path, 'odd "name')
    config = stream(info, select=("a b",), row_filter="day > DATE '2024-01-01' -- later")
    assert extract(tmp_path, config, Window("full"))[1] == [("y",)]
    for bad in ("id = 1) OR (true", "id IN (SELECT 1 FROM read_csv('/etc/passwd'))", "nothing = 1", ""):
        with pytest.raises(ManifoldError):
            extract(tmp_path, stream(info, row_filter=bad or "("), Window("full"))


# SQLite's locks hold between processes: another copy of SQLite in this one would not see them.
_WRITER = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0.2)
for line in sys.stdin:
    try:
        base.execute(line)
        print("done", flush=True)
    except sqlite3.Error as error:
        print(error, flush=True)
"""


class Writer:
    """Another program that has the file open."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def execute(self, statement: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(statement, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()


@pytest.fixture
def writer(tmp_path: Path, base: sqlite3.Connection) -> Iterator[Writer]:
    base.execute("CREATE TABLE t (id INTEGER)")
    base.execute("INSERT INTO t VALUES (1)")
    base.close()
    found = Writer(tmp_path / "files" / "a.db")
    yield found
    found.process.communicate()


def test_a_writer_is_told_of(tmp_path: Path, writer: Writer) -> None:
    assert writer.execute("BEGIN EXCLUSIVE") == "done"
    with pytest.raises(TransientError, match="being written by another program") as caught:
        connector(tmp_path).preview(StreamConfig("t"))
    assert caught.value.code == "file_locked"
    assert str(tmp_path) not in str(caught.value.evidence)


def test_what_is_read_is_one_moment(tmp_path: Path, writer: Writer) -> None:
    config = stream(found(tmp_path))
    with (
        connector_instance(extensions=SQLite.extensions, threads=2) as duck,
        connector(tmp_path).read(config, Window("full"), duck),
    ):
        assert writer.execute("INSERT INTO t VALUES (2)") == "database is locked"
    assert writer.execute("PRAGMA journal_mode = wal") == "done"
    # So many that DuckDB would read them by several connections, each of which sees what is there when it begins.
    many = "WITH RECURSIVE more(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < 250000) SELECT n FROM more"
    assert writer.execute(f"INSERT INTO t {many}") == "done"
    with (
        connector_instance(extensions=SQLite.extensions, threads=2) as duck,
        connector(tmp_path).read(config, Window("full"), duck) as reading,
    ):
        assert writer.execute("DELETE FROM t WHERE id > 125000") == "done"
        (part,) = reading.in_parts()
        assert duck.execute(f"SELECT count(*), max(id) FROM ({part.query})").fetchall() == [(250_000, 250_000)]
    with (
        connector_instance(extensions=SQLite.extensions, threads=2) as duck,
        connector(tmp_path).read(config, Window("full"), duck) as reading,
    ):
        (part,) = reading.in_parts()
        assert duck.execute(f"SELECT count(*) FROM ({part.query})").fetchall() == [(125_000,)]


def test_what_no_run_could_read_is_told_before(tmp_path: Path, base: sqlite3.Connection) -> None:
    base.execute("CREATE TABLE t (id INTEGER, at DATE, loose BLOB)")
    good = StreamConfig("t", cursor="at", row_filter="id > 1")
    bad = [replace(good, cursor="gone"), replace(good, cursor="loose"), replace(good, row_filter="id >")]
    against = connector(tmp_path).preflight([StreamConfig("gone"), *bad, good, StreamConfig("t")])
    assert [(each.stream, each.code) for each in against] == [
        ("gone", "table_missing"),
        ("t", "column_missing"),
        ("t", "cursor_type"),
        ("t", "sql_syntax"),
    ]


def test_files_that_cannot_be_read(tmp_path: Path, base: sqlite3.Connection) -> None:
    base.execute("CREATE TABLE t (id INTEGER)")
    (tmp_path / "files" / "no.db").write_text("this is no database" * 100)
    (tmp_path / "out.db").write_bytes(b"")
    for path, code in (
        ("no.db", "file_format"),
        ("missing.db", "path_missing"),
        (".", "path_missing"),
        (str(tmp_path / "out.db"), "path_not_allowed"),
    ):
        stages = list(connector(tmp_path, path).test())
        assert not stages[-1].ok
        assert stages[-1].error is not None
        assert stages[-1].error.code == code
        assert "Failed to prepare" not in f"{stages[-1].error.message}{stages[-1].error.evidence}"
    base.execute("DROP TABLE t")
    last = list(connector(tmp_path).test())[-1]
    assert last.error is not None
    assert last.error.code == "nothing_to_read"
    with pytest.raises(ConfigurationError, match="There is no table t any more"):
        connector(tmp_path).preview(StreamConfig("t"))


def test_text_that_is_no_text(tmp_path: Path, base: sqlite3.Connection) -> None:
    base.execute("CREATE TABLE t (c TEXT)")
    base.execute("INSERT INTO t VALUES (CAST(x'ff41' AS TEXT))")
    with pytest.raises(DataError):
        extract(tmp_path, StreamConfig("t", columns=(Column("c", "VARCHAR"),)), Window("full"))
