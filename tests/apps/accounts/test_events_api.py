"""The audit log as its readers see it: their own projects, filtered, and proven whole."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM, Actor
from apps.audit.models import Event
from apps.audit.services import record
from tests.people import Api
from tests.settled import seal

pytestmark = pytest.mark.django_db

EVENTS = "/api/v1/projects/flights/events/"


def happen(project: Project | None, verb: str = "happened", actor: Actor = SYSTEM) -> Event:
    return record(verb, object_type="test", object_id=7, project=project.pk if project else None, actor=actor)


@pytest.mark.parametrize(
    ("who", "status"), [("admin", 200), ("operator", 200), ("viewer", 200), ("stranger", 404), ("superuser", 404)]
)
def test_a_projects_events_are_for_its_members(
    request: pytest.FixtureRequest, api: Api, project: Project, who: str, status: int
) -> None:
    event = happen(project)
    client = api(request.getfixturevalue(who))
    assert client.get(EVENTS).status_code == status
    assert client.get(f"{EVENTS}{event.pk}/").status_code == status


def test_nobody_sees_another_projects_events(api: Api, viewer: User, stranger: User, project: Project) -> None:
    theirs = happen(Project.objects.get(slug="elsewhere"))
    above = happen(None)
    client = api(viewer)
    for path in (f"{EVENTS}{theirs.pk}/", f"/api/v1/events/{theirs.pk}/", f"/api/v1/events/{above.pk}/"):
        assert client.get(path).status_code == 404
    assert {each["project"] for each in client.get("/api/v1/events/").json()["results"]} == {"flights"}


def test_a_superuser_sees_what_is_above_the_projects_and_no_more(api: Api, superuser: User, project: Project) -> None:
    above = happen(None)
    found = api(superuser).get("/api/v1/events/").json()["results"]
    assert above.pk in {each["id"] for each in found}
    assert {each["project"] for each in found} == {None}


def test_the_filters(api: Api, viewer: User, project: Project) -> None:
    first = happen(project, actor=Actor("user", None, "ann"))
    second = happen(project, "ended", actor=Actor("token", None, "ann/nightly"))
    third = happen(project, "ended", actor=Actor("user", None, "anna"))
    client = api(viewer)

    def ids(**query: str) -> list[int]:
        return [each["id"] for each in client.get(EVENTS, {"object_type": "test", **query}).json()["results"]]

    assert ids() == [third.pk, second.pk, first.pk]
    assert ids(verb="ended") == [third.pk, second.pk]
    assert ids(actor="ann") == [second.pk, first.pk]
    assert ids(actor="ann/nightly") == [second.pk]
    assert ids(object_id="8") == []
    second.refresh_from_db()
    assert ids(since=second.at.isoformat()) == [third.pk, second.pk]
    assert ids(until=second.at.isoformat()) == [first.pk]
    assert ids(since=(third.at + timedelta(days=1)).isoformat()) == []


@pytest.mark.parametrize("query", ["since=yesterday", "until=13", "cursor=x"])
def test_a_filter_that_cannot_be_read(api: Api, viewer: User, query: str) -> None:
    answer = api(viewer).get(f"{EVENTS}?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == query.split("=", maxsplit=1)[0]


@pytest.mark.parametrize("event_id", ["999999999", "x", "99999999999999999999999"])
def test_an_event_that_is_not_there(api: Api, viewer: User, event_id: str) -> None:
    assert api(viewer).get(f"{EVENTS}{event_id}/").status_code == 404
    assert api(viewer).get(f"/api/v1/events/{event_id}/").status_code == 404


def test_the_log_cannot_be_written_over_http(api: Api, admin: User, project: Project) -> None:
    event = happen(project)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(api(admin), method)(f"{EVENTS}{event.pk}/", {}).status_code == 405


def test_lists_cost_the_same_however_long(
    api: Api, viewer: User, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        happen(project)
    client = api(viewer)
    with django_assert_num_queries(2):  # the project; the events
        client.get(EVENTS)
    with django_assert_num_queries(2):  # the names of the projects; the events
        client.get("/api/v1/events/")


@pytest.mark.django_db(transaction=True)
def test_a_superuser_verifies_the_log(api: Api, superuser: User, viewer: User) -> None:
    seal()
    body = api(superuser).get("/api/v1/events/verify/").json()
    assert (body["ok"], body["problems"], body["seals"]) == (True, [], 1)
    assert body["events"] > 0
    assert len(body["head"]) == 64
    assert api(viewer).get("/api/v1/events/verify/").status_code == 403
