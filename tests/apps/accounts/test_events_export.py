"""The audit log as a file: whole, filtered, harmless in a spreadsheet; and its search."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import Project, User
from apps.audit import export
from apps.audit.context import SYSTEM, Actor
from apps.audit.models import Event
from apps.audit.services import record
from manifold.console import audit
from tests.people import Api
from tests.settled import seal

pytestmark = pytest.mark.django_db

EXPORT = "/api/v1/projects/flights/events/export/"


def happen(project: Project, name: str, **more: Any) -> Event:
    return record("happened", object_type="test", object_id=7, object_name=name, project=project.pk, **more)


def taken(answer: Any) -> str:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_it_works(api: Api, viewer: User, project: Project) -> None:
    event = happen(project, "a,b", before={"x": 1}, after={"x": None}, actor=Actor("user", None, "ann"))
    answer = api(viewer).get(EXPORT, {"object_type": "test"})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="audit-flights.csv"'
    (row,) = rows(taken(answer))
    assert (row["id"], row["actor_name"], row["object_name"]) == (str(event.pk), "ann", "a,b")
    assert (row["before"], row["after"]) == ('{"x": 1}', '{"x": null}')
    (line,) = taken(api(viewer).get(EXPORT, {"object_type": "test", "format": "ndjson"})).splitlines()
    assert json.loads(line)["after"] == {"x": None}
    assert json.loads(line)["at"].endswith("Z")


def test_that_it_was_taken_is_in_the_log(api: Api, viewer: User, project: Project) -> None:
    api(viewer).get(EXPORT, {"verb": "happened", "format": "ndjson"})
    event = Event.objects.get(verb="audit exported")
    assert (event.actor_name, event.project) == ("vera", project.pk)
    assert event.data == {"format": "ndjson", "asked": {"verb": "happened", "format": "ndjson"}}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(api: Api, viewer: User, project: Project, name: str) -> None:
    happen(project, name, actor=Actor("user", None, name))
    (row,) = rows(taken(api(viewer).get(EXPORT, {"object_type": "test"})))
    assert row["object_name"].startswith("'")
    assert row["actor_name"].startswith("'")


def test_it_is_whole_however_many_and_newer_events_do_not_slip_in(
    monkeypatch: pytest.MonkeyPatch, api: Api, viewer: User, project: Project
) -> None:
    monkeypatch.setattr(export, "_AT_ONCE", 4)
    made = [happen(project, f"n{number}").pk for number in range(10)]
    answer: Any = api(viewer).get(EXPORT, {"object_type": "test"})
    stream = iter(answer.streaming_content)
    first = next(stream), next(stream)
    happen(project, "later")
    text = b"".join([*first, *stream]).decode()
    assert [int(row["id"]) for row in rows(text)] == made[::-1]


def test_strangers_get_none_of_it(api: Api, stranger: User, superuser: User, project: Project) -> None:
    happen(project, "secret")
    assert api(stranger).get(EXPORT).status_code == 404
    for who in (stranger, superuser):
        text = taken(api(who).get("/api/v1/events/export/"))
        assert "secret" not in text
        assert "flights" not in text


@pytest.mark.parametrize("query", ["format=xlsx", "since=yesterday"])
def test_what_is_refused(api: Api, viewer: User, project: Project, query: str) -> None:
    assert api(viewer).get(f"{EXPORT}?{query}").status_code == 400


@pytest.mark.parametrize(
    ("text", "found"), [("NEEDLE", 4), ("needle-in-name", 1), ("r-123", 1), ("r-12", 0), ("straw", 0), ("100%", 0)]
)
def test_search(api: Api, viewer: User, project: Project, text: str, found: int) -> None:
    happen(project, "the needle-in-name")
    happen(project, "a", before={"path": "/needle"})
    happen(project, "b", after={"deep": {"er": ["Needle"]}}, actor=SYSTEM)
    happen(project, "c", actor=Actor("user", None, "needle"))
    Event.objects.create(verb="v", object_type="test", object_id="1", project=project.pk, request_id="r-123")
    answer = api(viewer).get("/api/v1/projects/flights/events/", {"object_type": "test", "text": text})
    assert len(answer.json()["results"]) == found


def test_the_pages(client: Any, viewer: User, superuser: User, project: Project) -> None:
    event = happen(project, "=1", before={"x": 1}, after={"x": 2})
    client.force_login(viewer)
    page = client.get("/p/flights/audit/", {"text": "=1"}).content.decode()
    assert f"/p/flights/audit/{event.pk}/" in page
    assert "/p/flights/audit/export/?text=%3D1&amp;form=csv" in page
    (row,) = rows(taken(client.get("/p/flights/audit/export/", {"object_type": "test", "form": "csv"})))
    assert row["object_name"] == "'=1"
    assert (
        f"/p/flights/audit/{event.pk}/" not in client.get("/p/flights/audit/", {"until": "2020-01-01"}).content.decode()
    )
    client.force_login(superuser)
    page = client.get("/platform/audit/").content.decode()
    assert "signed in" in page
    assert f"audit/{event.pk}/" not in page
    assert client.get(f"/platform/audit/{event.pk}/").status_code == 404


def test_the_page_costs_the_same_however_many(
    client: Any, viewer: User, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(viewer)
    client.get("/p/flights/audit/")
    for number in range(5):
        happen(project, f"n{number}")
    # The session, the user, the memberships; events, verbs, types; the runs counted in the navigation.
    with django_assert_num_queries(7):
        client.get("/p/flights/audit/")


@pytest.mark.django_db(transaction=True)
def test_verifying_on_the_page_goes_on_bit_by_bit(
    client: Any, superuser: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        record("happened", object_type="test", object_id=1)
        seal(at_once=1)
    monkeypatch.setattr(audit, "_SEALS_AT_ONCE", 1)
    client.force_login(superuser)
    assert "Nobody has compared" in client.get("/platform/audit/verify/").content.decode()
    assert client.post("/platform/audit/verify/").status_code == 302
    assert "hx-get" in client.get("/platform/audit/verify/").content.decode()
    polled = {"HX-Request": "true"}
    said = [client.get("/platform/audit/verify/", headers=polled).content.decode() for _ in range(2)]
    assert "under 2 of" in said[1]
    for _ in range(20):
        text = client.get("/platform/audit/verify/", headers=polled).content.decode()
        if "hx-get" not in text:
            break
    assert "The log is whole." in text
    assert "The log is whole." in client.get("/platform/audit/verify/").content.decode()
