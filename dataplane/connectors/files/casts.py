"""From what a file says to a declared type, without silent loss.

DuckDB's readers round `1.5` to fit an INTEGER, drop the time of day to fit a DATE, and the offset to fit a TIMESTAMP.
So such a column is read as a wider type that costs nothing more (measured: DOUBLE for whole numbers and for decimals of
at most 15 digits, TIMESTAMP for dates, the text for timestamps) and the value is compared with what it becomes. A value
that differs ends the fast read; the careful read then looks at the texts, and rejects exactly the rows that do not fit.

What a DOUBLE does not tell apart, fifteen digits and less than a part in 10^15, is not seen: to look at every text of a
whole number costs up to a tenth of the read, and reads each file twice that has one text which is no number.
"""

from __future__ import annotations

import re

from dataplane.relations import literal

# Beyond it two neighbouring whole numbers are the same DOUBLE.
_EXACT = 2**53

_WHOLE = frozenset(
    ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT"]
)
_FLOATING = frozenset(["FLOAT", "DOUBLE"])
_WITHOUT_ZONE = frozenset(["TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATETIME"])
# DuckDB takes 31.12.24 and 24-12-31 for days of the year 24, where somebody left the century out.
_NO_CENTURY = "^ *[0-9]{1,3}[^0-9]"
_FIRST_YEAR = "TIMESTAMP '1000-01-01'"
_FIRST_DAY = "DATE '1000-01-01'"
# What DuckDB makes of `infinity` and `epoch` where it is told a format of dates.
_NO_DAY = "DATE '1900-01-01'"
_BLANK = "[ \\t]*"
# With an exponent, or strokes between the digits.
_WRITTEN_OTHERWISE = f"{_BLANK}[+-]?[0-9.]+[eE_][0-9._eE+-]*{_BLANK}"
# An offset other than nought behind a time.
OFFSET = ":[0-9]{2}([.][0-9]+)?[+-]([1-9]|0[1-9]|00:?[0-9:]*[1-9])"
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
INEXACT = "a value does not fit its declared type exactly"


def decimal(type_: str) -> tuple[int, int] | None:
    """Precision and scale of a DECIMAL type, else None."""
    found = _DECIMAL.fullmatch(type_.upper())
    return (int(found.group(1)), int(found.group(2))) if found else None


def guarded(type_: str) -> bool:
    """Whether DuckDB's reader would change a value to make it fit this type."""
    return type_.upper() in {*_WHOLE, *_WITHOUT_ZONE, "DATE"} or decimal(type_) is not None


def texted(type_: str) -> bool:
    """Whether the careful read looks at the texts of this type: for what `guarded` says, and for a number beyond the
    range of the type, of which DuckDB makes infinity."""
    return guarded(type_) or type_.upper() in _FLOATING


def read_type(type_: str, *, date_format: str | None = None) -> str:
    """The type that the fast read asks the reader for."""
    upper = type_.upper()
    if upper == "DATE":
        return "DATE" if date_format else "TIMESTAMP"
    if upper in ("HUGEINT", "UHUGEINT", "UBIGINT") or upper in _WITHOUT_ZONE:
        return "VARCHAR"
    if upper in _WHOLE:
        return "DOUBLE"
    size = decimal(type_)
    if size is not None:
        return "DOUBLE" if size[0] <= 15 else "VARCHAR"
    return type_


def made(value: str, type_: str, *, date_format: str | None = None) -> str | None:
    """What DuckDB makes of a value of `read_type`, which `fast` compares with the value, or looks at again; None where
    nothing is compared. In a SELECT of its own, below that of `fast`, it is made once: measured, 5 M lines of NDJSON
    then take a twentieth less of the processor's time."""
    upper = type_.upper()
    if upper in _WITHOUT_ZONE:
        # Measured: the usual 2013-01-31 10:00:00 costs no more than where the reader itself makes a moment of it. What
        # is left behind its hour has no room for an offset.
        usual = f"strlen({value}) = 19 AND instr({value}, ':') = 14"
        return f"CASE WHEN {usual} THEN CAST({value} AS {type_}) END"
    read = read_type(type_, date_format=date_format)
    return None if read in ("VARCHAR", type_, upper) else f"CAST({value} AS {type_})"


