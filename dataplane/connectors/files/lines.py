"""In which line of its file a record begins: a reader takes a text that goes on over several lines for one."""

from __future__ import annotations

import csv
import io
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


def lines_of(source: SourceFile, settings: FileSettings, numbers: Collection[int]) -> dict[int, int]:
    """The lines of these records, which are counted from 1 like lines; without those that cannot be told apart, or lie
    very far down.
    """
    found: dict[int, int] = {}
    passed = number = settings.skip

    def lines(text: io.TextIOWrapper) -> Iterator[str]:
        nonlocal passed
        left = _FURTHEST
        while each := text.readline(_LONGEST):
            left -= len(each)
            if left < 0 or len(each) == _LONGEST:
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
