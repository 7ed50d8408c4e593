"""The ingestion history through API, page and command: who sees it, what it is narrowed by, what it costs."""

from __future__ import annotations

import csv
import io

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.pipelines.models import Ingestion, Run
from tests.furnished import Furnished
from tests.people import Api

pytestmark = pytest.mark.django_db

BASE = "/api/v1/projects/flights"


def add(run: Run, count: int, **fields: object) -> None:
    """More rows beside those of the furnished project, which has two."""
    numbers = {"inserted": 0, "updated": 0, "skipped": 0, "quarantined": 0, "used": 0, "bytes": 10, "seconds": 1.5}
    given = {"source_slug": "drop", "stream": "orders", "state": "failed", "fetched": 0, **numbers, **fields}
    Ingestion.objects.bulk_create(
        Ingestion(project=run.project, run=run, step_key=f"step-{each}-{given['stream']}", **given)
        for each in range(count)
    )


def test_it_works(furnished: Furnished, api: Api) -> None:
    client = api(furnished.people["viewer"])
    found = client.get(f"{BASE}/sources/drop/history/").json()["results"]
    assert [(each["run"], each["state"], each["fetched"]) for each in found] == [
        (str(furnished.cancelled.pk), "cancelled", 0),
        (str(furnished.succeeded.pk), "succeeded", 3),
    ]
    row = found[1]
    assert (row["inserted"], row["quarantined"], row["pipeline"], row["source"]) == (2, 1, "orders", "drop")
    assert row["loads"][0]["to"] == "orders"
    assert client.get(f"{BASE}/history/").json()["results"] == found
    assert client.get(f"{BASE}/sources/db/history/").json()["results"] == []
    assert client.get(f"{BASE}/sources/none/history/").status_code == 404


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("source=drop", 5),
        ("source=db", 0),
        ("stream=wide", 2),
        ("state=succeeded", 1),
        ("state=failed&state=succeeded", 4),
        ("rows_min=1", 3),
        ("rows_min=1&rows_max=5", 1),
        ("rows_min=1E-999999999", 5),
        ("bytes_min=1000", 0),
        ("bytes_max=10&bytes_min=10", 3),
        ("bytes_max=9", 1),
        ("since=2020-01-01T00:00:00Z", 5),
        ("until=2020-01-01T00:00:00Z", 0),
        ("pipeline=orders", 5),
    ],
)
def test_it_is_narrowed(furnished: Furnished, api: Api, query: str, count: int) -> None:
    add(furnished.succeeded, 1)
    add(furnished.succeeded, 2, stream="wide", fetched=50)
    answer = api(furnished.people["viewer"]).get(f"{BASE}/history/?{query}")
    assert len(answer.json()["results"]) == count
    assert api(furnished.people["viewer"]).get(f"{BASE}/history/?state=nonsense").status_code == 400


@pytest.mark.parametrize("name", ["rows_min", "rows_max", "bytes_min", "bytes_max"])
def test_a_number_that_nothing_can_be_counted_by_is_refused(furnished: Furnished, api: Api, name: str) -> None:
    client = api(furnished.people["viewer"])
    for number in ("-1", "NaN", "1E%2B999999999", "-1E%2B999999999"):
        assert client.get(f"{BASE}/history/?{name}={number}").status_code == 400, number


def test_the_file_is_harmless_in_a_spreadsheet(furnished: Furnished, api: Api) -> None:
    add(furnished.succeeded, 1200, stream="=1+1", error={"message": "@SUM(A1), broken"})
    answer = api(furnished.people["viewer"]).get(f"{BASE}/history/export/?state=failed")
    lines = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert len(lines) == 1200
    assert (lines[0]["stream"], lines[0]["error"], lines[0]["seconds"]) == ("'=1+1", "'@SUM(A1), broken", "1.5")
    assert answer["Content-Disposition"] == 'attachment; filename="history-flights.csv"'


@pytest.mark.parametrize("page", ["history/", "sources/drop/history/"])
def test_the_page_costs_the_same_however_much_there_is(furnished: Furnished, client: Client, page: str) -> None:
    client.force_login(furnished.people["viewer"])
    client.get(f"/p/flights/{page}")
    costs = []
    for more in (0, 70):
        add(furnished.succeeded, more, source=Ingestion.objects.values_list("source", flat=True)[0])
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(f"/p/flights/{page}")
        costs.append(len(queries))
    assert costs[0] == costs[1]
    text = answer.content.decode()
    assert text.count("<tr>") == 51 and "Older" in text and 'data-chart="rows"' in text


def test_the_page_is_narrowed_and_saved(furnished: Furnished, client: Client) -> None:
    client.force_login(furnished.people["viewer"])
    add(furnished.succeeded, 2, stream="wide")
    text = client.get("/p/flights/history/?stream=wide&state=failed").content.decode()
    assert text.count("<tr>") == 3
    for query, count in (("rows_max=0", 3), ("rows_min=3", 1), ("bytes_max=9", 1), ("pipeline=orders&bytes_min=10", 3)):
        assert client.get(f"/p/flights/history/?{query}").content.decode().count("<tr>") == count + 1, query
        saved = client.get(f"/p/flights/history/export/?{query}").getvalue().decode()
        assert len(saved.splitlines()) == count + 1, query
    assert "Nothing fits these filters" in client.get("/p/flights/history/?since=2999-01-01").content.decode()
    last = client.get("/p/flights/history/?since=0001-01-01&until=9999-12-31").content.decode()
    assert last.count("<tr>") == 5, "no day comes after the last one"
    saved = client.get("/p/flights/sources/drop/history/export/").getvalue().decode()
    assert len(saved.splitlines()) == 3
    assert client.get("/p/flights/sources/none/history/").status_code == 404


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("rows_min=oops", "Rows at least: enter a whole number of at most 50 digits."),
        ("rows_max=1e5", "Rows at most: enter a whole number"),
        ("bytes_min=1.5", "Bytes at least: enter a whole number"),
        (f"bytes_max={'9' * 51}", "Bytes at most: enter a whole number"),
        ("since=soon", "From: enter a day as 2026-03-31."),
        ("until=2026-02-30", "To: enter a day"),
        ("state=lost", "State: choose one of succeeded, failed"),
    ],
)
def test_the_page_says_which_filter_it_cannot_read(furnished: Furnished, client: Client, query: str, said: str) -> None:
    client.force_login(furnished.people["viewer"])
    text = client.get(f"/p/flights/history/?{query}").content.decode()
    assert said in text and text.count('aria-invalid="true"') == 1
    assert "<tbody>" not in text, "what is shown is not what was asked for"
    saved = client.get(f"/p/flights/history/export/?{query}")
    assert saved.status_code == 409 and said in saved.content.decode()
    assert client.get(f"/p/flights/history/?rows_max={'9' * 50}").content.decode().count("<tr>") == 3
