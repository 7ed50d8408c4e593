"""Where the files of a source lie, and how one of them is brought to where it can be read."""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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

    def unfinished(self) -> Collection[str]:
        """Archives that `files` did not look into because a program writes them."""
        return ()

    @abstractmethod
    def find(self, path: str) -> Found:
        """One file as it is now. Raises DataError when it is gone."""

    def being_written(self, found: Found) -> bool:
        """Whether a program has the file open to write into it, where that can be told."""
        return False

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


class Copying(Place):
    """A place of which one file after the other is copied into a folder of this machine to be read.

    within: the folder that the copies go below; the system's where it is None.
    """

    def __init__(self, within: str | None) -> None:
        self._within = within
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._copies: dict[str, str] = {}
        self._number = 0

    def release(self, paths: Iterable[str]) -> None:
        for path in paths:
            copy = self._copies.pop(path, None)
            if copy is not None:
                os.unlink(copy)

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def _target(self, size: int) -> str:
        """A new name of our own, with room for so many bytes: what a file is called elsewhere never gets here."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(dir=self._within, prefix="manifold-spool-")
        require_room(self._folder.name, size)
        self._number += 1
        return os.path.join(self._folder.name, f"{self._number:06d}")


def too_many(shown: str) -> ConfigurationError:
    """The error for a folder that nobody can list in reasonable time."""
    return ConfigurationError(
        f"The folder {shown} holds more than {MAX_FILES:,} files. Choose a folder further down.", code="too_many_files"
    )


def require_room(folder: str, size: int) -> None:
    """Raises InfrastructureError where so many bytes would fill the disk up: others write to it, too."""
    if shutil.disk_usage(folder).free < size + _RESERVE:
        raise disk_full()
