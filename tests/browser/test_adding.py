"""Adding a source by its pages: pasted, tried with a wrong and the right password, streams, types; only then stored."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.axe import serious_faults
from tests.browser.conftest import Open
from tests.browser.installation import Installation

pytestmark = pytest.mark.all


def _paste(page: Page, text: str) -> None:
    page.get_by_label("Address, connection string").fill(text)
    page.get_by_role("button", name="Find the connector").click()


def _sound(page: Page) -> None:
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_from_a_pasted_address_to_a_source(
    *, width: int, theme: str, open_page: Open, signed_in: Path, installation: Installation, outside: dict[str, str]
) -> None:
    client = installation.client()
    page = open_page(signed_in, width=width, height=844, theme=theme)
    page.goto("/p/default/new-source/")
    _paste(page, "https://example.org/export?id=7")
    expect(page.get_by_role("button", name="Take REST API")).to_be_visible()
    _sound(page)
    wrong = "postgresql://{user}:wrong-{password}@{host}:{port}/{database}"
    given = {name: quote(value, safe="") for name, value in outside.items()}
    _paste(page, wrong.format(**given))
    expect(page.locator("[name=param-database]")).to_have_value(outside["database"])
    expect(page.locator("[name=param-password]")).to_have_value("")
    page.get_by_label("Title").fill(f"Shop at {width}")
    page.get_by_role("button", name="Test and go on").click()
    tried = page.locator("#tried")
    expect(tried.locator("li.failed")).to_contain_text("Authenticate")
    expect(tried).to_contain_text("Nothing has been saved")
    _sound(page)
    page.locator("[name=param-password]").fill(outside["password"])
    page.get_by_role("button", name="Test and go on").click()
    expect(page.get_by_label("Cursor of public.customers")).to_be_visible()
    for other in page.locator("input[name=stream]:not([value='public.customers'])").all():
        other.uncheck()
    page.get_by_label("Cursor of public.customers").select_option("since")
    _sound(page)
    page.get_by_role("button", name="Look at the types").click()
    expect(page.get_by_role("region", name="Rows")).to_contain_text("2020-02-02")
    page.get_by_label("Type of name").fill("BIGINT")
    page.get_by_role("button", name="Try these types").click()
    expect(page.locator("#sample-0").get_by_role("alert")).to_be_visible()
    _sound(page)
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_label("Cursor of public.customers")).to_have_value("since")
    page.get_by_role("button", name="Look at the types").click()
    expect(page.get_by_role("region", name="Rows")).to_be_visible()
    assert not [each for each in client.each("sources/") if each["slug"] == f"shop-at-{width}"]
    assert outside["password"] not in page.content()
    page.get_by_role("button", name="Save the source").click()
    expect(page.get_by_role("heading", name=f"Shop at {width}")).to_be_visible()
    expect(page.locator(".head-facts")).to_contain_text("healthy")
    stream = client.in_project("GET", f"sources/shop-at-{width}/streams/public.customers/")
    assert stream["config"]["cursor"] == "since"


def test_a_file_is_told_by_its_beginning_and_left_where_it_is(
    open_page: Open, signed_in: Path, installation: Installation, tmp_path: Path
) -> None:
    (tmp_path / "shop.db").write_bytes(b"SQLite format 3\0" + bytes(100_000))
    page = open_page(signed_in)
    page.goto("/p/default/new-source/")
    with page.expect_request(lambda each: each.method == "POST") as sent:
        page.locator("input[type=file]").set_input_files(tmp_path / "shop.db")
    assert len(sent.value.post_data or "") < 200_000
    expect(page.locator("#connection")).to_contain_text("It begins as files of SQLite do.")
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("button", name="Find the connector")).to_be_visible()


def test_the_browser_s_back_leads_to_the_step_before_and_keeps_what_was_entered(
    open_page: Open, signed_in: Path, installation: Installation
) -> None:
    page = open_page(signed_in)
    page.goto("/p/default/new-source/")
    _paste(page, str(installation.drop))
    page.get_by_label("Title").fill("Going back")
    page.get_by_role("button", name="Test and go on").click()
    expect(page.get_by_role("button", name="Look at the types")).to_be_visible()
    # A link to a place of the page is an entry of its own, of the same step.
    page.get_by_role("link", name="Skip to the content").press("Enter")
    page.wait_for_url("**#content")
    page.go_back()
    expect(page.get_by_role("button", name="Look at the types")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Title")).to_have_value("Going back")
    step = page.evaluate("history.state.step")
    page.go_forward()
    # The step after it is empty now, so the page itself goes back.
    page.wait_for_function("step => history.state.step === step", arg=step)
    expect(page.get_by_label("Title")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Address, connection string")).to_have_value(str(installation.drop))


@pytest.mark.parametrize("width", [1400, 390])
def test_a_button_counts_that_what_was_to_come_moves_while_it_is_pressed(
    open_page: Open, signed_in: Path, installation: Installation, width: int
) -> None:
    page = open_page(signed_in, width=width, height=844)
    page.goto("/p/default/new-source/local_files/")
    page.get_by_label("Title").fill(f"Pressed at {width}")
    page.get_by_label("Folder").fill(str(installation.drop))
    page.get_by_role("button", name="Test and go on").click()
    to_come: list[Route] = []
    page.route(
        "**/new-source/**",
        lambda route: to_come.append(route) if "do=sample" in (route.request.post_data or "") else route.fallback(),
    )
    with page.expect_request(lambda each: "do=sample" in (each.post_data or "")):
        page.get_by_role("button", name="Look at the types").click()
    save, tried = page.get_by_role("button", name="Save the source"), page.locator("#sample-0 .callout")
    save.hover()
    before = save.bounding_box()
    page.mouse.down()
    to_come.pop().continue_()
    expect(tried).to_be_visible()
    assert save.bounding_box() != before, "it moves"
    page.mouse.up()
    expect(page.get_by_role("heading", name=f"Pressed at {width}")).to_be_visible()


def test_a_button_that_is_left_before_it_is_let_go_is_not_pressed(
    open_page: Open, signed_in: Path, installation: Installation
) -> None:
    page = open_page(signed_in)
    page.goto("/p/default/new-source/local_files/")
    page.get_by_label("Title").fill("Left")
    page.get_by_label("Folder").fill(str(installation.drop))
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.post_data or ""))
    page.get_by_role("button", name="Test", exact=True).hover()
    page.mouse.down()
    page.get_by_role("heading", name="Local files").hover()
    page.mouse.up()
    page.get_by_role("button", name="Test and go on").click()
    expect(page.get_by_role("button", name="Look at the types")).to_be_visible()
    assert sum("do=" in each for each in asked) == 1


def test_whoever_is_signed_out_on_the_way_loses_nothing(
    open_page: Open, signed_in: Path, installation: Installation
) -> None:
    page = open_page(signed_in, refused=(401,))
    page.goto("/p/default/new-source/local_files/")
    page.get_by_label("Title").fill("Signed out")
    page.get_by_label("Folder").fill(str(installation.drop))
    page.context.clear_cookies(name="manifold_session")
    page.get_by_role("button", name="Test and go on").click()
    expect(page.get_by_role("alert")).to_contain_text("Your session has ended")
    assert serious_faults(page) == []
    with page.context.expect_page() as opened:
        page.get_by_role("alert").get_by_role("link", name="Sign in in another tab").click()
    other = opened.value
    other.get_by_label("User name").fill("admin")
    other.get_by_label("Password").fill(installation.password)
    other.get_by_role("button", name="Sign in").click()
    other.wait_for_url("**/p/**")
    page.get_by_role("button", name="Test and go on").click()
    expect(page.get_by_role("button", name="Look at the types")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()
