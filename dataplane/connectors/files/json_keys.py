"""What a JSON file says about its own columns: the keys of its objects, and the types of what stands there."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Collection
from itertools import islice
from typing import Any

import duckdb
import pyarrow as pa

from dataplane.connectors.files.alike import spelled
from dataplane.connectors.files.encodings import READERS_NAMES, broken, compression_of, head, open_bytes
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.layouts import Layout
from dataplane.connectors.files.nests import DEEPEST, too_deep
from dataplane.connectors.schema import Column
from dataplane.errors import DataError, Suggestion
from dataplane.failures import duckdb_errors, with_names
from dataplane.nested import differences
from dataplane.relations import identifier, literal

# So many objects are looked at for the types of a JSON file.
_SAMPLE = 20_480
# So many files of which the keys are kept: a run plans with them, and reads the same files a moment later.
_KEPT = 16
# No line has more bytes, and no more are copied of those that are objects.
_LONGEST = 32 << 20

# For types that DuckDB is too quick with: what one of the values says that needs another, what all say for the first of
# two, and these two.
_ASKED = {
    "DOUBLE": ("^-?[0-9]{16,}$", "^-?[0-9]{1,38}$", "DECIMAL(38,0)", "VARCHAR"),
    "TIMESTAMP": (":[0-9.]+ ?[+-][0-9:]+$", "", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE"),
}

# A list without an object, as it is delivered where there was nothing to tell.
_EMPTY_LIST = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*\]\s*")
_LISTED = 4096
# What DuckDB calls a column that has no name.
_NUMBERED = re.compile("C[0-9]+")


def json_layout(connection: duckdb.DuckDBPyConnection, found: Found, absolute: str, shape: str) -> Layout:
    """The keys of a JSON file's objects and the types DuckDB sees in them; none of a file without rows.

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
                if [name for name, *_ in rows] == ["json"]:
                    rows = _keys(connection, absolute, shape)
            except duckdb.BinderException:
                # A key without a name is called as another one.
                _refuse_unnamed(connection, found, absolute, shape)
                raise
            except duckdb.NotImplementedException:
                # Keys within an object differ only by case, which those of a STRUCT may not: objects stay JSON.
                rows = _described(connection, absolute, shape, ignore_errors="true")
                rows = [(name, "JSON" if "STRUCT(" in type_ else type_) for name, type_, *_ in rows]
            if any(_NUMBERED.fullmatch(name) for name, *_ in rows):
                _refuse_unnamed(connection, found, absolute, shape)
    except DataError as error:
        if "maximum_object_size" not in error.message:
            raise with_names(error, {absolute: found.path}) from error.__cause__
        raise DataError(
            f"{found.path} has an object of more than 16 MB. Deliver it in smaller objects, one for each row.",
            code="json_object_too_large",
            evidence={"file": found.path},
        ) from error.__cause__
    if not rows and not _EMPTY_LIST.fullmatch(head(found, _LISTED)) and _values(connection, absolute, shape):
        raise DataError(
            f"{found.path} does not hold JSON objects, so it has no columns. Deliver one object for each row.",
            code="json_malformed",
            evidence={"file": found.path},
        )
    layout = [(name, "JSON" if _unnamed(type_) else type_) for name, type_, *_ in rows]
    return spelled(connection, absolute, shape, layout)


def _keys(connection: duckdb.DuckDBPyConnection, absolute: str, shape: str) -> list[Any]:
    """What DuckDB calls `json`: the keys of objects that it takes for a map, or a key of that name; none of values."""
    try:
        return _described(connection, absolute, shape, records="'true'", map_inference_threshold="-1")
    except duckdb.BinderException:
        return []


def _unnamed(type_: str) -> bool:
    """Whether a key within an object has no name: DuckDB does not understand how it writes such a type itself."""
    try:
        return "STRUCT(" in type_ and not duckdb.sqltype(type_)
    except duckdb.Error:
        return True


def _refuse_unnamed(connection: duckdb.DuckDBPyConnection, found: Found, absolute: str, shape: str) -> None:
    """Raises DataError for a key without a name, whose values DuckDB does not read."""
    options = f"format = {literal(shape)}, compression = '{READERS_NAMES[compression_of(absolute)]}'"
    if shape == "newline_delimited":
        options += ", ignore_errors = true"
    objects = f"SELECT json, row_number() OVER () AS n FROM read_json_objects({literal(absolute)}, {options})"
    row = connection.execute(
        f"SELECT n FROM ({objects} LIMIT {_SAMPLE}) WHERE json_type(json) = 'OBJECT' "
        "AND list_contains(json_keys(json), '') ORDER BY n LIMIT 1"
    ).fetchone()
    if row is not None:
        raise DataError(
            f'{found.path} has a key without a name ("") in object {row[0]:,}, whose value has no column. Deliver it '
            "again with a name for the key, or without it.",
            code="json_key_unnamed",
            evidence={"file": found.path, "object": row[0]},
            suggestions=[
                Suggestion("ignore_file", f"Set {found.path} aside", "The run goes on without it.", applicable=True)
            ],
        )


def _values(connection: duckdb.DuckDBPyConnection, absolute: str, shape: str) -> bool:
    """Whether something else than objects stands in a file without a key. A bare null is a row without values."""
    options = f"format = {literal(shape)}, compression = '{READERS_NAMES[compression_of(absolute)]}'"
    with duckdb_errors():
        return bool(
            connection.execute(
                f"SELECT 1 FROM read_json_objects({literal(absolute)}, {options}) "
                "WHERE json_type(json) NOT IN ('OBJECT', 'NULL') LIMIT 1"
            ).fetchone()
        )


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
    unnamed: list[str] = []
    try:
        if unknown:
            rows = _described(connection, absolute, shape)
            unnamed = [f"{name} (a key within it has no name)" for name, type_, *_ in rows if _unnamed(type_)]
    except duckdb.NotImplementedException:
        return [f"{name} (keys within it differ only by case)" for name in unknown]
    except duckdb.Error:
        pass  # A line that those who read set aside.
    return unnamed + [
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
