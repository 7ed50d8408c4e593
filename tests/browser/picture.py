"""Take the picture of the console that the README shows: `python -m tests.browser.picture`, or `make picture`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, sign_in
from tests.browser.installation import Installation

TARGET = Path(__file__).parents[2] / "docs" / "images" / "console.png"
WIDTH, HEIGHT = 1400, 980


def main() -> None:
    """Start the demo in a temporary folder, wait for its runs, and keep a picture of the last one."""
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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        cookies = sign_in(browser, demo, "admin", demo.password, folder)
        context = browser.new_context(
            base_url=demo.url, storage_state=cookies, viewport={"width": WIDTH, "height": HEIGHT}
        )
        page: Page = context.new_page()
        page.goto(f"/p/default/runs/{runs[0]['id']}/")
        page.wait_for_load_state("networkidle")
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    main()
