"""An invitation lets one person in, once, until it expires or is withdrawn; its link is kept nowhere."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts import services
from apps.accounts.models import Invitation, Membership, Project, Role, Session, User
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.audit.refusals import Conflict, Invalid
from tests.people import PASSWORD, Api, make_user, member, quick

pytestmark = pytest.mark.django_db

INVITATIONS = "/api/v1/projects/flights/invitations/"


@pytest.fixture
def link(project: Project) -> str:
    return services.invite(project, name="Nina", role=Role.OPERATOR, actor=SYSTEM)[1]


def visitor(user: User | None = None) -> Client:
    client = quick(Client())
    if user is not None:
        client.force_login(user)
    return client


def test_it_works(api: Api, admin: User, project: Project) -> None:
    made = api(admin).post(INVITATIONS, {"name": "Nina", "role": "operator", "days": 1})
    assert made.status_code == 201
    link = made.json()["link"]
    client = visitor()
    page = client.get(link)
    assert page.status_code == 200
    assert "Join Flights" in page.content.decode()
    assert "at least 12 characters" in page.content.decode()
    answer = client.post(link, {"username": "nina", "password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/p/flights/")
    assert client.get("/p/flights/members/").status_code == 200
    assert User.objects.get(username="nina").role_in(project) == Role.OPERATOR
    shown = api(admin).get(f"{INVITATIONS}{made.json()['id']}/").json()
    assert shown["accepted_by"] == "nina"
    assert "link" not in shown


def test_joining_is_a_sign_in_like_any_other(link: str, project: Project, settings: Any) -> None:
    """What an earlier sign-in in that browser left behind, one that nobody finished, does not shorten this one."""
    client = visitor()
    left = client.session
    left["half_signed_in"] = {"user": "x"}
    left.set_expiry(300)
    left.save()
    client.cookies[settings.SESSION_COOKIE_NAME] = left.session_key or ""
    client.post(f"/join/{link}/", {"username": "nina", "password": PASSWORD})
    (mine,) = Session.objects.filter(user__username="nina")
    assert mine.expire_date > timezone.now() + timedelta(hours=11)
    assert "half_signed_in" not in client.session
    assert (mine.address, mine.began_at is not None) == ("127.0.0.1", True)
    assert Event.objects.get(verb="signed in").actor_name == "nina"


def test_what_happened_is_in_the_log(link: str, project: Project) -> None:
    services.sign_up(link, username="nina", password=PASSWORD)
    events = Event.objects.filter(object_type__in=["invitation", "user", "membership"], actor_name__contains="n")
    told = [(each.verb, each.actor_name) for each in events.order_by("id") if each.object_name.lower() != "ada@flights"]
    assert told[-4:] == [
        ("invitation created", "manifold"),
        ("user created", "somebody invited"),
        ("membership created", "nina"),
        ("invitation changed", "nina"),
    ]
    assert link not in str(list(Event.objects.values()) + list(Invitation.objects.values()))


def test_somebody_with_an_account_joins_with_it(link: str, project: Project) -> None:
    bob = make_user("bob")
    assert "signed in as" in visitor(bob).get(f"/join/{link}/").content.decode()
    assert visitor(bob).post(f"/join/{link}/").status_code == 302
    assert bob.role_in(project) == Role.OPERATOR


@pytest.mark.parametrize("whole", [True, False])
def test_joining_over_the_api(api: Api, link: str, project: Project, whole: bool) -> None:
    bob = make_user("bob")
    given = f"http://testserver/join/{link}/" if whole else link
    answer = api(bob).post("/api/v1/me/join/", {"invitation": given})
    assert answer.json() == {"slug": "flights", "name": "Flights", "role": "operator"}
    again = api(make_user("eve")).post("/api/v1/me/join/", {"invitation": given})
    assert (again.status_code, again.json()["code"]) == (409, "invitation_used")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expired"),
        ({"withdrawn_at": timezone.now()}, "withdrawn"),
        ({"accepted_at": timezone.now()}, "already"),
        ({"digest": "0" * 64}, "not known"),
    ],
)
def test_a_link_that_opens_nothing(link: str, change: dict[str, Any], said: str) -> None:
    Invitation.objects.update(**change)
    before = User.objects.count()
    for answer in (visitor().get(f"/join/{link}/"), visitor().post(f"/join/{link}/", {"username": "nina"})):
        assert answer.status_code == 404
        assert said in answer.content.decode()
        assert "Flights" not in answer.content.decode()
    with pytest.raises(Conflict, match=said):
        services.sign_up(link, username="nina", password=PASSWORD)
    assert User.objects.count() == before


@pytest.mark.parametrize(
    ("username", "password", "said"),
    [("nina", "short", "too short"), ("ada", PASSWORD, "already"), ("a b", PASSWORD, "letters"), ("", "", "letters")],
)
def test_what_will_not_do_leaves_the_invitation_open(link: str, username: str, password: str, said: str) -> None:
    answer = visitor().post(f"/join/{link}/", {"username": username, "password": password})
    assert (answer.status_code, said in answer.content.decode()) == (422, True)
    assert not User.objects.filter(username="nina").exists()
    services.sign_up(link, username="nina", password=PASSWORD)


def test_a_member_does_not_use_it_up(link: str, viewer: User, project: Project) -> None:
    answer = visitor(viewer).post(f"/join/{link}/")
    assert (answer.status_code, "member of Flights already" in answer.content.decode()) == (422, True)
    assert viewer.role_in(project) == Role.VIEWER
    services.open_invitation(link)


def test_a_token_of_one_project_joins_no_other(link: str, stranger: User) -> None:
    elsewhere = Project.objects.get(slug="elsewhere")
    stranger.token, _ = services.issue_token(stranger, name="t", project=elsewhere, actor=SYSTEM)
    with pytest.raises(Conflict, match="limited to a project"):
        services.join(link, stranger, actor=SYSTEM)


@pytest.mark.parametrize(("name", "days", "field"), [("  ", 7, "name"), ("Nina", 0, "days"), ("Nina", 91, "days")])
def test_what_is_refused(project: Project, name: str, days: int, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        services.invite(project, name=name, role=Role.VIEWER, days=days, actor=SYSTEM)
    assert caught.value.field == field


def test_withdrawing_works_at_once_and_twice_but_not_when_it_is_used(
    api: Api, admin: User, link: str, project: Project
) -> None:
    first = Invitation.objects.get()
    for _ in range(2):
        assert api(admin).post(f"{INVITATIONS}{first.pk}/withdraw/").json()["withdrawn_at"]
    other, text = services.invite(project, name="Bo", role=Role.VIEWER, actor=SYSTEM)
    services.sign_up(text, username="bo", password=PASSWORD)
    assert api(admin).post(f"{INVITATIONS}{other.pk}/withdraw/").status_code == 409


def test_invitations_of_others_are_not_there(api: Api, stranger: User, admin: User, project: Project) -> None:
    elsewhere = Project.objects.get(slug="elsewhere")
    theirs, _ = services.invite(elsewhere, name="Theirs", role=Role.ADMIN, actor=SYSTEM)
    assert api(admin).get(f"{INVITATIONS}{theirs.pk}/").status_code == 404
    assert visitor(admin).post(f"/p/flights/invitations/{theirs.pk}/withdraw/").status_code == 404
    assert api(admin).get(INVITATIONS).json()["results"] == []


@pytest.mark.django_db(transaction=True)
def test_two_who_follow_one_link_do_not_both_join() -> None:
    project = services.create_project(slug="flights", name="", admin=make_user("ada"), actor=SYSTEM)
    _, link = services.invite(project, name="Nina", role=Role.VIEWER, actor=SYSTEM)
    people = [make_user("bob"), make_user("eve")]
    both, refused = threading.Barrier(2), []

    def follow(user: User) -> None:
        try:
            both.wait(60)
            services.join(link, user, actor=SYSTEM)
        except Conflict as error:
            refused.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=follow, args=[each]) for each in people]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert refused == ["invitation_used"]
    assert Membership.objects.filter(project=project).count() == 2


def test_the_page_of_members(admin: User, operator: User, viewer: User, project: Project) -> None:
    client = visitor(admin)
    page = client.post("/p/flights/members/", {"name": "Nina", "role": "admin", "days": "1"})
    assert page.status_code == 200
    text = page.context["link"].rstrip("/").rpartition("/")[2]
    assert services.open_invitation(text).role == Role.ADMIN
    assert text not in client.get("/p/flights/members/").content.decode()
    assert client.post("/p/flights/members/", {"name": ""}).status_code == 422
    assert client.post("/p/flights/members/vera/role/", {"role": "operator"}).status_code == 302
    assert viewer.role_in(project) == Role.OPERATOR
    assert client.post("/p/flights/members/vera/role/", {"role": "king"}).status_code == 404
    assert client.post("/p/flights/members/olga/remove/").status_code == 302
    assert operator.role_in(project) is None
    assert "Invite somebody" not in visitor(viewer).get("/p/flights/members/").content.decode()


@pytest.mark.parametrize(("path", "form"), [("role", {"role": "viewer"}), ("remove", {})])
def test_the_last_administrator_stays(admin: User, project: Project, path: str, form: dict[str, str]) -> None:
    answer = visitor(admin).post(f"/p/flights/members/ada/{path}/", form, follow=True)
    assert "last administrator" in answer.content.decode()
    assert admin.role_in(project) == Role.ADMIN


def test_the_page_costs_the_same_however_many(
    admin: User, project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = visitor(admin)
    client.get("/p/flights/members/")
    for number in range(4):
        user = member(f"user{number}", project, Role.VIEWER)
        services.issue_token(user, name="nightly", role=Role.VIEWER, project=project, actor=SYSTEM)
        services.invite(project, name=f"guest {number}", role=Role.VIEWER, actor=SYSTEM)
    # The session, the user, the memberships; members, invitations, tokens; the runs counted in the navigation.
    with django_assert_num_queries(7):
        client.get("/p/flights/members/")
