"""Signing in through a provider and with a code, in an installation that asks everybody for a second factor."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from apps.accounts import totp
from tests.apps.accounts.provider import CLIENT, SECRET, Provider
from tests.browser.axe import serious_faults
from tests.browser.conftest import PATIENCE, watch
from tests.browser.installation import Installation, wait_until_served

pytestmark = pytest.mark.all


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider().serving() as provider:
        provider.person = {"sub": "1", "email": "nina@example.org", "email_verified": True, "groups": ["data"]}
        yield provider


@pytest.fixture(scope="module")
def guarded(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation of its own, since its settings are other than those of all other tests."""
    folder = tmp_path_factory.mktemp("guarded")
    folder.chmod(0o755)
    found = Installation(folder)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MANIFOLD_OIDC_ISSUER", provider.url)
        environment.setenv("MANIFOLD_OIDC_CLIENT_ID", CLIENT)
        environment.setenv("MANIFOLD_OIDC_CLIENT_SECRET", SECRET)
        environment.setenv("MANIFOLD_OIDC_TITLE", "Keyhouse")
        environment.setenv("MANIFOLD_OIDC_NEW_PEOPLE", "true")
        environment.setenv("MANIFOLD_OIDC_GROUPS", "data=default:viewer")
        environment.setenv("MANIFOLD_REQUIRE_MFA", "true")
        found.start("up", "--workers", "1")
    try:
        wait_until_served(found.url)
        yield found
    finally:
        found.stop()


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_through_the_provider_and_with_a_code(
    *, browser: Browser, guarded: Installation, provider: Provider, width: int, theme: str
) -> None:
    provider.person |= {"sub": theme, "email": f"nina-{theme}@example.org"}
    context = browser.new_context(
        base_url=guarded.url,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
    )
    errors: list[str] = []
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    watch(page, errors)

    page.goto("/login/")
    assert serious_faults(page) == []
    page.get_by_role("link", name="Sign in with Keyhouse").click()
    page.wait_for_url("**/account/second-factor/")
    assert serious_faults(page) == []
    page.get_by_role("button", name="Set it up").click()
    page.get_by_role("img", name="The key as a QR code").wait_for()
    assert serious_faults(page) == []
    _fits(page)
    secret = page.locator("#factor-key").inner_text().replace(" ", "")
    page.get_by_role("textbox", name="Code").fill(_code(secret))
    page.get_by_role("button", name="Switch it on").click()
    recovery = page.locator("#recovery-codes").inner_text().split()
    assert len(recovery) == 10
    assert serious_faults(page) == []
    _fits(page)
    page.get_by_role("link", name="I have kept them").click()
    page.wait_for_url("**/p/default/")
    page.goto("/account/")
    assert serious_faults(page) == []
    _fits(page)

    # On a phone it is in the drawer.
    page.locator('button[aria-label="Sign out"]').dispatch_event("click")
    page.get_by_role("link", name="Sign out there, too").wait_for()
    page.get_by_role("link", name="Sign in with Keyhouse").click()
    page.get_by_role("textbox", name="Code").fill(recovery[0])
    assert serious_faults(page) == []
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/p/default/")
    assert errors == []
    context.close()


def _code(secret: str) -> str:
    return totp.code_at(secret, int(time.time()) // totp.STEP)


def _fits(page: Page) -> None:
    """Nothing sticks out of the page to the right."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
