"""Columns by their place in a line: which letters, counted from 1, make up which column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SPAN = re.compile(r"(.*\S)\s+([0-9]{1,7})\s*-\s*([0-9]{1,7})")
_GUESSED_FROM = 1_000
LAST = 1_000_000


@dataclass(frozen=True)
class Span:
    """A column: its name, its first and its last letter."""

    name: str
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Span:
        """Raises ValueError for a text that is none."""
        found = _SPAN.fullmatch(text.strip())
        first, last = (int(found[2]), int(found[3])) if found else (0, 0)
        if found is None or not 1 <= first <= last <= LAST:
            raise ValueError(f"{text.strip()!r} is no column by position. Write its name and its letters: amount 11-20")
        return cls(found[1], first, last)

    def of(self, line: str) -> str:
        return line[self.first - 1 : self.last].strip()

    def __str__(self) -> str:
        return f"{self.name} {self.first}-{self.last}"


def spans_of(lines: Sequence[str]) -> list[Span]:
    """The columns that lines seem to have: between two of them all lines are blank."""
    lines = [each.rstrip("\r\n") for each in lines[:_GUESSED_FROM] if each.strip()]
    width = max((len(each) for each in lines), default=0)
    blank = [all(at >= len(line) or line[at].isspace() for line in lines) for at in range(width)]
    found: list[Span] = []
    start = None
    for at, gap in enumerate([*blank, True]):
        if not gap and start is None:
            start = at
        elif gap and start is not None:
            found.append(Span(f"column{len(found)}", start + 1, at))
            start = None
    return found
