"""A repair reads closed windows again whose source holds other rows now, where loads know rows again by a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.accounts.models import Project
from apps.pipelines import filestates, services
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws
from tests.apps.pipelines.ticks import HEAD, Add, adding, tables

MERGED = HEAD + "  kept: {load: {input: ticks, dataset: kept, mode: merge, key: [tick]}}\n"


@pytest.fixture
def source(project: Project, postgres_url: str, workshop: object) -> Source:
    return tables(project, postgres_url)


@pytest.fixture
def add(source: Source, postgres_url: str) -> Add:
    return adding(postgres_url)


def test_it_works(project: Project, add: Add):
    """Rows that came behind the cursor are found by the count of their window; earlier windows are not read again."""
    pipeline = ws.published(project, MERGED)
    for rows in [[(1, 1), (2, 2)], [(11, 11), (13, 13)], [(21, 21)]]:
        add(*rows)
        assert ws.run(pipeline).state == "succeeded"
    assert ws.run(pipeline, "repair").state == "skipped"
    add((12, 12), (30, 30))
    plan = services.plan_run(pipeline, mode="repair")
    assert plan["mode"] == "repair"
    assert plan["mode_reason"] == "ticks reads again from tick 2 on: 6 rows there, 5 were read."
    repaired = ws.run(pipeline, "repair")
    assert repaired.state == "succeeded", ws.error_of(repaired)
    assert repaired.mode_reason == plan["mode_reason"]
    assert ws.output(repaired, "ticks")["rows"] == 5
    assert ws.output(repaired, "kept")["inserted"] == 2
    assert ws.rows(project, "kept", "tick") == {(each,): 1 for each in (1, 2, 11, 12, 13, 21, 30)}
    assert ws.windows(pipeline) == ["done", "forgotten", "forgotten", "done"]
    assert ws.run(pipeline, "repair").state == "skipped"
    assert ws.run(pipeline).state == "skipped"


@pytest.mark.all
def test_rows_at_the_end_of_the_window_before_do_not_come_twice(project: Project, add: Add, postgres_url: str):
    """They are remembered, as in any other window; so the counts fit afterwards."""
    pipeline = ws.published(project, MERGED)
    add((5, 1))
    ws.run(pipeline)
    add((9, 2))
    ws.run(pipeline)
    add((7, 3))
    repaired = ws.run(pipeline, "repair")
    assert ws.output(repaired, "ticks")["rows"] == 2
    assert ws.run(pipeline, "repair").state == "skipped"


@pytest.mark.all
def test_rows_that_the_next_run_reads_are_no_difference(project: Project, source: Source, add: Add, postgres_url: str):
    """They came at the mark or within the lookback; what has gone is one all the same, before it and within."""
    ws.cursor(source, "public.ticks", "tick", lookback=3)
    pipeline = ws.published(project, HEAD + "  kept: {load: {input: ticks, dataset: kept}}\n")
    add((1, 1), (8, 8), (10, 10))
    ws.run(pipeline)
    add((7, 7), (10, 11))
    assert ws.run(pipeline, "repair").state == "skipped"
    add((12, 12))
    assert ws.run(pipeline, "repair").state == "skipped"
    assert ws.run(pipeline).state == "succeeded"
    assert ws.run(pipeline, "repair").state == "skipped"
    assert sum(ws.rows(project, "kept").values()) == 6
    add((9, 9), (12, 13))
    ws.execute(postgres_url, "DELETE FROM ticks WHERE tick = 1")
    said = "5 rows there, 6 were read"
    assert said in ws.failure(ws.run(pipeline, "repair"))["message"]
    add((1, 1))
    assert ws.run(pipeline, "repair").state == "skipped"
    ws.execute(postgres_url, "DELETE FROM ticks WHERE tick BETWEEN 9 AND 10")
    assert said in ws.failure(ws.run(pipeline, "repair"))["message"]


@pytest.mark.all
def test_what_is_behind_the_first_row_is_read_from_the_beginning(project: Project, add: Add):
    pipeline = ws.published(project, MERGED)
    add((5, 5))
    ws.run(pipeline)
    add((1, 1))
    repaired = ws.run(pipeline, "repair")
    assert repaired.mode_reason == "ticks reads again from the beginning: 2 rows there, 1 were read."
    assert ws.rows(project, "kept", "tick") == {(1,): 1, (5,): 1}


@pytest.mark.all
def test_a_repair_that_was_cut_off_is_repeated(project: Project, add: Add):
    pipeline = ws.published(project, MERGED)
    add((1, 1))
    ws.run(pipeline)
    add((9, 9))
    ws.run(pipeline)
    add((5, 5))
    ws.run_cut_off(pipeline, "kept", "repair")
    assert ws.rows(project, "kept", "tick") == {(1,): 1, (9,): 1}
    again = ws.run(pipeline)
    assert (again.state, again.mode) == ("succeeded", "repair"), ws.error_of(again)
    assert ws.rows(project, "kept", "tick") == {(1,): 1, (5,): 1, (9,): 1}
    assert ws.run(pipeline, "repair").state == "skipped"


def test_files_that_have_changed_are_read_again(project: Project, workshop: Path):
    for month in "12":
        ws.write(workshop, f"sales_2026-0{month}.csv", ["id,amount", f"{month},{month}0"])
    ws.files_source(project, workshop)
    text = HEAD.replace("ticks, mode", "sales, mode").replace("db, stream: public.", "drop, stream: ")
    pipeline = ws.published(project, text + "  kept: {load: {input: ticks, dataset: kept, mode: merge, key: [id]}}\n")
    ws.run(pipeline)
    ws.write(workshop, "sales_2026-02.csv", ["id,amount", "2,21"])
    ws.write(workshop, "sales_2026-03.csv", ["id,amount", "3,30"])
    repaired = ws.run(pipeline, "repair")
    assert repaired.state == "succeeded", ws.error_of(repaired)
    reads = ws.output(repaired, "plan")["steps"][0]["reads"]
    assert [each["path"] for each in reads] == ["sales_2026-02.csv"]
    # The new file came with the run that followed by itself.
    assert pipeline.runs.get(trigger="follow_up").state == "succeeded"
    assert {(a, int(b)) for a, b in ws.rows(project, "kept", "id, amount")} == {(1, 10), (2, 21), (3, 30)}
    assert ws.run(pipeline, "repair").state == "skipped"


TWICE = """
manifold: 1
pipeline: sales
steps:
  sales: {extract: {source: drop, stream: sales, mode: incremental}}
  kept: {load: {input: sales, dataset: kept, mode: merge, key: [id]}}
  again: {sql: {inputs: {s: sales}, query: FROM s}}
  second: {load: {input: again, dataset: second, mode: merge, key: [id]}}
