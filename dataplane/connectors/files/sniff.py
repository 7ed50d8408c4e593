"""A few files of a stream looked at once: their settings and columns, kept from then on as declared."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import pyarrow as pa

from dataplane.connectors.files.alike import apart
from dataplane.connectors.files.avro import avro_columns
from dataplane.connectors.files.dialect import dialect_of
from dataplane.connectors.files.encodings import compression_of, encoding_of, for_duckdb, head, text_of
from dataplane.connectors.files.fixed import beginning
from dataplane.connectors.files.fixed import placed as placed_letters
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.inference import Inferred, infer
from dataplane.connectors.files.json_files import json_shape
from dataplane.connectors.files.json_keys import exact_types, json_layout, one_object
from dataplane.connectors.files.layouts import (
    behind_nothing,
    bounded_width,
    empty,
    header_of,
    no_web_page,
    parquet_layout,
    records,
    unique,
)
from dataplane.connectors.files.markup import sampled
from dataplane.connectors.files.settings import FileSettings, Format
from dataplane.connectors.files.sheet_types import placed, seen
from dataplane.connectors.files.spans import spans_of
from dataplane.connectors.schema import Column
from dataplane.errors import DataError
from dataplane.relations import identifier

_TAIL = 1 << 19
_SAMPLE_ROWS = 50_000
_NAMED = 10
_GUESSED = (
    "The files are no UTF-8 and name no encoding; {encoding} is a guess. Where letters look wrong in the preview, "
    "choose the encoding that their sender wrote them in."
)
_WRAPPED = (
    "A file is one object, so it is one row; `{name}` in it is a list of objects. A sql step makes rows of them: "
    "SELECT unnest({column}, recursive := true) FROM its input."
)
_NARROW = (
    "What stands above the rows is skipped, up to line {skip} ({line}), because it has fewer cells, or more, than they "
    "have. If that line is the header, have it delivered with as many cells as the rows."
)
_PLACED = (
    "Each line is one column, though all are of one length and have gaps at the same letters. If its columns stand at "
    "letters of their own, choose the format fixed, and correct the positions that are found."
)
_ALIKE = "The key {key} differs from {other} only by case, so it is not read: give it another name, or leave it out."
DIALECT = frozenset(["encoding", "delimiter", "quote", "escape", "header", "skip"])
"""The settings that say how delimited files are written."""
VALUES = frozenset(["null_values", "decimal_separator", "date_format"])
"""The settings that say how the values are written, once the columns are known."""


@dataclass
class Sniffed:
    """What was found; `settings` holds only what differs from the defaults."""

    columns: tuple[Column, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def sniff(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Found],
    format_: Format,
    *,
    declared: FileSettings | None = None,
    sheet: str | None = None,
) -> Sniffed:
    """Settings and columns from a few files of one stream. Raises ManifoldError.

    Of workbooks: sheet names the one to look at. declared: settings that say where the table lies, and in which
    dialect it is written; what is not given there is found.
    """
    filled = [each for each in files if each.size]
    if not filled and format_ != "ndjson":
        raise empty(files[0].path)
    if format_ == "parquet":
        return _typed([parquet_layout(connection, each) for each in filled])
    if format_ == "avro":
        return _avro([avro_columns(connection, each) for each in filled])
    if format_ in ("json", "ndjson"):
        return _json(connection, filled or files[:1], format_)
    if format_ == "excel":
        found = seen(connection, filled, declared or placed(connection, filled[0], sheet))
        return Sniffed(found.columns, found.settings, found.warnings)
    if format_ == "fixed":
        return _fixed(connection, filled, declared)
    if format_ == "xml":
        return _xml(connection, filled, declared)
    return _delimited(connection, filled, format_, declared)


def _typed(layouts: Sequence[Sequence[tuple[str, str]]]) -> Sniffed:
    """Columns of all files together; where two files differ, the type both fit into, text if need be."""
    found: dict[str, str] = {}
    for layout in layouts:
        for name, type_ in layout:
            found[name] = type_ if found.get(name, type_) == type_ else wider(found[name], type_)
    return Sniffed(tuple(Column(name, type_, native=type_) for name, type_ in found.items()))


def _avro(files: Sequence[Sequence[Column]]) -> Sniffed:
    found = _typed([[(each.name, each.type) for each in columns] for columns in files])
    said = {each.name: each.warning for columns in files for each in columns if each.warning}
    columns = tuple(replace(each, warning=said.get(each.name, "")) for each in found.columns)
    return Sniffed(columns, warnings=[f"{name}: {warning}" for name, warning in said.items()])


def wider(one: str, other: str) -> str:
    """The type of Parquet that both fit into; text, if need be."""
    if one == other:
        return one
    order = ["TINYINT", "SMALLINT", "INTEGER", "BIGINT"]
    if one in order and other in order:
        return max(one, other, key=order.index)
    if {one, other} <= {*order, "FLOAT", "DOUBLE"}:
        return "DOUBLE"
    return "VARCHAR"


def _json(connection: duckdb.DuckDBPyConnection, files: Sequence[Found], format_: Format) -> Sniffed:
    first = head(files[0])
    no_web_page(files[0].path, first)
    encoding = encoding_of(first)
    with tempfile.TemporaryDirectory(prefix="manifold-sniff-") as folder:
        layouts = []
        alike: dict[str, str] = {}
        known: list[str] = []
        for each in files:
            absolute = for_duckdb(each, encoding, folder)
            shape = json_shape(format_, each)
            layout = dict(json_layout(connection, each, absolute, shape))
            # What the first file with a key calls it is what it is called in all of them.
            for name, other in apart(layout, known).items():
                alike[name] = other
                del layout[name]
            known += layout
            layouts.append(exact_types(connection, absolute, shape, tuple(layout.items())))
        alone = one_object(connection, absolute, shape)
    found = _typed(layouts)
    found.warnings += [_ALIKE.format(key=key, other=other) for key, other in alike.items()]
    if not found.columns:
        found.warnings.append(
            f"{files[0].path} has no rows with keys, so nothing tells its columns yet: the first file with rows does."
        )
    lists = [each.name for each in found.columns if each.type.startswith("STRUCT(") and each.type.endswith("[]")]
    if alone and len(lists) == 1:
        found.warnings.append(_WRAPPED.format(name=lists[0], column=identifier(lists[0])))
    if encoding != "utf-8":
        found.settings["encoding"] = encoding
    return found


def _decoded(path: str, first: bytes, encoding: str) -> str:
    try:
        return text_of(first, encoding)
    except UnicodeError as error:
        raise DataError(
            f"{path} cannot be read as {encoding}: {error}. Choose the encoding that its sender wrote it in.",
            code="encoding",
            evidence={"file": path, "encoding": encoding},
        ) from error


def _delimited(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Found], format_: Format, declared: FileSettings | None
) -> Sniffed:
    first = head(files[0])
    no_web_page(files[0].path, first)
    given = declared.model_dump(include=set(DIALECT & declared.model_fields_set)) if declared is not None else {}
    encoding = given.get("encoding") or encoding_of(first)
    text = _decoded(files[0].path, first, encoding)
    if not text.strip():
        raise empty(files[0].path)
    whole = compression_of(files[0].absolute) == "none" and len(first) >= files[0].size
    dialect = dialect_of(text, whole=whole)
    alike = {name: getattr(dialect, name) for name in DIALECT - {"encoding"}}
    settings = FileSettings(**{"pattern": ("*",), "format": format_, "encoding": encoding, **alike, **given})
    names = header_of(text, settings)
    if not names and not settings.skip:
        raise empty(files[0].path)
    if not names:
        raise DataError(
            f"{files[0].path} ends within the {settings.skip} lines that are skipped at its beginning. Skip fewer.",
            code="nothing_left",
            evidence={"file": files[0].path, "skip": settings.skip},
        )
    if not settings.header:
        width = len(names) if given else dialect.width
        names = [f"column{position}" for position in range(max(width, 1))]
    bounded_width(files[0].path, len(names))
    said = _said_of_header(names, doubtful=dialect.doubtful and "header" not in given)
    if settings.skip and not settings.header and not given.keys() & {"skip", "header"}:
        said.append(_NARROW.format(line=_lines(text)[settings.skip - 1].strip()[:80], skip=settings.skip))
    if len(names) == 1 and declared is None and _of_one_length(_lines(text)[: None if whole else -1]):
        said.append(_PLACED)
    guessed = [] if "encoding" in given or encoding.startswith("utf") else [_GUESSED.format(encoding=encoding)]
    names = unique(names)
    rows: list[list[str]] = []
    for each in files:
        rows += _sample(each, settings, names)
    _as_table(connection, names, rows)
    found = _inferred(connection, names, declared, comma=settings.separator != ",")
    values = {
        **settings.model_dump(include=set(DIALECT)),
        "null_values": list(found.null_values),
        "decimal_separator": found.decimal_separator,
        "date_format": found.date_format,
    }
    return Sniffed(tuple(found.columns), values, [*said, *found.warnings, *guessed])


def _inferred(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], declared: FileSettings | None, *, comma: bool = True
) -> Inferred:
    """The types of the sample, whose values are written as declared, else in any way. comma: it may be decimal."""
    marks = ".," if comma else "."
    if declared is None:
        return infer(connection, "__sample", names, marks=marks)
    if "decimal_separator" in declared.model_fields_set:
        marks = declared.decimal_separator
    return infer(connection, "__sample", names, marks=marks, date_format=declared.date_format)


def _said_of_header(header: Sequence[str], *, doubtful: bool) -> list[str]:
    """What has to be known of a header whose names are not all there, or not all different."""
    if doubtful:
        return [
            "The first line is read as a row: some of its cells are empty or alike, so that they do not name columns. "
            "If it is a header, give each column there a name of its own."
        ]
    called = [
        f"{mine} ({f'{name.strip()} again' if name.strip() else f'column {place} has no name'})"
        for place, (name, mine) in enumerate(zip(header, unique(header), strict=True), 1)
        if name != mine
    ]
    if not called:
        return []
    more = f" and {len(called) - _NAMED} more" if len(called) > _NAMED else ""
    return [
        f"The header has empty or repeated names; so columns are called {', '.join(called[:_NAMED])}{more}. "
        "If that line is a row and no header, set `header` (*The first line names the columns*) to false."
    ]


def _fixed(connection: duckdb.DuckDBPyConnection, files: Sequence[Found], declared: FileSettings | None) -> Sniffed:
    settings = placed_letters(files[0], declared)
    names = [each.name for each in settings.spans]
    rows = [row for each in files for row in beginning(each, settings)[:_SAMPLE_ROWS]]
    _as_table(connection, names, rows)
    found = _inferred(connection, names, declared)
    values = {
        "encoding": settings.encoding,
        "header": settings.header,
        "skip": settings.skip,
        "positions": list(settings.positions),
        "null_values": list(found.null_values),
        "decimal_separator": found.decimal_separator,
        "date_format": found.date_format,
    }
    return Sniffed(tuple(found.columns), values, found.warnings)


def _xml(connection: duckdb.DuckDBPyConnection, files: Sequence[Found], declared: FileSettings | None) -> Sniffed:
    settings, columns = sampled(files, declared or FileSettings(pattern=("*",), format="xml"))
    names = list(columns)
    bounded_width(files[0].path, len(names))
    _as_table(connection, names, list(zip(*columns.values(), strict=True)))
    found = _inferred(connection, names, declared)
    values = {
        "records": settings.records,
        "repeated": list(settings.repeated),
        "null_values": list(found.null_values),
        "decimal_separator": found.decimal_separator,
        "date_format": found.date_format,
    }
    return Sniffed(tuple(found.columns), values, found.warnings)


def _sample(found: Found, settings: FileSettings, names: Sequence[str]) -> list[list[str]]:
    """Rows from a file's beginning, and from its end where it can be reached, in the order of the names."""
    start = head(found)
    text = text_of(start, settings.encoding)
    lines = _lines(text)[settings.skip :]
    rows = [each for each in records(lines, settings) if each]
    order = list(range(len(names)))
    if settings.header and (rows := behind_nothing(rows)):
        there = {name: position for position, name in enumerate(unique(rows[0]))}
        order = [there.get(name, -1) for name in names]
        rows = rows[1:]
    whole = len(start) >= found.size and compression_of(found.absolute) == "none"
    rows = rows[:_SAMPLE_ROWS] if whole else rows[: min(_SAMPLE_ROWS, max(len(rows) - 1, 1))]
    if not whole:
        rows += _last_rows(found, settings)
    width = max(order, default=-1) + 1
    if order == list(range(width)):
        return [each if len(each) == width else each[:width] for each in rows if len(each) >= width]
    return [[each[at] if at >= 0 else "" for at in order] for each in rows if len(each) >= width]


