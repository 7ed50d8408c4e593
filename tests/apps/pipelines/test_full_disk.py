"""A full disk spoils nothing: a clear error, no partial snapshot, and the next run goes on where this one stopped.

The storage is a small tmpfs, which only root may mount: `make test-all` as root runs this.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Project
from apps.pipelines.models import Pipeline, StepRun
from apps.snapshots.models import DataFile, Dataset, Snapshot
from tests.apps.pipelines import workshop as ws

pytestmark = [
    pytest.mark.all,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root: run `make test-all` as root"),
]

SIZE_MB = 5
ROWS = 120_000
TEXT = """
manifold: 1
pipeline: sales
steps:
  sales: {extract: {source: drop, stream: sales, mode: incremental}}
  wide: {sql: {inputs: {s: sales}, query: "SELECT *, sha256(id::VARCHAR || 'a') AS a, sha256(id::VARCHAR) AS b FROM s"}}
  kept: {load: {input: wide, dataset: sales}}
retry: {attempts: 1}
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def pipeline(workshop: Path, project: Project, small_disk: Path, settings: Any) -> Pipeline:
    settings.STORAGE_URL = small_disk.as_uri()
    lines = ["id,amount", *(f"{number},{number * 7 % 1000}" for number in range(ROWS))]
    ws.write(workshop, "sales_2026-01.csv", lines)
    ws.files_source(project, workshop)
    return ws.published(project, TEXT)


def test_a_full_disk_fails_the_run_plainly_and_leaves_nothing_half_written(
    pipeline: Pipeline, small_disk: Path
) -> None:
    failed = ws.run(pipeline)

    assert failed.state == "failed"
    error = ws.failure(failed)
    assert (error["class"], error["code"]) == ("infrastructure", "disk_full"), error
    assert "disk" in error["message"]
    assert "Errno" not in error["message"]
    assert not Snapshot.objects.exists()
    assert not DataFile.objects.exists()
    assert Dataset.objects.get(slug="sales").head == 0
    assert ws.windows(pipeline) == ["staged"]


def test_when_there_is_room_again_the_next_run_loads_every_row_once(
    pipeline: Pipeline, project: Project, small_disk: Path
) -> None:
    assert ws.run(pipeline).state == "failed"
    subprocess.run(["mount", "-o", "remount,size=256m", str(small_disk)], check=True)

    again = ws.run(pipeline)

    assert again.state == "succeeded", ws.error_of(again)
    assert ws.rows(project, "sales", "count(*), count(DISTINCT id), count(DISTINCT b)") == {(ROWS, ROWS, ROWS): 1}
    assert ws.windows(pipeline) == ["done"]
    assert all((small_disk / each.path).stat().st_size == each.bytes for each in DataFile.objects.all())


def test_a_step_that_met_a_full_disk_is_tried_again_when_the_document_says_so(
    pipeline: Pipeline, small_disk: Path
) -> None:
    text = TEXT.replace("attempts: 1", "attempts: 2, delays: [3600]")
    pipeline = ws.published(pipeline.project, text)

    run = ws.run(pipeline)

    assert run.state == "running"
    waiting = StepRun.objects.get(run=run, state="retry_wait")
    assert (waiting.attempt, (waiting.error or {})["code"]) == (1, "disk_full")
