"""How each type of MySQL and MariaDB arrives, and what keeps it from arriving changed.

DuckDB's scanner changes values silently or stops at good ones: a date of zeros becomes NULL, a decimal of more than 38
digits a DOUBLE, a text with a binary collation bytes, and decimals without a fraction lose a digit. So the server is
asked for an expression that the scanner brings over exactly, and the value is made of it here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from dataplane.connectors.databases.declared import DECIMAL, no_type, normal_type
from dataplane.connectors.databases.guards import alarm, exactly

_WHOLE = {
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "mediumint": "INTEGER",
    "int": "INTEGER",
    "bigint": "BIGINT",
}
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
_BYTES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_SHAPES = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
    | {"geometrycollection", "geomcollection"}
)
MOMENTS = {"date": "DATE", "datetime": "TIMESTAMP", "timestamp": "TIMESTAMP WITH TIME ZONE"}
"""Types whose values may be dates of zeros, and how they arrive."""
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(\([0-9 ,]+\))?( WITH TIME ZONE)?")


@dataclass(frozen=True)
class SourceColumn:
    """A column as the server describes it.

    base: its data type without length. digits: precision and scale of a decimal. coded: whether the server hands its
    texts over as bytes, as it does under a binary collation. length: bits of a bit column, and the 1 of tinyint(1).
    raw: whether bytes come as what they are; an expression's may not.
    """

    name: str
    base: str
    native: str
    unsigned: bool = False
    digits: tuple[int, int] = (0, 0)
    coded: bool = False
    length: int = 0
    raw: bool = True
    nullable: bool = True


@dataclass(frozen=True)
class Arrival:
    """How one column is read: `server` is its expression there, `local` what is made of the result, which is its {}."""

    name: str
    type: str
    server: str
    local: str = "{}"
    warning: str = ""

    def made(self, result: str) -> str:
        return self.local.replace("{}", result)


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """A string constant that no setting of the server reads differently."""
    return f"CONVERT(X'{value.encode().hex()}' USING utf8mb4)"


def arrival(column: SourceColumn, declared: str | None = None) -> Arrival:
    """How a column is read, as found or as an operator declared its type. Raises ConfigurationError."""
    natural = _natural(column)
    wanted = normal_type(declared) if declared else natural.type
    if wanted == natural.type:
        return natural
    if not _TYPE.fullmatch(wanted):
        raise no_type(column.name, declared)
    as_text = Arrival(column.name, "VARCHAR", f"CAST({quoted(column.name)} AS CHAR)")
    if wanted == "VARCHAR":
        return as_text if column.base in (*MOMENTS, "time", "decimal") else _cast(natural, wanted)
    if column.base == "decimal":
        return _decimal_as(as_text, wanted)
    if column.base == "time":
        return _checked(as_text, wanted)
    if wanted == "BOOLEAN" and column.base in _WHOLE:
        failure = alarm(column.name, "CAST({} AS VARCHAR)", "BOOLEAN")
        return replace(natural, type=wanted, local=f"CASE {{}} WHEN 0 THEN false WHEN 1 THEN true ELSE {failure} END")
    return replace(natural, type=wanted, local=exactly(column.name, natural.local, natural.type, wanted))


def _natural(column: SourceColumn) -> Arrival:
    name, itself = column.name, quoted(column.name)
    if column.base in _WHOLE:
        type_ = ("U" if column.unsigned else "") + _WHOLE[column.base]
        note = "a number, of which 0 and 1 may mean no and yes: declare it as BOOLEAN if it holds nothing else"
        return Arrival(name, type_, itself, f"CAST({{}} AS {type_})", note if column.length == 1 else "")
    if column.base == "decimal":
        return _decimal(column)
    if column.base in ("float", "double"):
        type_ = "FLOAT" if column.base == "float" else "DOUBLE"
        return Arrival(name, type_, itself, f"CAST({{}} AS {type_})")
    if column.base in _TEXTS:
        return Arrival(name, "VARCHAR", f"CONVERT({itself} USING utf8mb4)" if column.coded else itself)
    if column.base in _BYTES:
        return Arrival(name, "BLOB", itself) if column.raw else _bytes(name, itself)
    if column.base in MOMENTS:
        # Nothing but digits and signs: the server writes them more quickly so than in UTF-8.
        written = f"CAST({itself} AS CHAR CHARACTER SET latin1)"
        return _checked(Arrival(name, "VARCHAR", written), MOMENTS[column.base])
    return _converted(column)


def _converted(column: SourceColumn) -> Arrival:
    """Types that only an expression on the server brings over whole."""
    name, itself = column.name, quoted(column.name)
    as_text = Arrival(name, "VARCHAR", f"CAST({itself} AS CHAR)")
    if column.base == "json":
        return as_text
    if column.base == "time":
        return replace(as_text, warning="time may be negative or longer than a day, and arrives as its text")
    if column.base == "year":
        return Arrival(name, "SMALLINT", itself, "CAST({} AS SMALLINT)")
    if column.base == "bit" and column.length == 1:
        return Arrival(name, "BOOLEAN", f"CAST({itself} AS UNSIGNED)", "{} <> 0")
    if column.base == "bit":
        return Arrival(name, "UBIGINT", f"CAST({itself} AS UNSIGNED)", "CAST({} AS UBIGINT)")
    if column.base == "uuid":
        return Arrival(name, "UUID", as_text.server, "CAST({} AS UUID)")
    if column.base in _SHAPES:
        note = f"{column.native} arrives as well-known binary, without its reference system"
        return replace(_bytes(name, f"ST_AsBinary({itself})"), warning=note)
    if column.base == "vector":
        return replace(_bytes(name, itself), warning="vector arrives as its bytes: floating-point numbers of 32 bits")
    if column.base in ("inet4", "inet6"):
        return replace(as_text, warning=f"{column.native} arrives as its text")
    return replace(as_text, warning=f"{column.native} has no counterpart and arrives as its text")


def _decimal(column: SourceColumn) -> Arrival:
    precision, scale = column.digits
    itself = quoted(column.name)
    if precision > 38:
        note = f"{column.native} may not fit 38 digits and arrives as text; declare it as DECIMAL or DOUBLE if it does"
        return Arrival(column.name, "VARCHAR", f"CAST({itself} AS CHAR)", warning=note)
    # The scanner takes a place for the sign and one for the point off the length, even where there are none.
    direct = scale > 0 and not column.unsigned
    type_ = f"DECIMAL({precision},{scale})"
    return Arrival(column.name, type_, itself if direct else f"CAST({itself} AS CHAR)", f"CAST({{}} AS {type_})")


def _decimal_as(column: Arrival, wanted: str) -> Arrival:
    """A decimal, as its text, in a type that an operator chose: exactly, or not at all."""
    if wanted in ("DOUBLE", "FLOAT"):
        note = "declared as a floating-point number: values are rounded to its precision"
        return replace(_cast(column, wanted), warning=note)
    decimal = DECIMAL.fullmatch(wanted)
    scale = decimal[2] if decimal else "0"
    exact = f"regexp_full_match({{}}, '-?\\d+(\\.\\d{{0,{scale}}}0*)?')"
    value = f"CAST(CAST({{}} AS DECIMAL(38,{scale})) AS {wanted})"
    local = f"CASE WHEN {{}} IS NULL OR {exact} THEN {value} ELSE {alarm(column.name, '{}', wanted)} END"
    return replace(column, type=wanted, local=local)


def _checked(column: Arrival, type_: str) -> Arrival:
    """A moment of its text: one that is none, such as 0000-00-00, is named."""
    zone = " || '+00'" if "ZONE" in type_ else ""
    failure = alarm(column.name, "{}", type_)
    local = f"coalesce(TRY_CAST({{}}{zone} AS {type_}), CASE WHEN {{}} IS NOT NULL THEN {failure} END)"
    return replace(column, type=type_, local=local)


def _bytes(name: str, expression: str) -> Arrival:
    return Arrival(name, "BLOB", f"HEX({expression})", "unhex({})")


def _cast(column: Arrival, type_: str) -> Arrival:
    return replace(column, type=type_, local=f"CAST({column.local} AS {type_})")
