"""The table of types in the docs says what the tests read."""

from __future__ import annotations

from pathlib import Path

from tests.dataplane.connectors.round_trips import page


def test_the_docs_say_what_is_read() -> None:
    written = (Path(__file__).parents[3] / "docs" / "types.md").read_text(encoding="utf-8")
    assert written == page(), "run `make docs`"
