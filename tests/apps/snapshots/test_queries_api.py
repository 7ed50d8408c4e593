"""`/queries/` and `/saved-queries/`: answers, the history, what is kept, and statements that mean harm."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.audit.models import Event
from apps.snapshots.models import Dataset, Query, SavedQuery
from tests.apps.snapshots.factories import add_snapshot
from tests.dataplane.hostile import HOSTILE
from tests.people import Api

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/flights"
QUERIES, SAVED = f"{BASE}/queries/", f"{BASE}/saved-queries/"
SINCE = {
    "title": "Orders since",
    "sql": "SELECT n FROM orders WHERE day >= $since ORDER BY n",
    "parameters": [{"name": "since", "type": "date", "default": "2026-01-02"}],
}


@pytest.fixture
def loaded(dataset: Dataset) -> Dataset:
    add_snapshot(dataset, "SELECT i AS n, DATE '2026-01-01' + i::INT AS day FROM range(3) r(i)")
    return dataset


def test_it_works(api: Api, viewer: User, loaded: Dataset) -> None:
    client, own = api(viewer), str(uuid.uuid4())
    body = {
        "id": own,
        "sql": "SELECT * FROM orders WHERE n > $low",
        "parameters": [{"name": "low", "value": 0}],
        "order": -1,
        "limit": 1,
    }
    answer = client.post(QUERIES, body).json()
    assert (answer["id"], answer["rows"], answer["limited_by"]) == (own, [[2, "2026-01-03"]], "rows")
    assert answer["advice"].startswith("Only the first 1 rows are here.")
    [line] = client.get(QUERIES).json()["results"]
    assert line == client.get(f"{QUERIES}{own}/").json()
    assert (line["user"], line["state"], line["row_count"], line["tables"]) == ("vera", "succeeded", 1, {"orders": 1})
    assert line["parameters"] == [{"name": "low", "type": "integer", "value": 0}]
    for wanted, count in (("?user=vera", 1), ("?user=ada", 0), ("?state=failed", 0)):
        assert len(client.get(QUERIES + wanted).json()["results"]) == count


def test_the_whole_answer_is_a_file(api: Api, viewer: User, loaded: Dataset) -> None:
    client = api(viewer)
    one = f"{QUERIES}{client.post(QUERIES, {'sql': 'SELECT n FROM orders', 'limit': 1}).json()['id']}/"
    csv = client.get(f"{one}download/", {"order": -1})
    assert csv.getvalue() == b"n\n2\n1\n0\n"
    assert csv.headers["Content-Disposition"].endswith('.csv"')
    parquet = client.get(f"{one}download/", {"format": "parquet"}, headers={"Accept": "*/*"}).getvalue()
    assert pq.read_table(io.BytesIO(parquet)).num_rows == 3
    assert client.get(f"{one}download/", {"format": "json"}).headers["Content-Type"] == "application/json"
    assert client.get(f"{one}download/", {"format": "xlsx"}).status_code == 400
    assert client.get(f"{one}download/", {"order": 7}).status_code == 400


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "sql", "either `sql` or `saved`"),
        ({"sql": "SELECT 1", "saved": "x"}, "sql", "either"),
        ({"saved": "x"}, "saved", "no saved query `x`"),
        ({"sql": "SELECT $a", "parameters": []}, "parameters.a", "It needs a value."),
        ({"sql": "SELECT 1", "parameters": [{"name": "a", "value": 1}]}, "parameters.a", "no such parameter"),
        (
            {"sql": "SELECT $a", "parameters": [{"name": "a", "type": "date", "value": "x"}]},
            "parameters.a",
            "as 2026-01-31",
        ),
        ({"sql": "SELECT $a", "parameters": [{"name": "a", "value": "\0"}]}, "parameters.a", "does not fit"),
        ({"sql": "SELECT $a", "parameters": [{"name": "a", "value": {}}]}, "parameters.a", "A value is"),
        ({"sql": "SELECT 1", "limit": 0}, "limit", "greater than or equal to 1"),
        ({"sql": "SELECT 1", "id": "x"}, "id", "valid UUID"),
    ],
)
def test_a_wrong_field_is_named(api: Api, viewer: User, body: dict[str, Any], field: str, said: str) -> None:
    answer = api(viewer).post(QUERIES, body)
    assert answer.status_code == 400
    assert [(each["field"], said in each["message"]) for each in answer.json()["errors"]] == [(field, True)]


def test_statements_that_mean_harm_are_refused(api: Api, viewer: User, loaded: Dataset, tmp_path: Path) -> None:
    secret, target = tmp_path / "secret.csv", tmp_path / "stolen"
    secret.write_text("canary-7f3a\n")
    client = api(viewer)
    for statement in HOSTILE:
        text = statement.format(secret=secret, target=target).replace(" t", " orders")
        answer = client.post(QUERIES, {"sql": text})
        assert answer.status_code == 400, text
        assert b"root:" not in answer.content, text
        assert "canary" not in answer.content.decode(), text
    assert not target.exists()
    assert client.post(QUERIES, {"sql": "SELECT count(*) FROM orders"}).json()["rows"] == [[3]]
    assert Query.objects.filter(state="failed").count() == len(HOSTILE) - 2  # parameters without a value never run


def test_a_value_never_becomes_sql(api: Api, viewer: User, loaded: Dataset) -> None:
    client = api(viewer)
    for text in ("1 OR true", "' OR ''='", "(SELECT 1)", "/etc/passwd", "'; DROP VIEW orders; --"):
        body = {
            "sql": "SELECT $v, count(*) FROM orders WHERE n::VARCHAR = $v",
            "parameters": [{"name": "v", "value": text}],
        }
        assert client.post(QUERIES, body).json()["rows"] == [[text, 0]]


def test_a_query_is_kept_and_run_with_values(api: Api, viewer: User, operator: User, loaded: Dataset) -> None:
    made = api(operator).post(SAVED, SINCE)
    assert made.status_code == 201
    kept = made.json()
    assert (kept["slug"], kept["owner"], kept["parameters"]) == ("orders-since", "olga", SINCE["parameters"])
    client = api(viewer)
    assert client.get(SAVED).json()["results"] == [kept] == [client.get(f"{SAVED}orders-since/").json()]
    assert client.post(QUERIES, {"saved": "orders-since"}).json()["rows"] == [[1], [2]]
    given = {"saved": "orders-since", "parameters": [{"name": "since", "value": "2026-01-03"}]}
    assert client.post(QUERIES, given).json()["rows"] == [[2]]
    assert {each["saved"] for each in client.get(QUERIES).json()["results"]} == {"orders-since"}
    assert len(client.get(QUERIES + "?saved=orders-since").json()["results"]) == 2


def test_a_kept_query_is_changed_by_its_owner_or_an_administrator(
    api: Api, operator: User, admin: User, viewer: User, loaded: Dataset
) -> None:
    api(admin).post(SAVED, {"title": "Theirs", "sql": "SELECT 1"})
    api(operator).post(SAVED, SINCE)
    assert api(operator).patch(f"{SAVED}theirs/", {"title": "Mine"}).status_code == 403
    assert api(operator).delete(f"{SAVED}theirs/").status_code == 403
    changed = api(operator).patch(f"{SAVED}orders-since/", {"sql": "SELECT n FROM orders WHERE n < $most"}).json()
    assert changed["parameters"] == [{"name": "most", "type": "text", "default": None}]
    assert api(admin).patch(f"{SAVED}orders-since/", {"title": " Fewer  orders "}).json()["title"] == "Fewer orders"
    assert api(admin).delete(f"{SAVED}orders-since/").status_code == 204
    assert [each.slug for each in SavedQuery.objects.all()] == ["theirs"]
    verbs = Event.objects.filter(object_type="saved query").order_by("id").values_list("verb", "actor_name")
    assert list(verbs)[1:] == [
        ("saved query created", "olga"),
        ("saved query changed", "olga"),
        ("saved query changed", "ada"),
        ("saved query deleted", "ada"),
    ]


def test_names_of_kept_queries(api: Api, operator: User) -> None:
    client = api(operator)
    body = {"title": "Çok güzel!", "sql": "SELECT 1"}
    assert [client.post(SAVED, body).json()["slug"] for _ in range(2)] == ["cok-guzel", "cok-guzel-2"]
    assert client.post(SAVED, {**body, "slug": "cok-guzel"}).status_code == 409
    assert client.post(SAVED, {**body, "slug": "Not This"}).status_code == 400
    assert client.post(SAVED, {**body, "title": " "}).status_code == 400
    refused = client.post(SAVED, {"title": "Bad", "sql": "SELECT * FROM read_text('/etc/passwd')"})
    assert (refused.status_code, "read_text" in refused.json()["detail"]) == (400, True)
    wrong = {"title": "Bad", "sql": "SELECT $d", "parameters": [{"name": "d", "type": "date", "default": "soon"}]}
    assert client.post(SAVED, wrong).status_code == 400


def test_the_history_costs_the_same_however_long(api: Api, viewer: User, loaded: Dataset) -> None:
    client = api(viewer)

    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            client.get(QUERIES)
        return len(found)

    Query.objects.create(project_id=loaded.project_id, user=viewer, sql="SELECT 1")
    before = cost()
    Query.objects.bulk_create(Query(project_id=loaded.project_id, user=viewer, sql="SELECT 1") for _ in range(20))
    assert cost() == before
