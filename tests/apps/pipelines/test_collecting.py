"""Intermediate files go when nobody needs them, and never while a row names them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from apps.accounts.models import Project
from apps.audit.refusals import Conflict
from apps.pipelines import collecting, services
from apps.pipelines.models import Run, StepRun, Window
from apps.snapshots import queries as snapshots
from apps.snapshots.models import DataFile
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws

TEXT = """
manifold: 1
pipeline: ticks
steps:
  ticks: {extract: {source: db, stream: public.ticks, mode: incremental}}
  doubled: {sql: {inputs: {t: ticks}, query: SELECT * FROM t UNION ALL SELECT * FROM t}}
  kept: {load: {input: doubled, dataset: kept}}
"""


@pytest.fixture
def source(project: Project, postgres_url: str, workshop: Path) -> Source:
    ws.execute(postgres_url, "CREATE TABLE ticks AS SELECT 1 AS tick")
    source = ws.postgres_source(project, postgres_url)
    ws.cursor(source, "public.ticks", "tick")
    return source


def files(run: Run) -> set[str]:
    return set(snapshots.storage().walk(f"runs/{run.pk}"))


def test_a_run_that_succeeded_keeps_only_what_rows_name(project: Project, source: Source, postgres_url: str):
    run = ws.run(ws.published(project, TEXT))
    before = files(run)
    collecting.sweep()
    named = set(DataFile.objects.values_list("path", flat=True)) | set(Window.objects.values_list("seen", flat=True))
    assert files(run) == before & named
    assert len(before) > len(files(run)) > 0
    assert ws.rows(project, "kept") == {(1,): 2}
    assert not StepRun.objects.filter(run=run, table__isnull=False).exists()
    # What the next window needs from this one is still there.
    ws.execute(postgres_url, "INSERT INTO ticks VALUES (1), (2)")
    assert ws.run(run.pipeline).state == "succeeded"
    assert ws.rows(project, "kept") == {(1,): 4, (2,): 2}


def test_a_run_that_was_cut_off_keeps_its_files_for_a_retry_and_a_week(
    project: Project, source: Source, monkeypatch: pytest.MonkeyPatch
):
    pipeline = ws.published(project, TEXT)
    cut = ws.run_cut_off(pipeline, "kept")
    before = files(cut)
    collecting.sweep()
    assert files(cut) == before
    monkeypatch.setattr(collecting, "KEPT_AFTER_FAILURE", timedelta(0))
    collecting.sweep()
    assert len(files(cut)) < len(before)
    again = ws.retry(cut)
    assert ws.states(again) == {"plan": "succeeded", "ticks": "succeeded", "doubled": "succeeded", "kept": "succeeded"}
    assert ws.rows(project, "kept") == {(1,): 2}


def test_files_that_a_retry_reuses_stay_until_it_has_ended(project: Project, source: Source):
    cut = ws.run_cut_off(ws.published(project, TEXT), "kept")
    before = files(cut)
    again = services.retry_run(cut, actor=ws.ACTOR)
    collecting.sweep()
    assert files(cut) == before
    ws.work()
    again.refresh_from_db()
    assert again.state == "succeeded", ws.error_of(again)
    collecting.sweep()
    assert len(files(cut)) < len(before)
    with pytest.raises(Conflict):
        services.retry_run(cut, actor=ws.ACTOR)


def test_what_dead_executions_left_behind_goes_with_the_end_of_the_run(project: Project, source: Source):
    pipeline = ws.published(project, TEXT)
    started = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("kept")
    stray = f"runs/{started.pk}/doubled/0/part.parquet"
    root = Path(snapshots.storage().absolute(stray))
    root.parent.mkdir(parents=True)
    root.write_bytes(b"half")
    services.cancel_run(started, actor=ws.ACTOR)
    assert stray not in files(started)
    assert any("/doubled/1/" in each for each in files(started))


def test_files_stay_while_a_younger_retry_that_reuses_them_may_be_repeated(project: Project, source: Source):
    cut = ws.run_cut_off(ws.published(project, TEXT), "kept")
    week = timedelta(days=8)
    first = services.retry_run(cut, actor=ws.ACTOR)
    services.cancel_run(first, actor=ws.ACTOR)
    first.refresh_from_db()
    assert first.finished_at is not None
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE pipelines_run DISABLE TRIGGER USER")
        Run.objects.filter(pk=cut.pk).update(finished_at=first.finished_at - week)
        cursor.execute("ALTER TABLE pipelines_run ENABLE TRIGGER USER")
    collecting.sweep()
    last = ws.retry(first)
    assert last.state == "succeeded", ws.error_of(last)
    assert ws.states(last)["doubled"] == "reused"
    assert ws.rows(project, "kept") == {(1,): 2}


def test_a_deleted_pipeline_leaves_only_what_its_datasets_hold(project: Project, source: Source):
    pipeline = ws.published(project, TEXT)
    done, cut = ws.run(pipeline), ws.run_cut_off(pipeline, "kept", "seed")
    services.delete_pipeline(pipeline, actor=ws.ACTOR)
    assert files(done) | files(cut) == set(DataFile.objects.values_list("path", flat=True))
    assert ws.rows(project, "kept") == {(1,): 2}
