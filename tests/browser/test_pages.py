"""Every page, empty and full, at two widths, in both themes.

No error in the console, nothing that scrolls sideways, no serious fault for axe-core, and thumbs hit what is pressed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE, Open
from tests.browser.installation import Installation
from tests.browser.walking import sideways, visit

pytestmark = pytest.mark.all

EMPTY = [
    "",
    "sources/",
    "history/",
    "new-source/",
    "pipelines/",
    "new-pipeline/",
    "runs/",
    "datasets/",
    "sql/",
    "audit/",
    "members/",
]
OWN = [
    "/tokens/",
    "/account/",
    "/account/second-factor/",
    "/platform/people/",
    "/platform/people/admin/",
    "/platform/projects/",
    "/platform/audit/",
    "/platform/audit/verify/",
]
LISTS = ["/admin/", "/admin/audit/event/", "/admin/accounts/membership/"]
DOCUMENT = """\
manifold: 1
pipeline: orders
title: Orders of the shop
steps:
  orders: {extract: {source: order-drop, stream: orders, mode: incremental}}
  sound:
    check:
      input: orders
      rules:
        - {not_null: [id, customer], action: stop}
        - {range: {column: amount, max: 50}, action: quarantine}
  kept: {load: {input: sound, dataset: orders, mode: append}}
  shown: {load: {input: sound, destination: shop, table: public.kept_orders, mode: merge, key: [id]}}
"""


@pytest.fixture(scope="session")
def full(installation: Installation, outside: dict[str, str]) -> list[str]:
    """The addresses of a project in which everything has been used: a run that set rows aside, and one that failed."""
    installation.client().call("POST", "projects/", json={"slug": "full", "name": "Full"})
    client = installation.client("full")
    path = {"path": str(installation.drop)}
    client.in_project("POST", "sources/", json=_source("order-drop", "Orders", "local_files", path))
    client.in_project(
        "POST", "sources/", json=_source("shop", "The shop", "postgresql", {**outside, "port": int(outside["port"])})
    )
    for slug in ("order-drop", "shop"):
        client.in_project("POST", f"sources/{slug}/test/")
        client.in_project("POST", f"sources/{slug}/discover/")
    client.in_project("PATCH", "sources/shop/", json={"writable": True})
    client.in_project("POST", "pipelines/apply/", json={"text": DOCUMENT, "publish": True})
    good = client.wait(client.in_project("POST", "pipelines/orders/runs/", json={})["id"], seconds=PATIENCE / 1000)
    assert good["state"] == "succeeded", good
    stopping = DOCUMENT.replace("max: 50}, action: quarantine", "max: 50}, action: stop").replace("orders", "strict", 1)
    stopping = stopping.replace("dataset: orders", "dataset: strict").replace("pipeline: orders", "pipeline: strict")
    client.in_project("POST", "pipelines/apply/", json={"text": stopping, "publish": True})
    bad = client.wait(client.in_project("POST", "pipelines/strict/runs/", json={})["id"], seconds=PATIENCE / 1000)
    assert bad["state"] == "failed", bad
    streams = client.in_project("GET", "sources/order-drop/streams/")["results"]
    assert streams
    return [
        *EMPTY,
        "sources/order-drop/",
        "sources/order-drop/history/",
        "sources/order-drop/impact/",
        "sources/order-drop/cost/",
        "datasets/orders/freshness/",
        "sources/shop/",
        "sources/shop/edit/",
        "sources/shop/choose/",
        "sources/shop/new-query/",
        "new-source/postgresql/",
        "pipelines/orders/",
        "pipelines/orders/edit/",
        "pipelines/orders/plan/",
        "pipelines/orders/files/",
        "pipelines/orders/schedule/",
        "pipelines/orders/retries/",
        "pipelines/orders/retries/?step=kept",
        "pipelines/orders/hooks/",
        "pipelines/orders/backfills/",
        "pipelines/orders/versions/1/",
        f"runs/{good['id']}/",
        f"runs/{bad['id']}/",
        "datasets/orders/",
        "datasets/orders.rejected/",
    ]


def _source(slug: str, title: str, connector: str, params: Mapping[str, object]) -> dict[str, object]:
    return {"slug": slug, "title": title, "connector": connector, "params": params}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_pages_of_an_empty_project(open_page: Open, signed_in: Path, width: int, theme: str) -> None:
    visit(open_page, signed_in, [f"/p/default/{each}" for each in EMPTY] + OWN, width, theme)
    visit(open_page, signed_in, LISTS, width, theme, headings=False)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_pages_of_a_full_project(open_page: Open, signed_in: Path, full: list[str], width: int, theme: str) -> None:
    visit(open_page, signed_in, [f"/p/full/{each}" for each in full], width, theme)


def test_a_stream_shows_its_sample_and_its_files(open_page: Open, signed_in: Path, full: list[str]) -> None:
    page = open_page(signed_in, width=390)
    page.goto("/p/full/sources/order-drop/")
    page.locator("td a.strong").first.click()
    page.get_by_role("region", name="Rows").wait_for()
    page.locator("#files code").first.wait_for()
    assert sideways(page) <= 0


def test_a_query_is_typed_run_sorted_saved_and_opened_again(open_page: Open, signed_in: Path, full: list[str]) -> None:
    page = open_page(signed_in)
    page.goto("/p/full/sql/?dataset=orders")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("region", name="Rows").wait_for()
    page.locator(".CodeMirror").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("SELECT cust")
    page.locator(".CodeMirror-hint", has_text="customer").first.click()
    expect(page.locator(".CodeMirror-code")).to_contain_text("SELECT customer")
    page.locator(".CodeMirror textarea").focus()
    page.keyboard.press("Control+End")
    page.keyboard.type(", amount FROM orders WHERE amount > $least -- $not")
    page.keyboard.press("Escape")
    expect(page.locator(".CodeMirror-code")).to_have_text(
        re.compile(r"SELECT customer, amount FROM orders WHERE amount > \$least -- \$not")
    )
    expect(page.locator(".sql-parameter")).to_have_count(1)
    page.get_by_label("Type of least").select_option("number")
    page.get_by_label("$least").fill("5")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="2 rows").wait_for()
    page.locator(".sql-rows th button", has_text="amount").click()
    expect(page.locator(".sql-rows tbody td:nth-child(2)")).to_have_text(["7.20", "12.50"])
    page.locator(".sql-rows th button", has_text="amount").click()
    expect(page.locator(".sql-rows tbody td:nth-child(2)")).to_have_text(["12.50", "7.20"])
    with page.expect_download() as saving:
        page.get_by_role("link", name="CSV").click()
    assert saving.value.path().read_text() == "customer,amount\nann,12.50\nben,7.20\n"
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label("Title").fill("Dear orders")
    page.locator("#sql-save").click()
    page.get_by_role("link", name="Dear orders").click()
    page.wait_for_url("**/sql/?saved=dear-orders")
    expect(page.get_by_label("$least")).to_have_value("5")
    page.locator(".CodeMirror").click()
    page.keyboard.press("Control+Enter")
    page.get_by_role("heading", name="2 rows").wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete Dear orders").click()
    page.get_by_text("Save a query to share it").wait_for()
