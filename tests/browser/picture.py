"""Take the pictures of README and docs/console.md: `make picture`, or `python -m tests.browser.picture NAME…`."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, sign_in
from tests.browser.installation import Installation

TARGET = Path(__file__).parents[2] / "docs" / "images"
WIDE, NARROW = (1400, 980), (390, 844)


def _nothing(page: Page) -> None:
    """Most pages are shown as they open."""


def _search(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("fl")
    page.locator("#search-found a").first.wait_for()


def _keys(page: Page) -> None:
    page.keyboard.press("?")


def _steps(page: Page) -> None:
    page.evaluate("document.getElementById('steps-title').closest('.card').scrollIntoView({block: 'start'})")


def _log(page: Page) -> None:
    page.locator("#log .log li").first.wait_for()
    page.evaluate("document.getElementById('log').scrollIntoView({block: 'end'})")


def _dialog(page: Page) -> None:
    page.get_by_role("button", name="Choose how to run").click()


def _daily(page: Page) -> None:
    page.get_by_label("Starts").select_option("daily")
    page.get_by_label("Time zone").fill("America/New_York")
    page.locator("#moments li", has_text=re.compile("E[SD]T")).first.wait_for()


def _waits(page: Page) -> None:
    page.get_by_label("Attempts in all").fill("4")
    page.get_by_label("Waits between them").fill("1 min, 5 min, 15 min")
    page.locator("#means li", has_text="21 min").wait_for()


def _stream(page: Page) -> None:
    page.locator("td a.strong").first.click()
    page.get_by_role("region", name="Rows").wait_for()


def _event(page: Page) -> None:
    page.locator("td a").first.click()
    page.get_by_role("heading", name="History of this object").wait_for()


@dataclass(frozen=True)
class Picture:
    """A page, its address as seen from the project's; {run} is the last run of the flights."""

    name: str
    address: str
    size: tuple[int, int] = WIDE
    theme: str = "light"
    before: Callable[[Page], None] = _nothing
    signed_in: bool = True


PICTURES = [
    Picture("console", "runs/{run}/"),
    Picture("home", ""),
    Picture("home-dark", "", theme="dark"),
    Picture("home-phone", "", NARROW),
    Picture("run-phone", "runs/{run}/", NARROW, before=_steps),
    Picture("run-steps", "runs/{run}/", before=_steps),
    Picture("run-log", "runs/{run}/", before=_log),
    Picture("runs", "runs/"),
    Picture("pipelines", "pipelines/"),
    Picture("pipeline", "pipelines/flights/"),
    Picture("editor", "pipelines/flights/edit/"),
    Picture("plan", "pipelines/flights/plan/?mode=seed"),
    Picture("run-dialog", "pipelines/flights/", before=_dialog),
    Picture("schedule", "pipelines/weather/schedule/", before=_daily),
    Picture("retries", "pipelines/flights/retries/", before=_waits),
    Picture("sources", "sources/"),
    Picture("source", "sources/flight-drop/"),
    Picture("datasets", "datasets/"),
    Picture("dataset", "datasets/flights/"),
    Picture("sql", "sql/"),
    Picture("audit", "audit/"),
    Picture("members", "members/"),
    Picture("search", "", before=_search),
    Picture("keys", "", theme="dark", before=_keys),
    Picture("sign-in", "/login/", signed_in=False),
    Picture("account", "/account/"),
    Picture("second-factor", "/account/second-factor/"),
    Picture("tokens", "/tokens/"),
    Picture("people", "/platform/people/"),
    Picture("person", "/platform/people/admin/"),
    Picture("projects", "/platform/projects/"),
    Picture("platform-audit", "/platform/audit/"),
    Picture("verify", "/platform/audit/verify/"),
    Picture("event", "audit/?verb=pipeline+changed", before=_event),
    Picture("new-source", "new-source/"),
    Picture("add-source", "new-source/postgresql/"),
    Picture("choose-streams", "sources/reference-db/choose/"),
    Picture("edit-source", "sources/reference-db/edit/"),
    Picture("stream", "sources/flight-drop/", before=_stream),
    Picture("impact", "sources/reference-db/impact/"),
    Picture("cost", "sources/reference-db/cost/"),
    Picture("ingestion", "history/"),
    Picture("connectors", "connectors/"),
    Picture("new-pipeline", "new-pipeline/"),
    Picture("version", "pipelines/flights/versions/1/"),
    Picture("files", "pipelines/flights/files/"),
    Picture("hooks", "pipelines/flights/hooks/"),
    Picture("backfills", "pipelines/flights/backfills/"),
    Picture("freshness", "datasets/flights/freshness/"),
    Picture("found", "search/?q=fl"),
]


def main() -> None:
    """Start the demo in a temporary folder, wait for its runs, and take every picture."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        demo = Installation(Path(folder) / "demo")
        try:
            demo.start("demo")
            _wait_for_the_runs(demo)
            _take(demo, Path(folder))
        finally:
            demo.stop()


def _wait_for_the_runs(demo: Installation) -> None:
    deadline = time.monotonic() + 300
    while "Look around" not in demo.said.read_text():
        if time.monotonic() > deadline or "stopped:" in demo.said.read_text():
            raise SystemExit(demo.said.read_text())
        time.sleep(0.5)


def _take(demo: Installation, folder: Path) -> None:
    runs = demo.client().in_project("GET", "runs/", params={"pipeline": "flights"})["results"]
    TARGET.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        cookies = sign_in(browser, demo, "admin", demo.password, folder)
        for each in PICTURES:
            if not sys.argv[1:] or each.name in sys.argv[1:]:
                _shoot(browser, demo.url, cookies, each, runs[0]["id"])
        browser.close()


def _shoot(browser: Browser, url: str, cookies: Path, picture: Picture, run: str) -> None:
    width, height = picture.size
    context = browser.new_context(
        base_url=url,
        storage_state=cookies if picture.signed_in else None,
        viewport={"width": width, "height": height},
        color_scheme="dark" if picture.theme == "dark" else "light",
    )
    page = context.new_page()
    page.goto(urljoin("/p/default/", picture.address.format(run=run)))
    page.wait_for_load_state("networkidle")
    picture.before(page)
    page.screenshot(path=TARGET / f"{picture.name}.png")
    context.close()


if __name__ == "__main__":
    main()
