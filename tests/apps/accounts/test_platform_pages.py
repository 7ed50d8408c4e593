"""Above the projects: superusers add people and projects in the console, keep out, let in and unlock."""

from __future__ import annotations

import re

import pytest
from axes.models import AccessAttempt
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import Membership, Project, Role, User
from apps.accounts.services.lockout import key_of
from apps.audit.models import Event
from tests.people import make_user, quick

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(superuser: User) -> Client:
    client = quick(Client())
    client.force_login(superuser)
    return client


def test_a_person_is_added_with_a_password_that_is_shown_once(root: Client) -> None:
    page = root.post("/platform/people/", {"username": "nina", "email": "nina@example.com"}).content.decode()
    found = re.search(r'id="made-password">(\w{20})<', page)
    assert found
    nina = User.objects.get(username="nina")
    assert nina.check_password(found[1])
    assert not nina.is_superuser
    assert found[1] not in root.get("/platform/people/").content.decode()
    assert found[1] not in str(list(Event.objects.values()))


@pytest.mark.parametrize("page", ["/platform/people/", "/platform/people/root/", "/tokens/", "/p/flights/members/"])
def test_no_browser_keeps_a_page_that_shows_a_secret_once(
    root: Client, superuser: User, project: Project, page: str
) -> None:
    Membership.objects.create(user=superuser, project=project, role=Role.ADMIN)
    assert "no-store" in root.get(page).headers["Cache-Control"]


@pytest.mark.parametrize(("username", "said"), [("a b", "letters"), ("ROOT", "already"), ("", "letters")])
def test_a_name_that_will_not_do(root: Client, username: str, said: str) -> None:
    answer = root.post("/platform/people/", {"username": username})
    assert (answer.status_code, said in answer.content.decode()) == (422, True)
    assert User.objects.count() == 1


def test_people_are_kept_out_and_let_in(root: Client) -> None:
    nina = make_user("nina")
    for wanted, active in (("no", False), ("yes", True)):
        assert root.post("/platform/people/nina/active/", {"active": wanted}).status_code == 302
        nina.refresh_from_db()
        assert nina.is_active is active
    refused = root.post(
        "/platform/people/root/active/",
        {"active": "no"},
        headers={"Referer": "http://testserver/platform/people/"},
        follow=True,
    )
    assert "last superuser" in refused.content.decode()
    assert root.post("/platform/people/nobody/active/", {"active": "no"}).status_code == 404


def test_somebody_who_is_locked_out_is_shown_and_unlocked(root: Client) -> None:
    make_user("nina")
    AccessAttempt.objects.create(username=key_of("nina"), ip_address="203.0.113.7", failures_since_start=5)
    page = root.get("/platform/people/").content.decode()
    assert "locked out" in page
    assert "203.0.113.7" in page
    assert root.post("/platform/people/nina/unlock/").status_code == 302
    assert "locked out" not in root.get("/platform/people/").content.decode()


def test_a_project_is_made_for_oneself_or_for_another(root: Client, superuser: User) -> None:
    nina = make_user("nina")
    mine = root.post("/platform/projects/", {"slug": "sales", "name": "Sales"})
    assert (mine.status_code, mine.headers["Location"]) == (302, "/p/sales/")
    theirs = root.post("/platform/projects/", {"slug": "rail", "admin": "nina"})
    assert (theirs.status_code, theirs.headers["Location"]) == (302, "/platform/projects/")
    assert nina.role_in(Project.objects.get(slug="rail")) == Role.ADMIN
    page = root.get("/platform/projects/").content.decode()
    assert "/p/sales/" in page
    assert "/p/rail/" not in page


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"slug": "flights"}, 422, "already"),
        ({"slug": "Up Case"}, 422, "small letters"),
        ({"slug": "new", "admin": "nobody"}, 404, ""),
    ],
)
def test_a_project_that_is_refused(
    root: Client, project: Project, form: dict[str, str], status: int, said: str
) -> None:
    answer = root.post("/platform/projects/", form)
    assert answer.status_code == status
    assert said in answer.content.decode()
    assert Project.objects.count() == 1


@pytest.mark.parametrize("page", ["people", "projects", "audit", "audit/verify"])
def test_others_are_refused_in_words(page: str, viewer: User) -> None:
    client = quick(Client())
    client.force_login(viewer)
    answer = client.get(f"/platform/{page}/")
    assert (answer.status_code, "Only superusers" in answer.content.decode()) == (403, True)
    assert "/platform/" not in client.get("/account/").content.decode()


def test_the_list_costs_the_same_however_many(root: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(4):
        make_user(f"user{number}")
    root.get("/platform/people/")
    with django_assert_num_queries(6):  # the session, the user; people, two kinds of locks; the projects of the frame
        root.get("/platform/people/")
