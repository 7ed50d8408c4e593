"""Keys to the API: issued, sent, narrowed, expired, revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from apps.accounts import services
from apps.accounts.models import ApiToken, Project, Role, User
from apps.accounts.oidc.flow import Claims
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from tests.people import PASSWORD, Api, quick

pytestmark = pytest.mark.django_db


def sending(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def issued(user: User, **limits: Any) -> str:
    return services.issue_token(user, name="t", actor=SYSTEM, **limits)[1]


def test_it_works(api: Api, operator: User, project: Project) -> None:
    made = api(operator).post("/api/v1/tokens/", {"name": "nightly", "project": "flights", "days": 30})
    assert made.status_code == 201
    body = made.json()
    assert (body["role"], body["project"], body["user"], body["hint"]) == (
        "operator", "flights", "olga", body["token"][:9]
    )  # fmt: skip
    me = sending(body["token"]).get("/api/v1/me/").json()
    assert (me["username"], me["token"]["name"]) == ("olga", "nightly")
    assert me["projects"] == [{"slug": "flights", "name": "Flights", "role": "operator"}]
    shown = api(operator).get(f"/api/v1/tokens/{body['id']}/").json()
    assert "token" not in shown
    assert "digest" not in shown


def test_what_a_token_does_is_told_under_its_name(viewer: User) -> None:
    client = sending(issued(viewer))
    client.post("/api/v1/tokens/", {"name": "second", "role": "viewer"})
    event = Event.objects.filter(object_type="token").latest("id")
    assert (event.actor_kind, event.actor_name) == ("token", "vera/t")
    assert event.request_id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"revoked_at": timezone.now()}, "revoked"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expired"),
        ({"digest": "0" * 64}, "not known"),
    ],
)
def test_a_token_that_is_no_longer_good(viewer: User, change: dict[str, Any], said: str) -> None:
    token = issued(viewer)
    ApiToken.objects.update(**change)
    answer = sending(token).get("/api/v1/me/")
    assert answer.status_code == 401
    assert said in answer.json()["detail"]


def test_a_deactivated_user_is_out_at_once(viewer: User) -> None:
    token = issued(viewer)
    services.set_active(viewer, active=False, actor=SYSTEM)
    assert sending(token).get("/api/v1/me/").status_code == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Bearer \xff"])
def test_a_header_that_is_no_token(header: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header)
    assert client.get("/api/v1/me/").status_code == 401


def test_a_token_narrows_the_role(admin: User, project: Project) -> None:
    client = sending(issued(admin, role=Role.VIEWER))
    assert client.get("/api/v1/projects/flights/members/").status_code == 200
    assert client.put("/api/v1/projects/flights/members/ada/", {"role": "admin"}).status_code == 403
    assert client.get("/api/v1/me/").json()["projects"][0]["role"] == "viewer"


def test_a_token_narrows_the_projects(admin: User, project: Project) -> None:
    other = services.create_project(slug="other", name="Other", admin=admin, actor=SYSTEM)
    client = sending(issued(admin, project=other))
    assert [each["slug"] for each in client.get("/api/v1/projects/").json()["results"]] == ["other"]
    assert client.get("/api/v1/projects/flights/members/").status_code == 404


@pytest.mark.parametrize("narrowed", [{"role": Role.OPERATOR}, {"project": True}])
def test_a_narrowed_token_of_a_superuser_does_not_administer(
    superuser: User, project: Project, narrowed: dict[str, Any]
) -> None:
    if "project" in narrowed:
        services.set_membership(project, superuser, role=Role.ADMIN, actor=SYSTEM)
        narrowed = {"project": project}
    client = sending(issued(superuser, **narrowed))
    assert client.get("/api/v1/users/").status_code == 403
    assert client.get("/api/v1/events/verify/").status_code == 403
    assert client.post("/api/v1/projects/", {"slug": "new"}).status_code == 403


@pytest.mark.parametrize("limit", ["role", "project"])
@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("me/password/", {"current": PASSWORD, "new": "another-long-passphrase"}),
        ("me/join/", {"invitation": "x"}),
        ("me/sessions/end-others/", {}),
        ("me/identities/{identity}/unlink/", {"password": PASSWORD}),
        ("tokens/", {"name": "another", "role": "viewer", "project": "flights"}),
        ("tokens/{other}/revoke/", {}),
    ],
)
def test_a_limited_token_changes_nothing_about_its_person(
    *, operator: User, project: Project, limit: str, address: str, body: dict[str, str]
) -> None:
    operator.set_password(PASSWORD)
    operator.save()
    identity = services.link(operator, Claims("https://login.example.org", "1", "", "", frozenset()), actor=SYSTEM)
    other, _ = services.issue_token(operator, name="other", project=project, actor=SYSTEM)
    limits: dict[str, Any] = {"role": Role.OPERATOR} if limit == "role" else {"project": project, "role": Role.ADMIN}
    client = sending(issued(operator, **limits))
    before = Event.objects.count()
    answer = client.post(f"/api/v1/{address.format(identity=identity.pk, other=other.pk)}", body)
    assert (answer.status_code, "limited" in answer.json()["detail"]) == (403, True), answer.content
    assert Event.objects.count() == before
    assert client.delete(f"/api/v1/me/sessions/{'0' * 32}/").status_code == 403
    assert operator.tokens.count() == 2


def test_a_limited_token_revokes_itself_and_what_it_manages(admin: User, operator: User, project: Project) -> None:
    theirs, _ = services.issue_token(operator, name="theirs", project=project, actor=SYSTEM)
    limited: list[tuple[dict[str, Any], int]] = [
        ({"role": Role.OPERATOR}, 404),
        ({"role": Role.ADMIN, "project": project}, 200),
    ]
    for limits, status in limited:
        client = sending(issued(admin, **limits))
        assert client.post(f"/api/v1/tokens/{theirs.pk}/revoke/").status_code == status
        mine = ApiToken.objects.filter(user=admin).latest("id")
        assert client.post(f"/api/v1/tokens/{mine.pk}/revoke/").status_code == 200
        assert client.get("/api/v1/me/").status_code == 401


def test_last_use_is_noted_at_most_once_a_minute(
    viewer: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    token = issued(viewer)
    before = Event.objects.count()
    sending(token).get("/api/v1/me/")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    with django_assert_num_queries(2):  # the token with its user; the projects
        sending(token).get("/api/v1/me/")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    sending(token).get("/api/v1/me/")
    again = ApiToken.objects.get().last_used_at
    assert again is not None and again >= first
    assert Event.objects.count() == before


def test_revoking_works_at_once_and_twice(api: Api, viewer: User) -> None:
    text = issued(viewer)
    token = ApiToken.objects.get()
    for _ in range(2):
        answer = api(viewer).post(f"/api/v1/tokens/{token.pk}/revoke/")
        assert answer.status_code == 200
        assert answer.json()["revoked_at"]
    assert sending(text).get("/api/v1/me/").status_code == 401
    assert Event.objects.filter(object_type="token", verb="token changed").count() == 1


def test_others_tokens_are_not_found_but_by_who_manages_their_project(
    api: Api, admin: User, operator: User, viewer: User, project: Project
) -> None:
    issued(operator, project=project)
    token = ApiToken.objects.get()
    assert api(viewer).get(f"/api/v1/tokens/{token.pk}/").status_code == 404
    assert api(viewer).post(f"/api/v1/tokens/{token.pk}/revoke/").status_code == 404
    assert api(admin).post(f"/api/v1/tokens/{token.pk}/revoke/").status_code == 200


def test_the_page_of_members_shows_tokens_of_its_project_to_admins_who_revoke_them(
    admin: User, operator: User, project: Project
) -> None:
    issued(operator, project=project)
    services.issue_token(operator, name="of everything", actor=SYSTEM)
    token = ApiToken.objects.get(project=project)
    clients = {}
    for user in (admin, operator):
        clients[user] = quick(Client())
        clients[user].force_login(user)
    shown = {user: client.get("/p/flights/members/").content.decode() for user, client in clients.items()}
    assert [token.hint in shown[each] for each in (admin, operator)] == [True, False]
    assert "of everything" not in shown[admin]
    done = clients[admin].post(f"/tokens/{token.pk}/revoke/")
    assert (done.status_code, done.headers["Location"]) == (302, "/p/flights/members/")
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert token.hint not in clients[admin].get("/p/flights/members/").content.decode()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "t", "role": "god"}, "role"),
        ({"name": "t", "project": "elsewhere"}, "project"),
        ({"name": "t", "days": 0}, "days"),
        ({"name": "t", "days": 10**9}, "days"),
        ({"name": "a\0b"}, "name"),
    ],
)
def test_what_is_refused(api: Api, viewer: User, stranger: User, body: dict[str, Any], field: str) -> None:
    answer = api(viewer).post("/api/v1/tokens/", body)
    assert answer.status_code == 400
    assert [each["field"] for each in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"project": "elsewhere"}, "in no project elsewhere"),
        ({"days": "36500"}, "Choose one of those"),
        ({"role": "god"}, "Choose one of those"),
        ({"name": " "}, "Give the token a name"),
    ],
)
def test_a_page_makes_no_token_for_more_than_was_asked(
    viewer: User, stranger: User, form: dict[str, str], said: str
) -> None:
    client = quick(Client())
    client.force_login(viewer)
    answer = client.post("/tokens/", {"name": "t", "role": "viewer", "project": "flights", "days": "30", **form})
    assert (answer.status_code, said in answer.content.decode()) == (422, True)
    assert not ApiToken.objects.exists()


def test_the_list_costs_one_query_however_long(
    api: Api, viewer: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(4):
        issued(viewer)
    with django_assert_num_queries(1):
        assert len(api(viewer).get("/api/v1/tokens/").json()["results"]) == 4
