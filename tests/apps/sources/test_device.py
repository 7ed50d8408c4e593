"""Connecting a source by a code that is entered elsewhere (RFC 8628), in the console and over the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.sources import services
from apps.sources.models import Connecting, Grant, Source
from tests.dataplane.connectors.rest.api import Api
from tests.dataplane.connectors.rest.reading import WAYS
from tests.oauth_server import Authority
from tests.people import Api as Clients

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/flights/sources/shop/grant/"
HTMX = {"HX-Request": "true"}
PAGE = "/p/flights/sources/shop/"


@pytest.fixture
def source(project: Project, shop: Api, authority: Authority) -> Source:
    params = {"base_url": shop.base, "streams": [WAYS["page"]], "records": "data.orders"}
    params |= authority.params("device_code")
    return services.create_source(project, slug="shop", title="", connector="rest", params=params, actor=SYSTEM)


def not_due() -> None:
    """Nobody may ask for a long time."""
    Connecting.objects.update(next_ask_at=timezone.now() + timedelta(hours=1))


def due() -> None:
    """So long as has to lie between two questions has passed."""
    Connecting.objects.update(next_ask_at=timezone.now())


def test_it_works(source: Source, api: Clients, admin: User, authority: Authority) -> None:
    client = api(admin)
    assert client.get(BASE).json()["connected"] is False
    begun = client.post(BASE)
    assert begun.status_code == 201 and begun.json()["user_code"] == "WDJB-MJHT"
    assert begun.json()["address_with_code"].endswith("/enter?user_code=WDJB-MJHT")
    not_due()
    assert client.post(f"{BASE}entered/").json() == {"connected": False, "passed": None}
    assert len(authority.asked) == 1, "nobody asks before the interval has passed"
    due()
    assert client.post(f"{BASE}entered/").json()["connected"] is False
    authority.enters = ""
    due()
    assert client.post(f"{BASE}entered/").json() == {"connected": True, "passed": True}
    told = client.get(BASE).json()
    assert told["connected"] and told["granted_by"] == "ada" and told["scope"] == "orders.read"
    assert len(authority.asked) == 3 and not Connecting.objects.exists()


def test_who_is_told_to_slow_down_does(source: Source, api: Clients, admin: User, authority: Authority) -> None:
    client = api(admin)
    client.post(BASE)
    authority.enters = "slow_down"
    for seconds in (6, 11):
        due()
        asked = timezone.now()
        assert client.post(f"{BASE}entered/").json()["connected"] is False
        row = Connecting.objects.get()
        assert row.interval == seconds and row.next_ask_at is not None
        assert row.next_ask_at - asked >= timedelta(seconds=seconds)
    authority.says["device_code"] = (503, b"")
    due()
    assert client.post(f"{BASE}entered/").status_code == 503
    assert Connecting.objects.get().interval == 22


@pytest.mark.parametrize("error", ["expired_token", "access_denied", "invalid_grant"])
def test_a_code_that_is_over_is_told(
    source: Source, api: Clients, admin: User, authority: Authority, error: str
) -> None:
    client = api(admin)
    client.post(BASE)
    authority.enters = error
    due()
    answer = client.post(f"{BASE}entered/")
    assert answer.status_code == (400 if error == "invalid_grant" else 409), answer.json()
    assert "onnect" in answer.json()["detail"] and "device-secret" not in answer.content.decode()
    assert client.post(f"{BASE}entered/").json()["detail"].startswith("The code has expired")
    assert not Grant.objects.exists()


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(("told", "kept"), [(0.5, 1), (0, 5), (-3, 5), (7.9, 7), (10**9, 60)])
def test_nobody_asks_without_a_pause(api: Clients, admin: User, authority: Authority, told: float, kept: int) -> None:
    authority.interval = told
    assert api(admin).post(BASE).json()["interval"] == kept
    assert Connecting.objects.get().interval == kept


def test_a_code_that_nobody_enters_ends(source: Source, api: Clients, admin: User, authority: Authority) -> None:
    client = api(admin)
    client.post(BASE)
    Connecting.objects.update(expires_at=timezone.now())
    due()
    assert client.post(f"{BASE}entered/").status_code == 409 and len(authority.asked) == 1


@pytest.mark.parametrize("address", ["javascript:alert(1)", "", None, 7])
def test_an_address_that_is_none_is_refused(
    source: Source, api: Clients, admin: User, authority: Authority, address: Any
) -> None:
    told = {"device_code": "d", "user_code": "A-B", "verification_uri": address}
    authority.web.bad["/device"] = lambda request: authority.say(request, 200, told)
    assert api(admin).post(BASE).status_code == 400 and not Connecting.objects.exists()


def test_the_page_shows_the_code_and_asks(client: Client, source: Source, admin: User, authority: Authority) -> None:
    client.force_login(admin)
    client.post(f"{PAGE}connect/", {"do": "connect"})
    shown = client.get(PAGE).content.decode()
    assert "WDJB-MJHT" in shown and 'hx-trigger="every 2s"' in shown and "device-secret" not in shown
    due()
    assert "WDJB-MJHT" in client.post(f"{PAGE}connect/entered/", headers=HTMX).content.decode()
    authority.enters = ""
    due()
    assert client.post(f"{PAGE}connect/entered/", headers=HTMX).headers["HX-Redirect"] == f"{PAGE}choose/"
    assert "shop is connected, and passes its test." in client.get(PAGE).content.decode()
