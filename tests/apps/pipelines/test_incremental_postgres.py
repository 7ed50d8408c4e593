"""Incremental extracts from PostgreSQL, end to end: every row arrives exactly once, whatever happens on the way."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.accounts.models import Project
from apps.sources import services as sources
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws

TEXT = """
manifold: 1
pipeline: orders
steps:
  orders: {extract: {source: db, stream: public.orders, mode: incremental}}
  sound:
    check:
      input: orders
      rules:
        - {range: {column: amount, min: 0}, action: stop}
  kept: {load: {input: sound, dataset: orders}}
  sums:
    sql:
      inputs: {o: {dataset: orders}}
      query: SELECT count(*) AS n, sum(amount)::BIGINT AS amount FROM o
  summed: {load: {input: sums, dataset: totals, mode: replace}}
"""


@pytest.fixture
def orders(postgres_url: str) -> str:
    ws.execute(postgres_url, "CREATE TABLE orders (id int, at timestamptz, amount int)")
    return postgres_url


def add(url: str, *rows: tuple[int, int, int]) -> None:
    """Rows of (id, minute, amount)."""
    ws.insert(url, "orders", [(each, f"2026-01-01 00:{minute:02d}+00", amount) for each, minute, amount in rows])


@pytest.mark.usefixtures("workshop")
def test_it_works(project: Project, orders: str):
    add(orders, (1, 1, 10), (2, 2, 20))
    ws.cursor(ws.postgres_source(project, orders), "public.orders", "at")
    pipeline = ws.published(project, TEXT)

    first = ws.run(pipeline)
    assert first.state == "succeeded", ws.error_of(first)
    assert first.mode == "seed"
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1}
    assert ws.rows(project, "totals") == {(2, 30): 1}

    nothing = ws.run(pipeline)
    assert nothing.state == "skipped"
    assert "Nothing new" in nothing.mode_reason

    add(orders, (3, 3, 5))
    second = ws.run(pipeline)
    assert second.state == "succeeded", ws.error_of(second)
    assert second.mode == "incremental"
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1, (3,): 1}
    assert ws.rows(project, "totals") == {(3, 35): 1}
    assert ws.windows(pipeline) == ["done", "done"]


@pytest.mark.usefixtures("workshop")
def test_a_check_stops_the_run_and_the_next_one_loads_what_was_held_back_once(project: Project, orders: str):
    add(orders, (1, 1, 10))
    ws.cursor(ws.postgres_source(project, orders), "public.orders", "at")
    pipeline = ws.published(project, TEXT)
    assert ws.run(pipeline).state == "succeeded"

    add(orders, (2, 2, -1), (3, 2, 7))
    stopped = ws.run(pipeline)
    assert stopped.state == "failed"
    assert ws.failure(stopped)["code"] == "check_failed"
    assert ws.rows(project, "orders", "id") == {(1,): 1}
    assert ws.windows(pipeline) == ["done", "staged"]

    # The row is mended in its source; newer ones have come meanwhile.
    ws.execute(orders, "UPDATE orders SET amount = 1 WHERE id = 2")
    add(orders, (4, 3, 8))
    again = ws.run(pipeline)
    assert again.state == "succeeded", ws.error_of(again)
    assert again.mode == "repair"
    assert str(stopped.pk) in again.mode_reason
    # What waited behind the repeated rows came with the run that followed by itself.
    assert pipeline.runs.get(trigger="follow_up").state == "succeeded"
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1, (3,): 1, (4,): 1}
    assert ws.rows(project, "totals") == {(4, 26): 1}
    assert ws.windows(pipeline) == ["done", "done", "done"]


SHORT = """
manifold: 1
pipeline: {slug}
steps:
  ticks: {{extract: {{source: db, stream: public.{slug}, mode: incremental}}}}
  kept: {{load: {{input: ticks, dataset: {slug}}}}}
"""
LOOKBACK = 3
ROUNDS = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(-LOOKBACK, 2), st.integers(0, 2)), max_size=5), st.booleans()),
    min_size=1,
    max_size=5,
)


@pytest.mark.usefixtures("workshop")
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(rounds=ROUNDS)
@example(rounds=[([(0, 0), (0, 0)], False), ([(0, 0), (0, 1)], False), ([(0, 0)], True), ([(0, 0)], False)])
@example(rounds=[([(0, 0)], True), ([(-1, 0), (0, 0), (2, 0)], True), ([(-3, 1), (1, 0)], False), ([], False)])
def test_whatever_comes_between_runs_is_loaded_once(project: Project, postgres_url: str, rounds):
    """Rows at and before the last cursor, equal rows, runs cut off before their load: the source's multiset arrives."""
    slug = f"t{uuid.uuid4().hex[:12]}"
    ws.execute(postgres_url, f"CREATE TABLE {slug} (at int, value int)")
    source = Source.objects.filter(project=project, slug="db").first() or ws.postgres_source(project, postgres_url)
    sources.discover_streams(source=source, names=[f"public.{slug}"], actor=ws.ACTOR)
    ws.cursor(source, f"public.{slug}", "at", LOOKBACK)
    pipeline = ws.published(project, SHORT.format(slug=slug))
    newest = 10
    inserted: Counter[tuple[int, int]] = Counter()
    for rows, cut_off in rounds:
        arriving = [(newest + offset, value) for offset, value in rows]
        ws.insert(postgres_url, slug, arriving)
        inserted.update(arriving)
        newest = max([newest, *(at for at, _ in arriving)])
        ended = ws.run_cut_off(pipeline, "kept") if cut_off else ws.run(pipeline)
        assert ended.state in ("cancelled", "skipped") if cut_off else ended.state in ("succeeded", "skipped")
    assert ws.run(pipeline).state in ("succeeded", "skipped")
    assert ws.run(pipeline).state == "skipped"
    assert ws.rows(project, slug) == inserted
