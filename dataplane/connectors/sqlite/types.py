"""Which type a column of SQLite arrives in, and what keeps its cells from arriving changed.

SQLite keeps any kind of value in any column. DuckDB's scanner reads three kinds of column exactly, and stops at a cell
of another kind: those declared as whole numbers, floating-point numbers and text. In all others it changes values
silently (it drops the offset of a time and the time of a date, and rounds large whole numbers in a NUMERIC column), so
these are read with the kind of each cell beside it, and cast here.
"""

from __future__ import annotations

import re
from typing import Literal

from dataplane.relations import identifier, literal

Affinity = Literal["INTEGER", "TEXT", "BLOB", "REAL", "NUMERIC"]

_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|NUMBER)\s*\((\d+)(?:,\s*(\d+))?\)")
_DAY = r"\d{4}-\d\d-\d\d"
_TIME = r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?"
_TEXTS = {
    "DATE": _DAY,
    "TIME": _TIME,
    "TIMESTAMP": f"{_DAY}([ T]{_TIME})?",
    "TIMESTAMP WITH TIME ZONE": rf"{_DAY}[ T]{_TIME} ?(Z|[+-]\d\d(:?\d\d)?)",
}
# Beyond this not every whole number is a DOUBLE.
_EXACT = 9007199254740992


def affinity(declared: str) -> Affinity:
    """SQLite's own rule, from the declared type."""
    text = declared.upper()
    if "INT" in text:
        return "INTEGER"
    if any(each in text for each in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in text or not text:
        return "BLOB"
    return "REAL" if any(each in text for each in ("REAL", "FLOA", "DOUB")) else "NUMERIC"


def candidates(declared: str) -> tuple[str, ...]:
    """The types that a column may arrive in, the likeliest first; the last holds everything but bytes."""
    text = declared.upper()
    kind = affinity(declared)
    if kind == "INTEGER":
        return "BIGINT", "DOUBLE", "VARCHAR"
    if kind == "REAL":
        return "DOUBLE", "VARCHAR"
    if kind == "TEXT" or not text:
        return ("VARCHAR",)
    if kind == "BLOB":
        return "BLOB", "VARCHAR"
    if "TIMESTAMP" in text or "DATETIME" in text:
        return "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "BIGINT", "DOUBLE", "VARCHAR"
    if "DATE" in text:
        return "DATE", "TIMESTAMP", "BIGINT", "DOUBLE", "VARCHAR"
    if "BOOL" in text:
        return "BOOLEAN", "BIGINT", "VARCHAR"
    if "TIME" in text:
        return "TIME", "BIGINT", "VARCHAR"
    decimal = _DECIMAL.search(text)
    if decimal and 0 < int(decimal[1]) <= 38 and int(decimal[2] or 0) <= int(decimal[1]):
        return f"DECIMAL({decimal[1]},{decimal[2] or 0})", "DOUBLE", "VARCHAR"
    return "DOUBLE", "VARCHAR"


def scannable(declared: str, type_: str) -> bool:
    """Whether DuckDB's scanner brings the column exactly, or stops."""
    return (affinity(declared), type_) in {("INTEGER", "BIGINT"), ("REAL", "DOUBLE"), ("TEXT", "VARCHAR")}


def told(names: list[str]) -> str:
    """What SQLite answers for these columns: `v0, k0, v1, …`, every cell as exact text and its kind beside it."""
    items = []
    for place, name in enumerate(names):
        cell = identifier(name)
        items.append(
            f"CASE typeof({cell}) WHEN 'real' THEN printf('%!.17g', {cell}) WHEN 'blob' THEN hex({cell}) "
            f"ELSE CAST({cell} AS TEXT) END AS v{place}, typeof({cell}) AS k{place}"
        )
    return ", ".join(items)


def value(place: int, type_: str) -> str:
    """A told cell in its type; NULL where it does not fit exactly."""
    v, k = f"v{place}", f"k{place}"
    real = f"TRY_CAST({v} AS DOUBLE)"
    if type_ == "VARCHAR":
        return f"CASE {k} WHEN 'real' THEN CAST({real} AS VARCHAR) WHEN 'blob' THEN NULL ELSE {v} END"
    if type_ == "BLOB":
        return f"CASE WHEN {k} = 'blob' THEN unhex({v}) END"
    if type_ == "BOOLEAN":
        return f"CASE WHEN {k} = 'integer' AND {v} IN ('0', '1') THEN {v} = '1' END"
    if type_ == "DOUBLE":
        whole = f"{k} = 'integer' AND abs(TRY_CAST({v} AS HUGEINT)) <= {_EXACT}"
        return f"CASE WHEN {k} = 'real' OR ({whole}) THEN {real} END"
    if type_.startswith("DECIMAL("):
        cast = f"TRY_CAST(CAST({real} AS VARCHAR) AS {type_})"
        return (
            f"CASE WHEN {k} = 'integer' THEN TRY_CAST({v} AS {type_}) "
            f"WHEN {k} = 'real' AND CAST({cast} AS DOUBLE) = {real} THEN {cast} END"
        )
    if type_ in _TEXTS:
        fits = f"{k} = 'text' AND regexp_full_match({v}, {literal(_TEXTS[type_])})"
        return f"CASE WHEN {fits} THEN TRY_CAST({v} AS {type_}) END"
    kinds = "('integer')" if type_.endswith("INT") or type_ == "INTEGER" else "('integer', 'text')"
    return f"CASE WHEN {k} IN {kinds} THEN TRY_CAST({v} AS {type_}) END"


def misfit(place: int, type_: str) -> str:
    """Whether a told cell does not fit its type."""
    return f"(k{place} <> 'null' AND ({value(place, type_)}) IS NULL)"
