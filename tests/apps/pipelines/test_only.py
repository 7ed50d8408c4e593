"""Runs of only some steps: what runs with them, and that nothing is lost or doubled by them."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from apps.accounts.models import Project, Role
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import services
from apps.pipelines.models import Run
from tests.apps.pipelines import workshop as w
from tests.people import Api, member

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = """\
manifold: 1
pipeline: orders
steps:
  rows: {extract: {source: drop, stream: orders, mode: incremental}}
  sound: {check: {input: rows, rules: [{not_null: id}]}}
  big: {sql: {inputs: {s: sound}, query: SELECT * FROM s WHERE amount > 50}}
  kept: {load: {input: sound, dataset: orders}}
  bigs: {load: {input: big, dataset: bigs}}
"""


@pytest.fixture
def shop(workshop: Path) -> Project:
    project = Project.objects.create(slug="shop", name="Shop")
    w.write(workshop, "orders-1.csv", ["id,amount", "1,12.5", "2,99"])
    w.files_source(project, workshop)
    w.published(project, DOCUMENT)
    return project


def start(project: Project, *steps: str, mode: str = "auto") -> Run:
    run = services.start_run(project.pipelines.get(), actor=w.ACTOR, mode=mode, only=steps)
    w.work()
    run.refresh_from_db()
    return run


def counts(project: Project) -> tuple[int, int]:
    return sum(w.rows(project, "orders", "id").values()), sum(w.rows(project, "bigs", "id").values())


def test_a_step_runs_with_all_that_it_needs_and_nothing_else(shop: Project) -> None:
    run = start(shop, "sound")
    assert (run.state, run.only) == ("succeeded", ["sound"])
    assert w.states(run) == {
        "plan": "succeeded",
        "rows": "succeeded",
        "sound": "succeeded",
        "big": "skipped",
        "kept": "skipped",
        "bigs": "skipped",
    }
    assert w.windows(run.pipeline) == ["staged"]
    assert start(shop).state == "succeeded"
    assert counts(shop) == (2, 1)


def test_a_load_that_was_left_out_gets_its_rows_later_and_the_other_none_twice(shop: Project, workshop: Path) -> None:
    assert start(shop, "kept").state == "succeeded"
    assert counts(shop) == (2, 0)
    w.write(workshop, "orders-2.csv", ["id,amount", "3,70"])
    again = start(shop, "kept")
    assert w.output(again, "kept")["status"] == "already_done"
    whole = start(shop)
    assert (w.output(whole, "kept")["status"], w.output(whole, "bigs")["rows"]) == ("already_done", 1)
    # What is new comes with the run that follows the repeated batch by itself.
    assert counts(shop) == (3, 2)
    assert set(w.windows(whole.pipeline)) == {"done"}


def test_a_seed_of_some_steps_leaves_the_others_as_they_are(shop: Project, workshop: Path) -> None:
    start(shop)
    w.write(workshop, "orders-2.csv", ["id,amount", "3,70"])
    assert start(shop, "bigs", mode="seed").state == "succeeded"
    assert counts(shop) == (2, 2)
    start(shop)
    assert counts(shop) == (3, 2)


def test_a_retry_keeps_to_the_same_steps(shop: Project) -> None:
    run = services.start_run(shop.pipelines.get(), actor=w.ACTOR, only=["kept"])
    w.work_before("kept")
    services.cancel_run(run, actor=w.ACTOR)
    run.refresh_from_db()
    again = w.retry(run)
    assert (again.state, again.only) == ("succeeded", ["kept"])
    states = w.states(again)
    assert (states["plan"], states["rows"], states["sound"], states["kept"], states["bigs"]) == (
        "reused",
        "reused",
        "reused",
        "succeeded",
        "skipped",
    )


def test_what_is_refused(shop: Project) -> None:
    pipeline = shop.pipelines.get()
    with pytest.raises(Invalid, match=r"There is no step `keep`\. Steps are: rows, sound, big, kept, bigs"):
        services.start_run(pipeline, actor=w.ACTOR, only=["keep"])
    services.start_run(pipeline, actor=w.ACTOR, only=["kept"], trigger_key="k")
    with pytest.raises(Conflict, match="another request"):
        services.start_run(pipeline, actor=w.ACTOR, only=["bigs"], trigger_key="k")


def test_through_the_api(shop: Project, api: Api) -> None:
    client = api(member("olga", shop, Role.OPERATOR))
    base = "/api/v1/projects/shop/pipelines/orders/"
    plan = client.post(f"{base}plan/", {"steps": ["sound"]}).json()
    assert [each["key"] for each in plan["steps"]] == ["rows", "sound"]
    refused = client.post(f"{base}plan/", {"steps": ["none"]})
    assert refused.status_code == 400 and refused.json()["errors"][0]["field"] == "steps"
    first = client.post(f"{base}runs/", {"steps": ["sound"]}).json()
    assert first["only"] == ["sound"]
    behind = client.post(f"{base}runs/", {"if_running": "queue"}).json()
    assert behind["waits_for"] == "Its turn: another run of this pipeline has not ended."
    assert client.post(f"{base}runs/", {"if_running": "skip"}).json()["state"] == "skipped"


def test_through_the_dialog(shop: Project, client: Client) -> None:
    client.force_login(member("olga", shop, Role.OPERATOR))
    page = client.get("/p/shop/pipelines/orders/").content.decode()
    assert 'id="run-dialog"' in page and 'name="steps" value="bigs"' in page
    part = client.get("/p/shop/pipelines/orders/plan/", {"steps": "sound"}, headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode() and "orders-1.csv" in part.content.decode()
    wrong = client.get("/p/shop/pipelines/orders/plan/", {"steps": "none"}, headers={"HX-Request": "true"})
    assert "There is no step" in wrong.content.decode()
    client.post("/p/shop/pipelines/orders/run/", {"mode": "auto", "steps": ["sound"], "if_running": "queue"})
    assert Run.objects.get().only == ["sound"]