"""


def test_a_file_that_is_corrected_between_its_two_loads_reaches_both(project: Project, workshop: Path):
    ws.write(workshop, "sales_1.csv", ["id,n", "1,1"])
    ws.files_source(project, workshop)
    pipeline = ws.published(project, TWICE)
    ws.run_cut_off(pipeline, "second")
    ws.write(workshop, "sales_1.csv", ["id,n", "1,1", "2,2"])
    ws.run_cut_off(pipeline, "second")
    ws.write(workshop, "sales_1.csv", ["id,n", "1,1", "2,2", "3,3"])
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "kept", "id") == {(1,): 1}
    assert ws.rows(project, "second", "id") == {(1,): 1, (2,): 1, (3,): 1}
    assert [each.state for each in filestates.of_pipeline(pipeline, limit=9)] == ["changed"]
    assert ws.run(pipeline, "repair").state == "succeeded"
    assert ws.rows(project, "kept", "id") == ws.rows(project, "second", "id") == {(1,): 1, (2,): 1, (3,): 1}
    assert ws.run(pipeline, "repair").state == "skipped"


@pytest.mark.all
def test_a_file_that_is_corrected_between_two_loads_that_add_is_noticed(project: Project, workshop: Path):
    """One that is as it was again is none."""
    ws.write(workshop, "sales_1.csv", ["id,n", "1,1"])
    ws.files_source(project, workshop)
    pipeline = ws.published(project, TWICE.replace(", mode: merge, key: [id]", ""))
    ws.run_cut_off(pipeline, "second")
    ws.write(workshop, "sales_1.csv", ["id,n", "1,2"])
    ws.run_cut_off(pipeline, "second")
    ws.write(workshop, "sales_1.csv", ["id,n", "1,1"])
    ws.run_cut_off(pipeline, "second")
    assert ws.run(pipeline, "repair").state == "succeeded"
    assert ws.run(pipeline, "repair").state == "skipped"

    ws.write(workshop, "sales_2.csv", ["id,n", "2,2"])
    ws.run_cut_off(pipeline, "second")
    ws.write(workshop, "sales_2.csv", ["id,n", "2,3"])
    assert ws.run(pipeline).state == "succeeded"
    assert ws.failure(ws.run(pipeline, "repair"))["code"] == "closed_window_differs"
