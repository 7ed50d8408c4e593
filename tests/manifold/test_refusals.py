"""What a person reads in the console, and a program through the API, when something is refused or cannot be done."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client, RequestFactory

from apps.accounts import guesses
from apps.accounts.models import Project, User
from apps.pipelines.models import Pipeline
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from manifold import api
from tests.people import PASSWORD, quick

pytestmark = pytest.mark.django_db


def visitor(user: User | None = None, **options: Any) -> Client:
    client = quick(Client(**options))
    if user is not None:
        client.force_login(user)
    return client


def test_a_form_without_its_token_is_told_to_be_loaded_again(viewer: User) -> None:
    for client in (visitor(enforce_csrf_checks=True), visitor(viewer, enforce_csrf_checks=True)):
        answer = client.post("/login/", {"username": "vera", "password": PASSWORD})
        page = answer.content.decode()
        assert (answer.status_code, "load the page again" in page, "Manifold</title>" in page) == (403, True, True)


def test_a_session_that_writes_to_the_api_without_it_is_told_of_both_ways(viewer: User) -> None:
    answer = visitor(viewer, enforce_csrf_checks=True).post("/api/v1/me/sessions/end-others/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/problem+json")
    assert "X-CSRFToken" in answer.json()["detail"]
    assert "Authorization: Bearer" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("referer", "onward"),
    [
        ("http://testserver/p/flights/members/?page=2", "/p/flights/members/%3Fpage%3D2"),
        ("https://evil.example/p/flights/", "/"),
        ("", "/"),
    ],
)
def test_a_form_sent_after_the_session_has_ended_leads_back_to_its_page(
    project: Project, referer: str, onward: str
) -> None:
    client = visitor()
    answer = client.post("/p/flights/members/olga/remove/", headers={"Referer": referer} if referer else {})
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/login/?next={onward}")
    assert "Your session has ended, and nothing was changed." in client.get(answer.headers["Location"]).content.decode()
    reading = client.get("/p/flights/members/")
    assert reading.headers["Location"] == "/login/?next=/p/flights/members/"
    assert "has ended" not in client.get(reading.headers["Location"]).content.decode()


def test_a_token_revoked_after_the_session_has_ended_leads_back_to_the_tokens() -> None:
    there = f"/tokens/{uuid.uuid4()}/revoke/"
    answer = visitor().post(there, headers={"Referer": "http://testserver/tokens/"})
    assert answer.headers["Location"] == "/login/?next=/tokens/"


def test_a_page_that_only_takes_forms(viewer: User) -> None:
    answer = visitor(viewer).get("/account/sessions/end-others/")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert "cannot be opened like this" in answer.content.decode()
    assert int(answer.headers["Content-Length"]) == len(answer.content)


@pytest.mark.parametrize("address", ["/api/v1/me/", "/hooks/{nothing}", "/in/{nothing}"])
def test_a_program_reads_a_problem_and_no_page(viewer: User, address: str) -> None:
    answer = visitor(viewer).delete(address.format(nothing=uuid.UUID(int=0)))
    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/problem+json")
    assert answer.json()["status"] == 405 and answer.headers["Allow"]


@pytest.mark.parametrize("page", ["/platform/people/", "/flower/"])
def test_who_can_help_is_said_rightly(viewer: User, page: str) -> None:
    said = visitor(viewer).get(page).content.decode()
    assert "uperusers" in said
    assert "administrator of the project" not in said


def test_a_role_that_is_too_low_says_who_can_help(viewer: User) -> None:
    answer = visitor(viewer).get("/p/flights/new-source/")
    said = "Your role in this project, viewer, does not allow this. An administrator of the project can do it"
    assert (answer.status_code, said in answer.content.decode()) == (403, True)


@pytest.mark.parametrize(
    ("error", "status", "shown"),
    [
        (TransientError("It dropped. Try again.", code="dropped"), 503, True),
        (ConfigurationError("The key is another one.", code="key"), 503, True),
        (ManifoldError("secret detail", code="bug"), 500, False),
        (ZeroDivisionError("secret detail"), 500, False),
    ],
)
def test_what_no_page_foresaw(error: Exception, status: int, shown: bool) -> None:
    request = RequestFactory().get("/somewhere/")
    try:
        raise error
    except Exception:
        answer = api.server_error(request)
    assert answer.status_code == status
    assert (str(error) in answer.content.decode()) == shown
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_message_whose_secret_cannot_be_opened_is_to_come_again(admin: User, project: Project, settings: Any) -> None:
    pipeline = Pipeline.objects.create(project=project, slug="orders")
    visitor(admin).post("/p/flights/pipelines/orders/hooks/", {"do": "add", "name": "shop"})
    settings.MASTER_KEY = lambda: "1:" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
    answer = visitor(raise_request_exception=False).post(
        f"/hooks/{pipeline.hooks.get().pk}", "{}", content_type="application/json"
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert (answer.headers["Retry-After"], "Try again" in answer.json()["detail"]) == ("5", True)
    assert visitor().get("/hooks/nowhere").headers["Content-Type"] == "application/problem+json"


def test_too_much_at_once_on_a_page_is_429(viewer: User) -> None:
    viewer.set_password(PASSWORD)
    viewer.save()
    client = visitor(viewer)
    for _ in range(6):
        guesses.note(f"password:{viewer.pk}")
    answer = client.post("/account/", {"current": PASSWORD, "new": "x", "again": "x"})
    assert (answer.status_code, "Too many passwords" in answer.content.decode()) == (429, True)
