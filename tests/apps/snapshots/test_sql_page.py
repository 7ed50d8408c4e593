"""The SQL page: what stands in its editor, what it knows, and what it offers to whom."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.snapshots import saved
from apps.snapshots.models import Dataset, Query, Snapshot
from tests.apps.snapshots.factories import add_snapshot, make_dataset
from tests.people import signed_in

pytestmark = pytest.mark.django_db
PAGE = "/p/flights/sql/"


def page(user: User, address: str = PAGE) -> str:
    client = signed_in(user)
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def editor(html: str) -> str:
    found = re.search(r'<textarea id="sql-text"[^>]*>\n(.*?)</textarea>', html, re.DOTALL)
    assert found is not None
    return found[1].replace("&quot;", '"').replace("&gt;", ">")


def known(html: str) -> Any:
    found = re.search(r'<script id="sql-workbench" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture
def loaded(dataset: Dataset) -> Dataset:
    for number in (1, 2):
        add_snapshot(dataset, f"SELECT {number} AS n, 'x' AS word", "replace")
    return dataset


def test_it_works(viewer: User, loaded: Dataset, project: Project) -> None:
    Snapshot.objects.filter(number=1).update(labels=["audited"])
    make_dataset(project, "empty")
    html = page(viewer)
    assert editor(html) == "SELECT *\nFROM orders\nLIMIT 100"
    found = known(html)
    assert (found["tables"], found["heads"]) == ({"orders": ["n", "word"]}, {"orders": 2})
    assert found["labels"] == {"orders": ["audited"]}
    assert "read_text" not in found["functions"] and "sum" in found["functions"]


def test_without_a_snapshot_it_says_what_to_do_first(viewer: User, dataset: Dataset) -> None:
    html = page(viewer)
    assert "Nothing to ask yet" in html and 'id="sql"' not in html


def test_the_address_says_what_stands_in_the_editor(
    viewer: User, operator: User, loaded: Dataset, project: Project
) -> None:
    assert editor(page(viewer, f"{PAGE}?dataset=orders&snapshot=1")) == 'SELECT *\nFROM "orders@1"\nLIMIT 100'
    least = [{"name": "least", "type": "integer", "default": 1}]
    text = "SELECT n FROM orders WHERE n > $least"
    saved.create(project, title="Big ones", sql=text, declared=least, user=operator, actor=SYSTEM)
    html = page(viewer, f"{PAGE}?saved=big-ones")
    assert (editor(html), known(html)["parameters"]) == (text, least)
    assert 'data-saved="big-ones"' in html and "data-forget" not in html
    values = [{"name": "least", "type": "integer", "value": 7}]
    ran = Query.objects.create(project=project, user=operator, sql=text, parameters=values)
    html = page(viewer, f"{PAGE}?query={ran.pk}")
    assert (editor(html), known(html)["parameters"][0]["default"]) == (text, 7)
    for wrong in ("query=x", "query=00000000-0000-7000-8000-000000000000", "saved=nothing", "dataset=%00%22"):
        quick_answer = signed_in(viewer)
        assert quick_answer.get(f"{PAGE}?{wrong}").status_code in (200, 400)


def test_nobody_reads_the_queries_of_other_projects(stranger: User, viewer: User, loaded: Dataset) -> None:
    other = Project.objects.get(slug="elsewhere")
    add_snapshot(make_dataset(other, "theirs"), "SELECT 1 AS n")
    ran = Query.objects.create(project=other, user=stranger, sql="SELECT 'canary'")
    saved.create(other, title="Canary", sql="SELECT 'canary'", user=stranger, actor=SYSTEM)
    for address in (f"{PAGE}?query={ran.pk}", f"{PAGE}?saved=canary", f"{PAGE}history/?who=everybody", f"{PAGE}saved/"):
        assert "canary" not in page(viewer, address).lower()


def test_who_is_offered_what(viewer: User, operator: User, admin: User, loaded: Dataset, project: Project) -> None:
    saved.create(project, title="Big ones", sql="SELECT 1", user=operator, actor=SYSTEM)
    Query.objects.create(project=project, user=viewer, sql="SELECT 'mine'")
    everybody = f"{PAGE}history/?who=everybody"
    assert [("sql-keep" in page(each)) for each in (viewer, operator)] == [False, True]
    assert ["data-forget" in page(each, f"{PAGE}saved/") for each in (viewer, operator, admin)] == [False, True, True]
    assert ["data-cancel" in page(each, everybody) for each in (viewer, operator, admin)] == [True, False, True]
    assert "mine" in page(viewer, f"{PAGE}history/") and "mine" not in page(operator, f"{PAGE}history/")


def test_it_costs_the_same_however_much_there_is(viewer: User, loaded: Dataset, project: Project) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as found:
            page(viewer)
        return len(found)

    saved.create(project, title="One", sql="SELECT 1", user=viewer, actor=SYSTEM)
    Query.objects.create(project=project, user=viewer, sql="SELECT 1")
    page(viewer)
    before = cost()
    for number in range(3):
        add_snapshot(make_dataset(project, f"more-{number}"), "SELECT 1 AS n")
        saved.create(project, title="More", sql="SELECT 1", user=viewer, actor=SYSTEM)
        Query.objects.create(project=project, user=viewer, sql="SELECT 1")
    assert cost() == before
