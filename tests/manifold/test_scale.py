"""What pages cost with 100 pipelines, 10,000 runs and 100,000 steps: a fixed number of queries, each of them short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts import services
from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.pipelines.models import Run, StepRun
from tests.emptied import empty
from tests.people import make_user, quick
from tests.scale import furnish_scale

pytestmark = pytest.mark.django_db

# Address, and how many queries it may cost: five of them are the session, the user, the memberships and the frame.
PAGES = {
    "": 13,
    "pipelines/": 6,
    "pipelines/?name=07&health=healthy": 6,
    "pipelines/pipeline-010/": 13,
    "runs/": 7,
    "runs/?state=failed&pipeline=pipeline-007": 7,
    "datasets/": 5,
    "sources/": 11,
    "sources/source-1/": 8,
    "sources/source-1/history/": 7,
    "sources/source-1/impact/": 8,
    "sources/source-1/cost/": 12,
    "history/": 6,
    "connectors/": 4,
    "audit/": 7,
}


@pytest.fixture(scope="module")
def large(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """The administrator of a large project, which is made once and committed."""
    with django_db_blocker.unblock():
        ada = make_user("ada")
        project = services.create_project(slug="large", name="Large", admin=ada, actor=SYSTEM)
        furnish_scale(project)
    yield ada
    with django_db_blocker.unblock():
        empty()


@pytest.fixture
def client(large: User) -> Client:
    found = quick(Client())
    found.force_login(large)
    found.get("/p/large/")  # The session remembers its project now.
    return found


def test_the_project_is_as_large_as_it_says(large: User) -> None:
    assert Project.objects.get(slug="large").pipelines.count() == 100
    assert Run.objects.count() == 10_000
    assert StepRun.objects.count() == 100_000
    assert Run.objects.filter(state="running").count() == 10


@pytest.mark.parametrize("address", PAGES)
def test_each_list_costs_what_it_did(client: Client, address: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(f"/p/large/{address}")
    assert answer.status_code == 200
    said = "\n".join(each["sql"][:300] for each in queries)
    assert len(queries) == PAGES[address], f"{len(queries)} queries:\n{said}"


@pytest.mark.parametrize("address", ["", "pipelines/", "runs/", "runs/{run}/", "datasets/", "sources/"])
def test_no_query_of_a_page_reads_all_steps(client: Client, address: str) -> None:
    """A plan that walks through every step of the project is slow long before anybody notices."""
    path = f"/p/large/{address.format(run=Run.objects.order_by('-id')[0].pk)}"
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    for each in queries:
        if "pipelines_steprun" in each["sql"]:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN " + each["sql"])
                plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan on pipelines_steprun" not in plan, f"{each['sql'][:400]}\n{plan}"
