"""Where a staged row came from: its source file, and its line there.

A staged file holds the rows of one or more source files in their order, so a position in it is a position in one of
them. Lines are not rows: a header comes first, rejected lines leave gaps, and a quoted text may go on over several
lines.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OriginFile:
    """A source file and how many of its rows stand in the staged file.

    first_line: the line of its first row, counted from 1; None where the file has no lines (the position then is the
    ordinal, counted from 1). shifts: from which ordinal (from 0) on how many more lines have to be added, ascending.
    """

    path: str
    rows: int
    first_line: int | None = None
    shifts: tuple[tuple[int, int], ...] = ()

    def row(self, ordinal: int) -> int:
        """The line, or ordinal from 1, of the row with this ordinal from 0."""
        if self.first_line is None:
            return ordinal + 1
        behind = bisect_right(self.shifts, ordinal, key=lambda each: each[0])
        return self.first_line + ordinal + (self.shifts[behind - 1][1] if behind else 0)


@dataclass(frozen=True)
class Origin:
    """The source files of one staged file (`staged`: relative to the storage root), in the order of their rows."""

    staged: str
    files: tuple[OriginFile, ...]

    def as_json(self) -> dict[str, Any]:
        return {"staged": self.staged, "files": [vars(each) for each in self.files]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Origin:
        files = (
            OriginFile(**{**each, "shifts": tuple((at, more) for at, more in each["shifts"])})
            for each in value["files"]
        )
        return cls(value["staged"], tuple(files))

    def locate(self, ordinal: int) -> tuple[str, int]:
        """The source file and the row there, for a row of the staged file by its ordinal from 0."""
        before = 0
        for each in self.files:
            if ordinal < before + each.rows:
                return each.path, each.row(ordinal - before)
            before += each.rows
        raise IndexError(f"{self.staged} has {before} rows, none with the ordinal {ordinal}")


def locate(origins: Iterable[Origin], places: Iterable[tuple[str, int]]) -> list[tuple[str, int] | None]:
    """For each (staged path, ordinal from 0): the source file and the row in it; None where the source has no files."""
    known = {each.staged: each for each in origins}
    return [known[staged].locate(ordinal) if staged in known else None for staged, ordinal in places]


def shifts_of(
    rejected: Iterable[int], longer: Iterable[tuple[int, int]], first_line: int
) -> tuple[tuple[int, int], ...]:
    """Shifts of a file from the lines that were rejected and the rows that take several lines.

    rejected: line numbers. longer: (ordinal from 0, line breaks within the row), ascending.
    """
    shifts: list[tuple[int, int]] = []
    total, skipped, grown = 0, sorted(set(rejected)), list(longer)
    at = 0
    while skipped or grown:
        # The row at `ordinal` stands at first_line + ordinal + total, unless a rejected line is there.
        if skipped and (not grown or skipped[0] <= first_line + grown[0][0] + total):
            at = max(skipped.pop(0) - first_line - total, 0)
            total += 1
        else:
            ordinal, breaks = grown.pop(0)
            at = ordinal + 1
            total += breaks
        if shifts and shifts[-1][0] == at:
            shifts.pop()
        shifts.append((at, total))
    return tuple(shifts)
