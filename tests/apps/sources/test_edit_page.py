"""The page that changes a source: how often it is tested, and until when its secrets are good."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.sources import services
from apps.sources.models import Source
from dataplane.connectors import registry
from dataplane.connectors.fields import fields_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, admin: User, project: Project, unreachable: Source) -> Any:
    """Send the form of the source, as it is but for what is given."""
    client.force_login(admin)
    address = f"/p/{project.slug}/sources/{unreachable.slug}/edit/"
    form = {"title": "Nowhere", "param-host": "127.0.0.1", "param-port": "1", "param-database": "d", "param-user": "u"}
    return lambda **given: client.post(address, form | given) if given else client.get(address)


def test_it_works(page: Any, unreachable: Source) -> None:
    said = page().content.decode()
    assert 'name="expires_on"' in said and '<option value="900" selected>15 minutes</option>' in said
    page(expires_on="2030-12-31", check_every="3600")
    found = Source.objects.select_related("credential").get(pk=unreachable.pk)
    assert found.credential is not None
    assert (str(found.credential.expires_on), found.check_every) == ("2030-12-31", 3600)
    assert 'value="2030-12-31"' in page().content.decode()


def test_new_secrets_clear_the_day_of_the_old_ones(page: Any, unreachable: Source) -> None:
    page(expires_on="2030-12-31")
    page(**{"expires_on": "2030-12-31", "param-password": "new"})
    found = Source.objects.select_related("credential").get(pk=unreachable.pk)
    assert found.credential is not None and found.credential.expires_on is None
    page(**{"expires_on": "2031-12-31", "param-password": "newer"})
    found.credential.refresh_from_db()
    assert str(found.credential.expires_on) == "2031-12-31"


def test_a_stored_secret_is_removed_when_somebody_says_so(page: Any, unreachable: Source) -> None:
    page(**{"param-password": "kept"})
    assert 'name="remove-password"' in page().content.decode()
    page(**{"remove-password": "", "param-password": ""})
    assert _secrets(unreachable) == ["password"]
    page(**{"remove-password": "on", "param-password": "newer"})
    assert _secrets(unreachable) == ["password"]
    page(**{"remove-password": "on"})
    assert _secrets(unreachable) == []
    assert 'name="remove-password"' not in page().content.decode()


def _secrets(source: Source) -> list[str]:
    found = Source.objects.select_related("credential").get(pk=source.pk)
    return list(found.credential.secrets) if found.credential else []


@pytest.mark.parametrize(("name", "value"), [("expires_on", "2030-02-31"), ("check_every", "5")])
def test_what_is_no_day_and_no_interval_is_refused(page: Any, unreachable: Source, name: str, value: str) -> None:
    said = page(**{name: value}).content.decode()
    assert ("Secrets expire on" if name == "expires_on" else "Test it every") in said
    assert Source.objects.get(pk=unreachable.pk).title == unreachable.title


def test_settings_are_shown_in_the_order_of_the_form_and_in_words(
    client: Client, admin: User, project: Project
) -> None:
    given = {"host": "127.0.0.1", "port": 1, "tls": False}
    services.create_source(project, slug="events", title="", connector="redis_streams", params=given, actor=SYSTEM)
    client.force_login(admin)
    said = client.get(f"/p/{project.slug}/sources/events/").content.decode()
    assert '<dt>TLS</dt><dd class="written">no</dd>' in said
    assert '<dt>Time of a run, in seconds</dt><dd class="written">600</dd>' in said
    fields = [each for each in fields_of(registry.get("redis_streams").Params) if each.kind != "secret"]
    shown = [f"<dt>{each.title}</dt>" for each in fields]
    places = [said.index(each) for each in shown if each in said]
    assert len(places) > 6 and places == sorted(places)
