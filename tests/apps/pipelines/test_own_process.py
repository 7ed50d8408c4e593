"""A source whose connector runs in a process of its own, end to end: each row is loaded once, whoever is killed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.accounts.models import Project
from apps.pipelines.models import Pipeline
from apps.sources import services as sources
from dataplane.connectors import registry
from tests.apps.pipelines import workshop as ws
from tests.dataplane.connectors.own_process import OwnProcess

pytestmark = pytest.mark.all

TEXT = """
manifold: 1
pipeline: orders
retry: {attempts: 1}
steps:
  orders: {extract: {source: program, stream: orders, mode: incremental}}
  kept: {load: {input: orders, dataset: orders}}
"""

Add = Callable[[range], None]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    path = tmp_path / "source.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE door (password TEXT)")
        database.execute("INSERT INTO door VALUES ('Correct-Horse-9')")
        database.execute("CREATE TABLE orders (id INTEGER, what TEXT, price REAL)")

    def rows(numbers: range) -> None:
        with sqlite3.connect(path) as database:
            database.executemany("INSERT INTO orders VALUES (?, 'thing', ?)", [(each, each / 4) for each in numbers])

    return rows


@pytest.fixture
def pipeline(project: Project, workshop: Path, tmp_path: Path, add: Add, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setitem(registry._CONNECTORS, OwnProcess.key, f"{OwnProcess.__module__}.{OwnProcess.__name__}")
    add(range(1, 4))
    params = {"path": str(tmp_path / "source.sqlite"), "password": "Correct-Horse-9"}
    source = sources.create_source(
        project, slug="program", title="", connector=OwnProcess.key, params=params, actor=ws.ACTOR
    )
    sources.discover_streams(source, actor=ws.ACTOR)
    return ws.published(project, TEXT)


def numbers(project: Project, snapshot: int | None = None) -> list[int]:
    """What is in the dataset, or was in one snapshot; a row that came twice stands there twice."""
    return sorted(int(each) for (each,) in ws.rows(project, "orders", "id", snapshot).elements())


def test_each_run_brings_what_is_new(project: Project, pipeline: Pipeline, add: Add) -> None:
    first = ws.run(pipeline)
    assert (first.state, first.mode) == ("succeeded", "seed"), ws.error_of(first)
    assert ws.run(pipeline).state == "skipped"
    add(range(4, 6))
    second = ws.run(pipeline)
    assert second.state == "succeeded", ws.error_of(second)
    assert numbers(project) == [1, 2, 3, 4, 5]


def test_a_run_whose_program_was_killed_reads_its_window_once_more(
    project: Project, pipeline: Pipeline, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ws.run(pipeline).state == "succeeded"
    add(range(4, 15_004))
    with monkeypatch.context() as killing:
        killing.setattr(OwnProcess, "arrived", lambda self, child: child.process.kill())
        failed = ws.run(pipeline)
    assert (ws.failure(failed)["code"], numbers(project)) == ("connection_lost", [1, 2, 3])
    add(range(15_004, 15_007))
    again = ws.run(pipeline)
    assert (again.state, again.mode) == ("succeeded", "repair"), ws.error_of(again)
    # What has come since is brought by a run that follows it by itself.
    assert (numbers(project, 2), numbers(project)) == (list(range(1, 15_004)), list(range(1, 15_007)))
    assert ws.windows(pipeline) == ["done", "done", "done"]
