"""Where a staged row came from: its source file, and its line there.

A staged file holds the rows of one or more source files in their order, so a position in it is a position in one of
them. Lines are not rows: a header comes first, rejected lines leave gaps, and a quoted text may go on over several
lines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A file with more gaps than this tells its rows by ordinal after them: the list would outgrow what it explains.
MAX_GAPS = 10_000


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

    def without(self, gone: Sequence[int]) -> OriginFile:
        """The file when the rows with these ordinals from 0, ascending, have left the staged one; the others keep their
        line, or ordinal from 1."""
        first_line = self.first_line or 1
        shifts: list[tuple[int, int]] = []
        behind_gaps = {each + 1 for each in gone} | {at for at, _ in self.shifts} | {0}
        for ordinal in sorted(behind_gaps - set(gone)):
            now = ordinal - bisect_left(gone, ordinal)
            more = self.row(ordinal) - first_line - now
            if ordinal < self.rows and more != (shifts[-1][1] if shifts else 0):
                shifts.append((now, more))
        return OriginFile(self.path, self.rows - len(gone), first_line, tuple(shifts))


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

    def without(self, gone: Sequence[int]) -> tuple[OriginFile, ...]:
        """The files when the rows with these ordinals of the staged file, ascending, have left it."""
        found: list[OriginFile] = []
        before = 0
        for each in self.files:
            first, last = bisect_left(gone, before), bisect_left(gone, before + each.rows)
            found.append(each.without([ordinal - before for ordinal in gone[first:last]]))
            before += each.rows
        return tuple(found)

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


@dataclass(frozen=True)
class Gaps:
    """Why the rows of a file do not simply follow each other line by line.

    rejected: (number of the record as the reader counts them, which takes a text over several lines for one; line
    breaks within it). longer: (ordinal from 0 of a staged row, line breaks within it). blank: lines without anything in
    them. All ascending.
    """

    rejected: Sequence[tuple[int, int]] = ()
    longer: Sequence[tuple[int, int]] = ()
    blank: Sequence[int] = ()


def lines_of(gaps: Gaps, first_line: int) -> tuple[tuple[tuple[int, int], ...], dict[int, int]]:
    """The shifts of an `OriginFile`, and for each rejected record its line."""
    shifts: list[tuple[int, int]] = []
    lines: dict[int, int] = {}
    rejected, longer, blank = list(gaps.rejected)[::-1], list(gaps.longer)[::-1], list(gaps.blank)[::-1]
    breaks = skipped = passed = 0

    def shift(ordinal: int) -> None:
        if shifts and shifts[-1][0] == ordinal:
            shifts.pop()
        shifts.append((ordinal, breaks + skipped))

    while rejected or longer or blank:
        at_rejected = rejected[-1][0] + breaks if rejected else None
        at_longer = first_line + longer[-1][0] + skipped + breaks if longer else None
        nearest = min(each for each in (at_rejected, at_longer, blank[-1] if blank else None) if each is not None)
        if blank and blank[-1] == nearest:
            # A blank line within a text belongs to that text.
            if blank.pop() >= max(passed, first_line):
                skipped += 1
                shift(nearest - first_line - skipped + 1 - breaks)
        elif at_rejected == nearest:
            record, own = rejected.pop()
            lines[record] = nearest
            ordinal = nearest - first_line - skipped - breaks
            skipped, breaks, passed = skipped + 1, breaks + own, nearest + own + 1
            shift(ordinal)
        else:
            ordinal, own = longer.pop()
            breaks, passed = breaks + own, nearest + own + 1
            shift(ordinal + 1)
    return tuple(shifts), lines
