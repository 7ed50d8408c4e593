"""Where the files of a source lie, and how one of them is brought to where it can be read."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from dataplane.connectors.files.found import Found
from dataplane.errors import ConfigurationError, DataError
from dataplane.failures import disk_full

MAX_FILES = 200_000
_RESERVE = 64 << 20

# A stage of a connection test: its name, and what it does; it answers in a sentence or raises ManifoldError.
Work = tuple[str, Callable[[], str]]


class Place(ABC):
    """A place that is opened by its steps, one after the other, and closed at the end."""

    local: ClassVar[bool]
    """Whether a file can be looked into without bringing it here first."""

    @abstractmethod
    def steps(self) -> Sequence[Work]:
        """What opens it, in order: the stages of a connection test."""

    def open(self) -> None:
        """Open it for use. Raises ManifoldError."""
        for _, work in self.steps():
            work()

    @abstractmethod
    def files(self) -> tuple[list[Found], list[str]]:
        """Every file that is there, by path; and a sentence for each that is left out."""

    def refused(self) -> Mapping[str, DataError]:
        """Archives that `files` could not look into, each with its error."""
        return {}

    @abstractmethod
    def find(self, path: str) -> Found:
        """One file as it is now. Raises DataError when it is gone."""

    @abstractmethod
    def fetch(self, found: Found) -> Found:
        """The same file, readable at `absolute`. Raises DataError when it is not as it was found."""

    @abstractmethod
    def release(self, paths: Iterable[str]) -> None:
        """These files have been read: what was brought here of them may go."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; harmless where nothing was opened."""


class Near(Place):
    """A place on this machine, whose files are read where they lie."""

    local = True

    def fetch(self, found: Found) -> Found:
        return found

    def release(self, paths: Iterable[str]) -> None:
        return

    def close(self) -> None:
        return


def too_many(shown: str) -> ConfigurationError:
    """The error for a folder that nobody can list in reasonable time."""
    return ConfigurationError(
        f"The folder {shown} holds more than {MAX_FILES:,} files. Choose a folder further down.", code="too_many_files"
    )


def require_room(folder: str, size: int) -> None:
    """Raises InfrastructureError where so many bytes would fill the disk up: others write to it, too."""
    if shutil.disk_usage(folder).free < size + _RESERVE:
        raise disk_full()
