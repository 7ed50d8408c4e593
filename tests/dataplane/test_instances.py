"""Instances of DuckDB: always fresh, whether they were opened ahead or when they were asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import duckdb
import pytest

from dataplane import instances
from dataplane.engine import connector_instance, operator_instance

SIZE = instances.Size(memory=64 << 20, threads=1)
SETTINGS = (
    "memory_limit",
    "threads",
    "TimeZone",
    "temp_directory",
    "max_temp_directory_size",
    "autoload_known_extensions",
    "allow_community_extensions",
    "enable_progress_bar",
    "enable_progress_bar_print",
)


@pytest.fixture(autouse=True)
def _none_ahead() -> Iterator[None]:
    """No test finds an instance of another's, or leaves one."""
    instances._ahead.clear()
    yield
    instances._ahead.clear()


def settings_of(connection: duckdb.DuckDBPyConnection) -> list[str]:
    chosen = ", ".join(f"current_setting('{each}')::VARCHAR" for each in SETTINGS)
    (row,) = connection.execute(f"SELECT {chosen}").fetchall()
    return list(row)


def test_the_next_instance_is_opened_once_and_handed_out_once():
    assert instances.open_ahead(SIZE)
    assert not instances.open_ahead(SIZE)
    with instances.fresh(SIZE) as first, instances.fresh(SIZE) as second:
        first.execute("CREATE TABLE mine AS SELECT 1")
        with pytest.raises(duckdb.CatalogException):
            second.execute("FROM mine")
    assert not instances.open_ahead(SIZE), "one follows the next"


def test_where_none_was_wanted_ahead_none_follows():
    instances.fresh(SIZE).close()
    assert instances.open_ahead(SIZE)


def test_one_that_was_opened_ahead_is_set_as_any_other():
    with instances.fresh(SIZE) as usual:
        instances.open_ahead(SIZE)
        with instances.fresh(SIZE) as ahead:
            assert settings_of(ahead) == settings_of(usual)
            assert settings_of(ahead)[:3] == ["64.0 MiB", "1", "UTC"]


def test_where_no_thread_can_be_had_it_is_opened_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    def none_left(_thread: threading.Thread) -> None:
        raise MemoryError

    with monkeypatch.context() as changed:
        changed.setattr(threading.Thread, "start", none_left)
        assert instances.open_ahead(SIZE)
    with instances.fresh(SIZE) as found:
        assert settings_of(found)[:2] == ["64.0 MiB", "1"]


def test_nobody_waits_for_ever_for_one_whose_thread_never_ran(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(instances, "PATIENCE", 0.01)
    with monkeypatch.context() as changed:
        changed.setattr(threading.Thread, "start", lambda _thread: None)
        assert instances.open_ahead(SIZE)
    with instances.fresh(SIZE) as found:
        assert settings_of(found)[:2] == ["64.0 MiB", "1"]


def test_one_of_another_size_stays_for_those_it_fits():
    instances.open_ahead(SIZE)
    with instances.fresh(instances.Size(memory=32 << 20, threads=2)) as other:
        assert settings_of(other)[:2] == ["32.0 MiB", "2"]
    assert not instances.open_ahead(SIZE)


@pytest.mark.parametrize("ordered", [True, False])
def test_an_instance_opened_ahead_gets_the_order_and_the_spill_folder_of_its_work(tmp_path, ordered):
    spill = f"{tmp_path}/spill/1"
    instances.open_ahead(SIZE)
    with connector_instance(memory=SIZE.memory, threads=SIZE.threads, spill=spill, ordered=ordered) as connection:
        found = connection.execute(
            "SELECT current_setting('preserve_insertion_order'), current_setting('temp_directory')"
        ).fetchone()
    assert found == (ordered, spill)


def test_an_operators_instance_opened_ahead_is_locked(tmp_path):
    instances.open_ahead(SIZE)
    with operator_instance([], f"{tmp_path}/out", spill=f"{tmp_path}/spill", memory=64 << 20, threads=1) as connection:
        assert not instances.open_ahead(SIZE), "it was the one that waited, so the next is on its way"
        for statement in (
            "SET threads = 2",
            "FROM read_text('/etc/hostname')",
            f"COPY (SELECT 1) TO '{tmp_path}/elsewhere.csv'",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)


class Slow:
    """Stands for an instance that takes its time to close."""

    def __init__(self) -> None:
        self.may_close, self.closed = threading.Event(), threading.Event()

    def close(self) -> None:
        assert self.may_close.wait(60)
        self.closed.set()


def test_an_instance_is_closed_behind_its_work_and_before_the_next_is_handed_out():
    slow: Any = Slow()
    instances.close_behind(slow)
    assert not slow.closed.is_set(), "nobody waits for it"
    threading.Timer(0.05, slow.may_close.set).start()
    with instances.fresh(SIZE):
        assert slow.closed.is_set()
    assert instances._closing == []


def test_where_no_thread_can_be_had_it_is_closed_at_once(monkeypatch: pytest.MonkeyPatch):
    def none_left(_thread: threading.Thread) -> None:
        raise MemoryError

    slow: Any = Slow()
    slow.may_close.set()
    with monkeypatch.context() as changed:
        changed.setattr(threading.Thread, "start", none_left)
        instances.close_behind(slow)
    assert slow.closed.is_set()


@pytest.mark.parametrize(
    "what",
    ["[close_behind(each) for each in [fresh(size) for _ in range(5)]]", "open_ahead(size)"],
    ids=["closed", "opened"],
)
def test_a_process_ends_well_while_an_instance_is_opened_or_closed_beside_it(what):
    code = f"from dataplane.instances import *; size = Size(64 << 20, 2); {what}"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", ["spilled", "failed", "well"])
def test_only_an_instance_whose_work_went_well_and_spilled_nothing_is_closed_behind_it(tmp_path, monkeypatch, how):
    behind: list[duckdb.DuckDBPyConnection] = []
    monkeypatch.setattr(instances, "close_behind", behind.append)
    spill = tmp_path / "spill"
    with (
        pytest.raises(ZeroDivisionError) if how == "failed" else nullcontext(),
        operator_instance([], f"{tmp_path}/out", spill=str(spill), memory=64 << 20, threads=1) as connection,
    ):
        if how == "spilled":
            (spill / "duckdb_temp_storage_DEFAULT-0.tmp").touch()
        elif how == "failed":
            raise ZeroDivisionError
    assert not spill.exists()
    if how == "well":
        assert behind == [connection]
        connection.close()
    else:
        assert behind == []
        with pytest.raises(duckdb.ConnectionException):
            connection.execute("SELECT 1")


def test_the_threads_of_a_process_share_one_arena_of_duckdbs_allocator() -> None:
    """It reads that once, when its library is loaded."""
    watched = """
import os, sys

class Watch:
    @staticmethod
    def find_spec(name, *_):
        if name == "_duckdb":
            print(os.environ.get("DUCKDB_JE_MALLOC_CONF"))

sys.meta_path.insert(0, Watch)
import dataplane.instances
"""
    unset = {name: value for name, value in os.environ.items() if name != "DUCKDB_JE_MALLOC_CONF"}
    done = subprocess.run([sys.executable, "-c", watched], env=unset, capture_output=True, text=True, check=True)
    assert done.stdout == "narenas:1\n"
