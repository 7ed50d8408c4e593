"""Which of the formats a group of files is read by; those whose values have types already are read here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dataplane.connectors.files import casts
from dataplane.connectors.files.delimited import Delimited
from dataplane.connectors.files.groups import PATH, Group, GroupFile, unfit
from dataplane.connectors.files.json_files import Json, Ndjson
from dataplane.connectors.files.texts import ROW, TABLE, Texts
from dataplane.connectors.reading import Part
from dataplane.connectors.schema import Column
from dataplane.relations import identifier, literal

# A list ends so, and a STRUCT or a MAP; so does a DECIMAL, of which nothing is lost.
_NESTED = ("]", ")")


def group_for(file: GroupFile) -> type[Group]:
    """What reads a group that begins with this file."""
    if file.texts is not None:
        return OfTexts
    if file.format == "parquet":
        return Parquet
    return {"ndjson": Ndjson, "json": Json}.get(file.format, Delimited)


@dataclass(frozen=True)
class Parquet(Group):
    """Files with types of their own; a value of another type than was declared ends the read."""

    def part(self, check: Callable[[], None] | None) -> Part:
        query = f"SELECT {self._items(self._value)}{self._place()} "
        query += f"FROM read_parquet({self._paths}, filename = '{PATH}')"
        return Part(self._chosen(query), files=self._sources, origin=self._origin, check=check)

    def _value(self, each: Column) -> str:
        name, found = identifier(each.name), self._there[each.name]
        if found == each.type:
            return name
        exact = casts.careful(f"CAST({name} AS VARCHAR)", each.type)
        if found == "TIMESTAMP_NS" or (found.endswith(_NESTED) and each.type.endswith(_NESTED)):
            # A part that does not fit becomes NULL, what is finer is cut off, both without a word: it has to come back.
            there = f"TRY_CAST({name} AS {each.type})"
            exact = f"CASE WHEN TRY_CAST({there} AS {found}) IS NOT DISTINCT FROM {name} THEN {there} END"
        stop = f"error({literal(f'{each.name} is {found} in the file: {unfit(each)}')})"
        return f"CASE WHEN {name} IS NULL THEN NULL ELSE coalesce({exact}, CAST({stop} AS {each.type})) END"


@dataclass(frozen=True)
class OfTexts(Group):
    """One file whose texts are a table of the instance first, from which the rows are taken, and those that do not
    fit."""

    def part(self, check: Callable[[], None] | None) -> Part:
        texts = self._texts
        all_texts = texts.texts(self._first.absolute, self.settings.null_values)
        items = self._items(self._value)
        return Part(
            self._chosen(f"SELECT {items} FROM {TABLE} WHERE NOT ({self._bad(texts)})"),
            rejects=self._rejects(texts),
            files=self._sources,
            prepare=(f"CREATE OR REPLACE TEMP TABLE {TABLE} AS {all_texts}",),
            check=check,
        )

    def texts(self, names: Sequence[str], rows: int) -> str:
        """A SELECT of what stands in these columns, of the first rows."""
        items = ", ".join(f"CAST({identifier(name)} AS VARCHAR) AS {identifier(name)}" for name in names)
        first = self._texts.texts(self._first.absolute, self.settings.null_values, rows=rows)
        return f"SELECT {items} FROM ({first})"

    @property
    def _texts(self) -> Texts:
        assert self._first.texts is not None
        return self._first.texts

    def _value(self, each: Column) -> str:
        return self._texts.value(each, self.settings)

    def _unfit(self) -> dict[Column, str]:
        """For each column that is there: the condition of a value that does not fit."""
        there = [each for each in self.columns if each.name in self._there]
        return {each: f"({identifier(each.name)} IS NOT NULL AND ({self._value(each)}) IS NULL)" for each in there}

    def _bad(self, texts: Texts) -> str:
        return " OR ".join([f"{texts.refusal} IS NOT NULL", *self._unfit().values()])

    def _rejects(self, texts: Texts) -> str:
        unfit_ = self._unfit()
        reasons = ", ".join(f"CASE WHEN {bad} THEN {literal(unfit(each))} END" for each, bad in unfit_.items())
        raw = ", ".join(f"coalesce(CAST({identifier(name)} AS VARCHAR), '')" for name in texts.names)
        return (
            f"SELECT {literal(self._first.source.ref.path)} AS file, {ROW} AS row, "
            f"concat_ws('; ', {texts.refusal}, {reasons or 'NULL'}) AS reason, concat_ws(', ', {raw}) AS raw "
            f"FROM {TABLE} WHERE {self._bad(texts)} ORDER BY {ROW}"
        )
