"""Numbers with marks between their thousands: they arrive as text, and that is said where they are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

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
