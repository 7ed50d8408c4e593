"""A dataset that is merged by key: from the source's updates to the head, whatever comes in between."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest
from click.testing import CliRunner
from django.test import Client

from apps.accounts.models import Membership, Project, User
from apps.pipelines import document, queries, services
from apps.pipelines.execution.steps import run_step
from apps.pipelines.kinds.load import LoadAdapter
from apps.pipelines.models import Pipeline, StepRun
from apps.snapshots import services as snapshots
from apps.snapshots.models import Dataset, Snapshot
from apps.sources import services as sources
from apps.sources.models import Source
from dataplane.steps.base import StepContext, StepResult
from manifold.cli.runs import show_run
from tests.apps.pipelines import workshop as ws
from tests.apps.snapshots.factories import add_snapshot

TEXT = """
manifold: 1
pipeline: people
steps:
  people: {extract: {source: db, stream: public.people, mode: incremental}}
  kept: {load: {input: people, dataset: people, mode: merge, key: [id]}}
"""
WHOLE = TEXT.replace("incremental", "full_refresh").replace("[id]", "[id], delete_missing: true")


@pytest.fixture
def people(project: Project, postgres_url: str, workshop: object) -> str:
    """A table of people that says when each was changed, read by that; its address."""
    ws.execute(postgres_url, "CREATE TABLE people (id int PRIMARY KEY, name text, changed int)")
    ws.execute(postgres_url, "INSERT INTO people VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
    ws.cursor(ws.postgres_source(project, postgres_url), "public.people", "changed")
    return postgres_url


def change(url: str, id_: int, name: str | None, at: int) -> None:
    ws.execute(
        url,
        "INSERT INTO people VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE SET name = excluded.name, changed = "
        "excluded.changed",
        id_,
        name,
        at,
    )


def loaded(pipeline: Pipeline, mode: str = "auto") -> dict[str, object]:
    run = ws.run(pipeline, mode)
    assert run.state == "succeeded", ws.error_of(run)
    return ws.output(run, "kept")


def names(project: Project) -> list[str]:
    return sorted(name for _, name in ws.rows(project, "people", "id, name"))


def test_it_works(project: Project, people: str):
    pipeline = ws.published(project, TEXT)
    first = loaded(pipeline)
    assert (first["snapshot"], first["rows"], first["inserted"]) == (1, 3, 3)
    change(people, 2, "B", 4)
    change(people, 4, "d", 5)
    second = loaded(pipeline)
    assert {name: second[name] for name in ("rows", "inserted", "updated", "deleted", "skipped")} == {
        "rows": 2,
        "inserted": 1,
        "updated": 1,
        "deleted": 0,
        "skipped": 0,
    }
    assert names(project) == ["B", "a", "c", "d"]
    snapshot = Snapshot.objects.get(number=2)
    assert (snapshot.mode, snapshot.rows, snapshot.parent) == ("merge", 4, 1)
    assert ws.rows(project, "people", "name", 1) == {("a",): 1, ("b",): 1, ("c",): 1}
    step = StepRun.objects.get(run=snapshot.run, key="kept")
    assert (step.rows_in, step.rows_out) == (2, 2)


def test_its_page_and_its_command_count_the_rows(project: Project, people: str, client: Client):
    pipeline = ws.published(project, TEXT)
    loaded(pipeline)
    change(people, 2, "B", 4)
    run = ws.run(pipeline)
    boss = User.objects.create_superuser(username="boss", password="x")
    Membership.objects.create(user=boss, project=project, role="viewer")
    client.force_login(boss)
    page = client.get(f"/p/{project.slug}/runs/{run.pk}/").content.decode()
    assert "0 inserted, 1 updated, 0 deleted, 0 unchanged" in page
    said = CliRunner().invoke(_shown, obj=queries.run_detail(run))
    assert re.search(r"load +inserted +updated +deleted +skipped\nkept +0 +1 +0 +0\n", said.output)


@click.command()
@click.pass_obj
def _shown(run: dict[str, Any]) -> None:
    show_run(run)


def test_the_counts_of_a_snapshot_follow_its_files(project: Project, people: str):
    pipeline = ws.published(project, WHOLE)
    loaded(pipeline)
    ws.execute(people, "DELETE FROM people WHERE id = 1")
    change(people, 3, "C", 9)
    done = loaded(pipeline)
    assert (done["inserted"], done["updated"], done["deleted"], done["skipped"]) == (0, 1, 1, 1)
    head = Snapshot.objects.get(number=2)
    files = head.dataset.data_files.filter(removed_in__isnull=True)
    assert (head.rows, head.files) == (2, files.count()) == (sum(each.rows for each in files), 1)
    assert head.bytes == sum(each.bytes for each in files)


def test_a_seed_replaces_and_the_next_run_merges(project: Project, people: str):
    pipeline = ws.published(project, TEXT)
    loaded(pipeline)
    ws.execute(people, "DELETE FROM people WHERE id = 1")
    assert "updated" not in loaded(pipeline, "seed")
    assert names(project) == ["b", "c"]
    change(people, 2, "B", 4)
    assert loaded(pipeline)["updated"] == 1
    assert names(project) == ["B", "c"]


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_head_that_moved_is_merged_into(project: Project, people: str, mode: snapshots.LoadMode):
    pipeline = ws.published(project, TEXT)
    loaded(pipeline)
    change(people, 2, "B", 4)
    run = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("kept")
    step = StepRun.objects.get(run=run, key="kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoadAdapter, "execute", _overtaken(mode))
        run_step(step.pk, "tests", may_exit=False)
    step.refresh_from_db()
    assert (step.state, step.attempt) == ("ready", 0)
    ws.work()
    expected = ["B", "a", "c", "z"] if mode == "append" else ["B", "z"]
    assert names(project) == expected
    assert Dataset.objects.get(slug="people").head == 3


def _overtaken(mode: snapshots.LoadMode) -> Any:
    """The work of a load, during which somebody else adds a snapshot."""
    work = LoadAdapter.execute

    def execute(self: LoadAdapter, context: StepContext, spec: Any) -> StepResult:
        result = work(self, context, spec)
        add_snapshot(Dataset.objects.get(slug="people"), "SELECT 9 AS id, 'z' AS name, 9 AS changed", mode)
        return result

    return execute


def test_a_retry_after_bad_keys(project: Project, people: str):
    doubled = TEXT.replace("[id]", "[name]")
    pipeline = ws.published(project, doubled)
    change(people, 4, "a", 4)
    failed = ws.run(pipeline)
    error = ws.failure(failed)
    assert (error["class"], error["code"]) == ("data", "key_twice")
    assert [each["values"] for each in error["evidence"]["samples"]] == [{"name": "a"}, {"name": "a"}]
    assert Dataset.objects.get(slug="people").head == 0
    ws.published(project, TEXT)
    assert loaded(pipeline)["inserted"] == 4


def test_older_rows_are_not_merged_over_newer_ones(project: Project, people: str):
    checked = """
  sound: {check: {input: people, rules: [{not_null: [name], action: stop}]}, if_failed: continue}
  good: {load: {input: sound, dataset: good, mode: merge, key: [id]}}
