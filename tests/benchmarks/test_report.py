"""The table of `make bench`: what is told beside a median."""

from __future__ import annotations

from benchmarks import report


def test_a_figure_and_its_limit_are_told_with_their_lowest_and_highest() -> None:
    row = report.Row("CSV", [4.0, 2.0, 3.0], 1.1, limit=[9.0, 6.0, 3.0], limit_name="bare")
    line = report.table([row]).splitlines()[2]
    assert line.startswith("| CSV | 3.00 s, 2.00 to 4.00 | 6.00 s, 3.00 to 9.00 (bare) | 0.50 | 1.1 |")


def test_a_single_figure_is_told_alone() -> None:
    line = report.table([report.Row("idle", [476.0], 600, unit="MB")]).splitlines()[2]
    assert line.startswith("| idle | 476.00 MB | – | – | 600 MB |")
