"""Types of texts: what every value of a sample says, taken by what loses nothing.

Money stays DECIMAL, numbers with leading zeros (postcodes, article numbers) stay text, a date in two possible orders
stays text and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb

from dataplane.connectors.base import Column
from dataplane.relations import identifier, literal

# Texts that people write for "no value". The empty text always is one.
NOTHING = ("NA", "N/A", "#N/A", "NULL", "null", "\\N")

_WHOLE = "[+-]?(0|[1-9][0-9]*)"
_POINT = "[+-]?(0|[1-9][0-9]*)[.][0-9]+"
_FLOAT = "[+-]?((0|[1-9][0-9]*)([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
_ZONE = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_STAMP = f"{_DATE}[ T]{_TIME}"
DATE_FORMATS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y%m%d")


@dataclass
class Inferred:
    """What a sample's columns are, and the settings that go with it."""

    columns: list[Column]
    null_values: tuple[str, ...]
    decimal_separator: str
    date_format: str | None
    warnings: list[str] = field(default_factory=list)


def infer(connection: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], *, comma: bool) -> Inferred:
    """The types of a table of texts. comma: a decimal comma is possible (the comma is not the delimiter)."""
    columns, nothing, formats, separators = [], set[str](), set[str](), set[str]()
    warnings = []
    for name in names:
        facts = _facts(connection, table, name, comma=comma)
        type_, date_format, separator, warning = _type(facts)
        if date_format:
            formats.add(date_format)
        if separator:
            separators.add(separator)
        if type_ != "VARCHAR":
            nothing.update(facts.nothing)
        elif facts.nothing and facts.filled:
            warning = warning or f"holds {', '.join(sorted(facts.nothing))}, which means no value in other columns"
        columns.append(Column(name, type_, nullable=True, native="text", warning=warning))
    date_format = formats.pop() if len(formats) == 1 else None
    separator = "," if separators == {","} else "."
    columns = [_settled(each, date_format, formats, separators) for each in columns]
    if not nothing:
        columns = [
            Column(each.name, each.type, native="text") if "no value" in each.warning else each for each in columns
        ]
    warnings += [f"{each.name}: {each.warning}" for each in columns if each.warning]
    return Inferred(columns, ("", *sorted(nothing)), separator, date_format, warnings)


@dataclass(frozen=True)
class _Facts:
    """Counts over the values of one column that are not nothing."""

    filled: int
    nothing: frozenset[str]
    boolean: int
    whole: int
    digits: int
    point: int
    places: tuple[int, int]
    comma: int
    comma_places: tuple[int, int]
    real: int
    uuid: int
    date: int
    stamp: int
    zoned: int
    time: int
    formats: tuple[int, ...]


