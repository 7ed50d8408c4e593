"""The endpoints of sources: what they do, for whom, what they refuse and what they cost."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core import serializers as dumps
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.sources import services
from apps.sources.models import ConnectionCheck, Credential, Source, Stream
from dataplane.connectors.windows import FileRef
from tests.apps.sources.conftest import CANARY
from tests.people import Api

BASE = "/api/v1/projects/flights"


def test_connectors_say_what_they_can_and_which_fields_are_secret(viewer: User, api: Api) -> None:
    answer = api(viewer).get("/api/v1/connectors/").json()
    found = {each["key"]: each for each in answer["results"]}
    assert {"postgresql", "local_files"} <= set(found)
    assert found["postgresql"]["secrets"] == ["password"]
    assert found["postgresql"]["capabilities"]["incremental"] is True
    assert found["postgresql"]["schema"]["required"] == ["host", "database", "user"]
    assert api(viewer).get("/api/v1/connectors/postgresql/").json() == found["postgresql"]
    assert api(viewer).get("/api/v1/connectors/nonsense/").status_code == 404
    assert api(None).get("/api/v1/connectors/").status_code == 401


def test_a_source_is_added_tested_discovered_and_previewed(
    admin: User, project: Project, api: Api, params: Any
) -> None:
    client = api(admin)
    body = {"slug": "reference-db", "title": "Reference", "connector": "postgresql", "params": params}
    made = client.post(f"{BASE}/sources/", body)
    assert made.status_code == 201, made.json()
    assert made.json()["secrets"] == ["password"]
    assert "password" not in made.json()["params"]
    check = client.post(f"{BASE}/sources/reference-db/test/").json()
    assert check["ok"] and check["stages"][0]["name"] == "resolve"
    found = client.post(f"{BASE}/sources/reference-db/discover/").json()
    assert [each["name"] for each in found["results"]] == ["public.airlines", "public.flights"]
    assert found["results"][1]["columns"][1]["type"] == "DECIMAL(10,2)"
    changed = client.patch(f"{BASE}/sources/reference-db/streams/public.flights/", {"config": {"cursor": "id"}})
    assert changed.json()["config"]["cursor"] == "id"
    rows = client.get(f"{BASE}/sources/reference-db/streams/public.flights/preview/").json()
    assert rows["rows"] == [[1, "99.90", "2013-01-01 00:00:00+00"], [2, None, "infinity"]]
    assert rows["columns"][2] == {"name": "at", "type": "TIMESTAMP WITH TIME ZONE"}
    assert client.get(f"{BASE}/sources/").json()["results"][0]["health"] == "healthy"
    assert client.get(f"{BASE}/sources/reference-db/checks/").json()["results"][0]["id"] == check["id"]


def test_a_source_that_fails_its_test_says_where_and_why(operator: User, unreachable: Source, api: Api) -> None:
    answer = api(operator).post(f"{BASE}/sources/nowhere/test/")
    assert answer.status_code == 200
    assert answer.json()["ok"] is False
    assert answer.json()["stages"][-1]["error"]["code"] == "connection_refused"
    assert api(operator).get(f"{BASE}/sources/nowhere/").json()["health"] == "error"
    refused = api(operator).post(f"{BASE}/sources/nowhere/discover/")
    assert refused.status_code == 503
    assert refused.json()["code"] == "connection_refused"


def test_health_says_why_and_how_the_tests_went(admin: User, unreachable: Source, api: Api) -> None:
    client = api(admin)
    address = f"{BASE}/sources/nowhere/health/"
    before = client.get(address).json()
    assert (before["health"], before["health_reason"], before["check_every"]) == ("unknown", "", 900)
    assert before["connection"]["success_rate"] is None
    client.post(f"{BASE}/sources/nowhere/test/")
    after = client.get(address, {"days": 1}).json()
    assert after["health"] == "error"
    assert after["health_reason"].startswith("Connect: ")
    assert after["next_check_at"] is not None
    figures = {"days": 1, "tests": 1, "failed": 1, "success_rate": 0.0, "latency_p50_s": None, "latency_p95_s": None}
    assert after["connection"] == figures
    assert client.get(address, {"days": 31}).status_code == 400
    assert client.patch(f"{BASE}/sources/nowhere/", {"check_every": 0}).json()["check_every"] == 0
    refused = client.patch(f"{BASE}/sources/nowhere/", {"check_every": 7})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "check_every"


def test_until_when_secrets_are_good_is_kept_until_they_are_replaced(
    admin: User, unreachable: Source, api: Api
) -> None:
    client = api(admin)
    address = f"{BASE}/credentials/{unreachable.credential}/"
    assert client.patch(address, {"expires_on": "2030-12-31"}).json()["expires_on"] == "2030-12-31"
    assert client.get(address).json()["secrets"] == ["password"]
    assert client.patch(address, {"secrets": {"password": CANARY}}).json()["expires_on"] is None
    both = client.patch(address, {"secrets": {"password": CANARY}, "expires_on": "2031-01-31"})
    assert both.json()["expires_on"] == "2031-01-31"
    assert client.patch(address, {"expires_on": "soon"}).status_code == 400


ROLES: list[tuple[str, str, Any, dict[str, int]]] = [
    ("get", "sources/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("get", "sources/nowhere/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("post", "sources/", {}, {"viewer": 403, "operator": 403, "admin": 400}),
    ("patch", "sources/nowhere/", {"title": "T"}, {"viewer": 403, "operator": 403, "admin": 200}),
    ("post", "sources/nowhere/test/", {}, {"viewer": 403, "operator": 200, "admin": 200}),
    ("post", "sources/nowhere/discover/", {}, {"viewer": 403, "operator": 503, "admin": 503}),
    ("get", "sources/nowhere/checks/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("get", "sources/nowhere/files/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("get", "sources/nowhere/streams/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("post", "sources/nowhere/streams/", {}, {"viewer": 403, "operator": 403, "admin": 400}),
    ("get", "sources/nowhere/streams/mine/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("get", "sources/nowhere/streams/mine/schemas/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("patch", "sources/nowhere/streams/mine/", {"config": {}}, {"viewer": 403, "operator": 403, "admin": 200}),
    ("get", "sources/nowhere/streams/mine/preview/", None, {"viewer": 503, "operator": 503, "admin": 503}),
    ("get", "sources/nowhere/streams/mine/files/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("get", "credentials/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("get", "credentials/nowhere/", None, {"viewer": 200, "operator": 200, "admin": 200}),
    ("post", "credentials/", {}, {"viewer": 403, "operator": 403, "admin": 400}),
    ("patch", "credentials/nowhere/", {"secrets": {}}, {"viewer": 403, "operator": 403, "admin": 200}),
    ("delete", "credentials/nowhere/", None, {"viewer": 403, "operator": 403, "admin": 409}),
    ("delete", "sources/nowhere/streams/mine/", None, {"viewer": 403, "operator": 403, "admin": 204}),
    ("delete", "sources/nowhere/", None, {"viewer": 403, "operator": 403, "admin": 204}),
]


@pytest.fixture
def people(stranger: User, superuser: User, viewer: User, operator: User, admin: User) -> dict[str, User]:
    """From the least to the most: the last ones change what the others were refused."""
    return {"stranger": stranger, "superuser": superuser, "viewer": viewer, "operator": operator, "admin": admin}


@pytest.mark.parametrize(("verb", "path", "body", "expected"), ROLES, ids=[f"{each[0]} {each[1]}" for each in ROLES])
def test_each_role_may_do_what_the_table_says(  # noqa: PLR0917
    verb: str,
    path: str,
    body: Any,
    expected: dict[str, int],
    people: dict[str, User],
    unreachable: Source,
    api: Api,
) -> None:
    Stream.objects.create(source=unreachable, name="mine", config={"query": "SELECT 1 AS a"})
    answers = {
        name: getattr(api(person), verb)(f"{BASE}/{path}", body, format="json") for name, person in people.items()
    }
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "stranger": 404,
        "superuser": 404,
        **expected,
    }
    assert all(CANARY not in answer.content.decode() for answer in answers.values())
    assert getattr(api(None), verb)(f"{BASE}/{path}", body, format="json").status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"connector": "postgresql"}, "slug"),
        ({"slug": "a", "connector": "nonsense", "params": {}}, "connector"),
        ({"slug": "A b", "connector": "postgresql", "params": {"host": "h", "database": "d", "user": "u"}}, "slug"),
        ({"slug": "a", "connector": "postgresql", "params": {"database": "d", "user": "u"}}, "params.host"),
        (
            {"slug": "a", "connector": "postgresql", "params": {"host": "h", "database": "d", "user": "u", "prot": 1}},
            "params.prot",
        ),
        (
            {
                "slug": "a",
                "connector": "postgresql",
                "params": {"host": "h", "database": "d", "user": "u", "port": "x"},
            },
            "params.port",
        ),
        ({"slug": "a", "connector": "postgresql", "params": {}, "credential": "nope"}, "credential"),
        ({"slug": "a", "connector": "postgresql", "params": {}, "nonsense": 1}, "nonsense"),
        (
            {
                "slug": "a",
                "connector": "local_files",
                "writable": True,
                "params": {"path": "/data"},
            },
            "writable",
        ),
        ({"slug": "a", "connector": "postgresql", "params": [1]}, "params"),
    ],
)
def test_a_wrong_body_names_the_field(admin: User, project: Project, api: Api, body: Any, field: str) -> None:
    answer = api(admin).post(f"{BASE}/sources/", body)
    assert answer.status_code == 400, answer.json()
    assert field in [each["field"] for each in answer.json()["errors"]]
    assert not Source.objects.exists() and not Credential.objects.exists()


def test_a_taken_name_is_a_conflict(admin: User, source: Source, params: Any, api: Api) -> None:
    body = {"slug": source.slug, "connector": "postgresql", "params": params}
    assert api(admin).post(f"{BASE}/sources/", body).status_code == 409
    assert Credential.objects.count() == 1


def test_a_query_is_declared_as_a_stream_and_its_columns_are_found(admin: User, source: Source, api: Api) -> None:
    body = {"name": "big-fares", "config": {"query": "SELECT id, fare FROM flights WHERE fare > 50", "cursor": "id"}}
    made = api(admin).post(f"{BASE}/sources/reference-db/streams/", body)
    assert made.status_code == 201, made.json()
    assert [each["type"] for each in made.json()["columns"]] == ["BIGINT", "DECIMAL(10,2)"]
    rows = api(admin).get(f"{BASE}/sources/reference-db/streams/big-fares/preview/?limit=1").json()
    assert (rows["rows"], rows["truncated"]) == ([[1, "99.90"]], True)
    schemas = api(admin).get(f"{BASE}/sources/reference-db/streams/big-fares/schemas/").json()["results"]
    assert [each["number"] for each in schemas] == [1]
    wrong = api(admin).post(
        f"{BASE}/sources/reference-db/streams/", {"name": "x", "config": {"query": "SELECT 1; SELECT 2"}}
    )
    assert (wrong.status_code, wrong.json()["code"]) == (400, "query_syntax")
    limit = api(admin).get(f"{BASE}/sources/reference-db/streams/big-fares/preview/?limit=1e9")
    assert limit.status_code == 400


def test_files_are_listed_filtered_and_ignored(operator: User, project: Project, api: Api) -> None:
    drop = Source.objects.create(project=project, slug="drop", title="Drop", connector="local_files")
    stream = Stream.objects.create(source=drop, name="flights")
    services.record_files(stream, [FileRef(f"f{n}.csv", n, "2013-02-01T00:00:00Z", "2013-01-31") for n in range(3)])
    files = f"{BASE}/sources/drop/streams/flights/files/"
    listed = api(operator).get(files).json()["results"]
    assert [each["path"] for each in listed] == ["f0.csv", "f1.csv", "f2.csv"]
    assert listed[0]["stream"] == "flights"
    ignored = api(operator).post(f"{files}{listed[1]['id']}/ignore/", {"ignored": True})
    assert ignored.json()["ignored"] is True
    assert [each["path"] for each in api(operator).get(f"{files}?ignored=true").json()["results"]] == ["f1.csv"]
    assert [each["path"] for each in api(operator).get(f"{BASE}/sources/drop/files/").json()["results"]][2] == "f2.csv"
    assert Event.objects.filter(verb="file ignored", actor_name=operator.username).count() == 1


def test_lists_cost_the_same_for_one_and_for_many(viewer: User, project: Project, api: Api) -> None:
    def cost(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert api(viewer).get(f"{BASE}/{path}").status_code == 200
        return len(queries)

    def add(first: int, last: int) -> None:
        for number in range(first, last):
            params = {"host": "h", "database": "d", "user": "u", "password": "p"}
            made = services.create_source(
                project, slug=f"s{number:02d}", title="", connector="postgresql", params=params, actor=SYSTEM
            )
            for place in range(3):
                stream = Stream.objects.create(source=made, name=f"t{number}-{place}")
                services.record_files(stream, [FileRef("a.csv", 1, "2013-02-01T00:00:00Z")])

    paths = ["sources/", "credentials/", "sources/s00/streams/", "sources/s00/files/", "sources/s00/checks/"]
    add(0, 1)
    before = {path: cost(path) for path in paths}
    add(1, 12)
    assert {path: cost(path) for path in paths} == before
    assert max(before.values()) <= 4


def test_the_canary_is_found_nowhere(
    admin: User, unreachable: Source, api: Api, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = api(admin)
    seen = [
        client.post(f"{BASE}/sources/nowhere/test/"),
        client.post(f"{BASE}/sources/nowhere/discover/"),
        client.patch(f"{BASE}/sources/nowhere/", {"params": {"password": CANARY, "port": "x"}}),
        client.patch(f"{BASE}/sources/nowhere/", {"params": {"password": CANARY + "2"}}),
        client.patch(f"{BASE}/credentials/nowhere/", {"secrets": {"password": CANARY + "3"}}),
        client.patch(f"{BASE}/credentials/nowhere/", {"secrets": {"passwort": CANARY}}),
        client.get(f"{BASE}/sources/"),
        client.get(f"{BASE}/credentials/"),
        client.get(f"{BASE}/events/"),
    ]
    assert CANARY not in " ".join(each.content.decode() for each in seen)
    rows = [*Source.objects.all(), *Credential.objects.all(), *ConnectionCheck.objects.all(), *Event.objects.all()]
    assert CANARY not in dumps.serialize("json", rows)
    output = capsys.readouterr()
    assert CANARY not in caplog.text + output.out + output.err
    assert services.opened(Credential.objects.get()) == {"password": CANARY + "3"}
