"""From signing in to a snapshot, the way an operator goes it: by the pages alone, with a real worker behind them."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Open, sign_in
from tests.browser.installation import Installation

pytestmark = pytest.mark.all


def test_a_wrong_password_is_refused_in_plain_words(open_page: Open) -> None:
    page = open_page()
    page.goto("/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("not-the-password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not fit together")
    expect(page.get_by_label("User name")).to_have_value("admin")
    expect(page.get_by_label("Password")).to_have_value("")


def test_from_an_empty_installation_to_a_snapshot(
    open_page: Open, signed_in: Path, installation: Installation, outside: dict[str, str]
) -> None:
    installation.client().call("POST", "projects/", json={"slug": "story", "name": "Story"})
    page = open_page(signed_in)
    page.goto("/p/story/")
    expect(page.get_by_text("Three steps to the first run.")).to_be_visible()
    page.get_by_role("link", name="Add a source").click()
    _add_files(page, installation)
    _add_database(page, outside)
    _write_and_publish(page)
    _run_and_watch(page)
    _look_at_the_snapshot(page)
    page.goto("/p/story/audit/")
    for verb in ("source tested", "run created"):
        expect(page.get_by_role("link", name=verb).first).to_be_visible()


def _add_files(page: Page, installation: Installation) -> None:
    page.get_by_label("Address, connection string").fill(str(installation.drop / "orders-2026-01.csv"))
    page.get_by_role("button", name="Find the connector").click()
    page.get_by_label("Title").fill("Orders, a file a month")
    page.locator("[name=slug]").fill("order-drop")
    expect(page.locator("[name=param-path]")).to_have_value(str(installation.drop))
    page.get_by_role("button", name="Test and go on").click()
    expect(page.get_by_role("heading", name="What do you want from it?")).to_be_visible()
    page.get_by_role("button", name="Look at the types").click()
    expect(page.get_by_role("region", name="Rows")).to_contain_text("99.0")
    page.get_by_role("button", name="Save the source").click()
    page.get_by_role("link", name="orders", exact=True).click()
    expect(page.locator("#files")).to_contain_text("orders-2026-01.csv")


def _add_database(page: Page, outside: dict[str, str]) -> None:
    page.goto("/p/story/new-source/postgresql/")
    page.get_by_label("Title").fill("The shop")
    for name in ("host", "port", "database", "user"):
        page.locator(f"[name=param-{name}]").fill(outside[name])
    page.locator("[name=param-password]").fill("wrong")
    page.get_by_role("button", name="Test", exact=True).click()
    tried = page.locator("#tried")
    expect(tried).to_contain_text("the test failed")
    expect(tried.locator("li.failed")).to_contain_text("Authenticate")
    page.get_by_role("button", name="Test and go on").click()
    expect(tried).to_contain_text("Nothing has been saved")
    page.locator("[name=param-password]").fill(outside["password"])
    page.get_by_role("button", name="Test and go on").click()
    expect(page.locator("input[name=stream]").first).to_be_visible()
    # Other tests write a table into the same database.
    for other in page.locator("input[name=stream]:not([value='public.customers'])").all():
        other.uncheck()
    page.get_by_role("button", name="Look at the types").click()
    expect(page.get_by_role("region", name="Rows")).to_contain_text("2020-02-02")
    page.get_by_role("button", name="Save the source").click()
    expect(page.get_by_role("heading", name="The shop")).to_be_visible()
    assert outside["password"] not in page.content()
    page.goto("/p/story/sources/the-shop/edit/")
    expect(page.locator("[name=param-password]")).to_have_value("")


def _write_and_publish(page: Page) -> None:
    page.goto("/p/story/new-pipeline/")
    problems = page.locator("#problems")
    expect(problems).to_contain_text("valid")
    editor = page.get_by_role("textbox", name="Document")
    text = editor.input_value()
    editor.fill(text.replace("input: orders", "input: ordres", 1))
    expect(problems).to_contain_text("1 to mend")
    problems.get_by_role("button").first.click()
    expect(editor).to_be_focused()
    editor.fill(text)
    expect(problems).to_contain_text("valid")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("is published.")).to_be_visible()


def _run_and_watch(page: Page) -> None:
    page.get_by_role("button", name="Run now").click()
    page.wait_for_url("**/runs/*/")
    expect(page.locator("#run .state").first).to_have_text("succeeded")
    expect(page.locator("#run-steps")).to_contain_text("kept")
    expect(page.locator("#run")).to_contain_text("snapshot 1")


def _look_at_the_snapshot(page: Page) -> None:
    page.locator("#run").get_by_role("link", name="orders", exact=True).click()
    expect(page.get_by_role("region", name="Rows")).to_contain_text("99.0")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    assert waiting.value.path().read_text().count("\n") == 5


def test_a_viewer_is_offered_nothing_that_would_be_refused(
    browser: Browser, open_page: Open, installation: Installation, tmp_path: Path
) -> None:
    client = installation.client()
    client.call("POST", "projects/", json={"slug": "seen", "name": "Seen"})
    client.call("POST", "users/", json={"username": "viola", "password": "only-looks-at-things"})
    client.call("PUT", "projects/seen/members/viola/", json={"role": "viewer"})
    page = open_page(sign_in(browser, installation, "viola", "only-looks-at-things", tmp_path))
    page.goto("/p/seen/sources/")
    expect(page.get_by_role("link", name="Add")).to_have_count(0)
    refused = page.request.get("/p/seen/new-source/")
    assert refused.status == 403
    assert page.request.get("/p/default/").status == 404
