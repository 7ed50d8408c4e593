"""Keys of JSON that differ only by case, of which one can be read: columns are called alike whatever their case is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import duckdb

from dataplane.connectors.files.encodings import READERS_NAMES, compression_of
from dataplane.failures import duckdb_errors
from dataplane.relations import literal

# What DuckDB calls a key that differs from one before it only by case: `id`, `ID_1`.
_NUMBERED = re.compile(r"(.+)_[0-9]+", re.DOTALL)
_SAMPLE = 20_480


def spelled(
    connection: duckdb.DuckDBPyConnection, absolute: str, shape: str, layout: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """The keys of a JSON file as they stand in it, not as DuckDB tells those apart that differ only by case."""
    names = {name.casefold() for name, _ in layout}
    doubtful = {
        name: found[1]
        for name, _ in layout
        if (found := _NUMBERED.fullmatch(name)) is not None and found[1].casefold() in names
    }
    if not doubtful:
        return tuple(layout)
    options = f"format = {literal(shape)}, compression = '{READERS_NAMES[compression_of(absolute)]}'"
    if shape == "newline_delimited":
        options += ", ignore_errors = true"
    objects = f"SELECT json FROM read_json_objects({literal(absolute)}, {options}) LIMIT {_SAMPLE}"
    query = f"SELECT DISTINCT unnest(json_keys(json)) FROM ({objects}) WHERE json_type(json) = 'OBJECT'"
    with duckdb_errors():
        keys = {key for (key,) in connection.execute(query).fetchall()}
    return tuple((name if name in keys else doubtful.get(name, name), type_) for name, type_ in layout)


def apart(names: Iterable[str], known: Iterable[str] = ()) -> dict[str, str]:
    """The names that differ from an earlier or `known` one only by case, each with that one."""
    first: dict[str, str] = {name.casefold(): name for name in known}
    return {name: other for name in names if (other := first.setdefault(name.casefold(), name)) != name}
