"""Which files somebody has picked by hand."""

from __future__ import annotations

import pytest

from dataplane.connectors.windows import FileRef
from dataplane.steps.plan import Picked


@pytest.mark.parametrize(
    ("picked", "path", "held"),
    [
        ("data[1].csv", "data[1].csv", True),
        ("data[1].csv", "data1.csv", False),
        ("data[*.csv", "data[1].csv", True),
        ("data[!a].csv", "data1.csv", False),
        ("2026/day-?.csv", "2026/day-2.csv", True),
        ("*-02.csv", "2026/day-02.csv", True),
        ("day.csv", "day.csv.gz", False),
    ],
)
def test_files_are_picked_by_path_or_wildcard(picked: str, path: str, *, held: bool) -> None:
    assert Picked((picked,)).holds(FileRef(path, 1, "2026-01-01T00:00:00+00:00")) is held
