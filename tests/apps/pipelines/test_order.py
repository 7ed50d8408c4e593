"""`after`: one step waits for another of which nothing reaches it."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.accounts.models import Project
from apps.pipelines import document, services
from apps.pipelines.models import Run
from tests.apps.pipelines import workshop as ws

TEXT = """
manifold: 1
pipeline: shop
steps:
  orders: {extract: {source: drop, stream: orders, mode: incremental}, after: [customers_kept]}
  orders_kept: {load: {input: orders, dataset: orders}}
  customers: {extract: {source: drop, stream: customers, mode: incremental}}
  customers_kept: {load: {input: customers, dataset: customers}}
"""


@pytest.fixture
def drop(project: Project, workshop: Path) -> Path:
    ws.write(workshop, "orders_1.csv", ["id,customer", "1,7"])
    ws.write(workshop, "customers_1.csv", ["id", "7"])
    ws.files_source(project, workshop)
    return workshop


def times(run: Run) -> list[str]:
    return list(
        run.steps.exclude(key="plan").exclude(finished_at=None).order_by("finished_at").values_list("key", flat=True)
    )


def test_it_works(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    ended = ws.run(pipeline)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert times(ended) == ["customers", "customers_kept", "orders", "orders_kept"]
    ws.write(drop, "orders_2.csv", ["id,customer", "2,7"])
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1}


def test_what_waits_is_left_out_where_the_other_has_failed_and_repeated_with_it(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    path = ws.write(drop, "customers_1.csv", ["id"])
    path.write_bytes(b"")
    failed = ws.run(pipeline)
    assert ws.states(failed) == {
        "plan": "succeeded",
        "customers": "failed",
        "customers_kept": "skipped",
        "orders": "skipped",
        "orders_kept": "skipped",
    }
    ws.write(drop, "customers_1.csv", ["id", "7"])
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "orders", "id") == {(1,): 1}


def test_windows_of_one_say_nothing_of_the_other(project: Project, drop: Path):
    """An order is loaded by its own windows: a customer's that comes later does not load it again."""
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    ws.write(drop, "customers_2.csv", ["id", "8"])
    ended = ws.run(pipeline)
    assert (ended.state, ws.rows(project, "orders", "id")) == ("succeeded", {(1,): 1})


def test_a_run_of_only_some_steps_waits_for_none_that_is_left_out(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    started = services.start_run(pipeline, actor=ws.ACTOR, only=["orders_kept"])
    ws.work()
    started.refresh_from_db()
    assert (started.state, times(started)) == ("succeeded", ["orders", "orders_kept"])


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("[customer_kept]", "There is no step `customer_kept`."),
        ("[orders]", "The step `orders` names itself."),
        ("[orders_kept]", "The steps form a circle: `orders` → `orders_kept` → `orders`."),
    ],
)
def test_what_is_refused(after: str, said: str):
    found, problems = document.parse(TEXT.replace("after: [customers_kept]", f"after: {after}"))
    assert found is None and said in str(problems[0]), problems
