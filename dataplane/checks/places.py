"""Where the rows of a table stand, for people: in which file of the source, and on which line of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dataplane.provenance import Origin
from dataplane.steps.base import Table
from dataplane.storage import Storage

Place = tuple[str, int]
"""The absolute path of a row's staged file, and its number there, from 0."""
Shown = tuple[str | None, int]
"""The file of the source and the line there; without a file, the number of the row in the table, from 1."""


@dataclass(frozen=True)
class Segment:
    """Rows of a staged file, from one on, that stand in one file of the source: line = number of the row + `shift`."""

    staged: str
    first: int
    file: str | None
    shift: int


class Places:
    """The places of one table's rows. Files whose rows nobody has followed to a source are numbered through."""

    def __init__(self, table: Table, storage: Storage) -> None:
        self._origins = {storage.absolute(each.staged): each for each in table.origins}
        self._before: dict[str, int] = {}
        rows = 0
        for file in table.files:
            self._before[storage.absolute(file.path)] = rows
            rows += file.rows

    def shown(self, places: Iterable[Place]) -> dict[Place, Shown]:
        """What people are shown of these places."""
        return {each: self._shown(*each) for each in places}

    def segments(self) -> list[Segment]:
        """The same for all rows at once, as what an ASOF join needs."""
        found: list[Segment] = []
        for staged, before in self._before.items():
            origin = self._origins.get(staged)
            found += _of_origin(staged, origin) if origin else [Segment(staged, 0, None, before + 1)]
        return found

    def _shown(self, staged: str, ordinal: int) -> Shown:
        origin = self._origins.get(staged)
        return origin.locate(ordinal) if origin else (None, self._before[staged] + ordinal + 1)


def _of_origin(staged: str, origin: Origin) -> list[Segment]:
    segments: dict[int, Segment] = {}
    start = 0
    for file in origin.files:
        first = (file.first_line or 1) - start
        if file.rows:
            segments[start] = Segment(staged, start, file.path, first)
        # A shift from the very first row on takes the place of the segment that would begin there.
        for at, more in file.shifts if file.first_line is not None else ():
            if at < file.rows:
                segments[start + at] = Segment(staged, start + at, file.path, first + more)
        start += file.rows
    return list(segments.values())
