"""Files that are read at once by the types that were declared, and with care where a value does not fit its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from dataplane.connectors.files import casts, groups
from dataplane.connectors.files.encodings import READERS_NAMES
from dataplane.connectors.files.groups import PATH, Group, unfit
from dataplane.connectors.schema import Column
from dataplane.relations import identifier, literal

_MADE = "__made_"


@dataclass(frozen=True)
class CarefulGroup(Group):
    """Base of the formats in which a value may be another than was declared."""

    @property
    def _buffer(self) -> int:
        return groups.BUFFER if self.sample else groups.SMALL_BUFFER

    @property
    def _separator(self) -> str:
        """What stands before the decimals of a number."""
        return "."

    @property
    def _date_format(self) -> str | None:
        return None

    @property
    def _options(self) -> list[str]:
        """What every reader's call says."""
        return [f"filename = '{PATH}'", f"compression = '{READERS_NAMES[self._first.compression]}'"]

    @abstractmethod
    def _fast_source(self, types: dict[str, str]) -> str:
        """The reader's call of the fast query."""

    @abstractmethod
    def _careful_source(self, types: dict[str, str]) -> str:
        """The reader's call of the careful query."""

    @abstractmethod
    def _all_rows(self, types: dict[str, str]) -> str:
        """The reader's call that gives the rows with values that do not fit, among all others."""

    @abstractmethod
    def _careful_type(self, column: Column) -> str:
        """Text for every type that a value might be bent to fit; what DuckDB's reader itself refuses stays its own."""

    def texts(self, names: Sequence[str], rows: int) -> str:
        """A SELECT of what stands in these columns, of the first rows."""
        texts = dict.fromkeys((each.name for each in self.columns), "VARCHAR")
        return f"SELECT {', '.join(map(identifier, names))} FROM {self._all_rows(texts)} LIMIT {rows}"

    def _fast_type(self, column: Column) -> str:
        """The type that the fast query asks the reader for."""
        return casts.read_type(column.type, date_format=self._date_format)

    def _fast_value(self, column: Column, made: str | None) -> str:
        """A value of `_fast_type` as the declared type, beside what is made of it, or the end of the query."""
        form = self._date_format
        return casts.fast(identifier(column.name), made, column.type, separator=self._separator, date_format=form)

    def _fast(self) -> str:
        form = self._date_format
        types = {each.name: self._fast_type(each) for each in self.columns}
        begins = self._made()
        made = {
            each.name: f"{sql} AS {identifier(begins + each.name)}"
            for each in self.columns
            if each.name in self._there and (sql := casts.made(identifier(each.name), each.type, date_format=form))
        }

        def exact(each: Column) -> str:
            return self._fast_value(each, identifier(begins + each.name) if each.name in made else None)

        source = f"SELECT {', '.join(['*', *made.values()])} FROM {self._fast_source(types)}"
        return f"SELECT {self._items(exact)}{self._place()} FROM ({source})"

    def _made(self) -> str:
        """What the names of values begin with that are made beside the columns; no column's name does."""
        names = [name.lower() for name in (*self._there, *(each.name for each in self.columns))]
        begins = _MADE
        while any(name.startswith(begins) for name in names):
            begins = f"_{begins}"
        return begins

    def _careful_types(self) -> dict[str, str]:
        return {each.name: self._careful_type(each) for each in self.columns}

    def _exact(self, each: Column, types: dict[str, str]) -> str:
        if types[each.name] == each.type:
            return identifier(each.name)
        name = identifier(each.name)
        return casts.careful(name, each.type, separator=self._separator, date_format=self._date_format)

    def _spoilt(self, column: Column) -> tuple[str, str] | None:
        """Why a text of this column may be another than was meant, and the condition, which is never NULL."""
        return None

    def _unfit(self, types: dict[str, str]) -> list[tuple[str, str]]:
        """Why a value does not fit its column, and the condition."""
        there = [each for each in self.columns if each.name in self._there]
        misfits = [
            (unfit(each), f"({identifier(each.name)} IS NOT NULL AND ({self._exact(each, types)}) IS NULL)")
            for each in there
            if types[each.name] != each.type
        ]
        return misfits + [spoilt for each in there if (spoilt := self._spoilt(each))]

    def _reasons(self, types: dict[str, str]) -> list[str]:
        """For each of these conditions: why the value does not fit, or NULL."""
        return [f"CASE WHEN {bad} THEN {literal(why)} END" for why, bad in self._unfit(types)]

    def _careful(self) -> str:
        types = self._careful_types()
        items = self._items(lambda each: self._exact(each, types))
        return f"SELECT {items}{self._place()} FROM {self._careful_source(types)} WHERE NOT ({self._bad(types)})"

    def _bad(self, types: dict[str, str]) -> str:
        """The condition of a row that is set aside."""
        return " OR ".join(condition for _, condition in self._unfit(types)) or "false"

    def _misfits(self, types: dict[str, str], names: list[str], separator: str) -> str:
        """The rows that the careful read left out, each with its place among those of its file, counted from 0."""
        texts = ", ".join(f"coalesce(CAST({identifier(name)} AS VARCHAR), '')" for name in names)
        rows = (
            f"SELECT {PATH}, row_number() OVER () - 1 AS n, "
            f"nullif(concat_ws('; ', {', '.join(self._reasons(types))}), '') AS reason, "
            f"concat_ws({literal(separator)}, {texts}) AS raw FROM {self._all_rows(types)}"
        )
        # A row's place in its file: its number less that of the first row of the file.
        return (
            f"SELECT name AS file, n - min(n) OVER (PARTITION BY name) AS nth, reason, raw "
            f"FROM ({rows}) JOIN {self._names()} USING ({PATH}) QUALIFY reason IS NOT NULL"
        )
