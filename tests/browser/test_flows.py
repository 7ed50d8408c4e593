"""What an operator does with a pipeline and its runs: each dialog and form, with a real worker behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page, Route, expect
from psycopg.conninfo import make_conninfo

from manifold.client import Client
from tests.browser.axe import serious_faults
from tests.browser.conftest import PATIENCE, Open
from tests.browser.installation import Installation

pytestmark = pytest.mark.all

FILES = """\
manifold: 1
pipeline: {name}
steps:
  orders: {{extract: {{source: order-drop, stream: orders, mode: {mode}}}}}
  sound:
    check:
      input: orders
      rules: [{{range: {{column: amount, max: 50}}, action: {action}}}]
  kept: {{load: {{input: sound, dataset: {name}, mode: replace}}}}
  names: {{sql: {{inputs: {{o: orders}}, query: SELECT DISTINCT customer FROM o}}}}
  people: {{load: {{input: names, dataset: {name}-people, mode: replace}}}}
"""
TABLE = """\
manifold: 1
pipeline: held
steps:
  rows: {extract: {source: shop, stream: public.held, mode: full_refresh}}
  kept: {load: {input: rows, dataset: held, mode: replace}}
"""


@pytest.fixture(scope="module")
def project(installation: Installation, outside: dict[str, str]) -> Client:
    """A project with four pipelines, of which none has run."""
    installation.client().call("POST", "projects/", json={"slug": "flows", "name": "Flows"})
    client = installation.client("flows")
    with psycopg.connect(_address(outside)) as connection:
        connection.execute("CREATE TABLE held AS SELECT 1 AS id")
    drop = {"path": str(installation.drop)}
    for slug, connector, params in (
        ("order-drop", "local_files", drop),
        ("shop", "postgresql", {**outside, "port": int(outside["port"])}),
    ):
        body = {"slug": slug, "title": slug, "connector": connector, "params": params}
        client.in_project("POST", "sources/", json=body)
        client.in_project("POST", f"sources/{slug}/discover/")
    orders = FILES.format(name="orders", mode="incremental", action="warn")
    for text in (orders, FILES.format(name="asks", mode="full_refresh", action="ask"), TABLE):
        client.in_project("POST", "pipelines/apply/", json={"text": text, "publish": True})
    return client


def _address(outside: dict[str, str]) -> str:
    names = {name: value for name, value in outside.items() if name != "database"}
    return make_conninfo(dbname=outside["database"], **names)


@contextmanager
def _locked(outside: dict[str, str]) -> Iterator[None]:
    """While it lasts, whoever reads the table waits."""
    with psycopg.connect(_address(outside)) as connection:
        connection.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        yield


def _state(page: Page, state: str) -> None:
    expect(page.locator("#run .head .state").first).to_have_text(state)


def _dialog(page: Page, opener: str, name: str | re.Pattern[str]) -> None:
    """Open it, and look whether it can be used by everybody."""
    page.get_by_role("button", name=opener, exact=True).click()
    expect(page.get_by_role("dialog", name=name)).to_be_visible()
    assert not serious_faults(page)


def _narrowed_while_the_page_asks_by_itself(page: Page) -> None:
    """What is chosen for the log is shown, whatever it asked for by itself just before."""
    held: list[Route] = []
    page.route(re.compile("/log/"), lambda route: held.append(route) if len(held) < 2 else route.fallback())
    with page.expect_request(re.compile("/log/")):
        pass
    with page.expect_request(re.compile("/log/.*step=kept")):
        page.get_by_label("Step", exact=True).select_option("kept")
    for route in held:
        route.continue_()
        route.request.response()
    expect(page.locator("#log").get_by_role("link", name="Download")).to_have_attribute("href", re.compile("step=kept"))


def test_only_some_steps_run_in_the_chosen_mode_after_a_look_at_the_plan(
    open_page: Open, signed_in: Path, project: Client
) -> None:
    page = open_page(signed_in)
    page.goto("/p/flows/pipelines/orders/")
    _dialog(page, "Choose how to run", "Run orders")
    dialog = page.get_by_role("dialog", name="Run orders")
    dialog.get_by_label("Seed").check()
    dialog.get_by_label("people").check()
    dialog.get_by_role("button", name="Show the plan").click()
    expect(dialog.locator("#run-plan tbody tr")).to_have_count(3)
    dialog.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/*/")
    _state(page, "succeeded")
    expect(page.locator("#run .head-facts")).to_contain_text("seed, started by admin")
    expect(page.locator("#run")).to_contain_text("orders-people")
    for key, state in (("people", "succeeded"), ("kept", "skipped")):
        expect(page.locator(f"#step-{key} .state")).to_have_text(state)
    page.get_by_label("Step", exact=True).select_option("names")
    expect(page.locator("#log .log .who").filter(has_not_text="names")).to_have_count(0)


def test_a_run_that_asks_is_found_at_home_and_decided(open_page: Open, signed_in: Path, project: Client) -> None:
    run = project.in_project("POST", "pipelines/asks/runs/", json={})["id"]
    page = open_page(signed_in, width=390, height=844)
    page.goto(f"/p/flows/runs/{run}/")
    _state(page, "waiting")
    page.goto("/p/flows/")
    page.locator("#failed").get_by_role("link", name="Decide").click()
    page.wait_for_url(f"**/runs/{run}/")
    _dialog(page, "Decide", "Decide")
    dialog = page.get_by_role("dialog", name="Decide")
    dialog.get_by_label("Reason").fill("The big order is right.")
    dialog.get_by_role("button", name="Continue").click()
    _state(page, "succeeded · warned")
    expect(page.locator("#run")).to_contain_text("admin decided: continue")
    expect(page.locator("#run")).to_contain_text("The big order is right.")


def test_a_list_that_goes_on_by_itself_waits_while_something_in_it_is_pressed(
    open_page: Open, signed_in: Path, project: Client, outside: dict[str, str]
) -> None:
    page = open_page(signed_in)
    looked = re.compile("/p/flows/runs/[?]?[^/]*$")
    with _locked(outside):
        first, second = (project.in_project("POST", "pipelines/held/runs/", json={})["id"] for _ in range(2))
        page.goto("/p/flows/runs/")
        page.locator(f"#runs a[href$='/{first}/']").hover()
        page.mouse.down()
        project.in_project("POST", f"runs/{second}/cancel/", json={})
        for _ in range(2):
            with page.expect_response(looked):
                pass
        page.mouse.up()
        page.wait_for_url(f"**/runs/{first}/")
        page.goto("/p/flows/runs/")
        project.in_project("POST", f"runs/{first}/cancel/", json={})
        expect(page.locator("#runs .state", has_text="cancelled")).to_have_count(2)


def test_a_run_is_paused_resumed_cancelled_and_retried(
    open_page: Open, signed_in: Path, project: Client, outside: dict[str, str]
) -> None:
    page = open_page(signed_in)
    with _locked(outside):
        page.goto("/p/flows/pipelines/held/")
        page.get_by_role("button", name="Run now").click()
        page.wait_for_url("**/runs/*/")
        _state(page, "running")
        _narrowed_while_the_page_asks_by_itself(page)
        _dialog(page, "Pause", "Pause this run")
        page.get_by_role("dialog").get_by_label("Reason").fill("The shop is moving.")
        page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        _state(page, "paused")
        expect(page.locator("#run .callout")).to_contain_text("The shop is moving.")
        page.get_by_role("button", name="Resume").click()
        _state(page, "running")
        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#run .head .state").first).to_have_text(re.compile("stopping|cancelled"))
    _state(page, "cancelled")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("link", name="repeats an earlier run")).to_be_visible()
    _state(page, "succeeded")


def test_a_pipeline_is_paused_and_what_waits_is_skipped(open_page: Open, signed_in: Path, project: Client) -> None:
    page = open_page(signed_in)
    page.goto("/p/flows/pipelines/held/")
    _dialog(page, "Pause", "Pause held")
    page.get_by_role("dialog").get_by_label("Reason").fill("Until Monday.")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.locator(".callout.warn")).to_contain_text("Until Monday.")
    page.get_by_role("button", name="Run now").click()
    page.wait_for_url("**/runs/*/")
    _state(page, "pending")
    expect(page.locator("#run .callout")).to_contain_text("Until Monday.")
    _dialog(page, "Skip", "Skip this run")
    page.get_by_role("dialog").get_by_role("button", name="Skip").click()
    _state(page, "skipped")
    page.goto("/p/flows/pipelines/held/")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()


def test_a_pipeline_is_cloned_with_datasets_of_its_own(open_page: Open, signed_in: Path, project: Client) -> None:
    page = open_page(signed_in)
    page.goto("/p/flows/pipelines/orders/")
    _dialog(page, "Clone", "Clone orders")
    page.get_by_label("Name", exact=True).fill("orders-two")
    page.get_by_label("Instead of orders", exact=True).fill("second-orders")
    page.get_by_role("dialog").get_by_role("button", name="Clone").click()
    page.wait_for_url("**/pipelines/orders-two/**")
    draft = project.in_project("GET", "pipelines/orders-two/")["draft"]
    assert "dataset: second-orders," in draft
    assert "dataset: orders," not in draft


def test_a_schedule_shows_its_next_starts_and_is_switched_on(open_page: Open, signed_in: Path, project: Client) -> None:
    page = open_page(signed_in, width=390, height=844, theme="dark")
    page.goto("/p/flows/pipelines/orders/")
    page.locator("#schedule").get_by_role("link", name="Add one").click()
    moments = page.locator("#moments")
    expect(moments).to_contain_text("It starts only when")
    page.get_by_label("Starts").select_option("cron")
    page.get_by_label("Cron").fill("61 * * * *")
    expect(moments.get_by_role("alert")).to_contain_text("cron")
    page.get_by_label("Starts").select_option("weekly")
    page.get_by_label("At", exact=True).fill("06:30")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    expect(moments.get_by_role("listitem")).to_have_count(5)
    expect(moments.get_by_role("listitem").first).to_contain_text(re.compile(r"06:30 CES?T.*on your clock"))
    assert not serious_faults(page)
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/pipelines/orders/")
    card = page.locator("#schedule")
    expect(card.locator("header .state")).to_have_text("off")
    card.get_by_role("button", name="Switch on").click()
    expect(card.locator("header .state")).to_have_text("on")
    page.goto("/p/flows/")
    expect(page.locator(".answer.next small")).to_have_text("orders")
    page.goto("/p/flows/pipelines/orders/")
    card.get_by_role("button", name="Switch off").click()
    expect(card.locator("header .state")).to_have_text("off")


def test_the_secret_of_an_inbound_trigger_is_shown_once(open_page: Open, signed_in: Path, project: Client) -> None:
    page = open_page(signed_in)
    page.goto("/p/flows/pipelines/orders/hooks/")
    page.get_by_label("Name").fill("shop")
    page.get_by_role("button", name="Add it").click()
    shown = page.get_by_role("status").filter(has_text="not shown again").locator("code")
    secret = shown.inner_text()
    assert secret.startswith("whsec_")
    assert not serious_faults(page)
    page.goto("/p/flows/pipelines/orders/hooks/")
    expect(page.get_by_role("heading", name="shop")).to_be_visible()
    assert secret not in page.content()
    page.get_by_role("button", name="Switch off").click()
    expect(page.locator(".card .state")).to_have_text("off")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="No inbound trigger yet")).to_be_visible()


def test_a_query_that_takes_long_is_stopped(open_page: Open, signed_in: Path, project: Client) -> None:
    run = project.in_project("POST", "pipelines/orders/runs/", json={"mode": "seed"})
    assert project.wait(run["id"], seconds=PATIENCE / 1000)["state"] == "succeeded"
    # Stopped: 409. A wish that overtakes its query: 404, and it is sent again.
    page = open_page(signed_in, refused=(404, 409))
    page.goto("/p/flows/sql/?dataset=orders")
    page.locator(".CodeMirror").click()
    page.keyboard.press("Control+a")
    # Four rows times themselves: more than anybody counts.
    page.keyboard.insert_text("SELECT count(*) FROM " + ", ".join(f"orders AS o{number}" for number in range(24)))
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#sql-answer")).to_contain_text("stopped by admin")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