def fast(value: str, made: str | None, type_: str, *, separator: str = ".", date_format: str | None = None) -> str:
    """A value of `read_type` as the declared type, beside what is `made` of it; a query that meets one that does not
    fit fails."""
    upper, end = type_.upper(), stop(type_)
    if upper == "DATE" and made is None:
        return f"CASE WHEN {value} < {_FIRST_DAY} OR {value} = {_NO_DAY} THEN {end} ELSE {value} END"
    if upper in _FLOATING:
        # Measured: a quarter of what isinf() costs.
        beyond = f"{value} = CAST('inf' AS {type_}) OR {value} = CAST('-inf' AS {type_})"
        return f"CASE WHEN {beyond} THEN {end} ELSE {value} END"
    if read_type(type_) == type_:
        return value
    if read_type(type_) == "VARCHAR":
        exact = careful(value, type_, separator=separator)
        usual = f"WHEN {made} >= {_first_year(upper)} THEN {made} " if made else ""
        return f"CASE {usual}WHEN {value} IS NULL THEN NULL ELSE coalesce({exact}, {end}) END"
    # Measured: a condition that is true for no row, and else what is made already, cost least.
    if upper == "DATE":
        differs = f"CAST({made} AS TIMESTAMP) <> {value} OR {made} < {_FIRST_DAY}"
    else:
        beyond = f" OR {made} NOT BETWEEN {1 - _EXACT} AND {_EXACT - 1}" if upper == "BIGINT" else ""
        differs = f"CAST({made} AS DOUBLE) <> {value}{beyond}"
    return f"CASE WHEN {differs} THEN {end} ELSE {made} END"


def digits(text: str) -> str:
    """A text as BIGINT, for where numbers beyond those that a DOUBLE tells apart are usual; a query that meets one that
    does not fit fails."""
    made, exact = f"CAST({text} AS BIGINT)", f"coalesce({careful(text, 'BIGINT')}, {stop('BIGINT')})"
    return f"CASE WHEN CAST({made} AS VARCHAR) = {text} THEN {made} WHEN {text} IS NOT NULL THEN {exact} END"


def careful(text: str, type_: str, *, separator: str = ".", date_format: str | None = None) -> str:
    """A text as the declared type; NULL when it does not fit exactly."""
    upper, size = type_.upper(), decimal(type_)
    if upper == "DATE" and date_format:
        return f"CAST({dated(text, date_format)} AS DATE)"
    unlike = f"regexp_matches({text}, '{_NO_CENTURY}')"
    if upper == "DATE":
        moment = f"TRY_CAST({text} AS TIMESTAMP)"
        return f"CASE WHEN date_trunc('day', {moment}) = {moment} AND NOT {unlike} THEN CAST({moment} AS DATE) END"
    if upper in _WITHOUT_ZONE:
        unlike = f"{unlike} OR regexp_matches({text}, {literal(OFFSET)})"
        return f"CASE WHEN NOT ({unlike}) THEN TRY_CAST({text} AS {type_}) END"
    if (upper in _WHOLE or size is not None or upper in _FLOATING) and separator == ",":
        text = f"replace(replace({text}, '.', 'x'), ',', '.')"
    if upper in _WHOLE or size is not None:
        scale, value, number = size[1] if size else 0, f"TRY_CAST({text} AS {type_})", f"TRY_CAST({text} AS DOUBLE)"
        shape = f"[+-]?([0-9]+([.][0-9]{{0,{scale}}}0*)?|[.][0-9]{{0,{scale}}}0*)"
        # As the fast read takes it: 1e2 and 1_000.
        other = f"regexp_full_match({text}, '{_WRITTEN_OTHERWISE}') AND abs({number}) < {_EXACT}"
        return (
            f"CASE WHEN regexp_full_match({text}, '{_BLANK}{shape}{_BLANK}') THEN {value} "
            f"WHEN {other} AND CAST({value} AS DOUBLE) = {number} THEN {value} END"
        )
    value = f"TRY_CAST({text} AS {type_})"
    if upper in _FLOATING:
        # Whoever writes infinity writes it in letters. Measured: half of what isinf() and a pattern cost.
        within = f"{value} NOT IN (CAST('inf' AS {type_}), CAST('-inf' AS {type_}))"
        return f"CASE WHEN {within} OR contains(lower({text}), 'inf') THEN {value} END"
    return value


def dated(text: str, date_format: str) -> str:
    """A text as the moment that it says in this format; NULL for none, and where its year lacks the century."""
    written = literal(date_format)
    taken = f"try_strptime({text}, {written})"
    # A year before 1000 has its noughts where the text is what the format makes of it. Without a digit, as `infinity`,
    # DuckDB takes a text for 1900 in any format.
    whole = f"{taken} >= {_FIRST_YEAR} OR strftime({taken}, {written}) = trim({text})"
    return f"CASE WHEN regexp_matches({text}, '[0-9]') AND ({whole}) THEN {taken} END"


def _first_year(upper: str) -> str:
    """TIMESTAMP_NS knows no year before 1677, nor is compared with one."""
    return "TIMESTAMP_NS '1678-01-01'" if upper == "TIMESTAMP_NS" else _FIRST_YEAR


def stop(type_: str) -> str:
    """What ends the fast read where it meets a value that does not fit."""
    return f"CAST(error({literal(INEXACT)}) AS {type_})"
