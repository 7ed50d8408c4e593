"""How the lines of a delimited text end: its reader knows one way only, and loses rows where there are several."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator

from dataplane.connectors.files.encodings import head, open_bytes
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.place import require_room
from dataplane.connectors.files.settings import FileSettings

_CHUNK = 4 << 20
# A value that is longer than any that would be read is not waited for.
_LONGEST = 16 << 20
_ENDS = rb"\r\n|\n|\r"
LINE_FEED = "\\n"
_NAMES = {b"\r\n": "\\r\\n", b"\n": LINE_FEED, b"\r": "\\r"}


def line_end_of(text: Found, settings: FileSettings, size: int) -> str | None:
    """How the lines in the first bytes of a text in UTF-8 end, as its reader is told; None where they do so in several
    ways.

    What ends a line within quotes is a part of a value and says nothing, though the reader would go by it.
    """
    sample = head(text, size)
    if len(sample) >= size:
        # The other half of the last end may lie behind the sample.
        sample = sample.removesuffix(b"\r")
    found = _counted(sample)
    if len(found) > 1 and settings.quote:
        found = {each[0] for each in _pieces(settings).finditer(sample) if each[0] in _NAMES}
    if not found:
        return LINE_FEED
    return _NAMES[found.pop()] if len(found) == 1 else None


def _counted(sample: bytes) -> set[bytes]:
    if b"\r" not in sample:
        return {b"\n"} if b"\n" in sample else set()
    both = sample.count(b"\r\n")
    counts = {b"\r\n": both, b"\n": sample.count(b"\n") - both, b"\r": sample.count(b"\r") - both}
    return {end for end, count in counts.items() if count}


def _pieces(settings: FileSettings) -> re.Pattern[bytes]:
    """What ends a line, or a value in quotes as a whole; one that is never closed goes on to the end."""
    if not settings.quote:
        return re.compile(_ENDS)
    quote, edge = re.escape(settings.quote.encode()), re.escape(settings.separator.encode())
    escape = re.escape(settings.escape.encode()) if settings.escape not in (None, "", settings.quote) else b""
    # A class of bytes is ten times as fast; a letter of several bytes is in none.
    each = rb"[^%s%s]" % (quote, escape) if settings.quote.isascii() else rb"(?!%s)(?s:.)" % quote
    inner = rb"(?:%s(?s:.)|%s)*+" % (escape, each) if escape else rb"(?:%s)*+" % each
    begins = rb"%s(?:(?<=[\r\n]%s)|(?<=%s%s)|(?<=\A%s))" % (quote, quote, edge, quote, quote)
    # Each alternative begins with a letter of its own: so the others are passed over quickly.
    return re.compile(rb"%s|%s%s(?:%s%s%s)*+(?:%s|\Z)" % (_ENDS, begins, inner, quote, quote, inner, quote))


def evened(absolute: str, settings: FileSettings, folder: str) -> str:
    """A copy of a text in UTF-8, in `folder`, in which each line ends in \\n; within quotes everything stays."""
    pieces = _pieces(settings)
    handle, target = tempfile.mkstemp(suffix=".evened", dir=folder)
    with open_bytes(absolute) as source, open(handle, "wb") as out:
        rest = b""
        while chunk := source.read(_CHUNK):
            require_room(folder, len(chunk))
            rest += chunk
            done = 0
            for start, end in _whole_lines(pieces, rest):
                out.write(rest[done:start] + b"\n")
                done = end
            if len(rest) - done > _LONGEST:
                out.write(rest[done:])
                done = len(rest)
            rest = rest[done:]
        out.write(pieces.sub(lambda each: b"\n" if each[0] in _NAMES else each[0], rest))
    return target


def _whole_lines(pieces: re.Pattern[bytes], text: bytes) -> Iterator[tuple[int, int]]:
    """Where the lines of a piece of a text end, whatever comes behind it."""
    for each in pieces.finditer(text):
        if each.end() < len(text) and each[0] in _NAMES:
            yield each.span()
