"""Rows into tables of DuckDB and SQLite files: every mode, every type, exactly once, one writer at a time."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dataplane.connectors import registry
from dataplane.connectors.databases import ledger, writing
from dataplane.connectors.destination import Destination, Load, Loaded, Rows, Watch
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Window
from dataplane.engine import connector_instance
from dataplane.errors import CancelledError, ManifoldError
from dataplane.steps.base import ColumnType

PIPELINE = uuid.UUID(int=7)
EARLIER, NOW, LATER = (uuid.UUID(int=each) for each in (10, 20, 30))
KINDS = ("duckdb", "sqlite")


class File:
    """A database file, and what tests do with it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.path = kind, folder / f"a.{kind}"
        self.do("CREATE TABLE before (x INTEGER)")
        self.connector = registry.build(kind, {"path": self.path.name}, roots=[str(folder)])

    def do(self, *statements: str) -> None:
        with self._opened() as base:
            for each in statements:
                base.execute(each)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self._opened() as base:
            return base.execute(query).fetchall()

    def _opened(self) -> Any:
        if self.kind == "duckdb":
            return duckdb.connect(str(self.path))
        return _Closing(sqlite3.connect(self.path, isolation_level=None))

    def load(self, query: str, watch: Watch | None = None, **about: Any) -> Loaded:
        """Load what a query yields into `t`, each time as a load of its own unless a key is given."""
        given = {"table": "t", "key": uuid.uuid4().hex, "mode": "append", "run": NOW, **about}
        assert isinstance(self.connector, Destination)
        with connector_instance(extensions=self.connector.extensions, memory=2**28, threads=2) as duck:
            columns = tuple(ColumnType(row[0], row[1]) for row in duck.execute(f"DESCRIBE {query}").fetchall())
            count = duck.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]
            rows = Rows(duck, query, columns, count)
            return self.connector.load(Load(pipeline=PIPELINE, step="out", **given), rows, watch or Watch())


