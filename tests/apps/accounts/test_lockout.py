"""Wrong passwords lock a name out from an address, for a while; unknown tokens are slowed down."""

from __future__ import annotations

import ipaddress
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.test import Client, override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from apps.accounts import guesses, services
from apps.accounts.models import User
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from tests.people import PASSWORD, Api, make_user, quick

pytestmark = pytest.mark.django_db

HERE, THERE = "203.0.113.7", "2001:db8::7"


@pytest.fixture
def bob() -> User:
    return services.create_user(username="bob", password=PASSWORD, actor=SYSTEM)


def attempt(password: str, username: str = "bob", address: str = HERE, **headers: str) -> Any:
    client = quick(Client(REMOTE_ADDR=address, headers=headers))
    return client.post("/login/", {"username": username, "password": password})


def lock_out(username: str = "bob", address: str = HERE) -> Any:
    for _ in range(4):
        assert attempt("wrong", username, address).status_code == 200
    return attempt("wrong", username, address)


def test_it_works(bob: User) -> None:
    began = time.monotonic()
    answer = lock_out()
    spent = time.monotonic() - began
    assert answer.status_code == 429
    assert 899 - spent <= int(answer.headers["Retry-After"]) <= 900
    assert "Try again in 15 minutes" in answer.content.decode()
    assert attempt(PASSWORD).status_code == 429
    # Neither the same person from elsewhere nor somebody else from here is held up.
    assert attempt(PASSWORD, address=THERE).status_code == 302


def test_the_case_of_a_name_is_no_way_around(bob: User) -> None:
    for name in ("bob", "BOB", "Bob", "bOb"):
        attempt("wrong", name)
    assert attempt("wrong", "boB").status_code == 429
    assert attempt(PASSWORD).status_code == 429


def test_another_browser_is_no_way_around(bob: User) -> None:
    for number in range(5):
        attempt("wrong", User_Agent=f"browser {number}")
    assert attempt(PASSWORD, User_Agent="another").status_code == 429


def test_another_address_of_the_same_network_is_no_way_around(bob: User) -> None:
    """Whoever has one address of IPv6 has a whole /64 of them."""
    for number in range(4):
        assert attempt("wrong", address=f"2001:db8::{number}").status_code == 200
    assert attempt("wrong", address="2001:db8::ffff:1:2:3").status_code == 429
    assert attempt(PASSWORD, address="2001:db8:0:0:1::1").status_code == 429
    assert attempt(PASSWORD, address="2001:db8:0:1::1").status_code == 302
    assert Event.objects.get(verb="sign-in locked").data["address"] == "2001:db8::/64"
    # What happened from where is told exactly all the same.
    assert Event.objects.filter(verb="sign-in refused", data__address="2001:db8::3").exists()


def test_an_address_of_ipv4_is_itself_however_it_is_written(bob: User) -> None:
    for number in range(5):
        attempt("wrong", address=f"::ffff:203.0.113.{number % 2}")
    assert attempt(PASSWORD, address="::ffff:203.0.113.0").status_code == 302
    for _ in range(2):
        attempt("wrong", address="203.0.113.1")
    assert attempt("wrong", address="203.0.113.1").status_code == 429
    assert attempt(PASSWORD, address="::ffff:203.0.113.1").status_code == 429


def test_whoever_does_not_exist_is_answered_alike() -> None:
    assert lock_out("nobody-of-that-name").status_code == 429


def test_the_right_password_forgets_the_wrong_ones(bob: User) -> None:
    for _ in range(4):
        attempt("wrong")
    assert attempt(PASSWORD).status_code == 302
    assert attempt("wrong").status_code == 200


def test_it_ends_by_itself_and_guessing_on_does_not_prolong_it(bob: User) -> None:
    lock_out()
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14))
    assert 1 <= int(attempt("wrong").headers["Retry-After"]) <= 60
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert attempt(PASSWORD).status_code == 302


