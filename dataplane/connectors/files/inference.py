"""Types of texts: what every value of a sample says, taken by what loses nothing.

Money stays DECIMAL, numbers with leading zeros (postcodes, article numbers) stay text, a date in two possible orders
stays text and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import duckdb

from dataplane.connectors.files import casts
from dataplane.connectors.schema import Column
from dataplane.relations import identifier, literal

# Texts that people write for "no value". The empty text always is one.
NOTHING = ("NA", "N/A", "#N/A", "NULL", "null", "\\N")

_WHOLE = "[+-]?(0|[1-9][0-9]*)"
_FLOAT = "[+-]?((0|[1-9][0-9]*)([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
_ZONE = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_STAMP = f"{_DATE}[ T]{_TIME}"
# Marks between thousands, and the one before decimal places.
_MARKS = (".,", ",.", "'.", "’.", "',", "’,")
_FORMATS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y%m%d", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y")


@dataclass
class Inferred:
    """What a sample's columns are, and the settings that go with it."""

    columns: list[Column]
    null_values: tuple[str, ...]
    decimal_separator: str
    date_format: str | None
    warnings: list[str] = field(default_factory=list)


def infer(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    names: Sequence[str],
    *,
    marks: str,
    date_format: str | None = None,
) -> Inferred:
    """The types of a table of texts. marks: those that may stand before decimal places. date_format: the only one that
    is looked for."""
    known = (date_format,) if date_format else _FORMATS
    columns, nothing, formats, separators = [], set[str](), set[str](), set[str]()
    warnings, unsure, sure = [], dict[str, str](), False
    for name in names:
        values = _Values(connection, table, name)
        type_, written, separator, warning = _type(values, marks, known)
        if separator == "," and "." in marks and values.all(_full(_grouped(",", "."))):
            unsure[name] = values.least("contains(v, ',')")
        else:
            sure = sure or separator == ","
        if written:
            formats.add(written)
        if separator:
            separators.add(separator)
        if type_ != "VARCHAR":
            nothing.update(values.nothing)
        elif values.nothing and values.filled:
            warning = warning or f"holds {', '.join(sorted(values.nothing))}, which means no value in other columns"
        columns.append(Column(name, type_, nullable=True, native="text", warning=warning))
    date_format = formats.pop() if len(formats) == 1 else None
    separator = "," if separators == {","} else "."
    columns = [_settled(each, date_format, formats, separators) for each in columns]
    if separators == {","} and not sure:
        columns = [
            replace(each, warning=_either(unsure[each.name])) if each.name in unsure else each for each in columns
        ]
    if not nothing:
        columns = [
            Column(each.name, each.type, native="text") if "no value" in each.warning else each for each in columns
        ]
    warnings += [f"{each.name}: {each.warning}" for each in columns if each.warning]
    return Inferred(columns, ("", *sorted(nothing)), separator, date_format, warnings)


