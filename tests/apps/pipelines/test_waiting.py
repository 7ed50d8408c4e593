"""Which files wait to be read: also those that nobody has seen yet."""

from __future__ import annotations

import shutil
from pathlib import Path

from apps.accounts.models import Project
from apps.pipelines.queries import currency
from apps.sources import services as sources
from tests.apps.pipelines import workshop as ws

DROPS = """
manifold: 1
pipeline: drops
steps:
  drops: {extract: {source: drop, stream: drop, mode: incremental}}
  kept: {load: {input: drops, dataset: drops}}
"""


def waiting(project: Project) -> int:
    return int(currency(project)["pending_files"])


def test_a_file_that_was_just_dropped_waits(project: Project, workshop: Path) -> None:
    ws.write(workshop, "drop_1.csv", ["a", "1"])
    source = ws.files_source(project, workshop)
    pipeline = ws.published(project, DROPS)
    assert waiting(project) == 1
    assert currency(project)["advice"] == ["1 file waits to be read: run its pipeline."]
    assert ws.run(pipeline).state == "succeeded"
    assert waiting(project) == 0
    ws.write(workshop, "drop_2.csv", ["a", "2"])
    ws.write(workshop, "drop_3.csv", ["a", "x"])
    ws.write(workshop, "another.csv", ["b", "2"])
    assert waiting(project) == 2
    assert currency(project)["advice"] == ["2 files wait to be read: run their pipeline."]
    ws.run_cut_off(pipeline, "kept")
    assert waiting(project) == 2
    third = source.streams.get(name="drop").files.get(path="drop_3.csv")
    sources.ignore_file(third, ignored=True, actor=ws.ACTOR)
    assert waiting(project) == 1


def test_where_nobody_can_look_it_is_what_was_seen(project: Project, workshop: Path) -> None:
    ws.write(workshop, "drop_1.csv", ["a", "1"])
    ws.files_source(project, workshop)
    pipeline = ws.published(project, DROPS)
    ws.run_cut_off(pipeline, "kept")
    shutil.rmtree(workshop)
    assert waiting(project) == 1
