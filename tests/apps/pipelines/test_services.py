"""Drafts, versions and the beginnings of runs."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from apps.accounts.models import Project
from apps.audit.context import Actor
from apps.audit.models import Event
from apps.audit.refusals import Conflict
from apps.pipelines import services, starting
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.problems import DocumentError
from apps.snapshots.models import Dataset
from apps.sources.models import Source, Stream
from tests.apps.pipelines.shelf import TEXT, stock

pytestmark = pytest.mark.django_db
ANN = Actor("user", None, "ann")


@pytest.fixture
def source(project: Project) -> Source:
    return stock(project)


@pytest.fixture
def pipeline(project: Project, source: Source) -> Pipeline:
    return services.apply_document(project, TEXT, actor=ANN, publish=True)


def test_it_works(project: Project, source: Source):
    draft = services.apply_document(project, TEXT, actor=ANN)
    assert draft.published is None
    assert draft.draft == TEXT
    version = services.publish_draft(draft, actor=ANN)
    draft.refresh_from_db()
    assert (version.number, version.text, version.published_by) == (1, TEXT, "ann")
    assert (draft.published, draft.draft, draft.title) == (version, "", "Orders")
    dataset = Dataset.objects.get(project=project, slug="orders")
    assert (dataset.owner_pipeline, dataset.owner_step, dataset.head) == (draft.pk, "kept", 0)


def test_the_same_text_again_makes_no_version(project: Project, pipeline: Pipeline):
    again = services.apply_document(project, TEXT, actor=ANN, publish=True)
    assert again.pk == pipeline.pk
    assert again.versions.count() == 1
    changed = services.apply_document(project, TEXT.replace("Orders", "All orders"), actor=ANN, publish=True)
    assert changed.published is not None
    assert (changed.published.number, changed.title) == (2, "All orders")


def test_a_draft_may_be_wrong_but_is_not_published(project: Project, pipeline: Pipeline):
    saved = services.save_draft(pipeline, "manifold: 1\npipelin: x\n", actor=ANN)
    with pytest.raises(DocumentError, match="pipelin"):
        services.publish_draft(saved, actor=ANN)
    assert services.save_draft(pipeline, TEXT, actor=ANN).draft == ""
    with pytest.raises(Conflict, match="no draft"):
        services.publish_draft(pipeline, actor=ANN)


@pytest.mark.parametrize(
    ("old", "new", "path", "remedy"),
    [
        ("source: db", "source: dbb", "steps.orders.extract.source", "Did you mean `db`?"),
        ("public.orders", "public.ordres", "steps.orders.extract.stream", "Did you mean `public.orders`?"),
    ],
)
def test_what_is_not_in_the_project(*, project: Project, source: Source, old: str, new: str, path: str, remedy: str):
    document, problems = services.validate(project, TEXT.replace(old, new))
    assert document is None
    assert [(each.path, each.line, each.remedy) for each in problems] == [(path, 5, remedy)]


def test_incremental_needs_a_cursor(project: Project, source: Source):
    Stream.objects.filter(source=source).update(config={})
    _, problems = services.validate(project, TEXT)
    assert problems[0].path == "steps.orders.extract.mode"


def test_a_dataset_has_one_owner(project: Project, pipeline: Pipeline):
    other = TEXT.replace("pipeline: orders", "pipeline: copies")
    _, problems = services.validate(project, other)
    assert problems[0].path == "steps.kept.load.dataset"
    assert "loaded by the pipeline `orders`" in problems[0].message
    # Once its owner loads it no longer, another may.
    services.apply_document(project, TEXT.replace("dataset: orders", "dataset: o2"), actor=ANN, publish=True)
    taken = services.apply_document(project, other, actor=ANN, publish=True)
    assert Dataset.objects.get(slug="orders").owner_pipeline == taken.pk


def test_an_input_dataset_has_to_be_there(project: Project, pipeline: Pipeline):
    more = (
        "  s: {sql: {inputs: {x: {dataset: SLUG}}, query: SELECT 1 FROM x}}\n  l: {load: {input: s, dataset: sums}}\n"
    )
    text = TEXT.replace("pipeline: orders", "pipeline: sums").replace("orders, dataset: orders", "orders, dataset: o2")
    assert services.validate(project, text + more.replace("SLUG", "orders"))[0] is not None
    _, problems = services.validate(project, text + more.replace("SLUG", "order"))
    assert (problems[0].path, problems[0].remedy) == ("steps.s.sql.inputs.x", "Did you mean `orders`?")


def test_a_run_has_its_steps_and_starts_with_the_plan(pipeline: Pipeline):
    run = services.start_run(pipeline, actor=ANN)
    assert (run.state, run.root, run.actor_name) == ("running", run.pk, "ann")
    steps = list(run.steps.values_list("key", "kind", "upstream", "state"))
    assert steps == [
        ("plan", "plan", [], "ready"),
        ("orders", "extract", ["plan"], "pending"),
        ("kept", "load", ["orders"], "pending"),
    ]
    event = Event.objects.get(object_type="run", verb="run created")
    assert (event.actor_name, event.object_id) == ("ann", str(run.pk))


def test_runs_of_one_pipeline_wait_for_each_other(pipeline: Pipeline):
    first = services.start_run(pipeline, actor=ANN)
    second = services.start_run(pipeline, actor=ANN)
    assert (first.state, second.state) == ("running", "pending")
    services.cancel_run(second, actor=ANN)
    second.refresh_from_db()
    assert second.state == "cancelled"
    third = services.start_run(pipeline, actor=ANN)
    services.cancel_run(first, actor=ANN)
    starting.admit(pipeline.pk)
    third.refresh_from_db()
    assert third.state == "running"
    with pytest.raises(Conflict, match="over"):
        services.cancel_run(first, actor=ANN)


def test_a_run_may_be_skipped_while_another_is_active(project: Project, pipeline: Pipeline):
    services.apply_document(project, TEXT + "if_running: skip\n", actor=ANN, publish=True)
    pipeline.refresh_from_db()
    services.start_run(pipeline, actor=ANN)
    second = services.start_run(pipeline, actor=ANN)
    assert (second.state, second.mode_reason[:11]) == ("skipped", "Another run")


def test_a_key_starts_one_run(project: Project, pipeline: Pipeline):
    first = services.start_run(pipeline, actor=ANN, trigger_key="nightly")
    assert services.start_run(pipeline, actor=ANN, trigger_key="nightly").pk == first.pk
    assert Run.objects.count() == 1
    with pytest.raises(Conflict, match="another request"):
        services.start_run(pipeline, actor=ANN, trigger_key="nightly", mode="seed")
    services.start_run(pipeline, actor=ANN, trigger_key="late", files=["a.csv"])
    with pytest.raises(Conflict, match="another request"):
        services.start_run(pipeline, actor=ANN, trigger_key="late", files=["a.csv"], again=True)


def test_nothing_runs_before_it_is_published(project: Project, source: Source):
    draft = services.apply_document(project, TEXT, actor=ANN)
    with pytest.raises(Conflict, match="Publish its draft"):
        services.start_run(draft, actor=ANN)
    with pytest.raises(Conflict, match="Publish its draft"):
        services.plan_run(draft)


def test_a_pipeline_is_deleted_with_its_runs_and_leaves_its_datasets(project: Project, pipeline: Pipeline):
    run = services.start_run(pipeline, actor=ANN)
    with pytest.raises(Conflict, match="Cancel it first"):
        services.delete_pipeline(pipeline, actor=ANN)
    services.cancel_run(run, actor=ANN)
    services.delete_pipeline(pipeline, actor=ANN)
    assert not Pipeline.objects.exists()
    assert not Run.objects.exists()
    assert Dataset.objects.filter(slug="orders").exists()
    services.apply_document(project, TEXT, actor=ANN, publish=True)


@pytest.mark.django_db(transaction=True)
def test_two_requests_that_create_one_pipeline_do_not_collide(project: Project):
    together = threading.Barrier(2)
    ends: list[str] = []

    def create() -> None:
        together.wait(60)
        try:
            services.create_pipeline(project, "sales", actor=ANN)
            ends.append("created")
        except Conflict:
            ends.append("taken")
        finally:
            connection.close()

    threads = [threading.Thread(target=create) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(ends) == ["created", "taken"]
