"""Values of parameters: what fits a kind, and how what does not is told."""

from __future__ import annotations

from typing import Any

import pytest

from dataplane.errors import ConfigurationError
from dataplane.parameters import Kind, parameter


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        (None, "x", "x"),
        (None, 3, 3),
        (None, True, True),
        (None, 1.5, "1.5"),
        ("text", " x ", " x "),
        ("integer", " 42 ", 42),
        ("number", "1e3", "1000"),
        ("boolean", "No", False),
        ("date", "2026-01-31", "2026-01-31"),
        ("timestamp", "2026-01-31T08:00:00+01:00", "2026-01-31T07:00:00+00:00"),
        ("timestamp", "2026-01-31", "2026-01-31T00:00:00"),
        ("date", None, None),
    ],
)
def test_what_fits(kind: Kind | None, value: Any, kept: Any) -> None:
    assert parameter("p", kind, value).value == kept


@pytest.mark.parametrize(
    ("name", "kind", "value", "said"),
    [
        ("p", "integer", "4.5", "a whole number"),
        ("p", "integer", "9" * 60, "does not fit"),
        ("p", "number", "nan", "a number"),
        ("p", "number", "1e99", "a number"),
        ("p", "boolean", "maybe", "`true` or `false`"),
        ("p", "date", "31.01.2026", "2026-01-31"),
        ("p", "timestamp", "now", "with its zone"),
        ("p", "text", "x" * 10_001, "longer than 10,000"),
        ("1", "text", "x", "no name of a parameter"),
        ("a b", "text", "x", "no name of a parameter"),
    ],
)
def test_what_does_not(name: str, kind: Kind, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parameter(name, kind, value)
    assert said in caught.value.message
    assert caught.value.evidence["errors"][0]["field"] == f"parameters.{name}"
