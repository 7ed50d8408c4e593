"""Nested values of JSON as their declared type: DuckDB changes a part that does not fit, or makes NULL of it, and says
nothing."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
from duckdb.sqltypes import DuckDBPyType

from dataplane.connectors.files import casts
from dataplane.relations import identifier, literal

# Of a part: its type, or its value, in another form.
_Typed = Callable[[str], str]
_Valued = Callable[[str, str], str]


def read_type(type_: str) -> str:
    """The type that the fast read asks the reader for: its parts are those of `casts.read_type`."""
    return _read_as(duckdb.sqltype(type_), casts.read_type)


def fast(value: str, type_: str) -> str:
    """A value of `read_type` as the declared type; a query that meets a part that does not fit fails."""
    return _made(value, duckdb.sqltype(type_), lambda part, name: casts.fast(part, casts.made(part, name), name))


def careful(text: str, type_: str) -> str:
    """A column of JSON as the declared type; NULL where any part of it does not fit."""
    declared = duckdb.sqltype(type_)
    value = f"TRY_CAST({text} AS {_read_as(declared, lambda _: 'JSON')})"
    # Made once, and named: to repeat it for each part takes a type of hundreds of parts minutes.
    once = f"list_value(struct_pack(text := {text}, value := {value}))"
    exact = _made("pair.value", declared, _exact)
    lost = _lost("pair.text", "pair.value", declared)
    return f"list_transform({once}, lambda pair: CASE WHEN NOT coalesce({lost}, false) THEN {exact} END)[1]"


def _read_as(type_: DuckDBPyType, leaf: _Typed) -> str:
    """The type with those parts in another form of which DuckDB may make another value than stands in the file."""
    parts = _parts(type_)
    if type_.id == "struct":
        return f"STRUCT({', '.join(f'{identifier(name)} {_read_as(part, leaf)}' for name, part in parts.items())})"
    if type_.id == "list":
        return f"{_read_as(parts['child'], leaf)}[]"
    if type_.id == "map":
        return f"MAP({parts['key']}, {_read_as(parts['value'], leaf)})"
    return leaf(str(type_)) if _doubtful(type_) else str(type_)


def _made(value: str, type_: DuckDBPyType, leaf: _Valued, depth: int = 0) -> str:
    """What `_read_as` gives as the type itself."""
    if not _doubtful(type_):
        return value
    parts = _parts(type_)
    at = f"at{depth}"
    if type_.id == "struct":
        fields = (
            f"{identifier(name)} := {_made(f'struct_extract({value}, {literal(name)})', part, leaf, depth)}"
            for name, part in parts.items()
        )
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"
    if type_.id == "list":
        return f"list_transform({value}, lambda {at}: {_made(at, parts['child'], leaf, depth + 1)})"
    if type_.id == "map":
        values = f"list_transform(map_values({value}), lambda {at}: {_made(at, parts['value'], leaf, depth + 1)})"
        return f"map(map_keys({value}), {values})"
    return leaf(value, str(type_))


def _doubtful(type_: DuckDBPyType) -> bool:
    """Whether DuckDB may make another value of a part than stands in the file. Times are left as it takes them."""
    parts = _parts(type_)
    return any(map(_doubtful, parts.values())) if parts else casts.texted(str(type_)) and "TIME" not in str(type_)


def _exact(text: str, type_: str) -> str:
    """A part of JSON as its type; NULL where it does not fit. The fast read takes true for 1, so this does."""
    exact = casts.careful(f"json_extract_string({text}, '$')", type_)
    return f"CASE json_type({text}) WHEN 'BOOLEAN' THEN TRY_CAST({text} AS {type_}) ELSE {exact} END"


def _lost(text: str, value: str, type_: DuckDBPyType, depth: int = 0) -> str:
    """Whether something stands in the text that does not fit, or of which nothing is left in the value."""
    parts = _parts(type_)
    if not parts:
        value = _exact(text, str(type_)) if _doubtful(type_) else value
        return f"(nullif(json_extract_string({text}, '$'), '') IS NOT NULL AND ({value}) IS NULL)"
    kind = "ARRAY" if type_.id == "list" else "OBJECT"
    gone = f"(json_type({text}) NOT IN ('NULL', '{kind}') OR json_type({text}) = '{kind}' AND {value} IS NULL)"
    at = f"at{depth}"
    if type_.id == "list":
        inner = _lost(f"json_extract({text}, '/' || ({at} - 1))", f"{value}[{at}]", parts["child"], depth + 1)
        return f"({gone} OR len(list_filter(range(1, len({value}) + 1), lambda {at}: {inner})) > 0)"
    if type_.id == "map":
        key = f"replace(replace({at}::VARCHAR, '~', '~0'), '/', '~1')"
        inner = _lost(f"json_extract({text}, '/' || {key})", f"{value}[{at}]", parts["value"], depth + 1)
        return f"({gone} OR len(list_filter(map_keys({value}), lambda {at}: {inner})) > 0)"
    fields = []
    for name, part in parts.items():
        found = f"json_extract({text}, {literal(_pointer(name))})"
        fields.append(_lost(found, f"struct_extract({value}, {literal(name)})", part, depth))
    return f"({' OR '.join([gone, *fields])})"


def _parts(type_: DuckDBPyType) -> dict[str, DuckDBPyType]:
    """The parts of a nested type; none of another."""
    if type_.id not in ("struct", "list", "map"):
        return {}
    return {name: part for name, part in type_.children if isinstance(part, DuckDBPyType)}


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
