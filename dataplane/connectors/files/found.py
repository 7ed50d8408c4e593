"""A file of a source as it was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dataplane.connectors.windows import FileRef
from dataplane.errors import DataError, Suggestion

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# More digits than any size has: what a server writes is not believed to be a number because it looks like one.
_DIGITS = 18
FRESH = 86_400.0
"""A file that has not changed for so many seconds is whole, whoever keeps it open."""


@dataclass(frozen=True)
class Found:
    """A file of a source: its path there, where it can be read (empty: not yet), size, time of change in nanoseconds.

    version: what the place itself calls this state of the file (an ETag), where it has such a word.
    """

    path: str
    absolute: str
    size: int
    changed: int
    version: str = ""

    def ref(self, file_date: str | None = None) -> FileRef:
        return FileRef(self.path, self.size, rfc3339(self.changed), file_date, self.version)


def rfc3339(nanoseconds: int) -> str:
    """A time of change in UTC, to the microsecond; one that no calendar holds is the end of it."""
    try:
        moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        moment = datetime.max.replace(tzinfo=UTC) if nanoseconds > 0 else datetime.min.replace(tzinfo=UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def size_told(text: str) -> int:
    """A size as a server writes it; 0 for what is none."""
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS else 0


def still_written(path: str) -> str:
    """Why a file is left out for now."""
    return f"{path} is still being written, and is left for the next run."


def gone(path: str) -> DataError:
    """The error for a file that a window names and that is not there any more."""
    return DataError(
        f"The file {path} was planned but is not there any more. Put it back, or set it aside.",
        code="files_missing",
        evidence={"files": [path]},
        suggestions=[Suggestion("ignore_file", f"Set {path} aside", "The run goes on without it.", applicable=True)],
    )
