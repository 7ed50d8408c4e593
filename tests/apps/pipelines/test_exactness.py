"""What a seed, a repair or a retry may never do: bring rows twice, lose them, or bring back the past."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apps.accounts.models import Project
from apps.pipelines import services
from apps.sources import services as sources
from apps.sources.models import Source, SourceFile
from tests.apps.pipelines import workshop as ws

HEAD = """
manifold: 1
pipeline: ticks
steps:
  ticks: {extract: {source: db, stream: public.ticks, mode: incremental}}
"""
KEPT = "  kept: {load: {input: ticks, dataset: kept}}\n"
BRANCH = """
  sound: {check: {input: ticks, rules: [{range: {column: value, min: 0}, action: stop}]}, if_failed: continue}
  good: {load: {input: sound, dataset: good}}
"""
MARKS = """
  marks: {extract: {source: db, stream: public.marks, mode: incremental}, if_failed: continue}
  marked: {load: {input: marks, dataset: marked}}
"""

Add = Callable[..., None]


@pytest.fixture
def source(project: Project, postgres_url: str, workshop: object) -> Source:
    ws.execute(postgres_url, "CREATE TABLE ticks (tick int, value int)")
    ws.execute(postgres_url, "CREATE TABLE marks (tick int, value int)")
    source = ws.postgres_source(project, postgres_url)
    ws.cursor(source, "public.ticks", "tick")
    ws.cursor(source, "public.marks", "tick")
    return source


@pytest.fixture
def add(source: Source, postgres_url: str) -> Add:
    def rows(*given: tuple[int, int], to: str = "ticks") -> None:
        ws.insert(postgres_url, to, given)

    return rows


def test_a_file_that_is_ignored_after_the_plan_can_be_taken_in_again(project: Project, workshop: Path):
    ws.write(workshop, "sales_2026-01.csv", ["day,amount", "2026-01-01,1"])
    ws.write(workshop, "sales_2026-02.csv", ["day,amount", "2026-02-01,2"])
    ws.files_source(project, workshop)
    text = """
manifold: 1
pipeline: sales
steps:
  sales: {extract: {source: drop, stream: sales, mode: incremental}}
  kept: {load: {input: sales, dataset: sales}}
"""
    pipeline = ws.published(project, text)
    started = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("sales")
    file = SourceFile.objects.get(path="sales_2026-02.csv")
    sources.ignore_file(file=file, ignored=True, actor=ws.ACTOR)
    ws.work()
    started.refresh_from_db()
    assert started.state == "succeeded", ws.error_of(started)
    assert ws.rows(project, "sales", "amount") == {(1,): 1}
    sources.ignore_file(file=file, ignored=False, actor=ws.ACTOR)
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "sales", "amount") == {(1,): 1, (2,): 1}
