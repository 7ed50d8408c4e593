"""Projects, members and users: who may, who may not, what is refused, what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import Membership, Project, Role, User
from apps.audit.models import Event
from tests.people import PASSWORD, Api, make_user

pytestmark = pytest.mark.django_db

MEMBERS = "/api/v1/projects/flights/members/"


def test_it_works(api: Api, superuser: User, admin: User) -> None:
    made = api(superuser).post("/api/v1/projects/", {"slug": "trains", "name": "Trains", "admin": "ada"})
    assert made.status_code == 201
    assert [each["slug"] for each in api(admin).get("/api/v1/projects/").json()["results"]] == ["trains"]
    assert api(admin).get("/api/v1/projects/trains/").json()["name"] == "Trains"
    # Whoever creates a project for somebody else is no member of it.
    assert api(superuser).get("/api/v1/projects/").json()["results"] == []
    assert Event.objects.get(object_type="project").actor_name == "root"


@pytest.mark.parametrize("who", ["admin", "operator", "viewer", "stranger"])
def test_only_a_superuser_creates_projects_and_users(
    request: pytest.FixtureRequest, api: Api, project: Project, who: str
) -> None:
    client = api(request.getfixturevalue(who))
    assert client.post("/api/v1/projects/", {"slug": "new"}).status_code == 403
    assert client.post("/api/v1/users/", {"username": "x", "password": PASSWORD}).status_code == 403
    assert client.get("/api/v1/users/").status_code == 403


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "slug"),
        ({"slug": "Upper Case"}, 400, "slug"),
        ({"slug": "new", "admin": "nobody"}, 400, "admin"),
        ({"slug": "flights"}, 409, None),
    ],
)
def test_projects_that_are_refused(  # noqa: PLR0917  fixtures
    api: Api, superuser: User, project: Project, body: dict[str, Any], status: int, field: str | None
) -> None:
    answer = api(superuser).post("/api/v1/projects/", body)
    assert answer.status_code == status
    assert [each["field"] for each in answer.json()["errors"]] == ([field] if field else [])
    assert Project.objects.count() == 1


@pytest.mark.parametrize(
    ("who", "reading", "writing"),
    [
        ("admin", 200, 200),
        ("operator", 200, 403),
        ("viewer", 200, 403),
        ("stranger", 404, 404),
        ("superuser", 404, 404),
    ],
)
def test_who_may_do_what_with_members(  # noqa: PLR0917  fixtures
    request: pytest.FixtureRequest, api: Api, project: Project, who: str, reading: int, writing: int
) -> None:
    make_user("bob")
    client = api(request.getfixturevalue(who))
    assert client.get(MEMBERS).status_code == reading
    assert client.get(f"{MEMBERS}ada/").status_code == reading
    assert client.put(f"{MEMBERS}bob/", {"role": "viewer"}).status_code == writing
    assert client.delete(f"{MEMBERS}bob/").status_code == {200: 204}.get(writing, writing)


def test_a_project_that_is_not_there_looks_like_one_that_is_not_ones_own(
    api: Api, stranger: User, project: Project
) -> None:
    mine, none = (api(stranger).get(f"/api/v1/projects/{slug}/members/").json() for slug in ("flights", "nothing"))
    assert mine["detail"].replace("flights", "x") == none["detail"].replace("nothing", "x")


def test_members_come_and_go(api: Api, admin: User, project: Project) -> None:
    bob = make_user("bob@example.com")
    client = api(admin)
    assert client.put(f"{MEMBERS}bob@example.com/", {"role": "operator"}).json() == {
        "username": "bob@example.com", "active": True, "role": "operator"
    }  # fmt: skip
    assert client.put(f"{MEMBERS}bob@example.com/", {"role": "viewer"}).json()["role"] == "viewer"
    assert [each["username"] for each in client.get(MEMBERS).json()["results"]] == ["ada", "bob@example.com"]
    assert client.delete(f"{MEMBERS}bob@example.com/").status_code == 204
    assert not Membership.objects.filter(user=bob).exists()
    verbs = Event.objects.filter(object_type="membership", object_name__startswith="bob").order_by("id")
    assert [each.verb for each in verbs] == ["membership created", "membership changed", "membership deleted"]
    assert {each.actor_name for each in verbs} == {"ada"}


def test_members_that_are_refused(api: Api, admin: User, project: Project) -> None:
    client = api(admin)
    assert client.put(f"{MEMBERS}nobody/", {"role": "viewer"}).status_code == 400
    assert client.put(f"{MEMBERS}ada/", {"role": "owner"}).status_code == 400
    assert client.delete(f"{MEMBERS}nobody/").status_code == 404
    last = client.delete(f"{MEMBERS}ada/")
    assert (last.status_code, last.json()["code"]) == (409, "last_admin")


def test_lists_cost_the_same_however_long(
    api: Api, admin: User, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        Membership.objects.create(user=make_user(f"user{number}"), project=project, role=Role.VIEWER)
    client = api(admin)
    with django_assert_num_queries(2):  # the project; its members with their users
        assert len(client.get(MEMBERS).json()["results"]) == 6
    with django_assert_num_queries(1):
        client.get("/api/v1/projects/")


def test_users_are_made_and_kept_out(api: Api, superuser: User) -> None:
    client = api(superuser)
    made = client.post("/api/v1/users/", {"username": "bob", "password": PASSWORD, "email": "bob@example.com"})
    assert made.status_code == 201
    assert "password" not in made.json()
    assert client.patch("/api/v1/users/bob/", {"is_active": False}).json()["is_active"] is False
    assert client.patch("/api/v1/users/root/", {"is_active": False}).status_code == 409
    assert client.post("/api/v1/users/", {"username": "BOB", "password": PASSWORD}).status_code == 409
    weak = client.post("/api/v1/users/", {"username": "eve", "password": "password"})
    assert (weak.status_code, weak.json()["errors"][0]["field"]) == (400, "password")
    assert [each["username"] for each in client.get("/api/v1/users/").json()["results"]] == ["bob", "root"]


def test_a_password_is_changed_by_whoever_knows_it(api: Api, viewer: User) -> None:
    viewer.set_password(PASSWORD)
    viewer.save()
    client = api(viewer)
    wrong = client.post("/api/v1/me/password/", {"current": "guess", "new": "another-long-passphrase"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "current")
    right = client.post("/api/v1/me/password/", {"current": PASSWORD, "new": "another-long-passphrase"})
    assert right.status_code == 204
    viewer.refresh_from_db()
    assert viewer.check_password("another-long-passphrase")


def test_sign_ins_are_in_the_log(client: Any, viewer: User) -> None:
    viewer.set_password(PASSWORD)
    viewer.save()
    assert client.post("/login/", {"username": "vera", "password": PASSWORD}).status_code == 302
    client.logout()
    for name in ("vera", "hunter2-typed-in-the-wrong-field"):
        assert client.post("/login/", {"username": name, "password": "wrong"}).status_code == 200
    events = Event.objects.filter(object_type="user", verb__contains="sign").order_by("id")
    assert [(each.verb, each.actor_name, each.object_name) for each in events] == [
        ("signed in", "vera", "vera"),
        ("signed out", "vera", "vera"),
        ("sign-in refused", "nobody", "vera"),
        ("sign-in refused", "nobody", ""),
    ]
