"""What a file says about its own columns: the header of a delimited file, the schema of a Parquet file."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Any

import duckdb
import pyarrow as pa

from dataplane.connectors.files.alike import spelled
from dataplane.connectors.files.encodings import (
    READERS_NAMES,
    broken,
    compression_of,
    head,
    no_other,
    open_bytes,
    text_of,
)
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.nests import DEEPEST, too_deep
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.schema import Column
from dataplane.errors import DataError, Suggestion
from dataplane.failures import duckdb_errors, with_names
from dataplane.nested import differences
from dataplane.relations import identifier, literal

_HEADER_BYTES = 1 << 18
# So many objects are looked at for the types of a JSON file.
_SAMPLE = 20_480
# So many files of which the keys are kept: a run plans with them, and reads the same files a moment later.
_KEPT = 16
# No line has more bytes, and no more are copied of those that are objects.
_LONGEST = 32 << 20
# A reader keeps a batch of rows of every column in memory: this many need about 200 MB.
MOST_COLUMNS = 2_000

# For types that DuckDB is too quick with: what one of the values says that needs another, what all say for the first of
# two, and these two.
_ASKED = {
    "DOUBLE": ("^-?[0-9]{16,}$", "^-?[0-9]{1,38}$", "DECIMAL(38,0)", "VARCHAR"),
    "TIMESTAMP": (":[0-9.]+ ?[+-][0-9:]+$", "", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE"),
}

# A list without an object, as it is delivered where there was nothing to tell.
_EMPTY_LIST = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*\]\s*")
_LISTED = 4096
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


def json_layout(connection: duckdb.DuckDBPyConnection, found: Found, absolute: str, shape: str) -> Layout:
    """The keys of a JSON file's objects and the types DuckDB sees in them; none of an empty list.

    Of NDJSON, lines that are no objects say nothing, as long as one is. Raises ManifoldError.
    """
    try:
        return _json_layout(connection, found, absolute, shape)
    except DataError as error:
        if shape != "newline_delimited" or error.code != "json_malformed":
            raise
        with tempfile.NamedTemporaryFile(prefix="manifold-objects-", suffix=".ndjson") as copy:
            with duckdb_errors():
                objects = connection.execute(f"SELECT CAST(json AS VARCHAR) FROM {_objects(absolute)}")
                while copy.tell() < _LONGEST and (row := objects.fetchone()):
                    copy.write(f"{row[0]}\n".encode())
            copy.flush()
            if not copy.tell():
                raise
            return _json_layout(connection, found, copy.name, shape)


def _json_layout(connection: duckdb.DuckDBPyConnection, found: Found, absolute: str, shape: str) -> Layout:
    _shallow(found, absolute, _SAMPLE if shape == "newline_delimited" else None)
    try:
        with duckdb_errors():
            try:
                rows = _described(connection, absolute, shape)
                if [name for name, *_ in rows] == ["json"] and rows[0][1].startswith("MAP("):
                    # Of so many keys whose values are of one type DuckDB makes a map.
                    rows = _described(connection, absolute, shape, map_inference_threshold="-1")
            except duckdb.NotImplementedException:
                # Keys within an object differ only by case, which those of a STRUCT may not: objects stay JSON.
                rows = _described(connection, absolute, shape, ignore_errors="true")
                rows = [(name, "JSON" if "STRUCT(" in type_ else type_) for name, type_, *_ in rows]
    except DataError as error:
        if "maximum_object_size" not in error.message:
            raise with_names(error, {absolute: found.path}) from error.__cause__
        raise DataError(
            f"{found.path} has an object of more than 16 MB. Deliver it in smaller objects, one for each row.",
            code="json_object_too_large",
            evidence={"file": found.path},
        ) from error.__cause__
    if [name for name, *_ in rows] == ["json"]:
        if _EMPTY_LIST.fullmatch(head(found, _LISTED)):
            return ()
        raise DataError(
            f"{found.path} does not hold JSON objects, so it has no columns. Deliver one object for each row.",
            code="json_malformed",
            evidence={"file": found.path},
        )
    return spelled(connection, absolute, shape, [(name, type_) for name, type_, *_ in rows])


def _described(connection: duckdb.DuckDBPyConnection, absolute: str, shape: str, **more: str) -> list[Any]:
    # By what it begins with: a copy has no suffix that would tell DuckDB.
    more |= {"compression": literal(READERS_NAMES[compression_of(absolute)]), "sample_size": str(_SAMPLE)}
    source = f"read_json({literal(absolute)}, format = {literal(shape)}, {', '.join(map(' = '.join, more.items()))})"
    return connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()


def _objects(absolute: str) -> str:
    """Those of the first lines of NDJSON that are objects, as a relation with the column json."""
    options = f"compression = '{READERS_NAMES[compression_of(absolute)]}', ignore_errors = true"
    lines = f"SELECT json FROM read_ndjson_objects({literal(absolute)}, {options}) LIMIT {_SAMPLE}"
    return f"(SELECT json FROM ({lines}) WHERE json_type(json) = 'OBJECT')"


_known: dict[tuple[object, ...], tuple[str, ...]] = {}


def json_names(
    connection: duckdb.DuckDBPyConnection, found: Found, absolute: str, shape: str, declared: Collection[str]
) -> tuple[str, ...]:
    """The keys of a JSON file's objects, looked for once in each state of the file. Raises ManifoldError."""
    state = absolute, found.size, found.changed, found.version, shape, frozenset(declared)
    names = _known.get(state)
    if names is None:
        names = _known[state] = _json_names(connection, found, absolute, shape, declared)
        for oldest in list(_known)[:-_KEPT]:
            _known.pop(oldest, None)
    return names


