"""Where somebody is signed in, how that ends, and a new password: on the page and over the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts import services
from apps.accounts.models import Session, User
from apps.accounts.services.sessions import device, name_of
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from tests.people import PASSWORD, Api, make_user, quick

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"
NEW = "another-long-passphrase"


@pytest.fixture
def bob() -> User:
    return services.create_user(username="bob", password=PASSWORD, actor=SYSTEM)


def signed_in(agent: str = FIREFOX, address: str = "203.0.113.7", password: str = PASSWORD) -> Client:
    client = quick(Client(REMOTE_ADDR=address, headers={"User-Agent": agent}))
    assert client.post("/login/", {"username": "bob", "password": password}).status_code == 302
    return client


def test_it_works(bob: User) -> None:
    here, there = signed_in(), signed_in(IPHONE, "2001:db8::1")
    page = here.get("/account/").content.decode()
    assert "Firefox on Linux" in page
    assert "Safari on iPhone" in page
    assert "2001:db8::1" in page
    key = there.session.session_key or ""
    assert key not in page
    assert here.post(f"/account/sessions/{name_of(key)}/end/").status_code == 302
    assert there.get("/account/").headers["Location"].startswith("/login/")
    assert here.get("/account/").status_code == 200
    event = Event.objects.get(verb="session ended")
    assert (event.actor_name, event.data) == ("bob", {"address": "2001:db8::1", "device": "Safari on iPhone"})


def test_ending_all_others(bob: User) -> None:
    here, *others = [signed_in() for _ in range(3)]
    assert here.post("/account/sessions/end-others/").status_code == 302
    assert [each.get("/account/").status_code for each in (here, *others)] == [200, 302, 302]


def test_over_the_api(api: Api, bob: User) -> None:
    here, there = signed_in(), signed_in(IPHONE)
    shown = here.get("/api/v1/me/sessions/").json()["results"]
    assert sorted((each["device"], each["current"]) for each in shown) == [
        ("Firefox on Linux", True), ("Safari on iPhone", False)
    ]  # fmt: skip
    other = next(each["id"] for each in shown if not each["current"])
    assert api(bob).delete(f"/api/v1/me/sessions/{other}/").status_code == 204
    assert there.get("/account/").status_code == 302
    again = api(bob).delete(f"/api/v1/me/sessions/{other}/")
    assert (again.status_code, again.json()["code"]) == (409, "session_over")
    assert api(bob).post("/api/v1/me/sessions/end-others/").status_code == 204
    assert here.get("/account/").status_code == 302


def test_nobody_ends_the_session_of_another(api: Api, bob: User) -> None:
    here = signed_in()
    eve = make_user("eve")
    assert api(eve).get("/api/v1/me/sessions/").json()["results"] == []
    assert api(eve).delete(f"/api/v1/me/sessions/{name_of(here.session.session_key or '')}/").status_code == 409
    api(eve).post("/api/v1/me/sessions/end-others/")
    assert here.get("/account/").status_code == 200


def test_a_superuser_signs_somebody_out(api: Api, bob: User, superuser: User) -> None:
    here, there = signed_in(), signed_in(IPHONE)
    answer = api(superuser).post("/api/v1/users/bob/end-sessions/")
    assert (answer.status_code, answer.json()) == (200, {"ended": 2})
    assert [each.get("/account/").status_code for each in (here, there)] == [302, 302]
    events = Event.objects.filter(verb="session ended")
    assert {(each.actor_name, each.object_name) for each in events} == {("root", "bob")}
    assert events.count() == 2


def test_a_superuser_who_ends_sessions_on_the_page_stays_there(bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_superuser=True)
    here, there = signed_in(), signed_in(IPHONE)
    assert here.post("/platform/people/bob/sessions/end/").headers["Location"] == "/platform/people/"
    assert [each.get("/account/").status_code for each in (here, there)] == [200, 302]


def test_what_ended_by_itself_is_not_shown_and_goes(bob: User) -> None:
    signed_in()
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    here = signed_in()
    assert len(here.get("/api/v1/me/sessions/").json()["results"]) == 1
    assert Session.objects.count() == 1


def test_a_new_password_ends_the_others_and_keeps_this_one(bob: User) -> None:
    here, there = signed_in(), signed_in()
    form = {"current": PASSWORD, "new": NEW, "again": NEW}
    assert here.post("/account/", form).status_code == 302
    assert here.get("/account/").status_code == 200
    assert there.get("/account/").status_code == 302
    signed_in(password=NEW)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"current": "guess"}, "not your password"),
        ({"again": NEW + "!"}, "differ"),
        ({"new": "short", "again": "short"}, "too short"),
        ({"new": "1" * 20, "again": "1" * 20}, "numeric"),
    ],
)
def test_a_new_password_that_is_refused(bob: User, changed: dict[str, str], said: str) -> None:
    answer = signed_in().post("/account/", {"current": PASSWORD, "new": NEW, "again": NEW, **changed})
    assert (answer.status_code, said in answer.content.decode()) == (422, True)
    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)


def test_guessing_the_current_password_is_slowed_down(bob: User) -> None:
    here = signed_in()
    form = {"current": "guess", "new": NEW}
    codes = [here.post("/api/v1/me/password/", form, content_type="application/json").status_code for _ in range(7)]
    assert codes == [400] * 5 + [429] * 2
    right = here.post("/api/v1/me/password/", {"current": PASSWORD, "new": NEW}, content_type="application/json")
    assert right.status_code == 429


def test_the_page_costs_the_same_however_many(bob: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    here, *_ = [signed_in() for _ in range(4)]
    here.get("/account/")
    with django_assert_num_queries(5):  # session, user, sessions, second factor; the projects of the frame
        here.get("/account/")


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("curl/8.1", "curl/8.1"),
        ("", "unknown"),
        ("<script>", "<script>"),
    ],
)
def test_devices_in_words(agent: str, said: str) -> None:
    assert device(agent) == said