def _facts(connection: duckdb.DuckDBPyConnection, table: str, name: str, *, comma: bool) -> _Facts:
    column = f"trim({identifier(name)})"
    nothing = ", ".join(literal(each) for each in NOTHING)
    comma_point = _POINT.replace("[.]", "[,]") if comma else "(?!)"

    def full(pattern: str) -> str:
        return f"count(*) FILTER (regexp_full_match(v, {literal(pattern)}))"

    def places(pattern: str, mark: str) -> str:
        after = f"strlen(v) - strpos(v, '{mark}')"
        where = f"FILTER (regexp_full_match(v, {literal(pattern)}))"
        return f"coalesce(min({after}) {where}, 0), coalesce(max({after}) {where}, 0)"

    comma_sql = (full(comma_point), places(comma_point, ",")) if comma else ("0", "0, 0")
    asked = [
        "count(*)",
        "count(*) FILTER (lower(v) IN ('true', 'false'))",
        full(_WHOLE),
        f"coalesce(max(strlen(ltrim(v, '+-'))) FILTER (regexp_full_match(v, {literal(_WHOLE)})), 0)",
        full(_POINT),
        places(_POINT, "."),
        *comma_sql,
        full(_FLOAT),
        full(_UUID),
        f"count(*) FILTER (regexp_full_match(v, {literal(_DATE)}) AND TRY_CAST(v AS DATE) IS NOT NULL)",
        f"count(*) FILTER (regexp_full_match(v, {literal(_STAMP)}) AND TRY_CAST(v AS TIMESTAMP) IS NOT NULL)",
        full(f"{_DATE}[ T]{_TIME} ?{_ZONE}"),
        f"count(*) FILTER (regexp_full_match(v, {literal(_TIME)}) AND TRY_CAST(v AS TIME) IS NOT NULL)",
        *(f"count(*) FILTER (try_strptime(v, {literal(each)}) IS NOT NULL)" for each in DATE_FORMATS),
    ]
    values = f"SELECT {column} AS v FROM {table} WHERE {column} <> ''"
    row = connection.execute(f"SELECT {', '.join(asked)} FROM ({values}) WHERE v NOT IN ({nothing})").fetchone()
    none = connection.execute(f"SELECT DISTINCT v FROM ({values}) WHERE v IN ({nothing})").fetchall()
    assert row is not None
    n = list(row)
    return _Facts(
        filled=n[0],
        nothing=frozenset(each for (each,) in none),
        boolean=n[1],
        whole=n[2],
        digits=n[3],
        point=n[4],
        places=(n[5], n[6]),
        comma=n[7],
        comma_places=(n[8], n[9]),
        real=n[10],
        uuid=n[11],
        date=n[12],
        stamp=n[13],
        zoned=n[14],
        time=n[15],
        formats=tuple(n[16:]),
    )


def _type(facts: _Facts) -> tuple[str, str | None, str | None, str]:
    """Type, date format, decimal separator, warning."""
    total = facts.filled
    if not total:
        return "VARCHAR", None, None, ""
    simple = {"BOOLEAN": facts.boolean, "UUID": facts.uuid, "DATE": facts.date, "TIME": facts.time}
    for type_, count in simple.items():
        if count == total:
            return type_, None, None, ""
    if facts.date + facts.stamp == total:
        return "TIMESTAMP", None, None, ""
    if facts.zoned == total:
        return "TIMESTAMP WITH TIME ZONE", None, None, ""
    if facts.whole == total:
        return (
            ("BIGINT" if facts.digits <= 18 else "DECIMAL(38,0)" if facts.digits <= 38 else "VARCHAR"),
            None,
            None,
            "",
        )
    if facts.comma and facts.comma + facts.whole == total:
        return _number(facts.comma, facts.comma_places, total), None, ",", ""
    if facts.real == total:
        return (
            (_number(facts.point, facts.places, total) if facts.point + facts.whole == total else "DOUBLE"),
            None,
            ".",
            "",
        )
    fitting = [each for each, count in zip(DATE_FORMATS, facts.formats, strict=True) if count == total]
    if len(fitting) == 1:
        return "DATE", fitting[0], None, ""
    if fitting:
        return "VARCHAR", None, None, f"may be a date as {' or as '.join(fitting)}; declare which"
    return "VARCHAR", None, None, ""


def _number(pointed: int, places: tuple[int, int], total: int) -> str:
    """Money has two to four places, always as many; anything else with a point is measured."""
    least, most = places
    return f"DECIMAL(15,{most})" if pointed == total and least == most and 2 <= most <= 4 else "DOUBLE"


def _settled(column: Column, date_format: str | None, others: set[str], separators: set[str]) -> Column:
    """A column after the settings that all columns share are known."""
    if column.type == "DATE" and others and date_format is None:
        return Column(column.name, "VARCHAR", native="text", warning="dates are written differently in other columns")
    if column.type.startswith(("DECIMAL(15", "DOUBLE")) and len(separators) > 1:
        return Column(column.name, "VARCHAR", native="text", warning="numbers have another decimal mark elsewhere")
    return column
