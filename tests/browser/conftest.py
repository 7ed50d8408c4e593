"""A real installation, and Debian's Chromium that looks at it. Every page that is opened has to stay without errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from psycopg import sql

from tests.browser.installation import Installation, fill, wait_until_served
from tests.services import drop_database

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Open = Callable[..., Page]
# What is waited for is there long before, also what a worker does; a busy machine may need it.
PATIENCE = 180_000
expect.set_options(timeout=PATIENCE)
# How the browser and htmx tell of an answer that is an error.
_STATUS = ("responded with a status of", "Response Status Error Code")
# What htmx says of a request that a newer one, or another page, has replaced. Of failures it says more than that.
_REPLACED = ("htmx:sendAbort", "htmx:afterRequest")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("browser")
    folder.chmod(0o755)
    found = Installation(folder)
    found.start("up", "--workers", "1")
    try:
        wait_until_served(found.url)
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def outside() -> Iterator[dict[str, str]]:
    """A database beside the installation, as the parameters that an operator enters."""
    own = os.environ["DATABASE_URL"]
    parts = urlsplit(own)
    with psycopg.connect(own, autocommit=True) as connection:
        name = f"shop_{os.getpid()}"
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            fill(parts._replace(path=f"/{name}").geturl())
            yield {
                "host": parts.hostname or "",
                "port": str(parts.port),
                "database": name,
                "user": parts.username or "",
                "password": parts.password or "",
            }
        finally:
            drop_database(name)


@pytest.fixture(scope="session")
def signed_in(browser: Browser, installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cookies of the first administrator."""
    return sign_in(browser, installation, "admin", installation.password, tmp_path_factory.mktemp("cookies"))


def sign_in(browser: Browser, installation: Installation, username: str, password: str, folder: Path) -> Path:
    """Sign in through the page and keep the cookies in a file."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{installation.url}/login/")
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/p/**")
    kept = folder / f"{username}.json"
    context.storage_state(path=kept)
    context.close()
    return kept


def watch(page: Page, errors: list[str], refused: tuple[int, ...] = ()) -> None:
    """Keep what the page reports as an error. refused: statuses of answers that are meant."""

    def note(message: ConsoleMessage) -> None:
        meant = any(f"{words} {each} " in message.text for each in refused for words in _STATUS)
        if message.type in ("error", "warning") and not meant and not message.text.startswith(_REPLACED):
            errors.append(f"{message.page.url if message.page else ''}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))


@pytest.fixture
def open_page(browser: Browser, installation: Installation) -> Iterator[Open]:
    """Open a context with cookies, a width and a theme; at the end no page may have reported an error.

    `refused` are statuses of answers that the test means to get: the browser reports them as errors.
    """
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_(
        cookies: Path | None = None,
        *,
        width: int = 1400,
        height: int = 900,
        theme: str = "light",
        refused: tuple[int, ...] = (),
    ) -> Page:
        context = browser.new_context(
            base_url=installation.url,
            storage_state=cookies,
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            timezone_id="UTC",
            # A toast that fades out while axe-core looks has too little contrast for a moment.
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        watch(page, errors, refused)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not errors, "\n".join(errors)
