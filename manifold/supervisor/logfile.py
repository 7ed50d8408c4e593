"""The log of one child, rotated by size."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO


class LogFile:
    """Appends what it is given; a full file moves to `.1`, the one before to `.2`, and so on."""

    def __init__(self, path: Path, *, max_bytes: int = 10 * 2**20, keep: int = 3) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.keep = keep
        self._file: BinaryIO = self._open()

    def _open(self) -> BinaryIO:
        file = open(self.path, "ab", buffering=0)  # noqa: SIM115  stays open as long as the child is watched
        self.path.chmod(0o600)
        return file

    def write(self, chunk: bytes) -> None:
        """A full disk must not stop the platform: what cannot be written is dropped."""
        try:
            if self._file.closed:
                self._file = self._open()
            if self._file.tell() + len(chunk) > self.max_bytes:
                self._rotate()
            self._file.write(chunk)
        except OSError:
            pass

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self.keep - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._file = self._open()

    def tail(self, lines: int = 5) -> str:
        """The last lines, for a message to a person."""
        text = self.path.read_bytes()[-4096:].decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        self._file.close()
