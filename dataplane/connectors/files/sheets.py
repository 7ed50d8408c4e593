"""One sheet of a workbook as a table: where it begins, what its columns are called, and how a cell becomes a value.

DuckDB's reader is asked for the texts of all cells only. Left to itself it ends at the first empty row, guesses types
from one row, and puts nothing where a cell does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import duckdb

from dataplane.connectors.files import casts
from dataplane.connectors.files.cells import Cells, letter
from dataplane.connectors.files.encodings import broken
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.layouts import declared_names, empty, unique
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.files.texts import ROW
from dataplane.connectors.files.workbooks import Workbook, workbook_of
from dataplane.connectors.schema import Column
from dataplane.engine import load_extension
from dataplane.errors import ConfigurationError
from dataplane.relations import identifier, literal

_WITHOUT_HEADER = 100
_BATCH = 4_096
_NUMBER = "[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"
_MOMENTS = ("DATE", "TIMESTAMP", "TIME")


@dataclass(frozen=True)
class Sheet:
    """A table of cells: its columns from left to right, and the rows below its header."""

    name: str
    names: tuple[str, ...]
    cells: Cells
    from_1904: bool
    refusal: ClassVar[str] = "NULL"

    def texts(self, absolute: str, null_values: Sequence[str], *, rows: int | None = None) -> str:
        """A SELECT of the cells' texts with the number of their row; rows without a cell are left out."""
        letters = [letter(self.cells.left + position) for position in range(len(self.names))]
        nothing = ", ".join(literal(each) for each in null_values) or "NULL"
        items = ", ".join(
            f"CASE WHEN {identifier(key)} IN ({nothing}) THEN NULL ELSE {identifier(key)} END AS {identifier(name)}"
            for key, name in zip(letters, self.names, strict=True)
        )
        filled = ", ".join(identifier(key) for key in letters)
        first = self.cells.top
        below = self.cells.last - first + 1
        if rows is None:
            source = _read(absolute, self.name, self.cells.row(first, below))
        else:
            source = f"({_beginning(absolute, self.name, self.cells, first, min(rows, below))})"
        return (
            f"SELECT {ROW}, {items} FROM (SELECT row_number() OVER () + {first - 1} AS {ROW}, * FROM {source}) "
            f"WHERE coalesce({filled}, NULL) IS NOT NULL"
        )

    def value(self, column: Column, settings: FileSettings) -> str:
        """A cell's text as the declared type; NULL when it does not fit exactly."""
        upper, text = column.type.upper(), identifier(column.name)
        if upper not in _MOMENTS:
            if casts.guarded(column.type):
                text = _rounded(text)
            return casts.careful(text, column.type, separator=settings.decimal_separator)
        written = casts.careful(text, column.type, date_format=settings.date_format)
        return f"coalesce({written}, {self._moment(text, upper)})"

    def _moment(self, text: str, type_: str) -> str:
        """A day's number as a date, time, or both. Day 60 of the usual count was never a day: 29 February 1900."""
        number = f"TRY_CAST(CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN {text} END AS DOUBLE)"
        micros = f"to_microseconds(CAST(round(({number} % 1) * 86400000) * 1000 AS BIGINT))"
        if type_ == "TIME":
            return f"CASE WHEN {number} >= 0 AND {number} < 1 THEN TIME '00:00:00' + {micros} END"
        day = f"CAST(floor({number}) AS INTEGER)"
        if self.from_1904:
            begin = f"CASE WHEN {number} >= 0 AND {number} < 2957004 THEN DATE '1904-01-01' + {day} END"
        else:
            begin = (
                f"CASE WHEN {number} >= 61 AND {number} < 2958466 THEN DATE '1899-12-30' + {day} "
                f"WHEN {number} >= 1 AND {number} < 60 THEN DATE '1899-12-31' + {day} END"
            )
        if type_ == "DATE":
            return f"CASE WHEN {number} = floor({number}) THEN {begin} END"
        return f"CAST({begin} AS TIMESTAMP) + {micros}"


