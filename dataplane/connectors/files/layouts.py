"""What a file says about its own columns: the header of a delimited file, the schema of a Parquet file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

import duckdb

from dataplane.connectors.files.encodings import (
    broken,
    head,
    no_other,
    text_of,
)
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.schema import Column
from dataplane.errors import DataError, Suggestion
from dataplane.relations import literal

_HEADER_BYTES = 1 << 18
# A reader keeps a batch of rows of every column in memory: this many need about 200 MB.
MOST_COLUMNS = 2_000

_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html)[\s>]", re.IGNORECASE)

# Names and types as they stand in a file; the type is empty where a file of this format does not say it.
Layout = tuple[tuple[str, str], ...]


def delimited_layout(found: Found, settings: FileSettings, columns: Sequence[Column]) -> Layout:
    """The columns of a delimited file, in its own order, under the declared names. Raises DataError.

    A name is matched exactly, else without regard to case and surrounding blanks.
    """
    sample = head(found, _HEADER_BYTES)
    if not sample.strip():
        raise empty(found.path)
    no_web_page(found.path, sample)
    no_other(found.path, sample, settings.encoding)
    if not settings.header:
        return tuple((each.name, "") for each in columns)
    names = header_of(text_of(sample, settings.encoding), settings)
    bounded_width(found.path, len(names))
    return tuple((name, "") for name in declared_names(found.path, names, columns))


def no_web_page(path: str, first: bytes) -> None:
    """Raises DataError for what a server shows to people where a file was wanted."""
    if _WEB_PAGE.match(first):
        raise DataError(
            f"{path} holds a web page and no table, perhaps one on which people sign in. Open its address in a "
            "browser; correct the address, or how the source signs in, or deliver the file again.",
            code="web_page",
            evidence={"file": path},
            suggestions=[
                Suggestion("ignore_file", f"Set {path} aside", "The run goes on without it.", applicable=True)
            ],
        )


def declared_names(path: str, names: Sequence[str], columns: Sequence[Column]) -> list[str]:
    """The names of a file's header as they are declared. Raises DataError when none of them is."""
    declared = {each.name: each.name for each in columns}
    similar = {each.name.strip().casefold(): each.name for each in columns}
    # As they were made different when they were declared: `Name` and `name` are `Name` and `name_1`.
    different = unique(names)
    known = [declared.get(name) or similar.get(name.strip().casefold()) for name in different]
    if columns and not any(known):
        raise header_missing(path, names, columns)
    return unique(there or name for there, name in zip(known, different, strict=True))


def bounded_width(path: str, columns: int) -> None:
    """Raises DataError for more columns than a step's memory holds."""
    if columns > MOST_COLUMNS:
        raise DataError(
            f"{path} has {columns:,} columns; {MOST_COLUMNS:,} are the most that are read. Deliver it with fewer, the "
            "values below each other with their name beside them, or as Parquet.",
            code="too_many_columns",
            evidence={"file": path, "columns": columns},
        )


def header_of(text: str, settings: FileSettings) -> list[str]:
    """The first record after the lines to skip that says anything; empty when there is none."""
    stream = io.StringIO(text, newline="")
    for _ in range(settings.skip):
        stream.readline()
    return next((each for each in records(stream, settings) if _says(each)), [])


def behind_nothing(rows: list[list[str]]) -> list[list[str]]:
    """The rows from the first one on that says anything: above a header nothing but delimiters may stand."""
    return rows[next((place for place, each in enumerate(rows) if _says(each)), len(rows)) :]


def _says(row: list[str]) -> bool:
    return any(map(str.strip, row))


def blank_before(found: Found, settings: FileSettings) -> int:
    """How many records that say nothing stand before the header: a reader would take the first of them for it."""
    blank = 0
    if settings.header:
        stream = io.StringIO(text_of(head(found, _HEADER_BYTES), settings.encoding), newline="")
        for _ in range(settings.skip):
            stream.readline()
        for each in records(stream, settings):
            if _says(each):
                break
            blank += 1
    return blank


def records(stream: Iterable[str], settings: FileSettings) -> Iterable[list[str]]:
    """Records of a delimited text in the declared dialect."""
    # Twice as much as a reader takes for a row: a quote that is never closed does not fill the memory.
    csv.field_size_limit(16 << 20)
    return csv.reader(
        stream,
        delimiter=settings.separator,
        quotechar=settings.quote,
        quoting=csv.QUOTE_MINIMAL if settings.quote else csv.QUOTE_NONE,
        doublequote=settings.escape in (None, settings.quote),
        escapechar=None if settings.escape in (None, settings.quote) else settings.escape,
    )


def unique(names: Iterable[str]) -> list[str]:
    """Names made different: an empty one by its position, a repeated one by a number."""
    found: list[str] = []
    taken: set[str] = set()
    for position, name in enumerate(names):
        base = name if name.strip() else f"column{position}"
        chosen, more = base, 1
        while chosen.casefold() in taken:
            chosen, more = f"{base}_{more}", more + 1
        taken.add(chosen.casefold())
        found.append(chosen)
    return found


def parquet_layout(connection: duckdb.DuckDBPyConnection, found: Found) -> Layout:
    """The columns of a Parquet file. Raises DataError when it is none."""
    if found.size == 0:
        raise empty(found.path)
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({literal(found.absolute)})").fetchall()
    except (duckdb.InvalidInputException, duckdb.IOException) as error:
        raise broken(found.path, error) from error
    return tuple((name, type_) for name, type_, *_ in rows)


def empty(path: str, sheet: str | None = None) -> DataError:
    """The error for a file without a byte, or a sheet without a cell: a delivery that failed looks like this."""
    which = f"The sheet {sheet} of {path}" if sheet else path
    return DataError(
        f"{which} is empty: not even a header is in it. Deliver it again, or set it aside.",
        code="file_empty",
        evidence={"file": path},
        suggestions=[Suggestion("ignore_file", f"Set {path} aside", "The run goes on without it.", applicable=True)],
    )


def header_missing(path: str, names: Sequence[str], columns: Sequence[Column]) -> DataError:
    """The error for a file whose first line names none of the declared columns."""
    wanted = ", ".join(each.name for each in columns[:5])
    return DataError(
        f"The first line of {path} names none of the stream's columns ({wanted}…): the header is missing or the "
        f"delimiter is another. Correct the file, or the stream's settings.",
        code="header_missing",
        evidence={"file": path, "line": 1, "found": list(names[:20])},
        suggestions=[Suggestion("ignore_file", f"Set {path} aside", "The run goes on without it.", applicable=True)],
    )
