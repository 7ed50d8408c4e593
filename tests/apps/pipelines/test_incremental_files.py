"""Incremental extracts from a drop folder, end to end: every file is read once, and only whole batches count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Project
from apps.pipelines import queries, services
from apps.pipelines.execution import frame
from apps.pipelines.models import Window
from apps.snapshots.models import Dataset, Snapshot
from apps.sources import services as sources
from apps.sources.models import Source, SourceFile
from tests.apps.pipelines import workshop as ws

TEXT = """
manifold: 1
pipeline: sales
steps:
  sales: {extract: {source: drop, stream: sales, mode: incremental}}
  sound:
    check:
      input: sales
      rules:
        - {range: {column: amount, max: 100}, action: stop}
        - {accepted_values: {column: land, values: [no, se]}, action: quarantine}
  kept: {load: {input: sound, dataset: sales}}
"""
HEADER = "day,land,amount"


@pytest.fixture
def drop(workshop: Path) -> Path:
    ws.write(workshop, "sales_2026-01.csv", [HEADER, "2026-01-01,no,1", "2026-01-02,se,2", "2026-01-03,xx,3"])
    return workshop


@pytest.fixture
def source(project: Project, drop: Path) -> Source:
    return ws.files_source(project, drop)


def file_states(project: Project, source: Source) -> dict[str, str]:
    return queries.windows_of_files(project, "sales", source.pk)


def test_it_works(project: Project, source: Source, drop: Path):
    pipeline = ws.published(project, TEXT)
    first = ws.run(pipeline)
    assert first.state == "succeeded", ws.error_of(first)
    assert ws.rows(project, "sales", "land, amount") == {("no", 1): 1, ("se", 2): 1}
    assert ws.rows(project, "sales.rejected", "file, row") == {("sales_2026-01.csv", 4): 1}
    assert Dataset.objects.get(slug="sales.rejected").hidden
    assert SourceFile.objects.get(path="sales_2026-01.csv").digest

    nothing = ws.run(pipeline)
    assert nothing.state == "skipped"
    assert "No new file" in nothing.mode_reason

    ws.write(drop, "sales_2026-02.csv", [HEADER, "2026-02-01,no,10"])
    plan = services.plan_run(pipeline)
    assert [each["path"] for each in plan["steps"][0]["reads"]] == ["sales_2026-02.csv"]
    second = ws.run(pipeline)
    assert second.state == "succeeded", ws.error_of(second)
    found = queries.run_detail(second)
    assert (found["rows_read"], found["rows_written"], found["rows_rejected"]) == (1, 1, 0)
    assert ws.rows(project, "sales", "amount") == {(1,): 1, (2,): 1, (10,): 1}
    assert set(file_states(project, source).values()) == {"processed"}


def test_rows_held_back_by_a_check_are_loaded_once_when_their_file_is_mended(
    project: Project, source: Source, drop: Path
):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    ws.write(drop, "sales_2026-02.csv", [HEADER, "2026-02-01,no,10", "2026-02-02,se,1000"])
    stopped = ws.run(pipeline)
    assert (stopped.state, ws.failure(stopped)["code"]) == ("failed", "check_failed")
    checks = queries.run_detail(stopped)["steps"][2]["checks"]
    assert [each["passed"] for each in checks] == [False, True]
    assert checks[0]["samples"][0]["row"] == 3
    assert ws.rows(project, "sales", "amount") == {(1,): 1, (2,): 1}
    assert file_states(project, source)["sales_2026-02.csv"] == "pending"

    ws.write(drop, "sales_2026-02.csv", [HEADER, "2026-02-01,no,10", "2026-02-02,se,100"])
    ws.write(drop, "sales_2026-03.csv", [HEADER, "2026-03-01,no,20"])
    again = ws.run(pipeline)
    assert (again.state, again.mode) == ("succeeded", "repair"), ws.error_of(again)
    # The file that came later was not part of the batch; it came with the run that followed by itself.
    assert pipeline.runs.get(trigger="follow_up").state == "succeeded"
    assert ws.rows(project, "sales", "amount") == {(1,): 1, (2,): 1, (10,): 1, (20,): 1, (100,): 1}
    assert ws.run(pipeline).state == "skipped"


def test_a_file_that_vanished_from_an_open_batch_is_put_back_or_ignored(project: Project, source: Source, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    gone = ws.write(drop, "sales_2026-02.csv", [HEADER, "2026-02-01,no,10"])
    ws.write(drop, "sales_2026-03.csv", [HEADER, "2026-03-01,no,20"])
    ws.run_cut_off(pipeline, "kept")
    gone.unlink()
    failed = ws.run(pipeline)
    assert ws.failure(failed)["code"] == "files_missing"
    assert ws.failure(failed)["evidence"]["files"] == ["sales_2026-02.csv"]
    assert [each["id"] for each in ws.failure(failed)["suggestions"]] == ["ignore_files"]

    sources.ignore_file(file=SourceFile.objects.get(path="sales_2026-02.csv"), ignored=True, actor=ws.ACTOR)
    again = ws.run(pipeline)
    assert again.state == "succeeded", ws.error_of(again)
    assert ws.rows(project, "sales", "amount") == {(1,): 1, (2,): 1, (20,): 1}


def test_a_batch_all_of_whose_files_are_ignored_is_no_batch(project: Project, source: Source, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    ws.write(drop, "sales_2026-02.csv", [HEADER, "2026-02-01,no,1000"])
    assert ws.run(pipeline).state == "failed"
    sources.ignore_file(file=SourceFile.objects.get(path="sales_2026-02.csv"), ignored=True, actor=ws.ACTOR)
    assert ws.run(pipeline).state == "skipped"
    ws.write(drop, "sales_2026-03.csv", [HEADER, "2026-03-01,no,20"])
    ended = ws.run(pipeline)
    assert (ended.state, ended.mode) == ("succeeded", "incremental"), ws.error_of(ended)
    assert ws.windows(pipeline) == ["done", "forgotten", "done"]
    assert ws.rows(project, "sales", "amount") == {(1,): 1, (2,): 1, (20,): 1}


def test_a_file_that_changed_after_it_was_loaded_is_not_doubled(project: Project, source: Source, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    ws.write(drop, "sales_2026-01.csv", [HEADER, "2026-01-01,no,7"])
    assert ws.run(pipeline).state == "skipped"
    differs = ws.run(pipeline, "repair")
    assert ws.failure(differs)["code"] == "closed_window_differs"
    assert ws.failure(differs)["evidence"]["files"] == ["sales_2026-01.csv"]
    seeded = ws.run(pipeline, "seed")
    assert seeded.state == "succeeded", ws.error_of(seeded)
    assert ws.rows(project, "sales", "amount") == {(7,): 1}
    assert ws.rows(project, "sales.rejected") == {}


def test_two_pipelines_do_not_steal_each_others_files(project: Project, source: Source):
    first = ws.published(project, TEXT)
    other = TEXT.replace("pipeline: sales", "pipeline: copy").replace("dataset: sales", "dataset: copy")
    second = ws.published(project, other)
    assert ws.run(first).state == ws.run(second).state == "succeeded"
    assert ws.rows(project, "sales") == ws.rows(project, "copy")
    assert Window.objects.filter(state="done").count() == 2


def test_two_loads_of_the_same_rows_have_files_of_their_own(project: Project, source: Source):
    pipeline = ws.published(project, TEXT + "  more: {load: {input: sound, dataset: more}}\n")
    ended = ws.run(pipeline)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert ws.rows(project, "sales") == ws.rows(project, "more")
    assert ws.rows(project, "sales.rejected", "row") == ws.rows(project, "more.rejected", "row") == {(4,): 1}


def test_an_ignored_file_that_is_there_does_not_count_as_gone(project: Project, source: Source, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    ws.write(drop, "sales_2026-02.csv", [HEADER, "2026-02-01,no,1000"])
    ws.run(pipeline)
    file = SourceFile.objects.get(path="sales_2026-02.csv")
    sources.ignore_file(file=file, ignored=True, actor=ws.ACTOR)
    ws.write(drop, "sales_2026-03.csv", [HEADER, "2026-03-01,no,20"])
    assert ws.run(pipeline).state in ("succeeded", "skipped")
    file.refresh_from_db()
    assert file.gone_at is None

    (drop / "sales_2026-02.csv").unlink()
    ws.run(pipeline)
    file.refresh_from_db()
    assert file.gone_at is not None


def test_a_folder_with_an_equals_sign_above_the_storage_is_no_column(
    project: Project, drop: Path, tmp_path: Path, settings: Any
):
    settings.STORAGE_URL = f"file://{tmp_path}/stage=test/storage"
    ws.files_source(project, drop)
    ended = ws.run(ws.published(project, TEXT))
    assert ended.state == "succeeded", ws.error_of(ended)
    assert ws.rows(project, "sales", "land, amount") == {("no", 1): 1, ("se", 2): 1}
    (schema,) = Snapshot.objects.filter(dataset__slug="sales.rejected").values_list("schema", flat=True)
    assert [each["name"] for each in schema] == ["file", "row", "reason", "raw"]


def test_a_storage_that_cannot_be_written_is_no_bug_of_ours(
    project: Project, drop: Path, tmp_path: Path, settings: Any
):
    settings.STORAGE_URL = f"file://{tmp_path}/taken/storage"
    (tmp_path / "taken").write_text("a file where a folder should be")
    ws.files_source(project, drop)
    pipeline = ws.published(project, TEXT)
    services.start_run(pipeline, actor=ws.ACTOR)
    ws.work()
    error = pipeline.runs.get().steps.get(key="sales").error
    assert error is not None and (error["class"], error["code"]) == ("infrastructure", "storage_write")


@pytest.mark.parametrize(
    ("between", "kept", "hashed"),
    [
        ("", "sales", True),
        ("sound: {check: {input: sales, rules: [{not_null: day, action: stop}]}}", "sound", True),
        ("some: {sql: {inputs: {s: sales}, query: SELECT day FROM s}}", "some", False),
    ],
    ids=["at once", "behind a check", "behind a query"],
)
def test_what_a_load_takes_as_it_is_was_hashed_while_it_was_flushed(
    project: Project, source: Source, between: str, kept: str, hashed: bool
):
    text = f"""
manifold: 1
pipeline: plain
steps:
  sales: {{extract: {{source: drop, stream: sales, mode: full_refresh}}}}
  {between}
  kept: {{load: {{input: {kept}, dataset: plain, mode: replace}}}}
"""
    run = ws.run(ws.published(project, text))
    assert run.state == "succeeded", ws.error_of(run)
    table = run.steps.get(key="sales").table
    assert table is not None
    (file,) = table["files"]
    stored = Dataset.objects.get(slug="plain").data_files.get()
    assert file["sha256"] == (stored.sha256 if hashed else "")
    assert stored.sha256 == frame.storage().sha256(stored.path)