def sheet_of(
    connection: duckdb.DuckDBPyConnection, found: Found, settings: FileSettings, columns: Sequence[Column] = ()
) -> Sheet:
    """The sheet that the settings name, or the first; its columns under the declared names where these are given.

    Raises ManifoldError.
    """
    workbook = workbook_of(found)
    name = named(found, workbook, settings.sheet)
    cells = settings.area
    first = cells.top + (0 if settings.cells else settings.skip)
    rows = texts_of(connection, found, name, cells, first, rows=1 if settings.header else _WITHOUT_HEADER)
    filled = [position for row in rows for position, each in enumerate(row) if each]
    if not filled:
        raise empty(found.path, name)
    width = cells.width if settings.cells else max(filled) + 1
    header = [each or "" for each in rows[0][:width]]
    if settings.header:
        names = declared_names(found.path, header, columns)
    else:
        names = [each.name for each in columns][:width]
        names += [f"column{position}" for position in range(len(names), width)]
    below = replace(cells, top=first + settings.header, width=width)
    return Sheet(name, tuple(unique(names)), below, workbook.from_1904)


def texts_of(
    connection: duckdb.DuckDBPyConnection, found: Found, sheet: str, cells: Cells, first: int, *, rows: int
) -> list[tuple[str | None, ...]]:
    """The texts of some rows of cells. Raises DataError."""
    load_extension(connection, "excel")
    try:
        return connection.execute(_beginning(found.absolute, sheet, cells, first, rows)).fetchall()
    except (duckdb.IOException, duckdb.BinderException, duckdb.InvalidInputException) as error:
        raise broken(found.path, error) from error


def kinds_of(connection: duckdb.DuckDBPyConnection, found: Found, sheet: Sheet, row: int) -> list[str]:
    """What the cells of a row are formatted as: DOUBLE (an empty one, too), VARCHAR, BOOLEAN, DATE, TIMESTAMP, TIME."""
    source = _read(found.absolute, sheet.name, replace(sheet.cells, width=len(sheet.names)).row(row), texts=False)
    return [each[1] for each in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]


def _beginning(absolute: str, sheet: str, cells: Cells, first: int, rows: int) -> str:
    """A SELECT of some rows that reads no further: the reader only stops where a batch of rows is full and nobody asks
    for another, so it is asked for more of them."""
    return f"SELECT * FROM {_read(absolute, sheet, cells.row(first, rows + _BATCH))} LIMIT {rows}"


def _read(absolute: str, sheet: str, cells: str, *, texts: bool = True) -> str:
    return (
        f"read_xlsx({literal(absolute)}, sheet = {literal(sheet)}, range = {literal(cells)}, header = false, "
        f"stop_at_empty = false, all_varchar = {str(texts).lower()})"
    )


def _rounded(text: str) -> str:
    """A number with the 15 digits that Excel shows: files hold 10.100000000000001 for 10.1."""
    shown = f"printf('%.15g', TRY_CAST({text} AS DOUBLE))"
    pointed = f"regexp_full_match({text}, '{_NUMBER}') AND regexp_matches({text}, '[.eE]')"
    return f"(CASE WHEN {pointed} THEN {shown} ELSE {text} END)"


def named(found: Found, workbook: Workbook, wanted: str | None) -> str:
    """The sheet of that name, or the first one. Raises ManifoldError."""
    if not workbook.sheets:
        raise empty(found.path)
    if wanted and wanted not in workbook.sheets:
        raise ConfigurationError(
            f"{found.path} has no sheet {wanted}; it has {', '.join(workbook.sheets[:20])}. "
            "Correct the stream's sheet.",
            code="sheet_missing",
            evidence={"file": found.path, "sheets": list(workbook.sheets)},
        )
    return wanted or workbook.sheets[0]