def _of_one_length(lines: Sequence[str]) -> bool:
    filled = [stripped for each in lines if (stripped := each.rstrip("\r\n")).strip()]
    return len(filled) > 2 and len({len(each) for each in filled}) == 1 and len(spans_of(filled)) > 1


def _lines(text: str) -> list[str]:
    """The lines of a text with their ends, as a reader counts them: what else parts lines elsewhere is a letter."""
    return list(io.StringIO(text, newline=""))


def _last_rows(found: Found, settings: FileSettings) -> list[list[str]]:
    if settings.encoding.startswith("utf-16") or compression_of(found.absolute) != "none":
        return []
    with open(found.absolute, "rb") as file:
        file.seek(-min(_TAIL, found.size), os.SEEK_END)
        lines = _lines(file.read().decode(settings.encoding, errors="replace"))[1:]
    if settings.quote and any(line.count(settings.quote) % 2 for line in lines):
        # Where a quoted text goes over lines, nobody knows whether the sample begins inside one.
        return []
    return [each for each in records(lines, settings) if each]


def _as_table(connection: duckdb.DuckDBPyConnection, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    columns = [pa.array(each, pa.string()) for each in (zip(*rows, strict=True) if rows else ((),) * len(names))]
    table = pa.table(columns, names=list(names))
    connection.register("__sample_rows", table)
    connection.execute("CREATE OR REPLACE TEMP TABLE __sample AS SELECT * FROM __sample_rows")
    connection.unregister("__sample_rows")
