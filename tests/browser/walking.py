"""A walk over pages: no error, nothing that scrolls sideways, no serious fault, and thumbs hit what is pressed."""

from __future__ import annotations

import time
from pathlib import Path

from playwright.sync_api import Page, Request

from tests.browser.axe import serious_faults
from tests.browser.conftest import Open

# What is still to come by itself: a part that is asked for or put in, a font, an animation that ends.
_TO_COME = """() => document.querySelector(
    ".htmx-request, .htmx-swapping, .htmx-added, .htmx-settling, [hx-trigger^='load delay']"
  ) !== null
  || document.fonts.status !== "loaded"
  || document.getAnimations().some((each) => (
    each.playState === "running" && each.effect.getComputedTiming().endTime < Infinity
  ))"""
_LOOK_SECONDS = 0.05
_LOOKS = 2
_REST_SECONDS = 180.0


class Rest:
    """Knows when a page has all that it asks for by itself; Playwright's `networkidle` takes half a second more."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.unanswered: set[Request] = set()
        page.on("request", self._asked)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)

    def _asked(self, request: Request) -> None:
        self.unanswered.add(request)

    def _answered(self, request: Request) -> None:
        self.unanswered.discard(request)

    def wait(self) -> None:
        """Until nothing is under way at two looks that follow each other."""
        until, quiet = time.monotonic() + _REST_SECONDS, 0
        while quiet < _LOOKS:
            assert time.monotonic() < until, f"{self.page.url} does not come to rest: {self.unanswered}"
            self.page.wait_for_timeout(_LOOK_SECONDS * 1000)
            quiet = 0 if self.page.evaluate(_TO_COME) or self.unanswered else quiet + 1


def visit(
    open_page: Open, cookies: Path, addresses: list[str], width: int, theme: str, *, headings: bool = True
) -> None:
    """Open each page of these addresses, and tell of all faults at once."""
    page = open_page(cookies, width=width, height=844, theme=theme)
    rest = Rest(page)
    faults: list[str] = []
    for address in addresses:
        answer = page.goto(address)
        assert answer is not None and answer.status == 200, address
        rest.wait()
        assert not headings or page.locator("h1").count() == 1, address
        assert page.evaluate("document.documentElement.classList.contains('dark')") == (theme == "dark"), address
        assert sideways(page) <= 0, f"{address} scrolls sideways at {width}"
        faults += [f"{address}: {each}" for each in serious_faults(page) + (_small(page) if width < 500 else [])]
    assert not faults, "\n".join(faults)


def _small(page: Page) -> list[str]:
    """Buttons, fields and entries of the navigation that are lower than a thumb needs."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll(".mf .btn, .mf .input, .mf .select, .nav-item, .mf .tabs a")]
            .filter((each) => each.checkVisibility({ visibilityProperty: true }))
            .filter((each) => each.getBoundingClientRect().height < 43.5)
            .map((each) => `${each.outerHTML.slice(0, 120)}: ${each.getBoundingClientRect().height}`)"""
    )
    return found


def sideways(page: Page) -> int:
    """By how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