class _Closing:
    """sqlite3's connection stays open behind `with`; this one closes."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self.base = base

    def __enter__(self) -> sqlite3.Connection:
        return self.base

    def __exit__(self, *error: object) -> None:
        self.base.close()


@pytest.fixture(params=KINDS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> File:
    return File(request.param, tmp_path)


def values(*rows: tuple[Any, ...], names: str = "id, v") -> str:
    listed = ", ".join("(" + ", ".join("NULL" if each is None else repr(each) for each in row) + ")" for row in rows)
    return f"SELECT * FROM (VALUES {listed}) r({names})"


def refusal(do: Callable[[], Any]) -> ManifoldError:
    with pytest.raises(ManifoldError) as caught:
        do()
    return caught.value


def test_it_works(file: File) -> None:
    assert file.load(values((1, "a"), (2, None))) == Loaded("loaded", inserted=2, created=True)
    assert file.load(values((3, ""))) == Loaded("loaded", inserted=1)
    assert file.ask("SELECT id, v FROM t ORDER BY id") == [(1, "a"), (2, None), (3, "")]
    assert file.load(values((9, "z")), mode="replace") == Loaded("loaded", inserted=1, deleted=3)
    assert file.ask("SELECT id, v FROM t") == [(9, "z")]
    noted = file.ask("SELECT mode, inserted, deleted FROM _manifold_loads ORDER BY mode, inserted")
    assert noted == [("append", 1, 0), ("append", 2, 0), ("replace", 1, 3)]
    assert sorted(each.name.rpartition(".")[2] for each in file.connector.discover()) == ["before", "t"]


def test_merge(file: File) -> None:
    def merge(query: str, **about: Any) -> Loaded:
        return file.load(query, mode="merge", by=("ID",), **about)

    assert merge(values((1, "a"), (2, "b"), (3, None))) == Loaded("loaded", inserted=3, created=True)
    assert merge(values((2, "B"), (3, None), (4, "d"))) == Loaded("loaded", inserted=1, updated=1, skipped=1)
    assert file.ask("SELECT id, v FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, None), (4, "d")]
    gone = merge(values((4, "d"), (5, "e")), delete_missing=True)
    assert gone == Loaded("loaded", inserted=1, deleted=3, skipped=1)
    assert file.ask("SELECT id, v FROM t ORDER BY id") == [(4, "d"), (5, "e")]
    assert merge(values((4, "x", True), names="id, v, new")).added == ("new",)
    assert file.ask("SELECT v, new FROM t ORDER BY id") == [("x", 1), ("e", None)]
    assert merge(values((4, False), names="id, new")) == Loaded("loaded", updated=1)
    assert file.ask("SELECT v, new FROM t ORDER BY id") == [("x", 0), ("e", None)], "v does not arrive and stays"


def test_a_replace_keeps_keys_and_indexes(file: File) -> None:
    file.do("CREATE TABLE t (id INTEGER PRIMARY KEY, v VARCHAR NOT NULL)", "CREATE INDEX i ON t (v)")
    for name in ("a", "b"):
        file.load(values((1, name), (2, name)), mode="replace")
    assert file.ask("SELECT id, v FROM t ORDER BY id") == [(1, "b"), (2, "b")]
    error = refusal(lambda: file.load(values((1, "again"))))
    assert (error.error_class, error.code) == ("data", "constraint")
    assert file.ask("SELECT count(*) FROM t") == [(2,)]


def test_a_repeated_load_finds_itself_done(file: File) -> None:
    file.load(values((1, "a"), (2, "b")), key="k")
    assert file.load(values((1, "x")), key="k", run=LATER) == Loaded("already_done", inserted=2)
    assert file.ask("SELECT count(*) FROM t") == [(2,)]
    file.load(values((1, "new")), mode="replace", run=LATER)
    assert file.load(values((1, "old")), mode="replace", run=EARLIER).status == "overtaken"
    assert file.ask("SELECT v FROM t") == [("new",)]


def test_a_table_that_has_vanished(file: File) -> None:
    file.load(values((1, "a")))
    file.do("DROP TABLE t")
    assert refusal(lambda: file.load(values((2, "b")))).code == "table_missing"
    assert file.load(values((2, "b")), complete=True).created


@pytest.mark.parametrize(
    ("query", "about", "code"),
    [
        (values((1, 2.5), names="id, w"), {"policy": "freeze"}, "schema_frozen"),
        ("SELECT 1 AS id, 'x'::BLOB AS v", {}, "type_mismatch"),
        (values((1, "a"), names="nick, v"), {"mode": "merge", "by": ("nick",)}, "key_missing"),
        (values((1, "a")), {"table": "_manifold_loads"}, "table_name"),
        (values((1, "a")), {"table": "look"}, "not_a_table"),
        (values((7, "a")), {"mode": "merge", "by": ("id",)}, "key_twice_in_table"),
    ],
)
def test_what_is_refused(file: File, query: str, about: dict[str, Any], code: str) -> None:
    file.do("CREATE TABLE t (id INTEGER, v VARCHAR)", "INSERT INTO t VALUES (7, 'x'), (7, 'y')")
    file.do("CREATE VIEW look AS SELECT * FROM t")
    assert refusal(lambda: file.load(query, **about)).code == code
    assert file.ask("SELECT count(*) FROM t") == [(2,)]
    assert file.load(values((8, "z"))).status == "loaded", "nothing holds the file"


def test_a_schema_and_a_column_that_need_something(tmp_path: Path) -> None:
    file = File("duckdb", tmp_path)
    assert refusal(lambda: file.load("SELECT 1 AS id", table="mart.t")).code == "schema_missing"
    file.do("CREATE SCHEMA mart")
    assert file.load("SELECT 1 AS id", table="mart.t").created
    file.do("CREATE TABLE t (id INTEGER, v VARCHAR NOT NULL)")
    assert refusal(lambda: file.load("SELECT 1 AS id")).code == "column_missing"


@pytest.mark.parametrize(
    "value",
    [
        "99999999999999999999999999999999999999::DECIMAL(38,0)",
        "1234567890123456.78::DECIMAL(18,2)",
        "TIMESTAMP '2024-01-02 03:04:05.000001'",
        "'2024-01-02 03:04:05.5+02'::TIMESTAMPTZ",
        "DATE '0044-03-15 (BC)'",
        "(0.1 + 0.2)::DOUBLE",
        "'inf'::DOUBLE",
        "9223372036854775807",
        "'a' || chr(0) || 'b'",
        "'\\xff\\x00'::BLOB",
        "'6f9619ff-8b86-d011-b42d-00cf4fc964ff'::UUID",
        "[1, NULL]",
        "true",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_each_value_arrives_unchanged(tmp_path: Path, kind: str, value: str) -> None:
    """As its text, which is how SQLite keeps what it has no type for."""
    file = File(kind, tmp_path)
    file.load(f"SELECT {value} AS c")
    name = "t" if kind == "sqlite" else "main.t"
    with (
        connector_instance(extensions=file.connector.extensions) as duck,
        file.connector.read(StreamConfig(name), Window("full"), duck) as reading,
    ):
        (part,) = reading.in_parts()
        wanted = f"CAST({value} AS BIGINT)" if value == "true" and kind == "sqlite" else value
        texts = f"SELECT CAST(c AS VARCHAR), CAST({wanted} AS VARCHAR) FROM ({part.query})"
        back, expected = duck.execute(texts).fetchall()[0]
    assert back == expected


def test_sqlite_is_told_no_nan(tmp_path: Path) -> None:
    file = File("sqlite", tmp_path)
    error = refusal(lambda: file.load("SELECT 'nan'::DOUBLE AS c"))
    assert (error.error_class, "NaN arrives in c" in error.message) == ("data", True)


def test_smaller_types_take_what_fits(tmp_path: Path) -> None:
    file = File("duckdb", tmp_path)
    file.do("CREATE TABLE t (id TINYINT, v ENUM ('a', 'b'))")
    file.load("SELECT 7::BIGINT AS id, 'a' AS v")
    for query in ("SELECT 300::BIGINT AS id, 'a' AS v", "SELECT 1 AS id, 'c' AS v"):
        assert refusal(partial(file.load, query, policy="freeze")).code == "conversion"
    assert refusal(lambda: file.load("SELECT 1.5::DOUBLE AS id, 'a' AS v")).code == "type_mismatch"
    assert file.ask("SELECT id, v FROM t") == [(7, "a")]


def test_columns_become_wider_where_values_need_it(tmp_path: Path) -> None:
    file = File("duckdb", tmp_path)
    file.do("CREATE TABLE t (id TINYINT, v DECIMAL(4, 2) DEFAULT 1)", "INSERT INTO t VALUES (1, 2.50)")
    assert file.load("SELECT 7::BIGINT AS id, 1.5::DECIMAL(3, 1) AS v").widened == ()
    done = file.load("SELECT 300::BIGINT AS id, 1234.5::DECIMAL(5, 1) AS v")
    assert done.widened == ("id: TINYINT to BIGINT", "v: DECIMAL(4,2) to DECIMAL(6,2)")
    assert file.ask("SELECT id, v::VARCHAR FROM t ORDER BY id") == [(1, "2.50"), (7, "1.50"), (300, "1234.50")]
    file.do("CREATE TABLE kept (id TINYINT PRIMARY KEY)")
    assert refusal(lambda: file.load("SELECT 300 AS id", table="kept")).code == "cannot_widen"
    assert refusal(lambda: file.load("SELECT 1.5::DOUBLE AS id", table="kept")).code == "type_mismatch"
    assert file.load("SELECT 30 AS id", table="kept").inserted == 1


_HOLDER = {
    "duckdb": "import duckdb; base = duckdb.connect(sys.argv[1])",
    "sqlite": "import sqlite3; base = sqlite3.connect(sys.argv[1]); base.execute('BEGIN EXCLUSIVE')",
    "reader": "import sqlite3; read = sqlite3.connect(sys.argv[1]).execute('SELECT 1 UNION ALL SELECT x FROM before')",
}


def holding(file: File, how: str = "") -> subprocess.Popen[str]:
    """Another program that writes the file, or reads it, until its input ends."""
    code = f"import sys; {_HOLDER[how or file.kind]}; print('held', flush=True); sys.stdin.read()"
    held = subprocess.Popen(
        [sys.executable, "-c", code, str(file.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert held.stdout is not None
    assert held.stdout.readline() == "held\n"
    return held


def test_the_ledger_forgets_only_what_is_known_elsewhere(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT", 2)
    monkeypatch.setattr(ledger, "AT_ONCE", 2)
    for number in range(5):
        file.load(values((number, "a")), key=str(number), run=uuid.UUID(int=number + 1))
    done = {"0", "1", "4"}
    file.load(values((5, "a")), key="5", run=uuid.UUID(int=6), settled=done.intersection)
    assert file.ask("SELECT load_key FROM _manifold_loads ORDER BY load_key") == [("2",), ("3",), ("4",), ("5",)]
    late = file.load(values((0, "a")), key="0", run=uuid.UUID(int=1))
    assert late == Loaded("overtaken"), "an execution that was thought dead adds nothing"
    assert file.load(values((2, "a")), key="2", run=uuid.UUID(int=7)) == Loaded("already_done", inserted=1)


def test_loads_that_nobody_knows_are_asked_about_now_and_then(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT", 1)
    monkeypatch.setattr(ledger, "AT_ONCE", 3)
    asked: list[list[str]] = []

    def nobody_knows(keys: Sequence[str]) -> list[str]:
        asked.append(sorted(keys))
        return []

    for number in range(7):
        file.load(values((number, "a")), key=str(number), run=uuid.UUID(int=number + 1), settled=nobody_knows)
    assert asked == [["0", "1"], ["0", "1", "2", "3", "4"]]


def test_a_second_writer_waits_and_says_so(file: File) -> None:
    told: list[str] = []
    with holding(file) as held:

        def waits(sentence: str) -> None:
            told.append(sentence)
            if len(told) == 1:
                held.communicate()

        done = file.load(values((1, "a")), Watch(waits=waits))
    assert set(told) == {f"Waits until nobody else writes {file.path.name}."}
    assert done.inserted == 1


def test_a_load_that_is_begun_anew_passes_each_place_once(tmp_path: Path) -> None:
    """Whoever reads a file of SQLite lets everything be written but the commit."""
    file, places, told = File("sqlite", tmp_path), list[str](), list[str]()
    with holding(file, "reader") as held:

        def waits(sentence: str) -> None:
            told.append(sentence)
            if len(told) == 3:
                held.communicate()

        assert file.load(values((1, "a")), Watch(passed=places.append, waits=waits)).inserted == 1
    assert (len(told) >= 3, places) == (True, ["begun", "copied", "settled", "kept"])
    assert file.ask("SELECT count(*) FROM t") == [(1,)]


def test_a_load_that_waits_can_be_cancelled_and_gives_up(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[Callable[[], object]] = []

    def waits(sentence: str) -> None:
        stops[0]()

    with holding(file) as held:
        with pytest.raises(CancelledError):
            file.load(values((1, "a")), Watch(waits=waits, on_cancel=stops.append))
        monkeypatch.setattr(writing, "WAIT_SECONDS", 0.0)
        error = refusal(lambda: file.load(values((1, "a"))))
        held.communicate()
    assert (error.error_class, error.code) == ("transient", "file_locked")


@pytest.mark.parametrize("place", ["begun", "copied", "settled", "kept"])
def test_a_worker_that_is_killed_leaves_all_or_nothing(file: File, place: str) -> None:
    file.load(values((1, "a"), (2, "b")), mode="merge", by=("id",))
    child = os.fork()
    if child == 0:
        died = lambda passed: os.kill(os.getpid(), signal.SIGKILL) if passed == place else None  # noqa: E731
        file.load(values((2, "B"), (3, "c")), Watch(passed=died), mode="merge", by=("id",), key="k")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    again = file.load(values((2, "B"), (3, "c")), mode="merge", by=("id",), key="k", run=LATER)
    assert (again.status, again.inserted, again.updated) == (
        "already_done" if place == "kept" else "loaded",
        1,
        1,
    )
    assert file.ask("SELECT id, v FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, "c")]


def test_loads_at_the_same_time_come_one_after_the_other(file: File) -> None:
    """Two threads of one process share DuckDB's lock on a file, so this is asked of two processes."""
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            failed = 1
            try:
                file.load(f"SELECT i AS id, {number} AS v FROM range(1000) r(i)")
                failed = 0
            finally:
                os._exit(failed)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert file.ask("SELECT v, count(*) FROM t GROUP BY v ORDER BY v") == [(0, 1000), (1, 1000)]


def test_a_file_that_may_only_be_read(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert refusal(lambda: file.load(values((1, "a")))).code == "permission_denied"
