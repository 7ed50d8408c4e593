"""What a seed, a repair or a retry may never do: bring rows twice, lose them, or bring back the past."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from apps.accounts.models import Project
from apps.pipelines import services
from apps.sources import services as sources
from apps.sources.models import Source, SourceFile
from tests.apps.pipelines import workshop as ws
from tests.apps.pipelines.ticks import BRANCH, HEAD, KEPT, Add, adding, tables

MARKS = """
  marks: {extract: {source: db, stream: public.marks, mode: incremental}, if_failed: continue}
  marked: {load: {input: marks, dataset: marked}}
"""
SECOND = """
  again: {sql: {inputs: {t: ticks}, query: FROM t}}
  second: {load: {input: again, dataset: second}}
"""


@pytest.fixture
def source(project: Project, postgres_url: str, workshop: object) -> Source:
    return tables(project, postgres_url)


@pytest.fixture
def add(source: Source, postgres_url: str) -> Add:
    return adding(postgres_url)


def test_a_seed_whose_source_does_not_answer_leaves_that_stream_as_it_was(
    project: Project, add: Add, postgres_url: str
):
    pipeline = ws.published(project, HEAD + KEPT + MARKS)
    add((1, 1))
    add((1, 10), (2, 20), to="marks")
    ws.run(pipeline)
    ws.execute(postgres_url, "ALTER TABLE marks RENAME TO away")
    seeded = ws.run(pipeline, "seed")
    assert (seeded.state, seeded.outcome) == ("succeeded", "partial"), ws.error_of(seeded)
    ws.execute(postgres_url, "ALTER TABLE away RENAME TO marks")
    add((3, 30), to="marks")
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "marked") == {(1, 10): 1, (2, 20): 1, (3, 30): 1}


def test_a_retry_of_a_run_that_read_nothing_asks_its_source_again(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, "manifold: 1\npipeline: marks\nsteps:" + MARKS)
    add((1, 10), to="marks")
    ws.execute(postgres_url, "ALTER TABLE marks RENAME TO away")
    ended = ws.run(pipeline)
    assert (ended.outcome, ws.windows(pipeline)) == ("partial", []), ws.error_of(ended)
    ws.execute(postgres_url, "ALTER TABLE away RENAME TO marks")
    again = ws.retry(ended)
    assert (again.state, again.outcome) == ("succeeded", "clean"), again.mode_reason
    assert ws.rows(project, "marked") == {(1, 10): 1}


def test_a_seed_of_a_stream_that_is_empty_now_empties_what_it_feeds(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT + MARKS)
    add((1, 1))
    add((1, 10), (2, 20), to="marks")
    ws.run(pipeline)
    ws.execute(postgres_url, "DELETE FROM marks")
    assert ws.run(pipeline, "seed").state == "succeeded"
    assert ws.rows(project, "marked") == {}
    add((2, 20), to="marks")
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "marked") == {(2, 20): 1}


def test_a_seed_that_was_cut_off_empties_what_it_feeds_all_the_same(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT + MARKS)
    add((1, 1))
    add((1, 10), to="marks")
    ws.run(pipeline)
    ws.execute(postgres_url, "DELETE FROM marks")
    assert ws.run_cut_off(pipeline, "marked", "seed").state == "cancelled"
    assert ws.rows(project, "marked") == {(1, 10): 1}
    assert ws.run(pipeline).mode == "repair"
    assert ws.rows(project, "marked") == {}


def test_a_seed_that_a_branch_did_not_take_is_not_loaded_over_newer_rows(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT + BRANCH)
    add((1, 1))
    ws.run(pipeline)
    ws.execute(postgres_url, "UPDATE ticks SET value = -1")
    seeded = ws.run(pipeline, "seed")
    assert seeded.outcome == "partial", ws.error_of(seeded)
    add((2, 2))
    assert ws.run(pipeline).outcome == "clean"
    ws.execute(postgres_url, "UPDATE ticks SET value = 1 WHERE tick = 1")
    repaired = ws.run(pipeline, "repair")
    assert ws.rows(project, "good") == {(1, 1): 1, (2, 2): 1}
    error = repaired.steps.get(key="good").error
    assert error is not None and error["code"] == "seed_overtaken"
    assert [each["id"] for each in error["suggestions"]] == ["seed"]
    assert ws.run(pipeline, "seed").outcome == "clean"
    assert ws.rows(project, "good") == {(1, 1): 1, (2, 2): 1}


def test_a_repair_does_not_double_rows_that_a_later_window_has_taken(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT + BRANCH)
    add((1, 1))
    ws.run(pipeline)
    add((2, -1))
    assert ws.run(pipeline).outcome == "partial"
    add((2, 5), (3, 3))
    assert ws.run(pipeline).outcome == "clean"
    ws.execute(postgres_url, "UPDATE ticks SET value = 20 WHERE value = -1")
    assert ws.failure(ws.run(pipeline, "repair"))["code"] == "closed_window_differs"
    assert ws.rows(project, "good") == {(1, 1): 1, (2, 5): 1, (3, 3): 1}
    ws.run(pipeline, "seed")
    assert ws.rows(project, "good") == {(1, 1): 1, (2, 5): 1, (2, 20): 1, (3, 3): 1}


def test_a_row_at_the_end_of_a_window_between_its_two_loads_reaches_both(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT + SECOND)
    add((1, 10))
    ws.run(pipeline)
    add((2, 20))
    ws.run_cut_off(pipeline, "second")
    assert ws.rows(project, "kept", "value") == {(10,): 1, (20,): 1}
    add((2, 21))
    assert ws.run(pipeline).mode == "repair"
    both(project, "second", 10, 20, 21)
    add((2, 20), (3, 30))
    ws.run(pipeline)
    both(project, "second", 10, 20, 20, 21, 30)
    assert ws.run(pipeline, "repair").state == "skipped"


@pytest.mark.parametrize("lookback", [0, pytest.param(2, marks=pytest.mark.all)])
def test_a_row_at_the_end_of_a_window_that_is_repaired_reaches_both(
    project: Project, add: Add, source: Source, postgres_url: str, lookback: int
):
    ws.cursor(source, "public.ticks", "tick", lookback=lookback)
    pipeline = ws.published(project, HEAD + KEPT + BRANCH)
    add((1, 10))
    ws.run(pipeline)
    add((2, -1), (5, 30))
    assert ws.run(pipeline).outcome == "partial"
    ws.execute(postgres_url, "UPDATE ticks SET value = 20 WHERE tick = 2")
    add((5, 31), (5 - lookback, 32))
    assert ws.run(pipeline, "repair").outcome == "clean"
    assert ws.rows(project, "kept", "value") == {(each,): 1 for each in (10, -1, 30, 31, 32)}
    assert ws.rows(project, "good", "value") == {(each,): 1 for each in (10, 20, 30, 31, 32)}
    assert ws.run(pipeline, "repair").state == "skipped"


@pytest.mark.all
def test_a_mended_row_and_a_new_one_at_the_end_of_a_window_are_both_loaded(
    project: Project, add: Add, postgres_url: str
):
    """Nobody can tell which of the two it is that had been read, so both are read as new ones."""
    pipeline = ws.published(project, HEAD + KEPT + BRANCH)
    add((1, -1))
    assert ws.run(pipeline).outcome == "partial"
    ws.execute(postgres_url, "UPDATE ticks SET value = 1")
    add((1, 2))
    assert ws.run(pipeline, "repair").outcome == "clean"
    assert ws.rows(project, "kept", "value") == {(each,): 1 for each in (-1, 1, 2)}
    assert ws.rows(project, "good", "value") == {(each,): 1 for each in (1, 2)}
    assert ws.run(pipeline, "repair").state == "skipped"


@pytest.mark.all
def test_a_row_in_the_midst_of_a_window_between_its_two_loads_is_noticed(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT + SECOND)
    add((1, 10), (5, 50))
    ws.run_cut_off(pipeline, "second")
    add((3, 30))
    ws.run(pipeline)
    assert ws.failure(ws.run(pipeline, "repair"))["code"] == "closed_window_differs"
    ws.run(pipeline, "seed")
    both(project, "second", 10, 30, 50)


def both(project: Project, other: str, *values: int) -> None:
    for each in ("kept", other):
        assert ws.rows(project, each, "value") == Counter((value,) for value in values), each


def test_rows_at_a_mark_where_nothing_was_found_are_not_lost(project: Project, add: Add, postgres_url: str):
    """The row that set the mark was gone when it was to be read; another came at the same place later."""
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 1), (5, 5))
    started = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("ticks")
    ws.execute(postgres_url, "DELETE FROM ticks WHERE tick = 5")
    ws.work()
    started.refresh_from_db()
    assert started.state == "succeeded", ws.error_of(started)
    add((5, 50))
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "kept") == {(1, 1): 1, (5, 50): 1}
    assert ws.run(pipeline).state == "skipped"


def test_a_longer_lookback_does_not_double_what_nobody_remembers(project: Project, add: Add, source: Source):
    pipeline = ws.published(project, HEAD + KEPT)
    add((3, 3), (5, 5))
    ws.run(pipeline)
    ws.cursor(source, "public.ticks", "tick", lookback=3.5)
    add((5, 50), (6, 6))
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "kept") == {(3, 3): 1, (5, 5): 1, (5, 50): 1, (6, 6): 1}
    add((5, 51), (9, 9))
    assert ws.run(pipeline).state == "succeeded"
    add((7, 7), (6, 60))
    assert ws.run(pipeline).state == "succeeded"
    expected = {(3, 3), (5, 5), (5, 50), (5, 51), (6, 6), (6, 60), (7, 7), (9, 9)}
    assert ws.rows(project, "kept") == dict.fromkeys(expected, 1)


def test_a_retry_of_a_full_refresh_does_not_bring_back_the_past(project: Project, add: Add, postgres_url: str):
    whole = (HEAD + KEPT).replace("mode: incremental", "mode: full_refresh")
    pipeline = ws.published(project, whole.replace("dataset: kept}", "dataset: kept, mode: replace}"))
    add((1, 1))
    cut = ws.run_cut_off(pipeline, "kept")
    ws.execute(postgres_url, "UPDATE ticks SET value = 2")
    ws.run(pipeline)
    again = ws.retry(cut)
    assert again.state == "succeeded", ws.error_of(again)
    assert ws.output(again, "kept")["status"] == "overtaken"
    assert ws.rows(project, "kept") == {(1, 2): 1}


def test_a_whole_stream_that_failed_beside_a_loaded_window_can_be_retried(
    project: Project, add: Add, postgres_url: str
):
    beside = """
  marks: {extract: {source: db, stream: public.marks}}
  sound: {check: {input: marks, rules: [{range: {column: value, min: 0}, action: stop}]}}
  marked: {load: {input: sound, dataset: marked, mode: replace}}
"""
    pipeline = ws.published(project, HEAD + KEPT + beside)
    add((1, 1))
    add((1, -1), to="marks")
    failed = ws.run(pipeline)
    assert failed.state == "failed"
    assert ws.windows(pipeline) == ["done"]
    again = ws.retry(failed)
    assert ws.failure(again)["code"] == "check_failed"
    assert ws.states(again)["kept"] == "reused"


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


def test_columns_that_join_or_leave_do_not_double_rows_at_the_mark(project: Project, add: Add):
    chosen = HEAD.replace("mode: incremental", "mode: incremental, columns: [tick]")
    pipeline = ws.published(project, HEAD + KEPT)
    add((5, 5))
    ws.run(pipeline)
    ws.published(project, chosen + KEPT)
    add((6, 6))
    fewer = ws.run(pipeline)
    assert "mode seed" in ws.output(fewer, "ticks")["warnings"][0]
    assert ws.rows(project, "kept", "tick") == {(5,): 1, (6,): 1}
    ws.published(project, HEAD + KEPT)
    add((6, 60), (7, 7))
    assert ws.output(ws.run(pipeline), "ticks")["warnings"] == []
    assert ws.rows(project, "kept", "tick") == {(5,): 1, (6,): 2, (7,): 1}
