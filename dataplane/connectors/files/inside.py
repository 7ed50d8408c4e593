"""Nested values of JSON as their declared type: DuckDB changes a part that does not fit, or makes NULL of it, and says
nothing."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
from duckdb.sqltypes import DuckDBPyType

from dataplane.connectors.files import casts
from dataplane.relations import identifier, literal

# Ends a query. DuckDB's error() may not stand within TRY.
_MISFIT = "CAST('a part that does not fit' AS BIGINT)"

_BLANK = '""'

# What becomes of a part: of its SQL, its type, and how many lambdas are around it.
_Make = Callable[[str, DuckDBPyType, int], str]


def read_type(type_: str) -> str:
    """The type that the fast read asks the reader for."""
    return _read_as(duckdb.sqltype(type_))


def fast(value: str, type_: str) -> str:
    """A value of `read_type` as the declared type; a query that meets a part that does not fit fails."""
    return _fast(value, duckdb.sqltype(type_), 0)


def careful(text: str, type_: str) -> str:
    """A column of JSON as the declared type; NULL where any part of it does not fit."""
    return f"TRY({_careful(text, duckdb.sqltype(type_), 0)})"


def _read_as(type_: DuckDBPyType) -> str:
    if _parts(type_):
        return _with_parts(type_, _read_as)
    # Numbers that no DOUBLE tells apart are usual within objects: ids of other systems.
    return "VARCHAR" if str(type_) == "BIGINT" else casts.read_type(str(type_)) if _doubtful(type_) else str(type_)


def _fast(value: str, type_: DuckDBPyType, depth: int) -> str:
    name = str(type_)
    if not _doubtful(type_):
        return value
    if _parts(type_):
        return _rebuilt(value, type_, _fast, depth)
    return casts.digits(value) if name == "BIGINT" else casts.fast(value, casts.made(value, name), name)


def _careful(text: str, type_: DuckDBPyType, depth: int) -> str:
    """Of what stands in a part, as `_opened` gives it; a query that meets a part that does not fit fails."""
    name = str(type_)
    if _parts(type_):
        kind, at = "ARRAY" if type_.id == "list" else "OBJECT", f"at{depth}"
        # Made once, and named: to repeat it for each part takes a type of hundreds of parts minutes.
        once = f"[TRY_CAST({text} AS {_with_parts(type_, _opened)})]"
        made = f"list_transform({once}, lambda {at}: {_rebuilt(at, type_, _careful, depth + 1)})[1]"
        misfit = f"WHEN coalesce(json_type({text}), 'NULL') <> 'NULL' THEN CAST({_MISFIT} AS {name})"
        return f"CASE WHEN json_type({text}) = '{kind}' THEN {made} {misfit} END"
    if name in ("JSON", "VARCHAR"):
        return text
    if not _doubtful(type_):
        return f"CASE WHEN {text} <> '{_BLANK}' THEN CAST({text} AS {name}) END"
    exact = f"coalesce({casts.careful(text, name)}, CAST({_MISFIT} AS {name}))"
    # The fast read takes true for 1.
    truth = "" if name == "DATE" else f"WHEN {text} IN ('true', 'false') THEN CAST(CAST({text} AS BOOLEAN) AS {name}) "
    return f"CASE {truth}WHEN {text} <> '' THEN {exact} END"


def _opened(type_: DuckDBPyType) -> str:
    """What stands in a part: of a number, a day or a text what it says, of everything else its JSON."""
    return "VARCHAR" if str(type_) == "VARCHAR" or (not _parts(type_) and _doubtful(type_)) else "JSON"


def _rebuilt(value: str, type_: DuckDBPyType, make: _Make, depth: int) -> str:
    """A nested value of which another is made of each part."""
    parts, at = _parts(type_), f"at{depth}"
    if type_.id == "struct":
        fields = (
            f"{identifier(name)} := {make(f'struct_extract({value}, {literal(name)})', part, depth)}"
            for name, part in parts.items()
        )
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"
    if type_.id == "list":
        return f"list_transform({value}, lambda {at}: {make(at, parts['child'], depth + 1)})"
    values = f"list_transform(map_values({value}), lambda {at}: {make(at, parts['value'], depth + 1)})"
    return f"map(map_keys({value}), {values})"


def _with_parts(type_: DuckDBPyType, each: Callable[[DuckDBPyType], str]) -> str:
    """A nested type with other types for its parts."""
    parts = _parts(type_)
    if type_.id == "struct":
        return f"STRUCT({', '.join(f'{identifier(name)} {each(part)}' for name, part in parts.items())})"
    if type_.id == "list":
        return f"{each(parts['child'])}[]"
    return f"MAP({parts['key']}, {each(parts['value'])})"


def _doubtful(type_: DuckDBPyType) -> bool:
    """Whether DuckDB may make another value of a part than stands in the file. Times are left as it takes them."""
    parts = _parts(type_)
    return any(map(_doubtful, parts.values())) if parts else casts.texted(str(type_)) and "TIME" not in str(type_)


def _parts(type_: DuckDBPyType) -> dict[str, DuckDBPyType]:
    """The parts of a nested type; none of another."""
    if type_.id not in ("struct", "list", "map"):
        return {}
    return {name: part for name, part in type_.children if isinstance(part, DuckDBPyType)}
