"""How each type of PostgreSQL arrives, and what keeps it from arriving changed.

DuckDB's scanner reads most types exactly, and fastest. Where it would change a value silently (a numeric without
precision becomes a DOUBLE, a numeric NaN becomes 0, Parquet drops the microseconds of an interval) the server is asked
for another expression, or a guard in that expression makes the read fail and name the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dataplane.connectors.databases.declared import DECIMAL, no_type, normal_type
from dataplane.connectors.databases.guards import exactly
from dataplane.connectors.postgresql.faults import MARK

# Types that arrive as they are, both by the scanner and by a query.
_PLAIN = {
    "bool": "BOOLEAN",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
    "text": "VARCHAR",
    "varchar": "VARCHAR",
    "bpchar": "VARCHAR",
    "name": "VARCHAR",
    "char": "VARCHAR",
    "json": "VARCHAR",
    "jsonb": "VARCHAR",
    "uuid": "UUID",
    "bytea": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "time": "TIME",
}
_IN_LISTS = frozenset(_PLAIN) - {"bpchar", "name", "char", "json", "jsonb", "bytea", "time"}
_WRITTEN_OUT = frozenset(
    {"inet", "cidr", "macaddr", "macaddr8", "bit", "varbit", "xml", "tsvector", "tsquery", "jsonpath", "pg_lsn"}
)
_CAST_HERE = frozenset({"BOOLEAN", "SMALLINT", "INTEGER", "BIGINT", "UUID"})
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(\([0-9 ,]+\))?( WITH TIME ZONE)?(\[\d*\])*")


@dataclass(frozen=True)
class SourceColumn:
    """A column as PostgreSQL describes it, its domain already followed down to the base type.

    kind: pg_type.typtype of the base type. element: base type of an array's elements, or "". digits: what a numeric
    without precision was seen to need, (whole, fraction), or None where nothing was looked at.
    """

    name: str
    base: str
    kind: str
    native: str
    cast: str
    modifier: int = -1
    element: str = ""
    element_kind: str = ""
    dimensions: int = 0
    nullable: bool = True
    domain: bool = False
    digits: tuple[int, int] | None = None


@dataclass(frozen=True)
class Arrival:
    """How one column is read: `server` is its expression in PostgreSQL, `local` what DuckDB makes of the result.

    scannable: the scanner may read it by name. may_be_nan: read so, a NaN has to be ruled out for every 0.
    """

    name: str
    type: str
    server: str
    local: str
    scannable: bool = True
    may_be_nan: bool = False
    warning: str = ""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string constant that reads the same in PostgreSQL and in DuckDB."""
    return "'" + text.replace("'", "''") + "'"


def arrival(column: SourceColumn, declared: str | None = None) -> Arrival:
    """How a column is read, as found or as an operator declared its type. Raises ConfigurationError."""
    natural = _natural(column)
    wanted = normal_type(declared) if declared else natural.type
    if wanted == natural.type:
        return natural
    if not _TYPE.fullmatch(wanted):
        raise no_type(column.name, declared)
    if column.base == "numeric":
        decimal = DECIMAL.fullmatch(wanted)
        if decimal:
            return _exact(column, int(decimal[1]), int(decimal[2]))
        if wanted in ("DOUBLE", "FLOAT"):
            rounded = Arrival(column.name, wanted, f"{quoted(column.name)}::float8", _cast(column.name, wanted), False)
            return replace(rounded, warning="declared as a floating-point number: values are rounded to its precision")
    if wanted == "VARCHAR" and (column.element or column.kind == "c"):
        return _as_json(column)
    if wanted == "VARCHAR" and natural.type not in _CAST_HERE:
        return Arrival(column.name, "VARCHAR", f"{quoted(column.name)}::text", quoted(column.name), False)
    return replace(natural, type=wanted, local=exactly(column.name, quoted(column.name), natural.type, wanted))


def _natural(column: SourceColumn) -> Arrival:
    if column.base == "numeric":
        return _numeric(column)
    if column.element:
        return _list(column)
    name, itself = column.name, quoted(column.name)
    if column.base in _PLAIN and column.domain:
        return Arrival(name, _PLAIN[column.base], f"{itself}::{column.cast}", itself, scannable=False)
    if column.base in _PLAIN:
        return Arrival(name, _PLAIN[column.base], itself, itself)
    if column.kind == "e":
        return Arrival(name, "VARCHAR", f"{itself}::text", _cast(name, "VARCHAR"), scannable=not column.domain)
    if column.base in _WRITTEN_OUT or column.kind in ("r", "m"):
        note = f"{column.native} arrives as its text"
        return Arrival(name, "VARCHAR", f"{itself}::text", itself, scannable=not column.domain, warning=note)
    return _converted(column)


