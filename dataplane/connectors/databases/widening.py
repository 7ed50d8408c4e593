"""Which columns of a table are too narrow for what arrives, and how wide they have to be.

Only numbers become larger and texts longer, so every value that is there stays what it is; and only where values need
it, because most databases write the whole table anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dataplane.connectors.destination import Load, Rows, TableColumn
from dataplane.errors import DataError
from dataplane.relations import identifier
from dataplane.steps.base import ColumnType
from dataplane.types import is_integer, widest

_WHOLE = re.compile(r"(u?)(tinyint|smallint|int|integer|bigint)(?:\(\d+\))?( unsigned)?", re.IGNORECASE)
_DECIMAL = re.compile(r"(?:numeric|decimal)\((\d+),\s*(\d+)\)", re.IGNORECASE)
_TEXT = re.compile(r"(?:varchar|character varying)\((\d+)\)", re.IGNORECASE)
_MOST_DIGITS = 38
_SIGNED = {"UTINYINT": "SMALLINT", "USMALLINT": "INTEGER", "UINTEGER": "BIGINT"}


@dataclass(frozen=True)
class Wider:
    """A column that has to be wider: `number` is DuckDB's type that holds everything, or `letters` the new length.

    least: the letters that would just do.
    """

    name: str
    was: str
    number: str = ""
    letters: int = 0
    least: int = 0

    def said(self, type_: str) -> str:
        return f"{self.name}: {self.was} to {type_}"


def needed(
    load: Load, rows: Rows, there: Sequence[TableColumn], fits: Callable[[ColumnType, TableColumn], bool], longest: int
) -> list[Wider]:
    """The columns that some value does not fit into, where the table may evolve.

    fits: whether what arrives could be loaded as long as every value is small enough. longest: letters that a varchar
    may have. What no wider column holds is left to the database, which refuses it.
    """
    known = {each.name.lower(): each for each in there if not each.generated}
    met = [(each, known[each.name.lower()]) for each in rows.columns if each.name.lower() in known]
    asked = [(column, name, ask) for column, name in met if (ask := _question(column, name.type)) is not None]
    if load.policy != "evolve" or not asked:
        return []
    answers = rows.connection.execute(f"SELECT {', '.join(ask for _, _, ask in asked)} FROM ({rows.query})").fetchone()
    found = zip(asked, answers or (), strict=False)
    every = [_wider(column, name, answer or not fits(column, name), longest) for (column, name, _), answer in found]
    return [each for each in every if each is not None]


def cannot(load: Load, wider: Wider, type_: str, said: str) -> DataError:
    """The database does not let the column be changed."""
    return DataError(
        f"`{wider.name}` of {load.table} is {wider.was}, and values arrive that need {type_}. The column could not be "
        f"changed: {said}. Change it there, with what depends on it, or cast in a sql step before the load.",
        code="cannot_widen",
        evidence={"table": load.table, "column": wider.name, "is": wider.was, "needs": type_},
    )


def _question(column: ColumnType, there: str) -> str | None:
    """What is asked of all values that arrive; None for a column that cannot be too narrow, or cannot be wider."""
    itself = identifier(column.name)
    if _TEXT.fullmatch(there):
        return f"max(length({itself}))" if column.type == "VARCHAR" else None
    number = _number(there)
    if number is None or _larger(number, column.type) is None:
        return None
    return f"coalesce(bool_or(TRY_CAST({itself} AS {number}) IS DISTINCT FROM {itself}), false)"


def _wider(column: ColumnType, there: TableColumn, answer: int, longest: int) -> Wider | None:
    text = _TEXT.fullmatch(there.type)
    if text:
        letters, room = int(answer), int(text[1])
        if not room < letters <= longest:
            return None
        return Wider(there.name, there.type, letters=min(max(letters, 2 * room), longest), least=letters)
    larger = _larger(_number(there.type) or "", column.type)
    return Wider(there.name, there.type, number=larger) if answer and larger else None


def _number(there: str) -> str | None:
    """DuckDB's type for the numbers that a column holds; None where it has none. MySQL's tinyint(1) is a boolean."""
    decimal = _DECIMAL.fullmatch(there)
    if decimal:
        return f"DECIMAL({decimal[1]},{decimal[2]})" if int(decimal[1]) <= _MOST_DIGITS else None
    whole = _WHOLE.fullmatch(there)
    if whole is None or there.lower() == "tinyint(1)":
        return None
    name = "INTEGER" if whole[2].lower() == "int" else whole[2].upper()
    return f"U{name}" if whole[1] or whole[3] else name


def _larger(number: str, arriving: str) -> str | None:
    """The type of the same kind that holds what is there and what arrives; None where that is no other one."""
    if is_integer(number) and not is_integer(arriving):
        return None
    signed = is_integer(number) and not number.startswith("U")
    both = widest(number, _SIGNED.get(arriving, arriving) if signed else arriving)
    same_kind = both is not None and (is_integer(both) or both.startswith("DECIMAL("))
    return both if same_kind and both != number else None
