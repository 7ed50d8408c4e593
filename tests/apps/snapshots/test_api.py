"""`/datasets/`, their snapshots, and `/queries/`."""

from __future__ import annotations

import io
import json

import pyarrow.parquet as pq
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.audit.models import Event
from apps.snapshots.models import Dataset
from tests.apps.snapshots.factories import add_snapshot, make_dataset
from tests.people import Api

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/flights"
ONE = f"{BASE}/datasets/orders/snapshots/1/"


@pytest.fixture
def loaded(dataset: Dataset) -> Dataset:
    add_snapshot(dataset, "SELECT * FROM (VALUES (1, '=1+1', NULL), (2, 'plain', 2.50)) t(n, name, price)")
    return dataset


def test_it_works(api: Api, viewer: User, loaded: Dataset):
    client = api(viewer)
    listed = client.get(f"{BASE}/datasets/").json()["results"]
    assert [(each["slug"], each["head"], each["rows"]) for each in listed] == [("orders", 1, 2)]
    found = client.get(ONE).json()
    assert (found["dataset"], found["number"], found["state"], found["files"]) == ("orders", 1, "head", 1)
    assert [each["name"] for each in found["schema"]] == ["n", "name", "price"]
    assert client.get(f"{BASE}/datasets/orders/snapshots/").json()["results"][0] == found
    preview = client.get(f"{ONE}preview/", {"limit": 1}).json()
    assert (preview["row_count"], len(preview["columns"])) == (1, 3)
    answer = client.post(f"{BASE}/queries/", {"sql": "SELECT sum(n)::INT AS n FROM orders"}).json()
    assert (answer["rows"], answer["columns"]) == ([[3]], [{"name": "n", "type": "INTEGER"}])


def test_a_download_is_harmless_csv_parquet_or_json(api: Api, viewer: User, loaded: Dataset):
    client = api(viewer)
    csv = client.get(f"{ONE}download/")
    assert csv.headers["Content-Disposition"] == 'attachment; filename="orders-1.csv"'
    assert csv.getvalue().decode().splitlines() == ["n,name,price", "1,'=1+1,", "2,plain,2.50"]
    parquet = client.get(f"{ONE}download/", {"format": "parquet"}, headers={"Accept": "*/*"})
    assert pq.read_table(io.BytesIO(parquet.getvalue())).num_rows == 2
    lines = client.get(f"{ONE}download/", {"format": "ndjson"})
    assert lines.headers["Content-Type"] == "application/x-ndjson"
    assert lines.headers["Content-Disposition"].endswith('orders-1.ndjson"')
    assert [json.loads(each) for each in lines.getvalue().splitlines()] == [
        {"n": 1, "name": "=1+1", "price": None},
        {"n": 2, "name": "plain", "price": 2.5},
    ]
    events = Event.objects.filter(verb="snapshot downloaded").order_by("id")
    assert [each.data["format"] for each in events] == ["csv", "parquet", "ndjson"]
    assert {each.actor_name for each in events} == {"vera"}


@pytest.mark.parametrize(
    "path", ["datasets/", "datasets/orders/", "datasets/orders/snapshots/", "datasets/orders/snapshots/1/preview/"]
)
def test_only_members_see_them(*, api: Api, viewer: User, stranger: User, superuser: User, loaded: Dataset, path: str):
    assert api(viewer).get(f"{BASE}/{path}").status_code == 200
    for other in (stranger, superuser):
        assert api(other).get(f"{BASE}/{path}").status_code == 404
    assert api(None).get(f"{BASE}/{path}").status_code == 401


def test_a_dataset_of_another_project_is_not_found(api: Api, stranger: User, viewer: User, loaded: Dataset):
    assert api(stranger).get("/api/v1/projects/elsewhere/datasets/orders/").status_code == 404
    assert api(stranger).get("/api/v1/projects/elsewhere/datasets/orders/snapshots/1/").status_code == 404
    assert api(stranger).post(f"{BASE}/queries/", {"sql": "SELECT 1"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{BASE}/datasets/nothing/", 404),
        (f"{BASE}/datasets/orders/snapshots/2/", 404),
        (f"{ONE}preview/?limit=0", 400),
        (f"{ONE}preview/?limit=x", 400),
        (f"{ONE}download/?format=xlsx", 400),
        (f"{BASE}/datasets/?cursor=x", 400),
    ],
)
def test_what_is_refused(api: Api, viewer: User, loaded: Dataset, path: str, status: int):
    assert api(viewer).get(path).status_code == status


@pytest.mark.parametrize("sql", ["", "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM orders WHERE"])
def test_wrong_sql_is_a_problem(api: Api, viewer: User, loaded: Dataset, sql: str):
    answer = api(viewer).post(f"{BASE}/queries/", {"sql": sql})
    assert answer.status_code == 400
    assert "Traceback" not in answer.content.decode()


def test_the_number_of_queries_does_not_grow(api: Api, viewer: User, loaded: Dataset):
    client = api(viewer)

    def cost(path: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert client.get(path).status_code == 200
        return len(asked)

    paths = [f"{BASE}/datasets/", f"{BASE}/datasets/orders/snapshots/"]
    before = [cost(each) for each in paths]
    for position in range(3):
        add_snapshot(loaded, "SELECT 1 AS n, 'a' AS name, 1.00 AS price")
        add_snapshot(make_dataset(loaded.project, f"d{position}"), "SELECT 1 AS n")
    assert [cost(each) for each in paths] == before
    assert before[0] <= 2 and before[1] <= 3


def test_rows_that_were_set_aside_are_listed_on_request(api: Api, viewer: User, loaded: Dataset):
    hidden = make_dataset(loaded.project, "orders.rejected")
    Dataset.objects.filter(pk=hidden.pk).update(hidden=True)
    client = api(viewer)
    assert [each["slug"] for each in client.get(f"{BASE}/datasets/").json()["results"]] == ["orders"]
    listed = client.get(f"{BASE}/datasets/", {"hidden": "true"}).json()["results"]
    assert [each["slug"] for each in listed] == ["orders.rejected"]
    assert client.get(f"{BASE}/datasets/orders.rejected/").status_code == 200