"""
    pipeline = ws.published(project, TEXT + checked)
    loaded(pipeline)
    change(people, 2, None, 4)
    assert ws.run(pipeline).outcome == "partial"
    change(people, 2, "new", 5)
    loaded(pipeline)
    repaired = ws.run(pipeline, "repair")
    error = ws.failure(repaired)
    assert error["code"] == "merge_overtaken"
    assert [each["id"] for each in error["suggestions"]] == ["seed"]
    assert sorted(name for _, name in ws.rows(project, "good", "id, name")) == ["a", "c", "new"]
    assert ws.run(pipeline, "seed").outcome == "clean"


def test_a_retry_of_whole_streams_does_not_bring_back_the_past(project: Project, people: str):
    pipeline = ws.published(project, WHOLE)
    cut = ws.run_cut_off(pipeline, "kept")
    change(people, 2, "B", 4)
    loaded(pipeline)
    again = ws.retry(cut)
    assert ws.output(again, "kept")["status"] == "overtaken"
    assert names(project) == ["B", "a", "c"]


@pytest.mark.parametrize(
    ("load", "path", "said"),
    [
        ("mode: merge", "steps.kept.load.key", "A merge needs a key."),
        ("key: [id]", "steps.kept.load.key", "The mode `append` has no key."),
        ("mode: merge, key: []", "steps.kept.load.key", "A merge needs a key."),
        ("mode: merge, key: [id, ID]", "steps.kept.load.key", "The key names a column twice."),
        ("delete_missing: true", "steps.kept.load.delete_missing", "Only a merge deletes"),
        ("mode: merge, key: [id], delete_missing: true", "steps.kept.load.delete_missing", "`people` brings only what"),
        ("schema: thaw", "steps.kept.load.schema", "Input should be 'evolve' or 'freeze'"),
        ("schemas: freeze", "steps.kept.load.schemas", "The key `schemas` is unknown here."),
    ],
)
def test_what_a_document_may_not_say(load: str, path: str, said: str):
    found, problems = document.parse(TEXT.replace("mode: merge, key: [id]", load))
    assert found is None
    assert [each.path for each in problems] == [path]
    assert said in problems[0].message
    assert problems[0].remedy


def test_a_frozen_schema_fails_the_load_and_evolve_takes_it(project: Project, people: str):
    frozen = TEXT.replace("[id]}", "[id], schema: freeze}")
    pipeline = ws.published(project, frozen)
    loaded(pipeline)
    ws.execute(people, "ALTER TABLE people ADD age int")
    sources.discover_streams(source=Source.objects.get(slug="db"), actor=ws.ACTOR)
    change(people, 2, "B", 4)
    failed = ws.run(pipeline)
    assert ws.failure(failed)["code"] == "schema_frozen"
    ws.published(project, TEXT)
    assert loaded(pipeline)["updated"] == 1
