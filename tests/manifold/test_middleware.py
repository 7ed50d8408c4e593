"""A sign-in ends after hours without use, and a page that refreshes itself is no use."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Session, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(client: Client) -> Session:
    """A sign-in that was last used some hours ago."""
    client.force_login(User.objects.create_user("somebody"))
    client.get("/healthz")
    store = client.session
    store["used_at"] -= 3 * 3600
    store.save()
    Session.objects.update(expire_date=timezone.now() + timedelta(hours=1))
    return Session.objects.get()


def left(session: Session) -> timedelta:
    session.refresh_from_db()
    return session.expire_date - timezone.now()


def test_use_renews_it(client: Client, session: Session) -> None:
    client.get("/healthz")
    assert left(session) > timedelta(seconds=settings.SESSION_COOKIE_AGE - 60)


def test_a_page_that_asks_by_itself_does_not(client: Client, session: Session) -> None:
    client.get("/healthz", headers={"HX-Request": "true"})
    assert left(session) <= timedelta(hours=1)


def test_an_action_by_htmx_is_use(client: Client, session: Session) -> None:
    client.post("/healthz", headers={"HX-Request": "true"})
    assert left(session) > timedelta(hours=2)


def test_it_is_written_once_a_minute_only(client: Client, session: Session) -> None:
    client.get("/healthz")
    Session.objects.update(expire_date=timezone.now() + timedelta(hours=1))
    client.get("/healthz")
    assert left(session) <= timedelta(hours=1)


def test_a_stranger_gets_no_session(client: Client) -> None:
    client.get("/healthz")
    assert not Session.objects.exists()
    assert settings.SESSION_COOKIE_NAME not in client.cookies


def test_a_cookie_of_nobody_gets_none_either(client: Client) -> None:
    client.cookies[settings.SESSION_COOKIE_NAME] = "a" * 32
    client.get("/healthz")
    assert not Session.objects.exists()
