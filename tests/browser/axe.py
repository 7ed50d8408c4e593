"""axe-core, of which a copy is kept here, asked about the page at hand."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

_SCRIPT = Path(__file__).parent / "vendor" / "axe.min.js"
_ASK = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map((each) => (
    `${each.target.join(" ")}: ${each.failureSummary}`
  )) }));
}"""


@cache
def _script() -> str:
    return _SCRIPT.read_text()


def serious_faults(page: Page) -> list[str]:
    """What keeps somebody from using the page: the rule, how often, and the first place with the reason."""
    page.evaluate(_script())
    found: list[dict[str, Any]] = page.evaluate(_ASK)
    return [
        f"{each['id']} ({len(each['nodes'])} times) at {each['nodes'][0]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]
