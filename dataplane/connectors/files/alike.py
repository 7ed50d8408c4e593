"""Keys of JSON that differ only by case, of which one can be read: columns are called alike whatever their case is."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence

import duckdb

from dataplane.connectors.files.encodings import READERS_NAMES, compression_of
from dataplane.failures import duckdb_errors
from dataplane.relations import literal

# What DuckDB calls a key that differs from one before it only by case: `id`, `ID_1`.
_NUMBERED = re.compile(r"(.+)_[0-9]+", re.DOTALL)
_NUMBERS = re.compile("(_[0-9]+)*")
# The only letters whose case DuckDB does not tell apart in names: `ä` and `Ä` are two columns.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_SAMPLE = 20_480


def spelled(
    connection: duckdb.DuckDBPyConnection, absolute: str, shape: str, layout: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """The keys of a JSON file as they stand in it, not as DuckDB tells those apart that differ only by case."""
    names = {name.translate(_LOWER) for name, _ in layout}
    doubtful = {
        name: found[1]
        for name, _ in layout
        if (found := _NUMBERED.fullmatch(name)) is not None and found[1].translate(_LOWER) in names
    }
    if not doubtful:
        return tuple(layout)
    options = f"format = {literal(shape)}, compression = '{READERS_NAMES[compression_of(absolute)]}'"
    if shape == "newline_delimited":
        options += ", ignore_errors = true"
    objects = f"SELECT json FROM read_json_objects({literal(absolute)}, {options}) LIMIT {_SAMPLE}"
    numbered = f"SELECT json, row_number() OVER () AS n FROM ({objects})"
    query = (
        f"SELECT json_keys(json) AS keys FROM ({numbered}) WHERE json_type(json) = 'OBJECT' GROUP BY keys "
        "ORDER BY min(n)"
    )
    with duckdb_errors():
        keys = list(dict.fromkeys(key for (each,) in connection.execute(query).fetchall() for key in each))
    if len(keys) == len(layout) and all(_called(name, key) for key, (name, _) in zip(keys, layout, strict=True)):
        return tuple((key, type_) for key, (_, type_) in zip(keys, layout, strict=True))
    return tuple((name if name in keys else doubtful.get(name, name), type_) for name, type_ in layout)


def _called(name: str, key: str) -> bool:
    """Whether DuckDB may have given a key this name."""
    return name.startswith(key) and _NUMBERS.fullmatch(name, len(key)) is not None


def apart(names: Iterable[str], known: Iterable[str] = ()) -> dict[str, str]:
    """The names that differ from an earlier or `known` one only by case, each with that one."""
    first: dict[str, str] = {name.translate(_LOWER): name for name in known}
    return {name: other for name in names if (other := first.setdefault(name.translate(_LOWER), name)) != name}
