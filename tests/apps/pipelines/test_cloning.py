"""A pipeline under another name, with datasets of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from apps.accounts.models import Project, Role
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import cloning, services
from apps.pipelines import document as documents
from tests.apps.pipelines import workshop as w
from tests.people import Api, member

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENT = """\
# What the shop sells.
manifold: 1
pipeline: orders
title: orders and what is in them
steps:
  orders: {extract: {source: drop, stream: orders, mode: incremental}}
  kept: {load: {input: orders, "dataset": 'orders', mode: append}}   # orders
  big:
    sql:
      inputs: {o: {dataset: orders}}
      query: SELECT * FROM o WHERE amount > 50
  bigs:
    load:
      input: big
      dataset:   big-orders
      mode: replace
"""


@pytest.fixture
def shop(workshop: Path) -> Project:
    project = Project.objects.create(slug="shop", name="Shop")
    w.write(workshop, "orders-1.csv", ["id,amount", "1,12.5", "2,99"])
    w.files_source(project, workshop)
    assert w.run(w.published(project, DOCUMENT)).state == "succeeded"
    return project


def test_a_clone_is_a_draft_that_can_be_published_and_run(shop: Project) -> None:
    made = cloning.clone_pipeline(shop.pipelines.get(), "trial", actor=w.ACTOR)
    expected = DOCUMENT.replace("pipeline: orders", "pipeline: trial").replace(
        "\"dataset\": 'orders'", "dataset: trial"
    )
    expected = expected.replace("{dataset: orders}", "{dataset: trial}")
    assert made.draft == expected.replace("dataset:   big-orders", "dataset: trial-big-orders")
    services.publish_draft(made, actor=w.ACTOR)
    run = w.run(made)
    assert run.state == "succeeded", w.error_of(run)
    assert [sum(w.rows(shop, each, "id").values()) for each in ("orders", "trial", "trial-big-orders")] == [2, 2, 1]


def test_datasets_may_be_named(shop: Project) -> None:
    pipeline = shop.pipelines.get()
    made = cloning.clone_pipeline(pipeline, "trial", datasets={"big-orders": "huge"}, actor=w.ACTOR)
    document, problems = documents.parse(made.draft)
    assert not problems and document is not None
    assert sorted(document.loads()) == ["huge", "trial"]
    with pytest.raises(Invalid, match=r"loads no dataset `other`\. It loads: orders, big-orders"):
        cloning.clone_pipeline(pipeline, "more", datasets={"other": "x"}, actor=w.ACTOR)


def test_what_is_refused(shop: Project) -> None:
    pipeline = shop.pipelines.get()
    with pytest.raises(Conflict, match="There is a pipeline `orders` already"):
        cloning.clone_pipeline(pipeline, "orders", actor=w.ACTOR)
    empty = services.create_pipeline(shop, "empty", text="steps: {", actor=w.ACTOR)
    with pytest.raises(Conflict, match="Mend its draft first"):
        cloning.clone_pipeline(empty, "more", actor=w.ACTOR)
    strange = services.create_pipeline(
        shop, "strange", text=DOCUMENT.replace("pipeline: orders", "pipeline: >-\n  orders"), actor=w.ACTOR
    )
    with pytest.raises(Conflict, match="line 3 is written in a way"):
        cloning.clone_pipeline(strange, "more", actor=w.ACTOR)


def test_through_the_api_and_the_page(shop: Project, api: Api, client: Client) -> None:
    olga = member("olga", shop, Role.OPERATOR)
    place = "/api/v1/projects/shop/pipelines/orders/clone/"
    made = api(olga).post(place, {"slug": "trial", "datasets": {"orders": "tried"}})
    assert made.status_code == 201 and "dataset: tried" in made.json()["draft"]
    assert api(olga).post(place, {"slug": "Trial"}).status_code == 400
    client.force_login(olga)
    went = client.post("/p/shop/pipelines/orders/clone/", {"name": "copy"})
    assert went.headers["Location"] == "/p/shop/pipelines/copy/edit/"
    assert "pipeline: copy" in client.get(went.headers["Location"]).content.decode()
    for wrong in ({"name": "../etc"}, {"name": "fine", "dataset-orders": "No!"}, {"name": "fine", "dataset-x": "y"}):
        client.post("/p/shop/pipelines/orders/clone/", wrong)
    assert shop.pipelines.count() == 3


def test_the_dialog_asks_for_the_names_of_the_datasets(shop: Project, client: Client) -> None:
    client.force_login(member("olga", shop, Role.OPERATOR))
    page, ask = "/p/shop/pipelines/orders/clone/", {"HX-Request": "true"}
    part = client.get(page, {"name": "trial", "dataset-orders": "tried"}, headers=ask).content.decode()
    assert 'name="dataset-orders"' in part and 'placeholder="trial" value="tried"' in part
    assert 'placeholder="trial-big-orders" value=""' in part
    client.post(page, {"name": "trial", "dataset-orders": "tried", "dataset-big-orders": ""})
    document, _ = documents.parse(shop.pipelines.get(slug="trial").draft)
    assert document is not None and sorted(document.loads()) == ["trial-big-orders", "tried"]
    services.create_pipeline(shop, "empty", text="steps: {", actor=w.ACTOR)
    assert "Mend its draft first" in client.get("/p/shop/pipelines/empty/clone/", headers=ask).content.decode()
