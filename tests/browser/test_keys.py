"""The console by keyboard alone: skip the navigation, search, go to a page, see which keys there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.axe import serious_faults
from tests.browser.conftest import Open
from tests.browser.installation import Installation

pytestmark = pytest.mark.all


def test_the_first_tab_leads_to_the_content(open_page: Open, signed_in: Path) -> None:
    page = open_page(signed_in)
    page.goto("/p/default/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


@pytest.mark.parametrize("width", [1400, 390])
def test_a_source_is_found_and_opened(open_page: Open, signed_in: Path, installation: Installation, width: int) -> None:
    project = f"keys-{width}"
    installation.client().call("POST", "projects/", json={"slug": project, "name": "Keys"})
    body = {
        "slug": "order-drop",
        "title": "Orders",
        "connector": "local_files",
        "params": {"path": str(installation.drop)},
    }
    installation.client(project).in_project("POST", "sources/", json=body)
    page = open_page(signed_in, width=width, height=844)
    page.goto(f"/p/{project}/")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search in Keys")).to_be_focused()
    with page.expect_response(lambda answer: answer.url.endswith("?q=ord")):
        page.keyboard.type("ord")
    expect(page.locator(".htmx-request")).to_have_count(0)
    expect(page.locator("#search-found").get_by_role("link")).to_have_count(1)
    assert not serious_faults(page)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#search-found").get_by_role("link")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/sources/order-drop/")


def test_two_letters_lead_to_a_page_unless_one_types(open_page: Open, signed_in: Path) -> None:
    page = open_page(signed_in)
    # Between the two letters no more than a moment may pass, however long the machine takes for them.
    page.clock.set_fixed_time("2026-01-01")
    page.goto("/p/default/")
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/p/default/audit/")
    page.goto("/p/default/search/")
    field = page.get_by_label("Name, title, or the beginning of a run's id")
    field.press("g")
    field.press("a")
    expect(field).to_have_value("ga")
    assert page.url.endswith("/search/")


def test_the_sheet_lists_the_keys_and_t_changes_the_theme(open_page: Open, signed_in: Path) -> None:
    page = open_page(signed_in)
    page.goto("/p/default/")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    expect(sheet).to_contain_text("Go to Pipelines")
    assert not serious_faults(page)
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    dark = re.compile(r"\bdark\b")
    expect(page.locator("html")).not_to_have_class(dark)
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_class(dark)
