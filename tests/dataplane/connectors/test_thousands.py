"""Numbers with marks between their thousands: what they are read as is said where they are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.schema import StreamInfo
from tests.dataplane.steps.files_source import Drop


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (("1.234,50", "7,00", "0,5"), True),
        (('"1,234.50"', "7.00", "-12"), True),
        (("1.234.567", "7", "8"), True),
        (("1'234.50", "7.00", "1’000’000"), False),
        (("1'234.50", "7.00", "-12"), True),
        (("1’234’567", "7", "8,5"), True),
        (("012", "013", "7"), False),
        (("1,5", "1.5", "2"), False),
        (("1.234.5", "7", "8"), False),
    ],
    ids=["german", "english", "whole", "two marks", "swiss", "typeset", "postcodes", "both", "version"],
)
def test_numbers_with_marks_between_thousands_are_told(tmp_path: Path, values: tuple[str, ...], told: bool) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    drop.write("a.csv", "id;sum\n" + "".join(f"{at};{value}\n" for at, value in enumerate(values)))
    (info,) = drop.connector.discover()
    column = info.columns[1]
    assert column.type == "VARCHAR"
    assert ("marks between thousands" in column.warning) is told


def found(tmp_path: Path, *lines: str, **settings: str) -> StreamInfo:
    (tmp_path / "drop").mkdir(parents=True)
    drop = Drop(tmp_path)
    drop.write("a.csv", "".join(f"{line}\n" for line in ("sum;other", *lines)))
    (info,) = drop.connector.discover()
    assert isinstance(drop.connector, FileConnector)
    return drop.connector.looked_again(info, settings) if settings else info


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("1,234;a", "7;b", "12,500;c"), True),
        (("1,234;5,678", "7;3"), True),
        (("1,234;2,5", "7;3"), False),
        (("1,234;a", "1234;b"), False),
        (("1,5;a", "7;b"), False),
        (("1.234;a", "7;b"), False),
    ],
    ids=["both", "two columns", "settled elsewhere", "without marks", "one place", "point"],
)
def test_a_comma_that_may_stand_between_thousands_is_told(tmp_path: Path, lines: tuple[str, ...], told: bool) -> None:
    column = found(tmp_path, *lines).columns[0]
    assert column.type == "DOUBLE"
    assert ("1,234 may be 1.234 or 1234" in column.warning) is told


def test_what_it_is_may_be_declared(tmp_path: Path) -> None:
    lines = ("1,234;1.5", "7;2")
    sure = found(tmp_path / "a", *lines[:1], "7;3", decimal_separator=",")
    assert (sure.columns[0].type, sure.columns[0].warning) == ("DOUBLE", "")
    assert sure.columns[1].type == "VARCHAR", "nothing is read with a point then"
    other = found(tmp_path / "b", *lines, decimal_separator=".")
    assert [each.type for each in other.columns] == ["VARCHAR", "DOUBLE"]
    assert "marks between thousands" in other.columns[0].warning
