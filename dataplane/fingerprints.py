"""Digest, line count and soundness of the files that are being read, made in a thread beside the read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import IO

import xxhash

from dataplane.connectors.files.bombs import TooMuch, bomb
from dataplane.connectors.files.encodings import oddly_continued, open_bytes
from dataplane.connectors.reading import SourceFile
from dataplane.connectors.windows import FileRef
from dataplane.errors import DataError, InfrastructureError, Suggestion

# Small enough to stay in a processor's cache between the digest and the count.
_CHUNK = 1 << 18
_NEWLINE = ord("\n")


@dataclass(frozen=True)
class Fingerprint:
    """What a file's bytes are, and how many lines its text has (0 where they are not counted).

    digest: XXH3 with 128 bits. It tells a changed file from an unchanged one, thirty times as fast as SHA-256, which
    would take a sixth of the time in which the file is read. longest: bytes of its longest line, where a reader bounds
    them; 0 where none is longer than a chunk. quoted: whether the `quote` of the file stands in it.
    """

    digest: str
    lines: int
    longest: int = 0
    quoted: bool = False


class _TooLongError(Exception):
    def __init__(self, longest: int, begin: int) -> None:
        super().__init__(f"has a line of more than {longest // 1_000_000} MB, from its byte {begin:,} on. Split it")
        self.begin = begin


class Fingerprints:
    """Collects fingerprints in the background; closing it stops a file that is still being read.

    A compressed file is unpacked to its end here: DuckDB takes one that was cut off for a shorter one.
    counted: whether the lines are counted along; `lines_of` counts them when it is asked otherwise. failed: the path of
    a file that has none, so that whoever reads it need not come to its end.
    """

    def __init__(self, *, counted: bool = True) -> None:
        self.counted = counted
        self.failed: str | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fingerprints")
        self._stopped = threading.Event()
        self._futures: dict[str, tuple[FileRef, Future[Fingerprint]]] = {}

    def __enter__(self) -> Fingerprints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, files: Iterable[SourceFile]) -> None:
        """Begin to read these files too."""
        for each in files:
            self._futures[each.ref.path] = (each.ref, self._pool.submit(self._of, each))

    def of(self, path: str) -> Fingerprint:
        """The fingerprint of a file that was added, by its path in the source; waits for it.

        Raises DataError for a file that went away or is damaged, InfrastructureError for one that cannot be read.
        """
        try:
            return self._futures[path][1].result()
        except _TooLongError as error:
            raise unusable(path, str(error), "line_too_long", byte=error.begin) from None
        except TooMuch as error:
            raise bomb(path, str(error)) from None
        except FileNotFoundError:
            raise unusable(path, "went away while it was read. Put it back", "files_missing") from None
        except OSError as error:
            if error.errno is None:
                raise unusable(path, "cannot be unpacked to its end. Deliver it again", "file_damaged") from error
            raise InfrastructureError(
                f"{path} could not be read: {os.strerror(error.errno)}.", code="file_read", evidence={"file": path}
            ) from error

    def require_packed_well(self, files: Iterable[SourceFile]) -> None:
        """Raises DataError for the first of these files that is packed and damaged, or packed as DuckDB does not know.

        DuckDB itself says of neither which file it is.
        """
        for each in files:
            if not each.compressed:
                continue
            self.of(each.ref.path)
            if oddly_continued(each.absolute):
                raise unusable(
                    each.ref.path,
                    "is packed by gzip in several parts, and the header of one behind the first holds a comment, its "
                    "own checksum or the mark of a text, which is read in the first only. Pack it again as one",
                    "gzip_header",
                )

    def lines_of(self, source: SourceFile) -> int:
        """How many lines the text of a file that was added has."""
        lines = self.of(source.ref.path).lines
        if self.counted:
            return lines
        with text_of(source) as file:
            return self._told(file, None, counted=True).lines

    def results(self) -> list[tuple[FileRef, str]]:
        """All files with their digests, in the order in which they were added."""
        return [(ref, self.of(path).digest) for path, (ref, _) in self._futures.items()]

    def _of(self, source: SourceFile) -> Fingerprint:
        try:
            return self._made(source)
        except Exception:
            self.failed = source.ref.path
            raise

    def _made(self, source: SourceFile) -> Fingerprint:
        has_lines = self.counted and source.first_line is not None
        plain = not source.compressed and not source.copy
        digest = xxhash.xxh3_128()
        with open(source.absolute, "rb", buffering=0) as file:
            longest, quote = (source.longest_line, source.quote) if plain else (0, b"")
            told = self._told(file, digest.update, counted=has_lines and plain, longest=longest, quote=quote)
        if source.compressed or (source.copy and (has_lines or source.longest_line)):
            with text_of(source) as file:
                told = self._told(file, None, counted=has_lines, longest=source.longest_line, quote=source.quote)
        return replace(told, digest=digest.hexdigest())

    def _told(
        self,
        file: IO[bytes],
        use: Callable[[memoryview], None] | None,
        *,
        counted: bool,
        longest: int = 0,
        quote: bytes = b"",
    ) -> Fingerprint:
        """Read to the end, and tell what was asked for, without a digest. Raises _TooLongError for a longer line."""
        lines, last, position, long, quoted = 0, _NEWLINE, 0, 0, False
        # Where the last line began that goes on behind what was read.
        begin = 0
        buffer = bytearray(_CHUNK)
        view = memoryview(buffer)
        while (size := _into(file, view)) and not self._stopped.is_set():
            if use is not None:
                use(view[:size])
            if counted:
                lines += buffer.count(_NEWLINE, 0, size)
                last = buffer[size - 1]
            if longest:
                first, final = _ends(buffer, size)
                long = max(long, position + first - begin)
                if long > longest:
                    raise _TooLongError(longest, begin)
                begin = begin if final < 0 else position + final + 1
            if quote and not quoted:
                quoted = buffer.find(quote, 0, size) >= 0
            position += size
        return Fingerprint("", lines + (last != _NEWLINE), long, quoted)


def _ends(buffer: bytearray, size: int) -> tuple[int, int]:
    """The places of the first and the last end of a line, (size, -1) where there is none. CR alone ends one, too."""
    for mark in (b"\n", b"\r"):
        if (first := buffer.find(mark, 0, size)) >= 0:
            return first, buffer.rfind(mark, 0, size)
    return size, -1


@contextmanager
def text_of(source: SourceFile) -> Iterator[IO[bytes]]:
    """A file's text in UTF-8, unpacked where need be."""
    # The codec is told by the first bytes, as everywhere: a suffix may be wrong.
    with open(source.copy, "rb") if source.copy else open_bytes(source.absolute) as file:
        yield file


def _into(file: IO[bytes], view: memoryview) -> int:
    size: int = file.readinto(view)  # type: ignore[attr-defined]
    return size


def unusable(path: str, what: str, code: str, **evidence: int) -> DataError:
    """A file that cannot be read as it is; a run may go on without it."""
    return DataError(
        f"The file {path} {what}, or set it aside.",
        code=code,
        evidence={"files": [path], **evidence},
        suggestions=[Suggestion("ignore_file", f"Set {path} aside", "The run goes on without it.", applicable=True)],
    )