class _Values:
    """The different values of one column that are not nothing. A question ends at the first value that answers it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str, name: str) -> None:
        nothing = ", ".join(literal(each) for each in NOTHING)
        column = f"trim({identifier(name)})"
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE __values AS SELECT DISTINCT {column} AS v FROM {table} WHERE {column} <> ''"
        )
        none = connection.execute(f"DELETE FROM __values WHERE v IN ({nothing}) RETURNING v").fetchall()
        self.nothing = frozenset(each for (each,) in none)
        self._connection = connection
        self.filled = self.any("true")

    def any(self, condition: str) -> bool:
        """Whether the condition is true of a value."""
        return self._connection.execute(f"SELECT 1 FROM __values WHERE {condition} LIMIT 1").fetchone() is not None

    def all(self, condition: str) -> bool:
        """Whether the condition is true of each value."""
        return not self.any(f"NOT ({condition})")

    def least(self, condition: str) -> str:
        """The least value of which the condition is true; there is one."""
        row = self._connection.execute(f"SELECT min(v) FROM __values WHERE {condition}").fetchone()
        assert row is not None
        return str(row[0])

    def extent(self, measure: str) -> tuple[int, int]:
        """The least and the greatest of a measure of whole numbers."""
        row = self._connection.execute(f"SELECT min({measure}), max({measure}) FROM __values").fetchone()
        assert row is not None
        return int(row[0]), int(row[1])


def _full(pattern: str) -> str:
    return f"regexp_full_match(v, {literal(pattern)})"


def _cast(pattern: str, type_: str) -> str:
    """A value that is written so and that there is: no thirtieth of February."""
    return f"({_full(pattern)} AND TRY_CAST(v AS {type_}) IS NOT NULL)"


_SIMPLE = {
    "BOOLEAN": "lower(v) IN ('true', 'false')",
    "UUID": _full(_UUID),
    "DATE": _cast(_DATE, "DATE"),
    "TIME": _cast(_TIME, "TIME"),
    "TIMESTAMP": f"{_cast(_DATE, 'DATE')} OR {_cast(_STAMP, 'TIMESTAMP')}",
    "TIMESTAMP WITH TIME ZONE": _full(f"{_DATE}[ T]{_TIME} ?{_ZONE}"),
}


def _type(values: _Values, marks: str, formats: Sequence[str]) -> tuple[str, str | None, str | None, str]:
    """Type, date format, decimal separator, warning."""
    if not values.filled:
        return "VARCHAR", None, None, ""
    for type_, condition in _SIMPLE.items():
        if values.all(condition):
            return type_, None, None, ""
    if values.all(_full(_WHOLE)):
        _, digits = values.extent("strlen(ltrim(v, '+-'))")
        return ("BIGINT" if digits <= 18 else "DECIMAL(38,0)" if digits <= 38 else "VARCHAR"), None, None, ""
    if "," in marks and values.all(_full(_written(","))):
        return _number(values, ","), None, ",", ""
    if "." in marks and values.all(_full(_FLOAT)):
        return _number(values, "."), None, ".", ""
    fitting = [each for each in formats if values.all(_dated(each))]
    if len(fitting) == 1:
        return "DATE", fitting[0], None, ""
    if fitting:
        return "VARCHAR", None, None, f"may be a date as {' or as '.join(fitting)}; choose one as `date_format`"
    if values.all(" OR ".join(_dated(each) for each in formats)):
        return "VARCHAR", None, None, "holds dates that are written in several ways: text, until a sql step casts it"
    if any(values.all(_full(_grouped(*marks))) for marks in _MARKS):
        return "VARCHAR", None, None, "holds numbers with marks between thousands: text, until a sql step casts it"
    return "VARCHAR", None, None, ""


def _written(mark: str) -> str:
    """A number with or without decimal places after this mark."""
    return f"{_WHOLE}([{mark}][0-9]+)?"


def _dated(format_: str) -> str:
    """A date that is written so."""
    return f"({casts.dated('v', format_)} IS NOT NULL)"


def _grouped(between: str, mark: str) -> str:
    """A number that may have this mark between its thousands, and decimal places after the other."""
    return f"[+-]?(0|[1-9][0-9]{{0,2}}([{between}][0-9]{{3}})*)([{mark}][0-9]+)?"


def _either(value: str) -> str:
    """Of a number with a comma before three digits, like all of its column: what it may mean."""
    return (
        f"{value} may be {value.replace(',', '.')} or {value.replace(',', '')}, and is read as the first; if the comma "
        "stands between thousands, set `decimal_separator` to a point: it is text then, until a sql step casts it"
    )


def _number(values: _Values, mark: str) -> str:
    """Money has two to four places, always as many; anything else with a point is measured."""
    if not values.all(_full(f"{_WHOLE}[{mark}][0-9]+")):
        return "DOUBLE"
    least, most = values.extent(f"strlen(v) - strpos(v, '{mark}')")
    return f"DECIMAL(15,{most})" if least == most and 2 <= most <= 4 else "DOUBLE"


def _settled(column: Column, date_format: str | None, others: set[str], separators: set[str]) -> Column:
    """A column after the settings that all columns share are known."""
    if column.type == "DATE" and others and date_format is None:
        return Column(column.name, "VARCHAR", native="text", warning="dates are written differently in other columns")
    if column.type.startswith(("DECIMAL(15", "DOUBLE")) and len(separators) > 1:
        return Column(column.name, "VARCHAR", native="text", warning="numbers have another decimal mark elsewhere")
    return column
