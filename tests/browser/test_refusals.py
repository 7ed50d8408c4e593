"""What a person sees who is refused, comes too late or finds a service away: the console's look, and what to do."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from manifold.supervisor.home import Home
from tests.browser.axe import serious_faults
from tests.browser.conftest import Open, sign_in
from tests.browser.installation import Installation
from tests.people import PASSWORD

pytestmark = [pytest.mark.all, pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])]


@pytest.fixture(scope="module")
def viewer(browser: Browser, installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cookies of somebody who sees the project `default`, and may do no more there."""
    client = installation.client()
    client.call("POST", "users/", json={"username": "vera", "password": PASSWORD})
    client.in_project("PUT", "members/vera/", json={"role": "viewer"})
    return sign_in(browser, installation, "vera", PASSWORD, tmp_path_factory.mktemp("viewer"))


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that takes connections and answers nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_is_refused(open_page: Open, viewer: Path, width: int, theme: str) -> None:
    page = open_page(viewer, width=width, theme=theme, refused=(403, 404, 405))
    for address, status, said in (
        ("/platform/people/", 403, "Only superusers"),
        ("/p/default/new-source/", 403, "An administrator of the project can do it"),
        ("/p/nowhere/", 404, "Check the address"),
        ("/account/sessions/end-others/", 405, "cannot be opened like this"),
    ):
        answer = page.goto(address)
        assert answer is not None and answer.status == status, address
        page.get_by_text(said).wait_for()
        looks_right(page, theme)


def test_a_form_that_is_out_of_date(open_page: Open, viewer: Path, width: int, theme: str) -> None:
    page = open_page(viewer, width=width, theme=theme, refused=(403,))
    page.goto("/account/")
    page.locator("[name=csrfmiddlewaretoken]").evaluate_all(
        "all => all.forEach(each => { each.value = 'x'.repeat(64) })"
    )
    page.locator('button[aria-label="Sign out"]').dispatch_event("click")
    page.get_by_role("heading", name="This form is out of date").wait_for()
    looks_right(page, theme)


def test_a_session_that_has_ended_meanwhile(open_page: Open, viewer: Path, width: int, theme: str) -> None:
    page = open_page(viewer, width=width, theme=theme)
    page.goto("/account/")
    page.context.clear_cookies(name="manifold_session")
    page.get_by_label("The one you have").fill(PASSWORD)
    page.get_by_label("A new one", exact=True).fill(PASSWORD + "-new")
    page.get_by_label("The new one again").fill(PASSWORD + "-new")
    page.get_by_role("button", name="Change the password").click()
    page.get_by_text("Your session has ended, and nothing was changed.").wait_for()
    looks_right(page, theme)
    page.get_by_label("User name").fill("vera")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/account/")


def test_what_is_sent_in_vain_is_told_by_its_reason(
    *, browser: Browser, open_page: Open, installation: Installation, tmp_path: Path, width: int, theme: str
) -> None:
    client, name = installation.client(), f"mona-{width}"
    client.call("POST", "users/", json={"username": name, "password": PASSWORD})
    client.in_project("PUT", f"members/{name}/", json={"role": "admin"})
    page = open_page(
        sign_in(browser, installation, name, PASSWORD, tmp_path), width=width, theme=theme, refused=(400, 403, 404, 413)
    )
    page.goto("/p/default/new-source/local_files/")
    page.get_by_label("Title").fill("In vain")
    page.get_by_label("Folder").evaluate("field => { field.value = 'dr\\0op' }")
    sent_in_vain(page, "a field holds a character that no text has, or more than fits", theme)
    page.get_by_label("Folder").fill(str(installation.drop))
    page.route("**/new-source/**", lambda route: route.fulfill(status=413, body="Request Entity Too Large"))
    sent_in_vain(page, "This is too large to be taken", theme)
    page.unroute("**/new-source/**")
    client.in_project("PUT", f"members/{name}/", json={"role": "viewer"})
    sent_in_vain(page, "an administrator of the project can do it", theme)
    client.in_project("DELETE", f"members/{name}/")
    sent_in_vain(page, "you are no member of its project now", theme)
    expect(page.get_by_label("Folder")).to_have_value(str(installation.drop))


def sent_in_vain(page: Page, said: str, theme: str) -> None:
    page.get_by_role("button", name="Test and go on").click()
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("alert")).not_to_contain_text("in a moment")
    looks_right(page, theme)


def test_a_service_that_is_away(
    *, open_page: Open, installation: Installation, signed_in: Path, width: int, theme: str
) -> None:
    page = open_page(signed_in, width=width, theme=theme, refused=(503,))
    with frozen(Home(installation.home).platform()["processes"]["flower"]["pid"]):
        answer = page.goto("/flower/")
        assert answer is not None and answer.status == 503
        page.get_by_role("heading", name="Flower does not answer").wait_for()
        looks_right(page, theme)
    expect(page).not_to_have_title(re.compile("does not answer"))


def looks_right(page: Page, theme: str) -> None:
    """One heading, the theme that was asked for, nothing that sticks out, no serious fault for axe-core."""
    assert page.locator("h1").count() == 1, page.url
    assert page.evaluate("document.documentElement.classList.contains('dark')") == (theme == "dark"), page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    assert serious_faults(page) == [], page.url
