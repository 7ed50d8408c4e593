"""Adding a source over the API: tried, looked into and sampled without a trace, then stored whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from apps.accounts.models import Project, User
from apps.audit.models import Event
from apps.sources.models import ConnectionCheck, Credential, Source, SourceFile, Stream
from tests.apps.sources.conftest import CANARY
from tests.people import Api

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/flights/sources"


def address(params: dict[str, Any]) -> str:
    password = quote(params["password"], safe="")
    return f"postgresql://{params['user']}:{password}@{params['host']}:{params['port']}/{params['database']}"


def kept() -> list[int]:
    return [each.objects.count() for each in (Source, Credential, Stream, SourceFile, ConnectionCheck, Event)]


def test_from_an_address_to_a_source_with_a_stream(
    admin: User, project: Project, api: Api, params: dict[str, Any]
) -> None:
    client, before = api(admin), kept()
    draft = {"connector": "postgresql", "text": address(params)}
    tried = client.post(f"{BASE}/try/", draft).json()
    assert tried["ok"] is True
    assert [each["name"] for each in tried["stages"]] == ["resolve", "connect", "authenticate", "list", "read a row"]
    offers = client.post(f"{BASE}/offers/", draft).json()["results"]
    assert [(each["name"], each["cursor_candidates"]) for each in offers] == [
        ("public.airlines", []),
        ("public.flights", ["id", "at"]),
    ]
    chosen = {"name": "public.flights", "types": {"fare": "DOUBLE"}, "config": {"cursor": "id"}}
    sample = client.post(f"{BASE}/sample/", {**draft, "stream": chosen}).json()
    assert sample["rows"]["rows"][0][:2] == [1, 99.9]
    assert sample["tried"]["rows"] == 2 and sample["tried"]["error"] is None
    assert [each["type"] for each in sample["columns"]][:2] == ["BIGINT", "DOUBLE"]
    assert kept() == before

    made = client.post(f"{BASE}/", {**draft, "slug": "reference-db", "streams": [chosen]})
    assert made.status_code == 201, made.json()
    assert (made.json()["health"], made.json()["secrets"]) == ("healthy", ["password"])
    stream = Stream.objects.get()
    assert (stream.name, stream.config["cursor"]) == ("public.flights", "id")
    assert {each["name"]: each["type"] for each in stream.config["columns"]}["fare"] == "DOUBLE"
    assert ConnectionCheck.objects.get().ok
    assert not (project.sources.get().params.keys() & {"password"})


def test_a_source_that_fails_leaves_nothing(
    admin: User, project: Project, api: Api, params: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client, before = api(admin), kept()
    wrong = {"connector": "postgresql", "text": address({**params, "password": CANARY})}
    tried = client.post(f"{BASE}/try/", wrong)
    assert tried.json()["ok"] is False
    assert tried.json()["stages"][-1]["error"]["code"] == "authentication"
    refused = client.post(f"{BASE}/", {**wrong, "slug": "shop", "streams": []})
    assert refused.status_code == 400
    assert refused.json()["code"] == "authentication"
    assert kept() == before
    assert CANARY not in tried.content.decode() + refused.content.decode() + caplog.text


@pytest.mark.parametrize(
    ("stream", "field", "said"),
    [
        ({"name": "public.gone"}, "streams", "that the source's user may read it."),
        ({"name": "public.flights", "types": {"gone": "DOUBLE"}}, "streams", "gone"),
        ({"name": "public.flights", "types": {"fare": "NONSENSE"}}, "params.columns.1.type", "NONSENSE"),
        ({"name": "public.flights", "config": {"cursor": "gone"}}, "params.cursor", "public.flights has id, fare, at"),
    ],
    ids=["stream", "column", "type", "cursor"],
)
def test_what_is_not_there_is_refused_and_leaves_nothing(
    *, stream: dict[str, Any], field: str, said: str, admin: User, project: Project, api: Api, params: dict[str, Any]
) -> None:
    before = kept()
    body = {"slug": "shop", "connector": "postgresql", "params": params, "streams": [stream]}
    answer = api(admin).post(f"{BASE}/", body)
    assert answer.status_code == 400, answer.json()
    (error,) = answer.json()["errors"]
    assert error["field"] == field and said in str(error)
    assert kept() == before


def test_a_name_that_is_taken_leaves_nothing(admin: User, project: Project, api: Api, params: dict[str, Any]) -> None:
    body = {"slug": "shop", "connector": "postgresql", "params": params, "streams": [{"name": "public.airlines"}]}
    assert api(admin).post(f"{BASE}/", body).status_code == 201
    before = kept()
    assert api(admin).post(f"{BASE}/", body).status_code == 409
    assert kept() == before


def test_the_files_of_a_chosen_stream_are_seen_at_once(
    admin: User, project: Project, api: Api, tmp_path: Path, settings: Any
) -> None:
    settings.FILE_ROOTS = [tmp_path]
    for name in ("orders-1", "orders-2", "others"):
        (tmp_path / f"{name}.csv").write_text("id,amount\n1,2.50\n2,x\n")
    draft = {"connector": "local_files", "params": {"path": str(tmp_path)}}
    offers = api(admin).post(f"{BASE}/offers/", {**draft, "streams": ["orders"]}).json()["results"]
    assert [each["name"] for each in offers] == ["orders"]
    chosen = {"name": "orders", "types": {"amount": "DOUBLE"}}
    sample = api(admin).post(f"{BASE}/sample/", {**draft, "stream": chosen}).json()
    assert (sample["tried"]["rows"], sample["tried"]["rejected"]) == (1, 1)
    assert sample["tried"]["samples"][0]["row"] == 3
    made = api(admin).post(f"{BASE}/", {**draft, "slug": "drop", "streams": [chosen]})
    assert made.status_code == 201, made.json()
    assert sorted(SourceFile.objects.values_list("path", flat=True)) == ["orders-1.csv", "orders-2.csv"]


def test_a_credential_of_the_project_opens_a_draft(
    admin: User, project: Project, api: Api, params: dict[str, Any]
) -> None:
    secrets = {"password": params["password"]}
    api(admin).post(
        "/api/v1/projects/flights/credentials/", {"slug": "reader", "connector": "postgresql", "secrets": secrets}
    )
    given = {name: value for name, value in params.items() if name != "password"}
    draft = {"connector": "postgresql", "params": given, "credential": "reader"}
    assert api(admin).post(f"{BASE}/try/", draft).json()["ok"] is True
    assert api(admin).post(f"{BASE}/try/", {**draft, "credential": "gone"}).status_code == 400


@pytest.mark.parametrize("where", ["try", "offers", "sample"])
def test_what_is_given_is_checked(where: str, admin: User, project: Project, api: Api) -> None:
    stream = {"stream": {"name": "x"}} if where == "sample" else {}
    answer = api(admin).post(f"{BASE}/{where}/", {"connector": "postgresql", "params": {"host": "h"}, **stream})
    assert answer.status_code == 400
    assert {"params.database", "params.user"} <= {each["field"] for each in answer.json()["errors"]}
    answer = api(admin).post(f"{BASE}/{where}/", {"connector": "nonsense", **stream})
    assert [each["field"] for each in answer.json()["errors"]] == ["connector"]


def test_a_draft_that_cannot_be_reached_says_so(admin: User, project: Project, api: Api) -> None:
    given = {"host": "127.0.0.1", "port": 1, "database": "d", "user": "u"}
    answer = api(admin).post(f"{BASE}/offers/", {"connector": "postgresql", "params": given})
    assert answer.status_code == 503
    assert answer.json()["code"] == "connection_refused"


def test_an_empty_stream_can_be_sampled(
    admin: User, project: Project, api: Api, params: dict[str, Any], postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("CREATE TABLE empty (id int)")
    body = {"connector": "postgresql", "params": params, "stream": {"name": "public.empty"}}
    sample = api(admin).post(f"{BASE}/sample/", body).json()
    assert sample["rows"]["rows"] == [] and sample["tried"]["rows"] == 0


def test_what_stands_against_a_cursor_is_told_before_and_after_it_is_stored(
    admin: User, project: Project, api: Api, params: dict[str, Any]
) -> None:
    stream = {"name": "public.flights", "config": {"cursor": "at"}}
    body = {"connector": "postgresql", "params": params, "slug": "db", "streams": [stream]}
    sample = api(admin).post(f"{BASE}/sample/", {"connector": "postgresql", "params": params, "stream": stream}).json()
    codes = [each["code"] for each in sample["tried"]["findings"]]
    assert codes == ["cursor_nullable", "cursor_unindexed"]
    assert api(admin).post(f"{BASE}/", body).status_code == 201
    found = api(admin).post(f"{BASE}/db/preflight/").json()["results"]
    assert found == sample["tried"]["findings"]
    assert found[1]["remedy"] == 'CREATE INDEX CONCURRENTLY ON "public"."flights" ("at");'
    tried = api(admin).post(f"{BASE}/db/streams/public.flights/try/", {"config": {"cursor": "id"}}).json()
    assert tried["findings"] == []


def test_what_stands_against_a_stream_without_a_cursor_is_told(
    admin: User, project: Project, api: Api, params: dict[str, Any], postgres_url: str
) -> None:
    streams = [{"name": "public.airlines"}, {"name": "public.flights", "config": {"cursor": "at"}}]
    body = {"connector": "postgresql", "params": params, "slug": "db", "streams": streams}
    assert api(admin).post(f"{BASE}/", body).status_code == 201
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("DROP TABLE airlines")
    found = api(admin).post(f"{BASE}/db/preflight/").json()["results"]
    assert [(each["stream"], each["code"]) for each in found] == [
        ("public.flights", "cursor_nullable"),
        ("public.flights", "cursor_unindexed"),
        ("public.airlines", "table_missing"),
    ]
