"""How a column travels: what the server is asked for, and what DuckDB makes of it, exactly or not at all.

Drivers change values silently: decimals become floating-point numbers, times lose digits, dates wrap around. So only
whole numbers, floating-point numbers and texts are asked for; everything else comes as the server's own text of it, and
DuckDB reads that in the type it stands for. A text that the type cannot hold whole stops the read and is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dataplane.connectors.databases.declared import DECIMAL, no_type, normal_type
from dataplane.connectors.databases.guards import alarm
from dataplane.connectors.files.casts import OFFSET
from dataplane.types import is_integer

Expression = Callable[[str], str]
"""From an expression in SQL to one that is made of it."""

TIMESTAMP, ZONED = "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"
_MOMENTS = frozenset({"DATE", TIMESTAMP, "TIMESTAMP_NS", ZONED, "TIME"})
# So many digits of a second does a type keep.
_FRACTION = {"TIMESTAMP_NS": 9}
_NATIVE = re.compile(r"\s*(?P<base>[A-Za-z_][\w ]*?)\s*(?:\((?P<inner>.*)\)\s*(?P<tail>[A-Za-z ]*))?", re.DOTALL)


@dataclass(frozen=True)
class Native:
    """A column as its server describes it; `native` is the type in the server's words, with its length."""

    name: str
    native: str
    nullable: bool = True

    @classmethod
    def told(cls, row: Sequence[Any]) -> Native:
        """A column of a catalogue: its schema, its table, its name, its type, and YES where it may be NULL."""
        return cls(str(row[2]), str(row[3]), str(row[4]).upper() in ("YES", "Y"))

    @property
    def base(self) -> str:
        """The type in small letters, without what stands in brackets."""
        found = _NATIVE.fullmatch(self.native)
        return " ".join(each for each in (found["base"], found["tail"]) if each).lower() if found else ""

    @property
    def inner(self) -> tuple[str, ...]:
        """What stands in the type's brackets, by commas."""
        found = _NATIVE.fullmatch(self.native)
        return tuple(each.strip() for each in (found["inner"] or "").split(",") if each.strip()) if found else ()

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(each) for each in self.inner if each.isdecimal())


@dataclass(frozen=True)
class Arrival:
    """How a column is read. type: DuckDB's of what arrives. server: the server's SQL over the column. local: DuckDB's
    SQL over what came. text: the server's SQL for its text, where it is declared as something else. textual: whether
    texts come."""

    name: str
    type: str
    server: Expression
    local: Expression
    text: Expression
    warning: str = ""
    textual: bool = False


def unchanged(sql: str) -> str:
    return sql


def cast(type_: str) -> Expression:
    return lambda sql: f"CAST({sql} AS {type_})"


def as_it_is(name: str, type_: str, text: Expression) -> Arrival:
    """Numbers and texts, which every driver brings over; `text` is what the server makes a text with."""
    return Arrival(name, type_, unchanged, cast(type_), text)


def by_text(name: str, type_: str, text: Expression, warning: str = "") -> Arrival:
    """What is read from the server's text of it."""
    return Arrival(name, type_, text, exactly(name, type_), text, warning, textual=True)


def by_hex(name: str, digits: Expression, warning: str = "") -> Arrival:
    """Bytes, as hexadecimal digits."""
    return Arrival(name, "BLOB", digits, lambda sql: f"unhex({sql})", digits, warning, textual=True)


def decimal(name: str, precision: int, scale: int, text: Expression) -> Arrival:
    """A number of so many digits; of more than 38 its text."""
    if precision > 38 or scale < 0 or scale > precision:
        note = "may not fit 38 digits and arrives as text; declare it as DECIMAL or DOUBLE if it does"
        return by_text(name, "VARCHAR", text, note)
    return by_text(name, f"DECIMAL({precision},{scale})", text)


def moment(name: str, digits: int, text: Expression, *, zoned: bool, offset: bool = False) -> Arrival:
    """A time of a day, with so many digits of a second. offset: whether the server keeps its zone, too."""
    if zoned:
        notes = ["arrives as the moment it means, without its zone"] if offset else []
        notes += ["one that is finer than microseconds stops the read"] if digits > 6 else []
        return by_text(name, ZONED, text, "; ".join(notes))
    if digits > 6:
        note = "is finer than microseconds, so years before 1678 or after 2261 stop the read: declare it as TIMESTAMP"
        return by_text(name, "TIMESTAMP_NS", text, note)
    return by_text(name, TIMESTAMP, text)


def other(name: str, native: str, text: Expression) -> Arrival:
    """A type without a counterpart."""
    return by_text(name, "VARCHAR", text, f"{native} has no counterpart and arrives as its text")


def exactly(name: str, type_: str) -> Expression:
    """DuckDB's SQL that reads a text as this type, or names the value that it cannot hold whole."""
    if type_ == "VARCHAR":
        return unchanged

    def read(sql: str) -> str:
        if type_ in ("DOUBLE", "FLOAT", "BOOLEAN", "UUID"):
            return f"CAST({sql} AS {type_})"
        if type_ == "DATE":
            lost = f"regexp_matches({sql}, '[ T].*[1-9]')"
        elif type_ in _MOMENTS:
            lost = f"regexp_matches({sql}, '\\.\\d{{{_FRACTION.get(type_, 6)}}}\\d*[1-9]')"
        else:
            found = DECIMAL.fullmatch(type_)
            scale = found[2] if found else "0"
            lost = f"NOT regexp_full_match({sql}, '-?\\d*(\\.\\d{{0,{scale}}}0*)?')"
        failure = alarm(name, sql, type_)
        return f"CASE WHEN {sql} IS NULL THEN NULL WHEN {lost} THEN {failure} ELSE {_read(sql, type_, failure)} END"

    return read


def _read(sql: str, type_: str, failure: str) -> str:
    # A text with digits behind the point that are all zeros is none of a whole number's.
    whole = is_integer(type_)
    value = f"TRY_CAST(TRY_CAST({sql} AS DECIMAL(38,0)) AS {type_})" if whole else f"TRY_CAST({sql} AS {type_})"
    return f"coalesce({value}, {failure})"


def declared(natural: Arrival, wanted: str | None) -> Arrival:
    """A column in the type that an operator declared. Raises ConfigurationError for one it cannot be read in."""
    type_ = normal_type(wanted) if wanted else natural.type
    if type_ == natural.type:
        return natural
    known = type_ in ("VARCHAR", "DOUBLE", "FLOAT", "BOOLEAN", "UUID") or type_ in _MOMENTS or is_integer(type_)
    if not (known or DECIMAL.fullmatch(type_)) or natural.type == "BLOB":
        raise no_type(natural.name, wanted)
    rounds = type_ in ("DOUBLE", "FLOAT") and natural.type not in ("DOUBLE", "FLOAT")
    note = "declared as a floating-point number: values are rounded to its precision" if rounds else ""
    found = replace(by_text(natural.name, type_, natural.text), warning=note)
    return _without_offset(found) if natural.type == "VARCHAR" and type_ in (TIMESTAMP, "TIMESTAMP_NS") else found


def _without_offset(column: Arrival) -> Arrival:
    """A text declared as a time without a zone: one that tells its offset would lose it."""

    def read(sql: str) -> str:
        lost = f"regexp_matches({sql}, '{OFFSET}')"
        return f"CASE WHEN {lost} THEN {alarm(column.name, sql, column.type)} ELSE {column.local(sql)} END"

    return replace(column, local=read)
