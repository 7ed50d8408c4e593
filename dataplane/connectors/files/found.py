"""A file of a source as it was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from dataplane.connectors.base import FileRef
from dataplane.errors import DataError, Suggestion


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
    """A time of change in UTC, to the microsecond."""
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).replace(
        microsecond=nanoseconds // 1000 % 1_000_000
    )
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def gone(path: str) -> DataError:
    """The error for a file that a window names and that is not there any more."""
    return DataError(
        f"The file {path} was planned but is not there any more. Put it back, or set it aside.",
        code="files_missing",
        evidence={"files": [path]},
        suggestions=[Suggestion("ignore_file", f"Set {path} aside", "The run goes on without it.", applicable=True)],
    )
