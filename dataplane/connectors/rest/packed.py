"""Answers that a server has packed although it was asked not to, as stores and caches do: unpacked piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from dataplane.errors import DataError
from dataplane.http import Answer, shown

_GZIP = 16 + zlib.MAX_WBITS
# However much one byte may become, no more than this is unpacked before somebody has looked at its size.
_PIECE = 64 << 10


def unpacked(answer: Answer) -> Iterator[bytes]:
    """The body as it comes, in pieces. Raises DataError for one that is packed otherwise than by gzip, or damaged."""
    how = answer.headers.get("content-encoding", "").strip().lower()
    if how in ("", "identity"):
        yield from answer.chunks()
    elif how in ("gzip", "x-gzip"):
        yield from _from_gzip(answer)
    else:
        raise _unreadable(
            answer, f"is packed ({how[:50]}), although it was asked not to be. Have the server send it plain"
        )


def _from_gzip(answer: Answer) -> Iterator[bytes]:
    unpacking, came = zlib.decompressobj(_GZIP), False
    for chunk in answer.chunks():
        came = came or bool(chunk)
        more = True
        while more:
            try:
                piece = unpacking.decompress(chunk, _PIECE)
            except zlib.error:
                raise _unreadable(answer, "is damaged: it says gzip, and is none. Have the server mended") from None
            yield piece
            chunk = unpacking.unconsumed_tail
            more = bool(chunk) or len(piece) == _PIECE
        if unpacking.unused_data:
            # However much still comes: nobody would count it.
            break
    if came and (unpacking.unused_data or not unpacking.eof):
        raise _unreadable(answer, "is damaged: its gzip is cut off, or more stands behind it. Have the server mended")


def _unreadable(answer: Answer, what: str) -> DataError:
    return DataError(
        f"What {shown(answer.url)} answers {what}.", code="json_malformed", evidence={"url": shown(answer.url)}
    )