def test_the_log_has_one_event_for_it_however_long_somebody_guesses(bob: User) -> None:
    lock_out()
    for _ in range(3):
        attempt("wrong")
    verbs = [each.verb for each in Event.objects.filter(object_name="bob", actor_kind="anonymous")]
    assert sorted(verbs) == ["sign-in locked", *["sign-in refused"] * 4]
    assert Event.objects.get(verb="sign-in locked").data == {"address": HERE, "minutes": 15}


def test_what_was_typed_is_kept_nowhere() -> None:
    lock_out("hunter2-typed-in-the-wrong-field")
    kept = str([*AccessAttempt.objects.values(), *Event.objects.values()])
    assert "hunter2" not in kept
    assert "wrong" not in kept


def test_a_superuser_sees_it_and_ends_it(api: Api, bob: User, superuser: User) -> None:
    lock_out()
    lock_out(address=THERE)
    (shown,) = [each for each in api(superuser).get("/api/v1/users/").json()["results"] if each["username"] == "bob"]
    assert [each["address"] for each in shown["locks"]] == ["203.0.113.7", "2001:db8::/64"]
    answer = api(superuser).post("/api/v1/users/bob/unlock/")
    assert (answer.status_code, answer.json()["locks"]) == (200, [])
    assert attempt(PASSWORD).status_code == 302
    event = Event.objects.get(verb="sign-in unlocked")
    assert (event.actor_name, event.object_name) == ("root", "bob")


def test_the_list_costs_the_same_however_many(
    api: Api, superuser: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(4):
        make_user(f"user{number}")
    with django_assert_num_queries(3):  # the people; their locks by wrong passwords and by wrong codes
        api(superuser).get("/api/v1/users/")


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, "198.51.100.1", HERE),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "192.0.2.66, 198.51.100.1", "198.51.100.1"),
        (2, "192.0.2.66, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "198.51.100.1", HERE),
        (1, "nonsense", HERE),
        (1, "", HERE),
    ],
)
def test_only_our_own_proxies_say_where_somebody_is(bob: User, proxies: int, forwarded: str, seen: str) -> None:
    with override_settings(TRUSTED_PROXIES=proxies):
        attempt("wrong", X_Forwarded_For=forwarded)
    assert AccessAttempt.objects.get().ip_address == seen


@override_settings(TOKEN_GUESSES=3)
def test_unknown_tokens_are_slowed_down(bob: User) -> None:
    address = str(ipaddress.IPv6Address(uuid.uuid4().bytes))
    client = quick(APIClient(REMOTE_ADDR=address))

    def ask(token: str) -> Any:
        return client.get("/api/v1/me/", headers={"Authorization": f"Bearer {token}"})

    assert [ask(f"mf_{number}").status_code for number in range(5)] == [401, 401, 401, 429, 429]
    neighbour = quick(APIClient(REMOTE_ADDR=str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(address)) ^ 1))))
    assert neighbour.get("/api/v1/me/", headers={"Authorization": "Bearer mf_x"}).status_code == 429
    answer = ask("mf_x")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.json()["detail"].startswith("Too many unknown tokens")
    assert [each.data["address"] for each in Event.objects.filter(verb="tokens guessed")] == [address]
    _, good = services.issue_token(bob, name="t", actor=SYSTEM)
    assert ask(good).status_code == 200


@pytest.fixture
def no_redis() -> Iterator[None]:
    guesses._client.cache_clear()
    with override_settings(CELERY_BROKER_URL="redis://127.0.0.1:1/0"):
        yield
    guesses._client.cache_clear()


@override_settings(TOKEN_GUESSES=1)
@pytest.mark.usefixtures("no_redis")
def test_without_redis_a_token_is_still_refused_and_a_good_one_heard(bob: User) -> None:
    client = quick(APIClient())
    for _ in range(3):
        assert client.get("/api/v1/me/", headers={"Authorization": "Bearer mf_x"}).status_code == 401
