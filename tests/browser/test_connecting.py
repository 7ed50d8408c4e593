"""Connecting a source by its pages: from the form to whoever lets it in and back, and by a code to enter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import serious_faults
from tests.browser.conftest import Open
from tests.browser.installation import Installation
from tests.dataplane.connectors.rest.api import Api, serving_orders
from tests.dataplane.connectors.rest.reading import WAYS
from tests.oauth_server import SECRET, Authority, authority_on

pytestmark = pytest.mark.all
LOOKS = [(1400, "light"), (390, "dark")]


@pytest.fixture
def shop() -> Iterator[Api]:
    with serving_orders() as served:
        yield served


@pytest.fixture
def authority(shop: Api) -> Iterator[Authority]:
    with authority_on(shop.web) as served:
        shop.admits = served.admits
        yield served


def _sound(page: Page) -> None:
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _added(page: Page, title: str, shop: Api, authority: Authority, auth: str) -> None:
    """Fill in the form and go on, which stores the source and leads to its page."""
    page.goto("/p/default/new-source/rest/")
    page.get_by_label("Title").fill(title)
    params = {"base_url": shop.base, "streams": WAYS["page"], "records": "data.orders", **authority.params(auth)}
    for name in ("auth", "client_in"):
        page.locator(f"[name=param-{name}]").select_option(params.pop(name))
    for name, text in params.items():
        page.locator(f"[name=param-{name}]").fill(text)
    page.get_by_role("button", name="Test and go on").click()
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    expect(page.get_by_text("not connected", exact=True)).to_be_visible()


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_somebody_consents_and_comes_back(
    *, width: int, theme: str, open_page: Open, signed_in: Path, shop: Api, authority: Authority
) -> None:
    page = open_page(signed_in, width=width, height=844, theme=theme)
    _added(page, f"Consent at {width}", shop, authority, "authorization_code")
    _sound(page)
    authority.denies = "access_denied"
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_text("did not let the source in, or you cancelled")).to_be_visible()
    authority.denies = ""
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_role("checkbox", name="orders")).to_be_visible()
    page.goto(f"/p/default/sources/consent-at-{width}/")
    card = page.get_by_role("region", name="Access")
    expect(card).to_contain_text("orders.read")
    expect(card.get_by_role("button", name="Connect again")).to_be_visible()
    assert SECRET not in page.content() and "access-1" not in page.content()
    _sound(page)
    authority.forget_all()
    page.get_by_role("button", name="Test now").click()
    expect(card).to_contain_text("ended")
    expect(page.locator(".head-facts")).to_contain_text("error")
    _sound(page)


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_a_code_is_entered_elsewhere(
    *, width: int, theme: str, open_page: Open, signed_in: Path, shop: Api, authority: Authority
) -> None:
    page = open_page(signed_in, width=width, height=844, theme=theme)
    _added(page, f"Code at {width}", shop, authority, "device_code")
    page.get_by_role("button", name="Connect", exact=True).click()
    card = page.get_by_role("region", name="Access")
    expect(card).to_contain_text("WDJB-MJHT")
    _sound(page)
    with page.expect_response("**/connect/entered/") as asked:
        pass
    assert asked.value.ok
    expect(card).to_contain_text("WDJB-MJHT")
    authority.enters = ""
    expect(page.get_by_role("checkbox", name="orders")).to_be_visible()


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_a_template_fills_the_form(
    *, width: int, theme: str, open_page: Open, signed_in: Path, installation: Installation, shop: Api
) -> None:
    page = open_page(signed_in, width=width, height=844, theme=theme)
    page.goto("/p/default/new-source/")
    _sound(page)
    page.get_by_role("link", name="JSON API with pages").click()
    expect(page.get_by_label("Title")).to_be_visible()
    _sound(page)
    page.get_by_label("Title").fill(f"Template at {width}")
    page.get_by_label("Server").fill(shop.base.removeprefix("http://127.0.0.1:").partition("/")[0])
    page.get_by_label("Path of the records", exact=True).first.fill("page")
    page.locator("[name=param-base_url]").fill("http://127.0.0.1:{host}/v1")
    page.locator("[name=param-records]").fill("data.orders")
    page.get_by_role("button", name="Test and go on").click()
    expect(page.get_by_role("checkbox", name="records")).to_be_visible()
