"""Files that are small as they come and would be huge once unpacked."""

from __future__ import annotations

import io
import os
from typing import Any

import pyarrow as pa

from dataplane.errors import DataError, Suggestion

# Archives and workbooks.
RATIO = 400
RATIO_FROM = 64 << 20
# A single packed file is only ever read in pieces, and one that repeats itself is packed to a thousandth in earnest:
# gzip reaches 1,030, zstd more.
STREAM_RATIO = 2_000
STREAM_FROM = 1 << 30


class TooMuch(OSError):
    """More has come out of a packed file than of any that was packed in earnest."""


class Unpacked(io.RawIOBase):
    """The bytes of a packed file, unpacked while they are read. Raises TooMuch once they are far too many."""

    def __init__(self, absolute: str, compression: str) -> None:
        self._packed = os.path.getsize(absolute)
        self._most = max(STREAM_FROM, STREAM_RATIO * self._packed)
        self._stream = pa.CompressedInputStream(absolute, compression)
        self._passed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, view: Any) -> int:
        size: int = self._stream.readinto(view)
        self._passed += size
        if self._passed > self._most:
            raise TooMuch(f"its {self._packed:,} bytes unpack to more than {self._most:,}")
        return size

    def close(self) -> None:
        self._stream.close()
        super().close()


def most_of(packed: int) -> int:
    """As many bytes may so many of an archive unpack to."""
    return max(RATIO_FROM, RATIO * packed)


def bomb(path: str, why: str) -> DataError:
    """The error for a file that is small as it comes and would be huge once unpacked."""
    return DataError(
        f"{path} is refused: {why}, far more than such files do. Deliver it in smaller files, or set it aside.",
        code="file_bomb",
        evidence={"file": path, "why": why},
        suggestions=[Suggestion("ignore_file", f"Set {path} aside", "The run goes on without it.", applicable=True)],
    )
