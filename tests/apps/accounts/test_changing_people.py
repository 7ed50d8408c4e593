"""A superuser changes a person: the address, who administers, a new password for a lost one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from apps.accounts import services
from apps.accounts.models import User
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from tests.people import PASSWORD, Api, quick

pytestmark = pytest.mark.django_db

BOB = "/api/v1/users/bob/"


@pytest.fixture
def bob() -> User:
    return services.create_user(username="bob", password=PASSWORD, email="bob@example.org", actor=SYSTEM)


@pytest.fixture
def root(superuser: User) -> Client:
    client = quick(Client())
    client.force_login(superuser)
    return client


def signed_in(password: str) -> Client:
    client = quick(Client())
    client.post("/login/", {"username": "bob", "password": password})
    return client


def test_it_works(api: Api, bob: User, superuser: User) -> None:
    changed = api(superuser).patch(BOB, {"email": "bob@example.com", "is_superuser": True})
    assert (changed.status_code, changed.json()["email"], changed.json()["is_superuser"]) == (
        200, "bob@example.com", True
    )  # fmt: skip
    bob.refresh_from_db()
    assert bob.administers_platform()
    event = Event.objects.filter(verb="user changed", actor_name="root", after__has_key="email").earliest("id")
    assert (event.before, event.after) == ({"email": "bob@example.org"}, {"email": "bob@example.com"})
    assert api(superuser).patch(BOB, {"email": "", "is_superuser": False}).json()["email"] == ""
    before = Event.objects.count()
    assert api(superuser).patch(BOB, {}).status_code == 200
    assert Event.objects.count() == before


def test_a_lost_password(api: Api, bob: User, superuser: User) -> None:
    before = signed_in(PASSWORD)
    made = api(superuser).post(f"{BOB}password/")
    assert (made.status_code, len(made.json()["password"])) == (200, 20)
    assert before.get("/account/").status_code == 302
    assert signed_in(PASSWORD).get("/account/").status_code == 302
    assert signed_in(made.json()["password"]).get("/account/").status_code == 200
    event = Event.objects.get(verb="user changed", actor_name="root")
    assert event.after == {"password": "changed"}
    assert made.json()["password"] not in str(list(Event.objects.values()))


def test_ones_own_password_needs_the_one_there_is(api: Api, superuser: User, root: Client) -> None:
    refused = api(superuser).post("/api/v1/users/root/password/")
    assert (refused.status_code, refused.json()["code"]) == (409, "own_password")
    answer = root.post("/platform/people/root/", {"do": "password"})
    assert (answer.status_code, "with the one you have" in answer.content.decode()) == (422, True)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"email": "nonsense"}, 400, "email"),
        ({"is_superuser": None}, 400, "is_superuser"),
        ({"email": "a\0b@example.org"}, 400, "email"),
    ],
)
def test_what_is_refused(*, api: Api, bob: User, superuser: User, body: dict[str, Any], status: int, said: str) -> None:
    answer = api(superuser).patch(BOB, body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, said)


def test_the_last_superuser_stays_one_and_nothing_else_is_changed(api: Api, superuser: User) -> None:
    answer = api(superuser).patch("/api/v1/users/root/", {"email": "root@example.org", "is_superuser": False})
    assert (answer.status_code, answer.json()["code"]) == (409, "last_superuser")
    superuser.refresh_from_db()
    assert (superuser.email, superuser.is_superuser) == ("", True)


def test_the_page(root: Client, bob: User) -> None:
    assert 'href="/platform/people/bob/"' in root.get("/platform/people/").content.decode()
    assert "bob@example.org" in root.get("/platform/people/bob/").content.decode()
    wrong = root.post("/platform/people/bob/", {"do": "save", "email": "nonsense"})
    assert (wrong.status_code, "no e-mail address" in wrong.content.decode()) == (422, True)
    assert (
        root.post("/platform/people/bob/", {"do": "save", "email": "b@example.org", "superuser": "yes"}).status_code
        == 302
    )
    bob.refresh_from_db()
    assert (bob.email, bob.is_superuser) == ("b@example.org", True)
    page = root.post("/platform/people/bob/", {"do": "password"}).content.decode()
    found = re.search(r'id="made-password">(\w{20})<', page)
    assert found
    assert signed_in(found[1]).get("/account/").status_code == 200
    assert found[1] not in root.get("/platform/people/bob/").content.decode()
    assert root.post("/platform/people/bob/", {"do": "x"}).status_code == 422
    assert root.get("/platform/people/nobody/").status_code == 404
