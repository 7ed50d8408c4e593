"""A source's folder: below an allowed root, without links that lead out, and what lies in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dataplane.connectors.base import FileRef
from dataplane.connectors.files.roots import allowed, below, unreadable
from dataplane.errors import ConfigurationError, DataError, Suggestion

MAX_FILES = 200_000


@dataclass(frozen=True)
class Found:
    """A file in the folder: relative path, absolute path, size, time of change in nanoseconds."""

    path: str
    absolute: str
    size: int
    changed: int

    def ref(self, file_date: str | None = None) -> FileRef:
        return FileRef(self.path, self.size, rfc3339(self.changed), file_date)


class Folder:
    """A folder that was looked at and is allowed."""

    def __init__(self, path: str, roots: Sequence[str]) -> None:
        """Raises ConfigurationError when the folder is missing, no folder, not readable or below no allowed root."""
        self.shown = path
        self.real = _resolved(path, roots)

    def files(self) -> tuple[list[Found], list[str]]:
        """Every file below, hidden ones left out, by path; and a sentence for each link that leads out."""
        found: list[Found] = []
        warnings: list[str] = []
        for folder, folders, names in os.walk(self.real, onerror=self._unreadable):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            for name in names:
                if name.startswith("."):
                    continue
                absolute = os.path.join(folder, name)
                relative = Path(absolute).relative_to(self.real).as_posix()
                if os.path.islink(absolute) and not self._inside(absolute):
                    warnings.append(f"{relative} is a link that leads out of the folder; it is not read.")
                    continue
                try:
                    status = os.stat(absolute)
                except OSError:
                    continue
                found.append(Found(relative, absolute, status.st_size, status.st_mtime_ns))
            if len(found) > MAX_FILES:
                raise ConfigurationError(
                    f"The folder {self.shown} holds more than {MAX_FILES:,} files. Choose a folder further down.",
                    code="too_many_files",
                )
        return sorted(found, key=lambda each: each.path), warnings

    def find(self, path: str) -> Found:
        """One file as it is now. Raises DataError when it is gone, ConfigurationError when it leads out."""
        absolute = os.path.join(self.real, path)
        if not self._inside(absolute):
            raise ConfigurationError(
                f"{path} leads out of the folder {self.shown}. Put the file itself there, not a link.",
                code="path_not_allowed",
                evidence={"file": path},
            )
        try:
            status = os.stat(absolute)
        except FileNotFoundError:
            raise gone(path) from None
        except OSError as error:
            raise unreadable(path, error) from error
        return Found(path, absolute, status.st_size, status.st_mtime_ns)

    def _inside(self, absolute: str) -> bool:
        return below(os.path.realpath(absolute), self.real)

    def _unreadable(self, error: OSError) -> None:
        raise unreadable(os.path.relpath(str(error.filename), self.real), error)


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


def _resolved(path: str, roots: Sequence[str]) -> str:
    chosen = allowed(path, roots, "folder")
    if not os.path.exists(chosen):
        raise ConfigurationError(
            f"The folder {path} does not exist. Correct the path, or create the folder.", code="path_missing"
        )
    if not os.path.isdir(chosen):
        raise ConfigurationError(
            f"{path} is a file. Name the folder that it lies in; the stream's pattern says which files.",
            code="path_not_a_folder",
        )
    if not os.access(chosen, os.R_OK | os.X_OK):
        raise unreadable(path, PermissionError())
    return chosen
