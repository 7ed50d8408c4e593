"""docs/command.md tells every command as it is."""

from __future__ import annotations

from manifold.cli import COMMANDS
from manifold.cli.reference import as_markdown, renewed
from tests.cluster import ROOT


def test_it_works() -> None:
    table = as_markdown()
    assert all(f"| `manifold {name}" in table for name in COMMANDS)
    run = "`manifold run PIPELINE [--mode auto\\|seed\\|incremental\\|repair] [--dry-run] [--wait] [--step TEXT …] "
    run += "[--files PATH …] [--again]`"
    assert run in table


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    assert page == renewed(page), "Run `make docs`."
