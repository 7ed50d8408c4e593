"""A range of cells as people write it: B3:H, or B3:H200."""

from __future__ import annotations

import re
from dataclasses import dataclass

LAST_ROW = 1_048_576
# A sheet is looked for columns so far to the right; further ones have to be named.
WIDEST = 1_024
_CELLS = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7}):([A-Za-z]{1,3})([0-9]{1,7})?")


@dataclass(frozen=True)
class Cells:
    """The first column and row, how many columns, and the last row; each counted from 1."""

    left: int = 1
    top: int = 1
    width: int = WIDEST
    last: int = LAST_ROW

    def row(self, first: int, rows: int = 1) -> str:
        """The name of the cells of one or several rows."""
        return f"{letter(self.left)}{first}:{letter(self.left + self.width - 1)}{min(first + rows - 1, LAST_ROW)}"

    @classmethod
    def parse(cls, text: str) -> Cells:
        """Raises ValueError for a text that names no cells from left to right and downwards."""
        found = _CELLS.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} names no cells; write the first cell and the last column, such as B3:H")
        left, right = _number(found.group(1)), _number(found.group(3))
        top, last = int(found.group(2)), int(found.group(4) or LAST_ROW)
        if not (0 <= right - left < WIDEST and 1 <= top <= last <= LAST_ROW):
            raise ValueError(
                f"{text!r} does not go from left to right and downwards, or over more than {WIDEST:,} columns"
            )
        return cls(left, top, right - left + 1, last)


def letter(number: int) -> str:
    """The name of a column by its number from 1: A, …, Z, AA."""
    found = ""
    while number:
        number, rest = divmod(number - 1, 26)
        found = chr(ord("A") + rest) + found
    return found


def _number(letters: str) -> int:
    number = 0
    for each in letters.upper():
        number = number * 26 + ord(each) - ord("A") + 1
    return number
