"""The dialect of a delimited text: delimiter, quote, lines before the header, and whether there is a header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dataplane.connectors.files.inference import NOTHING
from dataplane.connectors.files.layouts import behind_nothing

_DELIMITERS = (",", ";", "\t", "|")
_QUOTES = ('"', "'")
_RECORDS = 200
_LOOKED = 1 << 17
# A line that tells spreadsheets the delimiter, and nothing else; a quote or an escape can be none, nor can NUL.
_TOLD = re.compile(r"""sep=([^\w\s"'\\\0]|\t)\r?\n""", re.IGNORECASE)
_VALUE = re.compile(r"[+-]?\d[\d.,:/ TZ+-]*$|true$|false$", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """What `FileSettings` needs to know. `width` is the number of columns.

    doubtful: the first row is read as data, and might be a header all the same.
    """

    delimiter: str
    quote: str
    escape: str
    skip: int
    header: bool
    width: int
    doubtful: bool = False


def dialect_of(text: str, *, whole: bool) -> Dialect:
    """The dialect that its first line tells (`sep=;`), else the one that makes most of the records equally wide.

    whole: the text is not cut off at its end.
    """
    if told := _TOLD.match(text):
        found = _dialect(text[told.end() :], (told.group(1),), whole=whole)
        return replace(found, skip=found.skip + 1)
    return _dialect(text, _DELIMITERS, whole=whole)


def _dialect(text: str, delimiters: Sequence[str], *, whole: bool) -> Dialect:
    best: tuple[float, Dialect] | None = None
    for delimiter in delimiters:
        quote = _quote(text, delimiter)
        escape = "\\" if f"\\{quote}" in text and f"{quote}{quote}" not in text else quote
        rows = _rows(text, delimiter, quote, escape, whole=whole)
        if not rows:
            continue
        width, count = Counter(len(each) for each in rows).most_common(1)[0]
        score = (count / len(rows)) * (1 + min(width, 20) / 10 if width > 1 else 0.5)
        if best is None or score > best[0]:
            skip = _skipped(text, rows, width)
            header, doubtful = _headed([each for each in rows if len(each) == width])
            best = (score, Dialect(delimiter, quote, escape, skip, header, width, doubtful))
    return best[1] if best else Dialect(delimiters[0], '"', '"', 0, True, 0)


def _quote(text: str, delimiter: str) -> str:
    """The character that begins fields and ends them; an apostrophe within a word does not count."""
    edge = re.escape(delimiter)
    found = {
        quote: len(re.findall(rf"(?:^|{edge}){quote}[^\n]*?{quote}(?={edge}|\r?$)", text[:_LOOKED], re.MULTILINE))
        for quote in _QUOTES
    }
    return "'" if found["'"] > 0 and not found['"'] else '"'


def _rows(text: str, delimiter: str, quote: str, escape: str, *, whole: bool) -> list[list[str]]:
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote,
        doublequote=escape == quote,
        escapechar=None if escape == quote else escape,
    )
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > _RECORDS:
                return rows[:_RECORDS]
    except csv.Error:
        return rows
    # The last record of a sample may be half of one.
    return rows if whole or len(rows) < 2 else rows[:-1]


def _skipped(text: str, rows: list[list[str]], width: int) -> int:
    """Lines before the first record that has the usual width: a title, a remark, the date of a report."""
    if width < 2 or len(rows[0]) == width:
        return 0
    narrow = 0
    while narrow < min(len(rows), 20) and len(rows[narrow]) != width:
        narrow += 1
    lines = io.StringIO(text, newline="")
    filled = [number for number, line in enumerate(lines) if line.strip("\r\n")]
    return filled[narrow] if narrow < len(filled) else 0


def _headed(rows: list[list[str]]) -> tuple[bool, bool]:
    """As `_header`; nothing but delimiters may stand above one, such as the rows that a spreadsheet has left empty."""
    below = behind_nothing(rows)
    found = _header(below)
    return found if below and found[0] else _header(rows)


def _header(rows: list[list[str]]) -> tuple[bool, bool]:
    """Whether the first row names columns, and whether it might although it seems not to.

    It does where it is unlike what follows, holds no value, and its cells are filled and all different. Where some are
    empty or alike, a column has to tell: one that begins with a word and then holds nothing but values; unless a cell
    of the first row comes again below itself.
    """
    if not rows:
        return True, False
    first = [each.strip() for each in rows[0]]
    if any(_VALUE.match(each) for each in first) or not any(first) or rows[0] in rows[1:]:
        return False, False
    if all(first) and len({each.casefold() for each in first}) == len(first):
        return True, False
    below = [[row[at].strip() for row in rows[1:]] for at in range(len(first))]
    again = any(name and name in values for name, values in zip(first, below, strict=True))
    named = not again and any(_over_values(name, values) for name, values in zip(first, below, strict=True))
    return named, not named


def _over_values(name: str, below: list[str]) -> bool:
    filled = [each for each in below if each and each not in NOTHING]
    return bool(filled) and name not in ("", *NOTHING) and all(_VALUE.match(each) for each in filled)
