"""In which line of its file a record begins: a reader takes a text that goes on over several lines for one.

Records are numbered as the reader numbers them: from 1 like lines, blank ones and those above the rows counted.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import chain

from dataplane.connectors.files.layouts import records
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.reading import SourceFile
from dataplane.fingerprints import text_of

# Whoever waits for a page does not wait for lines further down than so many characters.
_FURTHEST = 128 << 20
_LONGEST = 16 << 20
# No line of a file reads so.
_BEHIND = "\x00behind the last line\x00"
_BLANK_LINE = re.compile(rb"\n\r?\n|\r\r")
_CHUNK = 1 << 20


def lines_of(
    source: SourceFile, settings: FileSettings, numbers: Collection[int], *, to_the_end: bool = False
) -> dict[int, int]:
    """The lines of these records; without those that cannot be told apart, or lie very far down, unless asked
    `to_the_end`."""
    found: dict[int, int] = {}
    passed = number = settings.skip

    def lines(text: io.TextIOWrapper) -> Iterator[str]:
        nonlocal passed
        left = _FURTHEST
        while each := text.readline(_LONGEST):
            left -= len(each)
            if (left < 0 and not to_the_end) or len(each) == _LONGEST:
                raise csv.Error("too far down, or too long")
            passed += 1
            yield each

    with text_of(source) as file, suppress(csv.Error):
        text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="")
        for _ in range(settings.skip):
            text.readline(_LONGEST)
        passing = iter(records(lines(text), settings))
        while True:
            number += 1
            # Before it is read: it may go on to the end of the file, behind a quote that is never closed.
            if number in numbers:
                found[number] = passed + 1
            if len(found) == len(numbers) or next(passing, None) is None:
                return found
    return found


def closed(source: SourceFile, settings: FileSettings) -> bool:
    """Whether every value of a file ends: none goes on behind its last line. It is read to its end."""
    with text_of(source) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="")
        for _ in range(settings.skip):
            text.readline(_LONGEST)
        try:
            last = deque(records(chain(text, [_BEHIND]), settings), maxlen=1)
        except csv.Error:  # A value is longer than any that would be read.
            return False
    return list(last) == [[_BEHIND]]


def blank_records(source: SourceFile, settings: FileSettings) -> Iterator[int]:
    """The numbers of those records of a file in which nothing stands, which a reader passes over. Where it has any, it
    is read to its end."""
    if not _has_blank_line(source):
        return
    with text_of(source) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="")
        for _ in range(settings.skip):
            text.readline(_LONGEST)
        with suppress(csv.Error):
            for number, record in enumerate(records(text, settings), settings.skip + 1):
                if not record:
                    yield number


def _has_blank_line(source: SourceFile) -> bool:
    with text_of(source) as file:
        before = b"\n"
        while chunk := file.read(_CHUNK):
            text = before + chunk
            if _BLANK_LINE.search(text):
                return True
            before = text[-2:]
    return False
