"""Files of JSON without a row stop no run: before the first that has some, they are read together with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.accounts.models import Project
from apps.sources.models import SourceFile
from tests.apps.pipelines import workshop as ws

TEXT = """
manifold: 1
pipeline: orders
steps:
  orders: {extract: {source: drop, stream: orders, mode: incremental}}
  kept: {load: {input: orders, dataset: orders}}
"""


@pytest.mark.parametrize(("suffix", "nothing"), [("json", "[]"), ("ndjson", "")], ids=["list", "lines"])
def test_files_without_rows_stop_no_run(project: Project, workshop: Path, suffix: str, nothing: str) -> None:
    (workshop / f"orders_1.{suffix}").write_text(nothing)
    ws.files_source(project, workshop)
    pipeline = ws.published(project, TEXT)
    first = ws.run(pipeline)
    assert first.state == "skipped", ws.error_of(first)
    assert first.mode_reason.endswith("No file of orders has rows yet, which would tell its columns.")
    (workshop / f"orders_2.{suffix}").write_text('{"id":7}\n')
    second = ws.run(pipeline)
    assert second.state == "succeeded", ws.error_of(second)
    assert ws.rows(project, "orders", "id") == {(7,): 1}
    (workshop / f"orders_3.{suffix}").write_text(nothing)
    assert SourceFile.objects.get(path=f"orders_1.{suffix}").digest
    third = ws.run(pipeline)
    assert third.state == "succeeded", ws.error_of(third)
    assert ws.rows(project, "orders", "id") == {(7,): 1}
