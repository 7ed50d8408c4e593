"""A pipeline between files: from SQLite by a cursor into a DuckDB file and back, each row once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from apps.accounts.models import Project
from apps.pipelines import services
from apps.pipelines.execution.steps import run_step
from apps.pipelines.models import LogLine, StepRun
from apps.pipelines.pages.timeline import timeline
from apps.pipelines.problems import DocumentError
from apps.sources import services as sources
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws

TEXT = """
manifold: 1
pipeline: files
steps:
  orders: {extract: {source: shop, stream: orders, mode: incremental}}
  out: {load: {input: orders, destination: mart, table: orders, mode: merge, key: [id]}}
  back: {load: {input: orders, destination: shop, table: copies, mode: append}}
"""


@pytest.fixture
def shop(project: Project, workshop: Path) -> Path:
    """An SQLite file with orders, which is read by `changed`, and an empty DuckDB file; both may be written."""
    do(workshop / "shop.db", "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, changed DATE)")
    do(workshop / "shop.db", "INSERT INTO orders VALUES (1, 'a', '2024-01-01'), (2, 'b', '2024-01-02')")
    duckdb.connect(str(workshop / "mart.duckdb")).close()
    for slug, connector, path in (("shop", "sqlite", "shop.db"), ("mart", "duckdb", "mart.duckdb")):
        source = sources.create_source(
            project=project, slug=slug, title=slug, connector=connector, params={"path": path}, actor=ws.ACTOR
        )
        sources.discover_streams(source=source, actor=ws.ACTOR)
        sources.update_source(source, writable=True, actor=ws.ACTOR)
    ws.cursor(Source.objects.get(slug="shop"), "orders", "changed")
    return workshop


def do(path: Path, statement: str) -> list[tuple[object, ...]]:
    base = sqlite3.connect(path, isolation_level=None)
    try:
        return base.execute(statement).fetchall()
    finally:
        base.close()


def marts(folder: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "mart.duckdb")) as base:
        return base.execute("SELECT id, name, changed::VARCHAR FROM orders ORDER BY id").fetchall()


def test_it_works(project: Project, shop: Path):
    pipeline = ws.published(project, TEXT)
    first = ws.run(pipeline)
    assert first.state == "succeeded", ws.error_of(first)
    assert (ws.output(first, "out")["inserted"], ws.output(first, "out")["waited"]) == (2, 0.0)
    assert ws.run(pipeline).state == "skipped"
    do(shop / "shop.db", "UPDATE orders SET name = 'B', changed = '2024-01-03' WHERE id = 2")
    second = ws.run(pipeline)
    assert second.state == "succeeded", ws.error_of(second)
    assert ws.output(second, "out")["updated"] == 1
    assert marts(shop) == [(1, "a", "2024-01-01"), (2, "B", "2024-01-03")]
    copies = do(shop / "shop.db", "SELECT id, name, changed FROM copies ORDER BY changed")
    assert copies == [(1, "a", "2024-01-01"), (2, "b", "2024-01-02"), (2, "B", "2024-01-03")]
    assert [each.name for each in Source.objects.get(slug="shop").streams.all()] == ["orders"]


def test_a_file_outside_the_allowed_folders_is_not_written(project: Project, shop: Path):
    source = Source.objects.get(slug="mart")
    elsewhere = shop.parent / "elsewhere.duckdb"
    duckdb.connect(str(elsewhere)).close()
    sources.update_source(source, params={"path": str(elsewhere)}, actor=ws.ACTOR)
    failed = ws.run(ws.published(project, TEXT))
    assert ws.failure(failed)["code"] == "path_not_allowed"


def test_a_source_that_is_not_writable_is_refused(project: Project, shop: Path):
    sources.update_source(Source.objects.get(slug="mart"), writable=False, actor=ws.ACTOR)
    with pytest.raises(DocumentError, match="writable"):
        ws.published(project, TEXT)


def test_waiting_for_another_writer_is_shown_at_once_and_measured(project: Project, shop: Path, settings: Settings):
    settings.HEARTBEAT_SECONDS = 3600
    run = services.start_run(ws.published(project, TEXT), actor=ws.ACTOR)
    ws.work_before("out")
    code = "import duckdb, sys; base = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(shop / "mart.duckdb")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        step = run.steps.get(key="out")
        working = in_thread(lambda: run_step(step.pk, "tests", may_exit=False))
        # The first beat of the clock would come in an hour.
        await_(lambda: LogLine.objects.filter(run=run, step="out", text__startswith="Waits until nobody").exists())
        await_(lambda: bool((StepRun.objects.get(pk=step.pk).progress or {}).get("waits_since")))
        step.refresh_from_db()
        assert step.progress is not None
        assert step.progress["detail"] == "Waits until nobody else writes mart.duckdb."
        now = timeline([step], timezone.now()).rows[0]
        assert (now.held_for > 0, now.held[1] > 0) == (True, True)
        other.communicate()
        working.join(60)
    ws.work()
    step.refresh_from_db()
    assert step.state == "succeeded", step.error
    assert step.output is not None
    assert step.output["waited"] > 0
    over = timeline([step], timezone.now()).rows[0]
    assert over.held_for == step.output["waited"]
    assert "s for others, then worked" in over.spoken
    said = LogLine.objects.filter(run=run, step="out").values_list("text", flat=True)
    assert [each.partition(";")[0] for each in said][:2] == [
        "Waits until nobody else writes mart.duckdb.",
        "Nobody is in the way any more",
    ]


def in_thread(work: Callable[[], object]) -> threading.Thread:
    def whole() -> None:
        work()
        connection.close()

    thread = threading.Thread(target=whole)
    thread.start()
    return thread


def await_(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)
