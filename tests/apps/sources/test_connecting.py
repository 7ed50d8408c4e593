"""Connecting a source in the console: away with a state and PKCE, and back; and what may come back instead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Project, Role, User
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.sources import services
from apps.sources.models import Connecting, Grant, Health, Source
from tests.dataplane.connectors.graphql.api import PAGED, Server
from tests.dataplane.connectors.graphql.api import WAYS as QUERIES
from tests.dataplane.connectors.rest.api import Api
from tests.dataplane.connectors.rest.reading import WAYS
from tests.oauth_server import SECRET, Authority
from tests.people import Api as Clients
from tests.people import member

pytestmark = pytest.mark.django_db
PAGE = "/p/flights/sources/shop/"
HTMX = {"HX-Request": "true"}


def added(project: Project, shop: Api, authority: Authority, **changes: Any) -> Source:
    params = {"base_url": shop.base, "streams": [WAYS["page"]], "records": "data.orders", **authority.params()}
    return services.create_source(
        project, slug="shop", title="Shop", connector="rest", params={**params, **changes}, actor=SYSTEM
    )


@pytest.fixture
def source(project: Project, shop: Api, authority: Authority) -> Source:
    return added(project, shop, authority)


@pytest.fixture
def browser(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


def away(browser: Client) -> str:
    """Where the browser is sent."""
    answer = browser.post(f"{PAGE}connect/", {"do": "connect"}, headers=HTMX)
    return answer.headers["HX-Redirect"]


def consent(address: str) -> str:
    """The address that a browser comes back to, below ours."""
    location = httpx.get(address, trust_env=False, timeout=60).headers["Location"]
    return location.removeprefix("http://testserver")


def said(browser: Client, address: str) -> str:
    """What the page says on which a browser ends that comes back."""
    return browser.get(address, follow=True).content.decode()


def test_it_works(browser: Client, source: Source, authority: Authority) -> None:
    assert "not connected" in browser.get(PAGE).content.decode()
    page = said(browser, consent(away(browser)))
    assert "shop is connected, and passes its test." in page and "orders.read" in browser.get(PAGE).content.decode()
    assert [form["grant_type"] for form in authority.asked] == ["authorization_code"]
    source.refresh_from_db()
    assert source.health == Health.HEALTHY and not Connecting.objects.exists()
    event = Event.objects.get(verb="source connected")
    assert (event.object_name, event.actor_name, event.data["scope"]) == ("shop", "ada", "orders.read")


def test_what_has_ended_is_not_said_to_hold(browser: Client, source: Source) -> None:
    said(browser, consent(away(browser)))
    assert "Renews itself" in browser.get(PAGE).content.decode()
    Grant.objects.update(refused="It is not renewed any more.")
    page = browser.get(PAGE).content.decode()
    assert "is not renewed any more" in page and "Holds until" not in page and "Renews itself" not in page


def test_a_source_of_graphql_is_connected_alike(project: Project, browser: Client, authority: Authority) -> None:
    server = Server(authority.web, admits=authority.admits)
    authority.web.bad["/graphql"] = server.answer
    params = {"base_url": server.url, "queries": PAGED, "streams": QUERIES["nodes"], **authority.params()}
    services.create_source(project, slug="shop", title="", connector="graphql", params=params, actor=SYSTEM)
    assert "passes its test" in said(browser, consent(away(browser)))


def test_before_it_is_connected_its_test_says_so(source: Source) -> None:
    check = services.test_source(source, actor=SYSTEM)
    assert (check.stages[-1]["name"], check.stages[-1]["error"]["code"]) == ("authenticate", "not_connected")
    assert check.stages[-1]["error"]["message"] == (
        "Nobody has connected shop yet, so the API lets nobody in. Press *Connect* on the page of `shop`, or run "
        "`manifold sources connect shop`."
    )
    unsaved = Source(project=source.project, connector="rest", params=source.params, credential=source.credential)
    said = services.try_source(unsaved).stages[-1].error
    assert said is not None and said.message.startswith("Nobody has connected this source yet, so the API lets nobody")
    assert "Save it, then press *Connect*" in said.message


def test_nothing_of_it_is_stored_in_clear(browser: Client, source: Source) -> None:
    address = away(browser)
    (state,) = parse_qs(urlsplit(address).query)["state"]
    row = Connecting.objects.get()
    assert state not in f"{row.__dict__ | {'address': ''}}"
    said(browser, consent(address))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(g::text, '') || (SELECT string_agg(e::text, '') FROM audit_event e) FROM sources_grant g"
        )
        stored = str(cursor.fetchone())
    for secret in ("access-1", "refresh-1", SECRET):
        assert secret not in stored
    assert "refresh-1" not in browser.get("/api/v1/projects/flights/sources/shop/").content.decode()


@pytest.mark.parametrize(
    "how", ["another state", "another browser", "another person", "too late", "twice", "signed out"]
)
def test_what_comes_back_wrongly_is_refused(
    *, browser: Client, source: Source, project: Project, authority: Authority, how: str
) -> None:
    back = consent(away(browser))
    came = browser
    if how == "another state":
        back = back.replace("state=", "state=x")
    elif how == "another browser":
        came = Client()
        came.force_login(User.objects.get(username="ada"))
    elif how == "another person":
        came = Client()
        came.force_login(member("abe", project, Role.ADMIN))
    elif how == "too late":
        Connecting.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif how == "twice":
        came.get(back)
        Grant.objects.all().delete()
        authority.asked.clear()
    elif how == "signed out":
        came = Client()
    answer = came.get(back)
    if how == "signed out":
        assert answer.status_code == 302 and answer.headers["Location"].startswith("/login/")
    else:
        assert answer.status_code == 409 and "belongs to nothing that you have begun here" in answer.content.decode()
    assert not Grant.objects.exists() and not authority.asked


def test_a_change_of_mind_there_is_told(browser: Client, source: Source, authority: Authority) -> None:
    authority.denies = "access_denied"
    assert "did not let the source in, or you cancelled" in said(browser, consent(away(browser)))
    authority.denies = "invalid_scope"
    assert "The API refused: “invalid_scope”" in said(browser, consent(away(browser)))
    assert not Grant.objects.exists() and not authority.asked


def huge() -> bytes:
    return b'{"access_token": "' + b"x" * (2 << 20) + b'"}'


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (302, b"", "it answers 302"),
        (200, b"<html>", "it answers 200"),
        (200, huge(), "it answers 200"),
        (200, b'{"access_token": "a\\nb"}', "no token that a header can hold"),
        (200, b'{"access_token": 7}', "no token that a header can hold"),
        (200, b"[" * 100_000, "it answers 200"),
        (503, b"", "gives no token now (503)"),
        (400, b'{"error": "invalid_client"}', "Correct the client and its secret"),
        (200, b'{"ok": false, "error": "invalid_code"}', "Connect the source again"),
    ],
    ids=["redirect", "html", "huge", "newline", "number", "deep", "unavailable", "client", "code"],
)
def test_a_server_of_tokens_that_answers_wrongly_is_told(
    *, browser: Client, source: Source, authority: Authority, status: int, body: bytes, words: str
) -> None:
    authority.says["authorization_code"] = (status, body)
    page = said(browser, consent(away(browser)))
    assert words in page.replace("&#x27;", "'")
    assert not Grant.objects.exists() and SECRET not in page


def test_a_server_of_tokens_that_hangs_is_left(
    browser: Client, source: Source, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.sources.services.grants.SECONDS", 0.3)
    authority.before_token = lambda: authority.web.stopped.wait(60)
    assert "stopped answering" in said(browser, consent(away(browser)))


def test_a_change_of_what_was_consented_to_voids_it(browser: Client, source: Source, shop: Api) -> None:
    back = consent(away(browser))
    services.update_source(source, params={"scope": "orders.write"}, actor=SYSTEM)
    assert browser.get(back).status_code == 409
    assert "passes its test" in said(browser, consent(away(browser)))
    services.update_source(source, params={"records": "data.orders"}, title="My shop", actor=SYSTEM)
    assert Grant.objects.exists()
    services.update_source(source, params={"base_url": shop.base.replace("127.0.0.1", "localhost")}, actor=SYSTEM)
    assert not Grant.objects.exists()


def test_it_is_disconnected(browser: Client, source: Source) -> None:
    said(browser, consent(away(browser)))
    page = browser.post(f"{PAGE}connect/", {"do": "forget"}, follow=True).content.decode()
    assert "not connected" in page and not Grant.objects.exists()
    source.refresh_from_db()
    assert source.health == Health.ERROR and "Nobody has connected it" in source.health_reason


def test_a_client_without_a_secret_may_ask(project: Project, shop: Api, authority: Authority, browser: Client) -> None:
    added(project, shop, authority, client_secret=None)
    assert "Correct the client and its secret" in said(browser, consent(away(browser)))
    assert authority.asked[-1]["client_id"] == "manifold" and "client_secret" not in authority.asked[-1]


def test_the_secret_is_sent_in_the_body_where_it_is_wanted_there(
    project: Project, shop: Api, authority: Authority, browser: Client
) -> None:
    authority.secret_in = "body"
    added(project, shop, authority)
    assert "passes its test" in said(browser, consent(away(browser)))
    assert authority.asked[-1]["client_secret"] == SECRET


def test_it_is_added_without_streams_and_connected_before_they_are_chosen(
    browser: Client, project: Project, shop: Api, authority: Authority
) -> None:
    params = {"base_url": shop.base, "streams": WAYS["page"], "records": "data.orders", **authority.params()}
    form = {f"param-{name}": text for name, text in params.items()}
    answer = browser.post("/p/flights/new-source/rest/", {**form, "title": "Shop", "do": "next"}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == PAGE
    assert "shop is added. Connect it now." in browser.get(PAGE).content.decode()
    answer = browser.get(consent(away(browser)))
    assert answer.headers["Location"] == f"{PAGE}choose/"
    assert "orders" in browser.get(answer.headers["Location"], headers=HTMX).content.decode()


def test_a_source_that_needs_no_consent_has_none(project: Project, shop: Api, browser: Client) -> None:
    params = {"base_url": shop.base, "streams": [WAYS["page"]]}
    services.create_source(project, slug="shop", title="", connector="rest", params=params, actor=SYSTEM)
    assert "grant-title" not in browser.get(PAGE).content.decode()
    answer = browser.post(f"{PAGE}connect/", {"do": "connect"}, follow=True)
    assert not Connecting.objects.exists() and answer.status_code == 200


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "10.1.2.3"])
def test_no_address_of_a_token_leads_into_the_own_network(
    project: Project, shop: Api, authority: Authority, browser: Client, host: str
) -> None:
    added(project, shop, authority, token_url=f"http://{host}/latest")
    page = said(browser, consent(away(browser)))
    assert "which no source may reach" in page or "an address of a private network" in page
    assert not Grant.objects.exists()


def test_what_the_api_began_comes_back_to_the_same_person(
    *, api: Clients, admin: User, browser: Client, project: Project, source: Source
) -> None:
    begun = api(admin).post("/api/v1/projects/flights/sources/shop/grant/").json()
    assert begun["redirect_uri"] == "http://testserver/oauth/callback" and begun["user_code"] == ""
    back = consent(begun["address"])
    other = Client()
    other.force_login(member("abe", project, Role.ADMIN))
    assert other.get(back).status_code == 409
    assert "passes its test" in said(browser, back)
