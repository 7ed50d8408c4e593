"""What a sheet's columns are: by the format of their cells, and by what all sampled numbers have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb

from dataplane.connectors.files.cells import Cells
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.inference import infer
from dataplane.connectors.files.layouts import empty
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.files.sheets import Sheet, kinds_of, named, sheet_of, texts_of
from dataplane.connectors.files.texts import ROW
from dataplane.connectors.files.workbooks import workbook_of
from dataplane.connectors.schema import Column
from dataplane.relations import identifier

_LOOKED = 50
_SAMPLE_ROWS = 20_000
_SAMPLE = "__sample"
_MOMENTS = frozenset(["DATE", "TIMESTAMP", "TIME"])
# Shapes that a text has on purpose; digits in a cell of text (a postcode, a number of an article) stay text.
_WRITTEN = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "UUID")


@dataclass
class Seen:
    """The columns of a sheet, and the settings to read it with."""

    columns: tuple[Column, ...]
    settings: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def seen(connection: duckdb.DuckDBPyConnection, files: Sequence[Found], settings: FileSettings) -> Seen:
    """Look at the table that the settings place, in a few workbooks. Raises ManifoldError."""
    kinds: dict[str, set[str]] = {}
    samples = []
    for each in files:
        there = sheet_of(connection, each, settings)
        query = there.texts(each.absolute, (), rows=_SAMPLE_ROWS)
        samples.append(f"SELECT * EXCLUDE ({ROW}) FROM ({query})")
        _collect(connection, each, there, query, kinds)
    joined = " UNION ALL BY NAME ".join(samples)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_SAMPLE} AS {joined}")
    found = infer(connection, _SAMPLE, list(kinds), marks=".")
    columns = [_settled(each, kinds[each.name]) for each in found.columns]
    warnings = [f"{each.name}: {each.warning}" for each in columns if each.warning]
    dated = found.date_format if any(each.type == "DATE" for each in columns) else None
    values = {
        "header": settings.header,
        "skip": settings.skip,
        "null_values": list(found.null_values),
        "date_format": dated,
        # Given though they may be empty, so that the stream's form asks for them.
        "sheet": settings.sheet or "",
        "cells": settings.cells or "",
    }
    return Seen(tuple(columns), values, warnings)


def placed(connection: duckdb.DuckDBPyConnection, found: Found, sheet: str | None) -> FileSettings:
    """Settings that say where the table of a sheet lies. Raises ManifoldError.

    The table begins with the first row that is as wide as any below; it is a header when all its cells are texts.
    """
    workbook = workbook_of(found)
    name = named(found, workbook, sheet)
    rows = texts_of(connection, found, name, Cells(), 1, rows=_LOOKED)
    filled = [sum(1 for each in row if each) for row in rows]
    if not any(filled):
        raise empty(found.path, name)
    top = filled.index(max(filled))
    width = max(position for position, each in enumerate(rows[top]) if each) + 1
    whole = Sheet(name, tuple(str(each) for each in range(width)), Cells(), workbook.from_1904)
    kinds = kinds_of(connection, found, whole, top + 1)
    texts = [kind for kind, each in zip(kinds, rows[top], strict=False) if each]
    header = all(each == "VARCHAR" for each in texts)
    return FileSettings(pattern=("*",), format="excel", sheet=sheet, skip=top, header=header)


def _collect(
    connection: duckdb.DuckDBPyConnection, found: Found, sheet: Sheet, query: str, kinds: dict[str, set[str]]
) -> None:
    """Add what the first and the last filled cell of each column is."""
    asked = ", ".join(
        f"min({ROW}) FILTER ({identifier(name)} IS NOT NULL), max({ROW}) FILTER ({identifier(name)} IS NOT NULL)"
        for name in sheet.names
    )
    row = connection.execute(f"SELECT {asked} FROM ({query})").fetchone() or ()
    known: dict[int, list[str]] = {}
    for position, name in enumerate(sheet.names):
        mine = kinds.setdefault(name, set())
        for at in {row[2 * position], row[2 * position + 1]} - {None}:
            if at not in known:
                known[at] = kinds_of(connection, found, sheet, at)
            mine.add(known[at][position])


def _settled(column: Column, kinds: set[str]) -> Column:
    """The inferred column, after what the cells say of themselves."""
    if kinds == {"DOUBLE", "VARCHAR"} or kinds <= {"DOUBLE"}:
        return replace(column, native="number" if kinds == {"DOUBLE"} else column.native)
    if kinds == {"VARCHAR"}:
        return column if column.type in _WRITTEN else Column(column.name, "VARCHAR", native="text")
    if len(kinds) == 1 or kinds == {"DATE", "TIMESTAMP"}:
        (type_,) = kinds if len(kinds) == 1 else ("TIMESTAMP",)
        return Column(column.name, type_, native=type_.lower())
    warning = "holds dates beside other values; as text they are the numbers by which Excel counts days"
    return Column(column.name, "VARCHAR", native="mixed", warning=warning if kinds & _MOMENTS else "")
