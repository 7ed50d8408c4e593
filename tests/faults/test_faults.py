"""Fifty kills, freezes and restarts during runs of many small steps: no run is lost or stuck, nothing is doubled."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import in_process


@pytest.mark.parametrize("kills", [50, pytest.param(200, marks=pytest.mark.all)])
def test_nothing_is_lost_or_doubled(kills: int) -> None:
    report = in_process(kills, seed=kills)
    assert report.problems == []
    assert report.kills >= kills
    assert report.runs.get("succeeded", 0) >= 3
    assert report.lost > 0
