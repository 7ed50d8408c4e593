"""In which line of its file a record begins: a reader takes a text that goes on over several lines for one."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from contextlib import suppress

from dataplane.connectors.base import SourceFile
from dataplane.connectors.files.layouts import records
from dataplane.connectors.files.settings import FileSettings
from dataplane.fingerprints import text_of


def lines_of(source: SourceFile, settings: FileSettings, numbers: Collection[int]) -> dict[int, int]:
    """The lines of these records, which are counted from 1 like lines; without those that cannot be told apart."""
    found: dict[int, int] = {}
    passed = settings.skip

    def lines(text: io.TextIOWrapper) -> Iterator[str]:
        nonlocal passed
        for each in text:
            passed += 1
            yield each

    with text_of(source) as file, suppress(csv.Error):
        text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="")
        for _ in range(settings.skip):
            text.readline()
        begins = passed + 1
        for number, _ in enumerate(records(lines(text), settings), begins):
            if number in numbers:
                found[number] = begins
            begins = passed + 1
            if len(found) == len(numbers):
                break
    return found
