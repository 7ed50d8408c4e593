"""An SQLite file that another program has open: it writes on while runs read, or keeps them out for a while."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Project
from apps.pipelines.execution import sweeps
from apps.pipelines.models import StepRun
from apps.sources import services as sources
from tests.apps.pipelines import workshop as ws

pytestmark = pytest.mark.all

# So many that DuckDB would read them in several turns, each with a connection of its own.
ROWS = 150_000
# Each transaction adds a row before all others and one behind, which cancel each other out; every line asks for 20.
WRITER = """
import select, sqlite3, sys
base, done = sqlite3.connect(sys.argv[1], isolation_level=None), 0
while True:
    if asked := select.select([sys.stdin], [], [], 0)[0]:
        if not sys.stdin.readline():
            break
    for _ in range(20):
        done += 1
        base.execute("BEGIN")
        base.execute("INSERT INTO moves VALUES (?, ?, 1), (?, ?, -1)", (-done, done, int(sys.argv[2]) + done, done))
        base.execute("COMMIT")
    if asked:
        print(done, flush=True)
print(done)
"""
WHOLE = """
manifold: 1
pipeline: whole
steps:
  moves: {extract: {source: shop, stream: moves}}
  kept: {load: {input: moves, dataset: whole, mode: replace}}
"""
NEW = """
manifold: 1
pipeline: new
steps:
  moves: {extract: {source: shop, stream: moves, mode: incremental}}
  kept: {load: {input: moves, dataset: new}}
"""
AGAIN = WHOLE + "retry: {attempts: 2, delays: [3600]}\n"


def elsewhere(code: str, *given: str) -> subprocess.Popen[str]:
    """A program of its own: this one reads the file with another SQLite."""
    command = [sys.executable, "-c", code, *given]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path: Path, settings: Any) -> Path:
    settings.FILE_ROOTS = [tmp_path]
    made = f"""
import sqlite3, sys
base = sqlite3.connect(sys.argv[1])
base.execute("PRAGMA journal_mode = wal")
base.execute('CREATE TABLE moves (id INTEGER PRIMARY KEY, "at" INTEGER, amount INTEGER)')
base.executemany("INSERT INTO moves VALUES (?, 0, ?)", ((n, n % 2 * 2 - 1) for n in range(1, {ROWS} + 1)))
base.commit()
"""
    found = tmp_path / "shop.sqlite"
    elsewhere(made, str(found)).communicate()
    return found


@pytest.fixture
def shop(project: Project, path: Path) -> None:
    source = sources.create_source(
        project, slug="shop", title="", connector="sqlite", params={"path": str(path)}, actor=ws.ACTOR
    )
    sources.discover_streams(source, actor=ws.ACTOR)
    ws.cursor(source, "moves", "at")


@pytest.fixture
def writer(path: Path, shop: None) -> Iterator[subprocess.Popen[str]]:
    with elsewhere(WRITER, str(path), str(ROWS)) as found:
        yield found
        found.communicate()


def more(writer: subprocess.Popen[str]) -> None:
    """Wait until 20 transactions have come that had not begun by now."""
    assert writer.stdin is not None and writer.stdout is not None
    print(file=writer.stdin, flush=True)
    assert int(writer.stdout.readline()) >= 20


def test_each_run_sees_one_moment_of_what_is_written_on_and_the_next_one_the_rest(
    project: Project, writer: subprocess.Popen[str]
) -> None:
    whole, new = ws.published(project, WHOLE), ws.published(project, NEW)
    for number in (1, 2, 3):
        more(writer)
        for each in (whole, new):
            run = ws.run(each)
            assert run.state == "succeeded", ws.error_of(run)
        for dataset in ("whole", "new"):
            (seen,) = ws.rows(project, dataset, "sum(amount)::BIGINT, count(*) > 150000", number)
            assert seen == (0, True), f"{dataset} {number}"
    said, _ = writer.communicate()
    done = int(said.split()[-1])
    while ws.run(new).state == "succeeded":
        pass
    assert ws.rows(project, "new", "id") == Counter((n,) for n in (*range(-done, 0), *range(1, ROWS + done + 1)))


def test_a_file_that_another_program_keeps_for_itself_is_tried_again(project: Project, path: Path, shop: None) -> None:
    pipeline = ws.published(project, AGAIN)
    kept = "import sqlite3, sys; base = sqlite3.connect(sys.argv[1], isolation_level=None); "
    kept += "base.execute('PRAGMA locking_mode = exclusive'); base.execute('BEGIN EXCLUSIVE'); "
    kept += "base.execute('DELETE FROM moves WHERE id > 10'); print('kept', flush=True); sys.stdin.read(); "
    kept += "base.execute('COMMIT')"
    with elsewhere(kept, str(path)) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "kept\n"
        run = ws.run(pipeline)
        waiting = StepRun.objects.get(run=run, state="retry_wait")
        holder.communicate()
    error = waiting.error or {}
    assert (error["code"], error["class"]) == ("file_locked", "transient")
    assert "is being written by another program and did not come free in time. Close it there." in error["message"]
    StepRun.objects.filter(pk=waiting.pk).update(due_at=run.created_at)
    sweeps.retry_due_steps()
    ws.work()
    run.refresh_from_db()
    assert run.state == "succeeded", ws.error_of(run)
    assert ws.rows(project, "whole", "count(*)") == {(10,): 1}
