"""`make bench-peers`: what it refuses, and that benchmarks/peers.md is what it writes."""

from __future__ import annotations

import re

import pytest

from benchmarks import data, peers, report


def test_too_few_rows_are_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        peers.options(["--python", "python", "--rows", "99999"])
    assert "--rows 99999: ask for 100,000 or more" in capsys.readouterr().err
    assert peers.options(["--python", "python", "--rows", "100000"]).rows == 100_000


def test_the_file_is_what_the_command_writes() -> None:
    written = peers.FILE.read_text("utf-8")
    assert peers.about(data.ROWS) in written
    assert peers.table([], written, data.ROWS) in written
    assert len(re.findall(r"^\| \w+ \|", written, re.MULTILINE)) == 1 + len(peers.AT_LEAST)


def test_what_is_measured_takes_the_place_of_its_line_alone() -> None:
    written = peers.FILE.read_text("utf-8")
    before = peers.table([], written, data.ROWS).splitlines()
    row = report.Row("CSV, 5 M rows", [4.0, 2.0, 3.0], 1.0, limit=[9.0, 6.0, 3.0], limit_name="bare")
    beside = peers.Beside(row, [1.0, 1.5, 2.0])
    after = peers.table([beside], written, data.ROWS).splitlines()
    assert after[2].startswith("| CSV | 3.00 s | 1.50 s (bare) | 6.00 s | 2.0 | 4.0 | 2 | yes | 3 |")
    assert after[:2] + after[3:] == before[:2] + before[3:]
    assert len(peers.table([beside], written, 100_000).splitlines()) == 3, "rows of another size do not stay"
