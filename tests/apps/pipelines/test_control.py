"""Controlling real runs through the API and the pages: checks that ask, pauses, retries after a stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from apps.accounts.models import Project, Role
from apps.pipelines import control, services
from tests.apps.pipelines import workshop as w
from tests.people import Api, member

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = """\
manifold: 1
pipeline: orders
steps:
  rows: {extract: {source: drop, stream: orders, mode: incremental}}
  sound: {check: {input: rows, rules: [{range: {column: amount, max: 50}, action: ask, name: small orders}]}}
  kept: {load: {input: sound, dataset: orders}}
"""


@pytest.fixture
def shop(workshop: Path) -> Project:
    project = Project.objects.create(slug="shop", name="Shop")
    w.write(workshop, "orders-1.csv", ["id,amount", "1,12.5", "2,99"])
    w.files_source(project, workshop)
    return project


def test_a_check_asks_through_the_api(shop: Project, api: Api) -> None:
    run = w.run(w.published(shop, DOCUMENT))
    assert (run.state, run.outcome) == ("waiting", "warned")
    client = api(member("olga", shop, Role.OPERATOR))
    base = f"/api/v1/projects/shop/runs/{run.pk}/"
    shown = client.get(base).json()
    assert shown["waits_for"].startswith("The check small orders failed: 1 of 2 rows (50.00%) do not hold to it")
    assert [each["answer"] for each in shown["decisions"]] == [""]
    assert client.post(f"{base}decide/", {"answer": "perhaps"}).status_code == 400
    assert client.post(f"{base}resume/").json()["code"] == "waiting"
    decided = client.post(f"{base}decide/", {"answer": "continue", "reason": "a big customer"})
    assert decided.json()["decisions"][0] | {"asked_at": 0, "decided_at": 0} == {
        "step": "sound",
        "question": shown["waits_for"],
        "answer": "continue",
        "reason": "a big customer",
        "asked_at": 0,
        "decided_at": 0,
        "decided_by": "olga",
    }
    w.work()
    run.refresh_from_db()
    assert (run.state, run.outcome) == ("succeeded", "warned")
    assert sum(w.rows(shop, "orders", "id").values()) == 2


def test_who_stops_it_is_asked_again_by_a_retry_and_by_the_next_run(shop: Project) -> None:
    pipeline = w.published(shop, DOCUMENT)
    stopped = control.decide_run(w.run(pipeline), "stop", reason="look first", actor=w.ACTOR)
    assert (stopped.state, w.failure(stopped)["code"]) == ("failed", "stopped_by_decision")
    assert w.windows(pipeline) == ["staged"]
    again = w.retry(stopped)
    assert again.state == "waiting"
    assert w.states(again) == {"plan": "reused", "rows": "reused", "sound": "succeeded", "kept": "ready"}
    services.cancel_run(again, actor=w.ACTOR)
    third = w.run(pipeline)
    assert third.state == "waiting"
    control.decide_run(third, "continue", actor=w.ACTOR)
    w.work()
    assert w.windows(pipeline) == ["done"]
    assert sum(w.rows(shop, "orders", "id").values()) == 2


def test_the_pages_show_why_a_run_waits_and_offer_the_decision(shop: Project, client: Client) -> None:
    run = w.run(w.published(shop, DOCUMENT))
    client.force_login(member("olga", shop, Role.OPERATOR))
    page = client.get(f"/p/shop/runs/{run.pk}/").content.decode()
    assert "A check asks" in page and 'id="decide-run"' in page
    assert client.post(f"/p/shop/runs/{run.pk}/decide/", {"answer": "maybe"}).status_code == 400
    client.post(f"/p/shop/runs/{run.pk}/decide/", {"answer": "stop", "reason": "look first"})
    page = client.get(f"/p/shop/runs/{run.pk}/").content.decode()
    assert "olga decided: stop" in page and "look first" in page
    client.post("/p/shop/pipelines/orders/pause/", {"reason": "stocktaking"})
    assert "stocktaking" in client.get("/p/shop/pipelines/orders/").content.decode()
    waiting = services.start_run(run.pipeline, actor=w.ACTOR)
    page = client.get(f"/p/shop/runs/{waiting.pk}/").content.decode()
    assert "The pipeline was paused by olga: stocktaking." in page and 'data-dialog="skip-run"' in page
    client.post("/p/shop/pipelines/orders/resume/")
    waiting.refresh_from_db()
    assert waiting.state == "running"
