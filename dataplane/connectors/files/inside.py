"""Nested values of JSON as their declared type: DuckDB makes NULL of a part that does not fit, and says nothing."""

from __future__ import annotations

import duckdb
from duckdb.sqltypes import DuckDBPyType

from dataplane.relations import literal


def careful(text: str, type_: str) -> str:
    """A column of JSON as the declared type; NULL where any part of it does not fit."""
    value = f"TRY_CAST({text} AS {type_})"
    return f"CASE WHEN NOT coalesce({_lost(text, value, duckdb.sqltype(type_))}, false) THEN {value} END"


def _lost(text: str, value: str, type_: DuckDBPyType, depth: int = 0) -> str:
    """Whether something stands in the text, of which nothing is left in the value."""
    if type_.id not in ("struct", "list", "map"):
        return f"(nullif(json_extract_string({text}, '$'), '') IS NOT NULL AND {value} IS NULL)"
    kind = "ARRAY" if type_.id == "list" else "OBJECT"
    gone = f"(json_type({text}) NOT IN ('NULL', '{kind}') OR json_type({text}) = '{kind}' AND {value} IS NULL)"
    parts = {name: part for name, part in type_.children if isinstance(part, DuckDBPyType)}
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


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
