"""Lineage: what a source feeds through every document, through datasets and tables of others, and what was read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.pipelines import freshness, lineage, services
from apps.pipelines.lineage import Asset, Flow
from apps.snapshots.models import Dataset, Snapshot
from apps.sources import services as sources
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws
from tests.furnished import Furnished
from tests.people import Api

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
# Reads what the pipeline of the furnished project has loaded, and writes it into a table of the database.
NEXT = """
manifold: 1
pipeline: totals
steps:
  sums: {sql: {inputs: {o: {dataset: orders}}, query: SELECT count(*) AS n FROM o}}
  kept: {load: {input: sums, dataset: totals, mode: replace}}
  shop: {load: {input: sums, destination: db, table: customers, mode: append}}
"""
# Reads that table again.
LAST = """
manifold: 1
pipeline: names
steps:
  names: {extract: {source: db, stream: customers}}
  kept: {load: {input: names, dataset: names, mode: replace}}
"""


@pytest.fixture
def wired(furnished: Furnished) -> Furnished:
    """Three pipelines, of which each reads what the one before has loaded."""
    database = Source.objects.get(slug="db")
    sources.update_source(database, writable=True, actor=ws.ACTOR)
    sources.declare_stream(database, name="customers", config={"query": "SELECT * FROM customers"}, actor=ws.ACTOR)
    for text in (NEXT, LAST):
        services.apply_document(furnished.project, text, actor=ws.ACTOR, publish=True)
    return furnished


@pytest.mark.django_db
def test_it_works(wired: Furnished, api: Api) -> None:
    found = api(wired.people["viewer"]).get("/api/v1/projects/flights/sources/drop/impact/").json()
    assert found["pipelines"] == [
        {"pipeline": "orders", "direct": True},
        {"pipeline": "names", "direct": False},
        {"pipeline": "totals", "direct": False},
    ]
    assert [each["dataset"] for each in found["datasets"]] == ["names", "orders", "totals"]
    assert found["tables"] == [{"destination": "db", "table": "customers"}]
    assert found["written"] == []
    read = found["reads"]
    assert [(each["pipeline"], each["stream"], each["to"], each["fetched"]) for each in read] == [
        ("orders", "orders", "orders", 3)
    ]
    assert found["datasets"][1]["state"] == "fresh"


@pytest.mark.django_db
def test_a_destination_breaks_those_that_write_into_it(wired: Furnished) -> None:
    found = lineage.impact(Source.objects.get(slug="db"), NOW)
    assert found["written"] == [{"table": "customers", "pipeline": "totals", "step": "shop"}]
    assert [each["pipeline"] for each in found["pipelines"]] == ["names"]


@pytest.mark.django_db
def test_a_dataset_knows_its_sources_however_far_away(wired: Furnished, api: Api) -> None:
    client = api(wired.people["viewer"])
    found = client.get("/api/v1/projects/flights/datasets/names/upstream/").json()
    assert found["streams"] == [
        {"source": "db", "stream": "customers"},
        {"source": "drop", "stream": "orders"},
    ]
    assert client.get("/api/v1/projects/flights/datasets/orders.rejected/upstream/").status_code == 404


@pytest.mark.django_db
def test_what_nothing_reads_breaks_nothing(wired: Furnished, client: Client) -> None:
    client.force_login(wired.people["viewer"])
    assert lineage.impact(Source.objects.get(slug="given"), NOW)["flows"] == []
    assert "Nothing depends on it" in client.get("/p/flights/sources/given/impact/").content.decode()


def test_a_circle_of_pipelines_ends() -> None:
    first, second = Asset("dataset", "first"), Asset("dataset", "second")
    stream = Asset("stream", "orders", "drop")
    every = [
        Flow("a", "kept", frozenset({stream, second}), first),
        Flow("b", "kept", frozenset({first}), second),
    ]
    assert lineage.downstream(every, lambda each: each == stream) == every
    assert lineage.upstream(every, first) == every


@pytest.mark.django_db
def test_its_page_draws_and_says_what_is_late_first(wired: Furnished, client: Client) -> None:
    freshness.expect(Dataset.objects.get(slug="orders"), {"max_age": 31_000_000}, actor=ws.ACTOR)
    client.force_login(wired.people["viewer"])
    client.get("/p/flights/")
    with CaptureQueriesContext(connection) as queries:
        text = client.get("/p/flights/sources/drop/impact/").content.decode()
    assert len(queries) == 9
    assert "<span>Pipelines fail</span><b>1</b>" in text and "2 more get no new rows" in text
    db = client.get("/p/flights/sources/db/impact/").content.decode()
    assert "<span>Pipelines fail</span><b>2</b>" in db and "more get" not in db
    assert "orders is late first" in text and '"source": "stream orders", "target": "dataset orders"' in text
    assert "drop" in client.get("/p/flights/datasets/names/upstream/").content.decode()
    freshness.expect(Dataset.objects.get(slug="orders"), {"max_age": 60}, actor=ws.ACTOR)
    Snapshot.objects.filter(dataset__slug="orders").update(created_at=NOW)
    text = client.get("/p/flights/sources/drop/impact/").content.decode()
    assert "1 late or stale already" in text and "nothing is expected" not in text
