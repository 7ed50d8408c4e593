"""The matrix of connectors is what they declare, and the page in the docs says the same."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from dataplane.connectors import matrix, registry
from dataplane.connectors.base import Capabilities
from dataplane.connectors.destination import Destination
from dataplane.connectors.fields import fields_of


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


def test_a_number_says_in_what_it_counts() -> None:
    """Its title does, which stands in forms, docs and on the source's page."""
    units = {"_mb": "in MB", "_kb": "in kB", "_seconds": "in seconds", "_wait": "in seconds", "_days": "in days"}
    named = [
        (key, field.name, field.title, units[end])
        for key, kind in registry.connectors().items()
        for field in fields_of(kind.Params)
        for end in units
        if field.name.endswith(end)
    ]
    assert len(named) > 20
    assert [each for each in named if each[3] not in each[2]] == []


def test_the_docs_say_what_is_declared() -> None:
    written = (Path(__file__).parents[3] / "docs" / "connectors.md").read_text(encoding="utf-8")
    assert written == matrix.as_markdown(), "run `make docs`"