def _converted(column: SourceColumn) -> Arrival:
    """Types that only an expression on the server brings over whole."""
    name, itself = column.name, quoted(column.name)
    if column.base == "interval":
        note = "interval arrives as its text: Parquet keeps neither microseconds nor negative intervals"
        return Arrival(name, "VARCHAR", f"{itself}::text", itself, False, warning=note)
    if column.base == "timetz":
        note = "timetz arrives as its text: Parquet does not keep the offset"
        return Arrival(name, "VARCHAR", f"{itself}::text", itself, False, warning=note)
    if column.base == "money":
        note = "money arrives as a number; its currency is a setting of the server"
        return Arrival(name, "DECIMAL(22,4)", f"{itself}::numeric(22,4)", itself, False, warning=note)
    if column.base == "oid":
        return Arrival(name, "BIGINT", f"{itself}::int8", itself, False)
    if column.kind == "c":
        return _as_json(column)
    note = f"{column.native} has no counterpart and arrives as its text"
    return Arrival(name, "VARCHAR", f"{itself}::text", itself, False, warning=note)


def _list(column: SourceColumn) -> Arrival:
    if column.element not in _IN_LISTS or column.dimensions > 1 or column.domain or column.element_kind != "b":
        return _as_json(column)
    itself = quoted(column.name)
    return Arrival(column.name, _PLAIN[column.element] + "[]", itself, itself)


def _as_json(column: SourceColumn) -> Arrival:
    server = f"to_jsonb({quoted(column.name)})::text"
    note = f"{column.native} arrives as JSON text"
    return Arrival(column.name, "VARCHAR", server, quoted(column.name), False, warning=note)


def _numeric(column: SourceColumn) -> Arrival:
    """A bounded numeric is a DECIMAL; one without becomes the DECIMAL that what was seen fits into, else text."""
    precision, scale = _bounds(column.modifier)
    if column.modifier >= 0 and precision <= 38:
        if 0 <= scale <= precision and not column.domain:
            return _guarded(column, precision, scale)
        return _exact(column, max(precision - min(scale, 0), scale), max(scale, 0))
    fitted = _fitting(column.digits)
    if fitted is None:
        note = f"{column.native} may not fit 38 digits and arrives as text; declare it as DECIMAL or DOUBLE if it does"
        return Arrival(column.name, "VARCHAR", f"{quoted(column.name)}::text", quoted(column.name), False, warning=note)
    note = f"{column.native} arrives as DECIMAL(38,{fitted}); a value that does not fit fails the read and is named"
    return replace(_exact(column, 38, fitted), warning=note)


def _fitting(digits: tuple[int, int] | None) -> int | None:
    """The scale of a DECIMAL(38) with room to grow, for numbers seen with so many whole and fraction digits."""
    if digits is None:
        return None
    whole, fraction = digits
    roomy = max(fraction, 10)
    if whole + roomy <= 34:
        return roomy
    return fraction if whole + fraction <= 36 else None


def _bounds(modifier: int) -> tuple[int, int]:
    """Precision and scale of a numeric's type modifier; the scale is eleven bits with a sign."""
    packed = modifier - 4
    return (packed >> 16) & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024


def _guarded(column: SourceColumn, precision: int, scale: int) -> Arrival:
    itself, bounded = quoted(column.name), f"numeric({precision},{scale})"
    server = f"CASE WHEN {itself} = 'NaN' THEN {_alarm(column.name)}::{bounded} ELSE {itself}::{bounded} END"
    return Arrival(column.name, f"DECIMAL({precision},{scale})", server, itself, may_be_nan=True)


def _exact(column: SourceColumn, precision: int, scale: int) -> Arrival:
    """A numeric as DECIMAL(precision, scale), or a refusal that names the value; never a rounded one."""
    if precision > 38 or scale > precision or precision < 1:
        itself = quoted(column.name)
        return Arrival(
            column.name, "VARCHAR", f"{itself}::text", itself, False, warning=f"{column.native} arrives as text"
        )
    itself, bounded = quoted(column.name), f"numeric({precision},{scale})"
    whole = f"abs({itself}) < 1e{precision - scale}::numeric"
    fits = f"{whole} AND (scale({itself}) <= {scale} OR {itself} = round({itself}, {scale}))"
    # A NULL fails the condition and stays NULL in the alarm.
    server = f"CASE WHEN {fits} THEN {itself}::{bounded} ELSE {_alarm(column.name)}::{bounded} END"
    return Arrival(column.name, f"DECIMAL({precision},{scale})", server, itself, scannable=False)


def _alarm(name: str) -> str:
    """Text that is no number, so that casting it fails with the value and the column in the server's message."""
    return f"({literal(MARK)} || {quoted(name)}::text || {literal(' in ' + name)})"


def _cast(name: str, type_: str) -> str:
    return f"CAST({quoted(name)} AS {type_})"
