"""How rows travel into PostgreSQL: in its binary COPY format, which DuckDB writes, each type without silent loss.

DuckDB's writer knows some types and would change or refuse others, so each column is brought into a type that travels
well (`sent`). A table's own column of another type takes the value by a cast of the server's, but only where that cast
keeps every value or refuses it: a number is never rounded, a time never loses its zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dataplane.connectors.postgresql.types import SourceColumn
from dataplane.relations import identifier
from dataplane.types import stored

Way = Literal["direct", "cast"]

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")

# DuckDB's type -> (the type it is sent as, PostgreSQL's name for that type).
_SENT = {
    "BOOLEAN": ("BOOLEAN", "bool"),
    "TINYINT": ("SMALLINT", "int2"),
    "SMALLINT": ("SMALLINT", "int2"),
    "UTINYINT": ("SMALLINT", "int2"),
    "INTEGER": ("INTEGER", "int4"),
    "USMALLINT": ("INTEGER", "int4"),
    "BIGINT": ("BIGINT", "int8"),
    "UINTEGER": ("BIGINT", "int8"),
    "UBIGINT": ("DECIMAL(20,0)", "numeric(20,0)"),
    "FLOAT": ("FLOAT", "float4"),
    "DOUBLE": ("DOUBLE", "float8"),
    "VARCHAR": ("VARCHAR", "text"),
    "JSON": ("VARCHAR", "text"),
    "BLOB": ("BLOB", "bytea"),
    "DATE": ("DATE", "date"),
    "TIMESTAMP": ("TIMESTAMP", "timestamp"),
    "TIMESTAMP WITH TIME ZONE": ("TIMESTAMP WITH TIME ZONE", "timestamptz"),
    "TIME": ("TIME", "time"),
    "UUID": ("UUID", "uuid"),
    "INTERVAL": ("INTERVAL", "interval"),
    # DuckDB's writer takes the offset off a time; as text it stays.
    "TIME WITH TIME ZONE": ("VARCHAR", "text"),
}
_IN_ARRAYS = {
    "BOOLEAN": "bool",
    "SMALLINT": "int2",
    "INTEGER": "int4",
    "BIGINT": "int8",
    "FLOAT": "float4",
    "DOUBLE": "float8",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "UUID": "uuid",
    "VARCHAR": "varchar",
}
# What a new table gets where it is not what is sent.
_MADE = {"JSON": "json", "TIME WITH TIME ZONE": "timetz"}

_WHOLE = ("int2", "int4", "int8")
# Types that a text is read as by the server, which refuses what it cannot read and rounds nothing.
_READ_FROM_TEXT = frozenset(
    {"jsonb", "xml", "uuid", "inet", "cidr", "macaddr", "macaddr8", "bit", "varbit", "bpchar", "tsvector", "tsquery"}
    | {"jsonpath", "pg_lsn"}
)
# Types that are read from text only where their column has no limit, to which the server would round.
_READ_WHOLE = frozenset({"numeric", "interval", "timetz"})
# Types that text travels into as it is.
_TEXTS = frozenset({"text", "varchar", "json"})
_NO_EQUALITY = frozenset({"json", "xml", "point", "polygon", "box", "path", "line", "lseg", "circle", "jsonpath"})


@dataclass(frozen=True)
class Sent:
    """How a column of rows travels: `local` is its expression in DuckDB, `base` PostgreSQL's type of what arrives."""

    local: str
    base: str
    digits: tuple[int, int] | None = None
    array: bool = False
    made: str = ""

    @property
    def type(self) -> str:
        """The type of a column that takes exactly what is sent."""
        return f"{self.base}[]" if self.array else self.base

    @property
    def new(self) -> str:
        """The type of the column in a table that is made for these rows."""
        return self.made or self.type


