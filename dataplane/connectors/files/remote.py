"""Files of another machine: brought here one by one before they are read, and taken away again afterwards."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from dataplane.connectors.files.found import Found
from dataplane.connectors.files.place import MAX_FILES, Copying, Work, too_many
from dataplane.connectors.files.settings import COMPRESSED, format_of
from dataplane.engine import disk_error
from dataplane.errors import ConfigurationError, DataError, Suggestion, TransientError

# So much of a file of lines is enough to see what it holds.
SAMPLE = 8 << 20
_RESUMED = 5
_BY_LINES = ("csv", "tsv", "ndjson")


class Remote(ABC):
    """A session with another machine. Every error it raises is a ManifoldError."""

    @abstractmethod
    def steps(self) -> Sequence[Work]:
        """What opens the session, in order: the stages of a connection test."""

    def open(self) -> None:
        """Begin the session. Raises ManifoldError."""
        for _, work in self.steps():
            work()

    @abstractmethod
    def files(self) -> tuple[list[Found], list[str]]:
        """Every file that is there, without `absolute`; and a sentence for each that is left out."""

    @abstractmethod
    def stat(self, path: str) -> Found:
        """One file as it is now. Raises DataError when it is gone."""

    @abstractmethod
    def read(self, found: Found) -> Iterator[bytes]:
        """Its bytes from the first to the last, whoever asks may stop early. Raises DataError when it has changed."""

    @abstractmethod
    def close(self) -> None:
        """End the session; harmless where it never began."""


class Spool(Copying):
    """The files of a remote, listed once.

    At any time no more lies there than one part of a reading and the file after it. sample: only the beginning of
    large files of lines is copied. largest: bytes that a file may have.
    """

    local = False

    def __init__(self, remote: Remote, *, sample: bool, within: str | None, largest: int) -> None:
        super().__init__(within)
        self._remote = remote
        self._sample = sample
        self._largest = largest
        self._listed: tuple[list[Found], list[str]] | None = None

    def steps(self) -> Sequence[Work]:
        return self._remote.steps()

    def open(self) -> None:
        self._remote.open()

    def files(self) -> tuple[list[Found], list[str]]:
        if self._listed is None:
            found, warnings = self._remote.files()
            self._listed = sorted(found, key=lambda each: each.path), warnings
        return self._listed

    def find(self, path: str) -> Found:
        return self._remote.stat(path)

    def fetch(self, found: Found) -> Found:
        if found.size > self._largest:
            raise too_large(found.path, self._largest)
        self.release([found.path])
        part = self._sample and found.size > SAMPLE and by_lines(found.path)
        try:
            target = self._target(SAMPLE if part else found.size)
            with open(target, "xb") as file:
                size = 0
                for chunk in self._remote.read(found):
                    size += len(chunk)
                    if size > found.size and not part:
                        raise changed(found.path, "while it was read")
                    file.write(chunk)
                    if part and size >= SAMPLE:
                        break
            if part:
                whole_lines(target)
        except OSError as error:
            raise disk_error(error) from error
        if not part and size != found.size:
            raise _short(found.path, size, found.size)
        self._copies[found.path] = target
        return replace(found, absolute=target)

    def close(self) -> None:
        self._remote.close()
        super().close()


def resuming(begin: Callable[[int], Iterator[bytes]]) -> Iterator[bytes]:
    """The bytes of a file whose reading may break off. begin: reads from a position on, or raises TransientError.

    It goes on where it was, a few times, as long as each try brings something.
    """
    done = 0
    for tries_left in reversed(range(_RESUMED + 1)):
        before = done
        try:
            for chunk in begin(done):
                done += len(chunk)
                yield chunk
            return
        except TransientError:
            if done == before or not tries_left:
                raise


def sound(path: str) -> bool:
    """Whether a path that another machine tells is one: relative, and nothing in it leads elsewhere or hides."""
    parts = path.split("/")
    return path.isprintable() and "\\" not in path and not any(each in ("", ".", "..") for each in parts)


def bounded(found: Sequence[Found], shown: str) -> None:
    """Raises ConfigurationError when there are more files than anybody can list."""
    if len(found) > MAX_FILES:
        raise too_many(shown)


def changed(path: str, when: str) -> DataError:
    """The error for a file that is not as it was found."""
    return DataError(
        f"{path} has changed {when}. Run again; settle_seconds leaves files alone that are still written.",
        code="file_changed",
        evidence={"file": path},
        suggestions=[Suggestion("run_again", "Run again", "The file is read as it is then.", applicable=True)],
    )


def _short(path: str, size: int, promised: int) -> TransientError:
    return TransientError(
        f"{path} ended after {size:,} of {promised:,} bytes. If it stays so, look at the server.",
        code="connection_lost",
        evidence={"file": path, "bytes": size, "promised": promised},
    )


def too_large(path: str, largest: int) -> ConfigurationError:
    return ConfigurationError(
        f"{path} has more than {largest:,} bytes, the most that this source takes. Raise *Largest file* of the source, "
        "or set the file aside.",
        code="file_too_large",
        evidence={"file": path, "largest": largest},
    )


def by_lines(path: str) -> bool:
    """Whether the beginning of a file is a file of the same kind."""
    return format_of(path) in _BY_LINES and not path.lower().endswith(COMPRESSED)


def whole_lines(target: str) -> None:
    """Cut the copy of a beginning after its last whole line."""
    with open(target, "r+b") as file:
        file.seek(-min(SAMPLE, 1 << 20), os.SEEK_END)
        start = file.tell()
        last = file.read().rfind(b"\n")
        if last >= 0:
            file.truncate(start + last + 1)