def _json_names(
    connection: duckdb.DuckDBPyConnection, found: Found, absolute: str, shape: str, declared: Collection[str]
) -> tuple[str, ...]:
    """The keys as they are now. Where all are declared, nobody looks for types: that takes twice as long."""
    if shape == "newline_delimited":
        _shallow(found, absolute, _SAMPLE)
        # An empty object has no keys.
        keys = "coalesce(nullif(keys, []), [NULL])"
        in_objects = f"SELECT DISTINCT json_keys(json) AS keys FROM {_objects(absolute)}"
        try:
            with duckdb_errors():
                seen = connection.execute(f"SELECT DISTINCT unnest({keys}) FROM ({in_objects})").fetchall()
        except DataError:
            seen = []  # What is wrong is told by those who look for types.
        names = tuple(name for (name,) in seen)
        if names and set(names).issubset(declared):
            return names
    return tuple(name for name, _ in json_layout(connection, found, absolute, shape))


def undeclared_parts(
    connection: duckdb.DuckDBPyConnection, found: Found, absolute: str, shape: str, columns: Collection[Column]
) -> list[str]:
    """Keys within nested columns for which their declared types have no place, such as `address.zip`."""
    nested = {each.name: each.type for each in columns if "STRUCT(" in each.type}
    if not nested:
        return []
    try:
        there = dict(json_layout(connection, found, absolute, shape))
    except DataError:
        return []  # What is wrong is told by those who read.
    unknown = [name for name in nested if there.get(name) == "JSON"]
    try:
        if unknown:
            _described(connection, absolute, shape)
    except duckdb.NotImplementedException:
        return [f"{name} (keys within it differ only by case)" for name in unknown]
    except duckdb.Error:
        pass  # A line that those who read set aside.
    return [
        f"{name}{path}"
        for name, type_ in nested.items()
        for path, declared, _ in differences(type_, there.get(name, ""))
        if not declared
    ]


def one_object(connection: duckdb.DuckDBPyConnection, absolute: str, shape: str) -> bool:
    """Whether a JSON file is a single object, which some take for the envelope of a list."""
    if shape != "auto":
        return False
    options = f"columns = {{'_': 'JSON'}}, compression = '{READERS_NAMES[compression_of(absolute)]}'"
    with duckdb_errors():
        rows = connection.execute(f"SELECT 1 FROM read_json({literal(absolute)}, {options}) LIMIT 2").fetchall()
    return len(rows) == 1


def exact_types(connection: duckdb.DuckDBPyConnection, absolute: str, shape: str, layout: Layout) -> Layout:
    """The layout of a JSON file with types that hold its values: DuckDB takes large whole numbers for a DOUBLE, and a
    time with an offset for one without."""
    asked = [(name, type_) for name, type_ in layout if type_ in _ASKED]
    found = dict(layout)
    if asked:
        texts = {name: "VARCHAR" for name, _ in asked}
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in texts)
        options = f"format = {literal(shape)}, compression = '{READERS_NAMES[compression_of(absolute)]}'"
        items = ", ".join(
            f"bool_{how}(regexp_matches({identifier(name)}, '{pattern}'))"
            for name, type_ in asked
            for how, pattern in zip(("or", "and"), _ASKED[type_][:2], strict=True)
        )
        rows = f"SELECT * FROM read_json({literal(absolute)}, columns = {{{columns}}}, {options}) LIMIT {_SAMPLE}"
        if shape == "newline_delimited":
            rows = f"SELECT unnest(json_transform(json, {literal(json.dumps(texts))})) FROM {_objects(absolute)}"
        with duckdb_errors():
            answers = connection.execute(f"SELECT {items} FROM ({rows})").fetchone() or ()
        for (name, type_), some, all_ in zip(asked, answers[::2], answers[1::2], strict=True):
            if some:
                found[name] = _ASKED[type_][2 if all_ else 3]
    return tuple(found.items())


def _shallow(found: Found, absolute: str, lines: int | None) -> None:
    """Raises DataError for a file that DuckDB would not survive: it is in looking for types that it goes down deep."""
    try:
        with open_bytes(absolute) as file:
            deep = too_deep(file, lines)
        if deep and lines is not None:
            # Lines that break off leave brackets open, and quotes, which say nothing of the lines behind them.
            with open_bytes(absolute) as file:
                each = islice(iter(lambda: file.readline(_LONGEST), b""), lines)
                deep = any(too_deep(io.BytesIO(line)) for line in each)
    except pa.ArrowInvalid as error:
        raise broken(found.path, error) from error
    except OSError as error:
        if error.errno is None:
            raise broken(found.path, error) from error
        raise
    if deep:
        raise DataError(
            f"{found.path} has brackets within brackets more than {DEEPEST} deep, or never closed. Deliver it with "
            "flatter objects, one for each row, or set it aside.",
            code="json_nested",
            evidence={"file": found.path},
            suggestions=[
                Suggestion("ignore_file", f"Set {found.path} aside", "The run goes on without it.", applicable=True)
            ],
        )


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
