"""A walk over pages: no error, nothing that scrolls sideways, no serious fault, and thumbs hit what is pressed."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from tests.browser.axe import serious_faults
from tests.browser.conftest import Open


def visit(
    open_page: Open, cookies: Path, addresses: list[str], width: int, theme: str, *, headings: bool = True
) -> None:
    """Open each page of these addresses, and tell of all faults at once."""
    page = open_page(cookies, width=width, height=844, theme=theme)
    faults: list[str] = []
    for address in addresses:
        answer = page.goto(address)
        assert answer is not None and answer.status == 200, address
        page.wait_for_load_state("networkidle")
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