def sent(name: str, type_: str) -> Sent | None:
    """How a column of this DuckDB type travels; None where nothing would bring it over unchanged."""
    itself, known = identifier(name), stored(type_)
    decimal = _DECIMAL.fullmatch(known)
    if decimal:
        whole, fraction = int(decimal[1]), int(decimal[2])
        return Sent(itself, f"numeric({whole},{fraction})", digits=(whole, fraction))
    if known in _SENT:
        duck, base = _SENT[known]
        digits = (20, 0) if known == "UBIGINT" else None
        return Sent(f"CAST({itself} AS {duck})", base, digits=digits, made=_MADE.get(known, ""))
    if known.endswith("[]"):
        return _array(itself, known[:-2])
    if known.startswith(("STRUCT(", "MAP(")):
        return Sent(f"CAST(to_json({itself}) AS VARCHAR)", "text", made="json")
    return None


def way(column: Sent, there: SourceColumn) -> Way | None:
    """Whether a column of the table takes what is sent as it is, by a cast, or not without changing some value."""
    if column.array or there.element:
        return _array_way(column, there)
    base = "numeric" if column.digits else column.base
    if there.base == base and not there.domain:
        return "direct" if _keeps(column, there) else None
    if base == "text" and not there.domain and (there.base in _TEXTS or there.kind == "e"):
        return "direct"
    if there.base == base:
        return "cast" if _keeps(column, there) else None
    return "cast" if _castable(column, base, there) else None


def cast(column: Sent, there: SourceColumn, expression: str) -> str:
    """What is sent as SQL of the column's base type, without its length: assignment refuses what is too long."""
    if there.base == ("numeric" if column.digits else column.base) or (column.array and column.base == there.element):
        return expression
    if there.element:
        return f"{expression}::{there.element}[]"
    if there.kind in ("e", "r", "m") or there.base.startswith("extension "):
        return f"{expression}::{there.cast}"
    # A bit without a length would be cut to one.
    return f"{expression}::{'varbit' if there.base == 'bit' else there.base}"


def compared(there: SourceColumn, one: str, other: str) -> str:
    """SQL that is true where two values of a column differ."""
    if there.base in _NO_EQUALITY or there.element in _NO_EQUALITY:
        return f"{one}::text IS DISTINCT FROM {other}::text"
    return f"{one} IS DISTINCT FROM {other}"


def _array(itself: str, element: str) -> Sent:
    base = _IN_ARRAYS.get(element)
    if base is None:
        return Sent(f"CAST(to_json({itself}) AS VARCHAR)", "text", made="json")
    return Sent(itself, base, array=True, made="text[]" if base == "varchar" else "")


def _array_way(column: Sent, there: SourceColumn) -> Way | None:
    if not column.array or there.domain:
        return None
    if column.base == there.element:
        return "direct" if there.modifier < 0 else None
    return "cast" if column.base == "varchar" and there.element == "text" else None


def _keeps(column: Sent, there: SourceColumn) -> bool:
    """Whether a column of the same type, but perhaps with fewer digits, keeps or refuses every value."""
    if there.modifier < 0:
        return True
    if column.digits is not None:
        # Too many digits before the point are refused by the server; after it they would be rounded.
        return _scale(there) >= column.digits[1]
    if there.base in ("timestamp", "timestamptz", "time"):
        return there.modifier >= 6
    return there.base != "interval"


def _castable(column: Sent, base: str, there: SourceColumn) -> bool:
    if base in _WHOLE:
        # Numbers that are too large are refused by the server. A numeric may round them, if its scale is negative.
        whole = there.base in (*_WHOLE, "text", "varchar") or (there.base == "float8" and base != "int8")
        return whole or (there.base == "numeric" and (there.modifier < 0 or _scale(there) >= 0))
    if column.digits is not None:
        return there.base in ("text", "varchar") or (there.base in _WHOLE and column.digits[1] == 0)
    if base == "text":
        return _reads_text(there)
    if there.base in ("text", "varchar"):
        return base != "bytea"
    return (base, there.base) in {("float4", "float8"), ("date", "timestamp")} and there.modifier in (-1, 6)


def _scale(there: SourceColumn) -> int:
    """The scale of a numeric: eleven bits of its modifier, with a sign."""
    return (((there.modifier - 4) & 0x7FF) ^ 1024) - 1024


def _reads_text(there: SourceColumn) -> bool:
    if there.kind in ("e", "r", "m") or there.base in _TEXTS or there.base.startswith("extension "):
        return True
    return there.base in _READ_FROM_TEXT or (there.base in _READ_WHOLE and there.modifier < 0)
