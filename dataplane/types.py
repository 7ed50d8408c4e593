"""DuckDB's types: what Parquet keeps of them, what may be compared with what, and which change loses nothing."""

from __future__ import annotations

import re
from typing import Literal

Family = Literal["number", "text", "time", "boolean", "other"]

NESTED = ("STRUCT(", "MAP(", "UNION(")
"""How the names of nested types begin, but for lists, which end in a bracket."""
_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_DIGITS = {
    "TINYINT": 3,
    "UTINYINT": 3,
    "SMALLINT": 5,
    "USMALLINT": 5,
    "INTEGER": 10,
    "UINTEGER": 10,
    "BIGINT": 19,
    "UBIGINT": 20,
}
_TIMES = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "TIME")
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_HUGE = re.compile(r"(?<= )U?HUGEINT\b|^U?HUGEINT(?=\[)|(?<=MAP\()U?HUGEINT\b")
# What COPY to Parquet makes of types that Parquet does not have. Whole numbers of 128 bits would become DOUBLE and lose
# their last digits, so they are kept as decimals.
_STORED = {
    "HUGEINT": "DECIMAL(38,0)",
    "UHUGEINT": "DECIMAL(38,0)",
    "BIT": "VARCHAR",
    "BIGNUM": "VARCHAR",
    "TIME_NS": "VARCHAR",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    '"NULL"': "INTEGER",
}


def family(name: str) -> Family:
    """Which values a type can be compared with."""
    if name in _DIGITS or name in ("HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE") or _DECIMAL.fullmatch(name):
        return "number"
    if name == "VARCHAR" or name.startswith("ENUM("):
        return "text"
    if name in _TIMES:
        return "time"
    return "boolean" if name == "BOOLEAN" else "other"


def as_text(value: str, name: str) -> str:
    """An expression of this type as text in SQL: JSON where it is nested, else what DuckDB writes for it."""
    return f"CAST(to_json({value}) AS VARCHAR)" if is_nested(name) else f"CAST({value} AS VARCHAR)"


def is_nested(name: str) -> bool:
    """True for objects, maps and lists."""
    return name.endswith("]") or name.startswith(NESTED)


def is_integer(name: str) -> bool:
    """True for whole numbers of up to 64 bits."""
    return name in _DIGITS


def stored(name: str) -> str:
    """The type in which a column of this type is kept in a staged file."""
    if name.startswith("ENUM("):
        return "VARCHAR"
    fixed = re.fullmatch(r"(.+)\[\d+\]", name)
    return f"{stored(fixed[1])}[]" if fixed else _HUGE.sub(_STORED["HUGEINT"], _STORED.get(name, name))


def widest(one: str, other: str) -> str | None:
    """The type that holds every value of both without loss; None where there is none."""
    if one == other:
        return one
    return _holding(one, other) or _holding(other, one)


def _holding(large: str, small: str) -> str | None:
    """The type for both, given that `large` is the larger one; None if that is not so."""
    if stored(small) == large:
        return large
    if large == "VARCHAR":
        return large if family(small) != "other" or small == "UUID" else None
    if large in _SIGNED and (small in _SIGNED or small in _UNSIGNED):
        return large if _bits(small) < _bits(large) else None
    if large in _UNSIGNED and small in _UNSIGNED:
        return large if _bits(small) < _bits(large) else None
    if large == "DOUBLE":
        return large if small == "FLOAT" or _DIGITS.get(small, 99) <= 10 else None
    if large == "FLOAT":
        return large if _DIGITS.get(small, 99) <= 5 else None
    if large.startswith("TIMESTAMP") and "ZONE" not in large:
        return large if small == "DATE" or (large == "TIMESTAMP" and small in _STORED) else None
    return _decimal(large, small)


def _bits(name: str) -> int:
    ladder = _UNSIGNED if name in _UNSIGNED else _SIGNED
    return 8 << ladder.index(name)


def _decimal(large: str, small: str) -> str | None:
    """A decimal with the digits of both, before the point and after it."""
    wide = _DECIMAL.fullmatch(large)
    narrow = _DECIMAL.fullmatch(small)
    if wide is None or (narrow is None and small not in _DIGITS):
        return None
    before = int(narrow[1]) - int(narrow[2]) if narrow else _DIGITS[small]
    after = int(narrow[2]) if narrow else 0
    scale = max(int(wide[2]), after)
    width = scale + max(int(wide[1]) - int(wide[2]), before)
    return f"DECIMAL({width},{scale})" if width <= 38 else None
