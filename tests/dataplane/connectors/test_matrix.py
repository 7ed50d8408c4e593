"""The matrix of connectors is what they declare, and the page in the docs says the same."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from dataplane.connectors import matrix, registry
from dataplane.connectors.base import Capabilities
from dataplane.connectors.destination import Destination


def test_it_works() -> None:
    found = {each.key: each for each in matrix.rows()}
    assert list(found) == registry.keys()
    names = [each.name for each in matrix.capabilities()]
    assert names == [each.name for each in fields(Capabilities)]
    can = dict(zip(names, found["postgresql"].can, strict=True))
    assert (can["query"], can["writable"], can["streaming"]) == (True, True, False)
    assert (found["postgresql"].family, found["postgresql"].tested_with) == ("database", "PostgreSQL 17")


def test_what_can_be_written_to_is_a_destination_and_says_so() -> None:
    for key, kind in registry.connectors().items():
        assert kind.capabilities.writable is issubclass(kind, Destination), key


def test_the_docs_say_what_is_declared() -> None:
    written = (Path(__file__).parents[3] / "docs" / "connectors.md").read_text(encoding="utf-8")
    assert written == matrix.as_markdown(), "run `make docs`"
