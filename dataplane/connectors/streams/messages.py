"""Messages on their way: a batch of them as Arrow, and the SQL that reads it into the declared columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import duckdb
import pyarrow as pa

from dataplane.connectors.files import casts
from dataplane.connectors.files.nests import DEEPEST, too_deep
from dataplane.connectors.reading import Part
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.relations import identifier, literal

VALUE = "value"
MOST_BYTES = 16 << 20
"""A batch ends where its messages have so many."""
_TABLE = "__messages"
_RAW = 1000
_NOT_TEXT = "it is not UTF-8"
_NESTED = f"it has nests more than {DEEPEST} deep"
_NO_OBJECT = "it is no JSON object"
# What is wrong with a message as a whole.
_WHOLE = (
    f"CASE WHEN __fault IS NOT NULL THEN __fault WHEN {VALUE} IS NULL THEN NULL "
    f"WHEN NOT json_valid({VALUE}) THEN {literal(_NO_OBJECT)} "
    f"WHEN json_type({VALUE}) <> 'OBJECT' THEN {literal(_NO_OBJECT)} END"
)
_SPACE = "' ' || chr(9) || chr(10) || chr(13)"


@dataclass(frozen=True)
class Batch:
    """Some messages in the order of their offsets: what stands beside each (by column), and what each says.

    last, counts: the offset of the newest one of each partition, and how many there are of it. bytes: of all of them.
    """

    beside: dict[str, pa.Array]
    values: Sequence[bytes | None]
    last: dict[str, int]
    counts: dict[str, int]
    bytes: int = 0

    @property
    def count(self) -> int:
        return len(self.values)


class Pace:
    """How many messages to ask of a broker that counts nothing else, so that about MOST_BYTES come at once: at first
    one, since nobody knows how large they are."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 1

    def took(self, count: int, size: int) -> None:
        """So many came, with so many bytes: fewer at once where they have grown, and more step by step."""
        fitting = MOST_BYTES * count // max(1, size)
        self.count = max(1, min(4 * self.count, self._most, fitting))


@dataclass(frozen=True)
class Layout:
    """How batches of a stream are read: its declared columns, and those that stand beside every message.

    place: two SQL expressions over the latter, what a message that is set aside is called, and its number or NULL.
    """

    stream: StreamConfig
    columns: tuple[Column, ...]
    beside: tuple[Column, ...]
    format: Literal["json", "raw"]
    place: tuple[str, str]

    def part(self, connection: duckdb.DuckDBPyConnection, batch: Batch) -> Part:
        """One part of a reading. Its messages stay a table of the instance until the next batch takes their place."""
        table, sound = self._table(batch)
        connection.register(_TABLE, table)
        exact = Part(self._chosen(self._careful), rejects=self._rejects)
        return Part(self._chosen(self._fast), careful=exact) if sound else exact

    def _table(self, batch: Batch) -> tuple[pa.Table, bool]:
        """The messages as a table, and whether each of them is a text that DuckDB may look into."""
        blob = self.format == "raw" and any(each.name == VALUE and each.type == "BLOB" for each in self.columns)
        values = pa.array(batch.values, pa.binary())
        faults: list[str | None] | None = None
        if not blob:
            values, faults = _texts(values, batch.values, nested=self.format == "json")
        fault = pa.nulls(batch.count, pa.string()) if faults is None else pa.array(faults, pa.string())
        return pa.table({**batch.beside, VALUE: values, "__fault": fault}), faults is None

    def _chosen(self, query: str) -> str:
        names = self.stream.select or tuple(each.name for each in self.columns)
        where = f" WHERE (\n{self.stream.row_filter}\n)" if self.stream.row_filter else ""
        return f"SELECT {', '.join(identifier(each) for each in names)} FROM ({query}){where}"

    @property
    def _fast(self) -> str:
        """Fails where a value does not fit."""
        stop = f"error({literal(casts.INEXACT)})"
        keys = (
            f"CASE WHEN {VALUE} IS NULL THEN NULL WHEN starts_with(ltrim({VALUE}, {_SPACE}), '{{') "
            f"THEN json_transform({VALUE}, {self._structure}) ELSE {stop} END"
        )
        return f"SELECT {self._items(_exactly)} FROM ({self._with(keys)})"

    @property
    def _careful(self) -> str:
        """Leaves out what does not fit."""
        bad = " OR ".join(["__fault IS NOT NULL", *(condition for _, condition in self._unfit)])
        return f"SELECT {self._items(casts.careful)} FROM ({self._looked_at}) WHERE NOT ({bad})"

    @property
    def _rejects(self) -> str:
        reasons = ["__fault", *(f"CASE WHEN {bad} THEN {literal(_unfit(each))} END" for each, bad in self._unfit)]
        name, number = self.place
        file = f"concat_ws(', ', {literal(self.stream.name)}, nullif({name}, ''))"
        said = f"SELECT *, nullif(concat_ws('; ', {', '.join(reasons)}), '') AS __reason FROM ({self._looked_at})"
        return (
            f"SELECT {file} AS file, {number} AS row, __reason AS reason, "
            f"left(coalesce(CAST({VALUE} AS VARCHAR), ''), {_RAW}) AS raw FROM ({said}) WHERE __reason IS NOT NULL"
        )

    @property
    def _looked_at(self) -> str:
        """The messages with their keys as texts, and what is wrong with each as a whole."""
        if self.format == "raw" or not self._keys:
            return self._with("NULL")
        faults = f"SELECT * REPLACE ({_WHOLE} AS __fault) FROM {_TABLE}"
        keys = f"CASE WHEN __fault IS NULL AND {VALUE} IS NOT NULL THEN json_transform({VALUE}, {self._structure}) END"
        return f"SELECT *, {keys} AS __keys FROM ({faults})"

    def _with(self, keys: str) -> str:
        return f"SELECT *, {keys if self._keys else 'NULL'} AS __keys FROM {_TABLE}"

    @property
    def _keys(self) -> list[Column]:
        """The columns that come from what messages say."""
        names = {each.name for each in self.beside} | ({VALUE} if self.format == "raw" else set())
        return [each for each in self.columns if each.name not in names]

    @property
    def _structure(self) -> str:
        """What `json_transform` takes out: every key as a text, nests as JSON."""
        return literal(json.dumps({each.name: "JSON" if _nests(each) else "VARCHAR" for each in self._keys}))

    @property
    def _unfit(self) -> list[tuple[Column, str]]:
        """For each column the condition of a value that does not fit it."""
        return [
            (each, f"({text} IS NOT NULL AND ({casts.careful(text, each.type)}) IS NULL)")
            for each in self.columns
            if (text := self._text(each)) is not None
        ]

    def _items(self, value: Callable[[str, str], str]) -> str:
        items = []
        for each in self.columns:
            text = self._text(each)
            taken = self._plain(each) if text is None else value(text, each.type)
            items.append(f"{taken} AS {identifier(each.name)}")
        return ", ".join(items)

    def _text(self, column: Column) -> str | None:
        """The column's value as a text that has to become its type; None where it is of that type already."""
        there = next((each for each in self.beside if each.name == column.name), None)
        if there is not None:
            return None if there.type == column.type else f"CAST({identifier(column.name)} AS VARCHAR)"
        if self.format == "raw" and column.name == VALUE:
            return None if column.type in ("VARCHAR", "BLOB") else VALUE
        return None if column.type in ("VARCHAR", "JSON") else f"__keys.{identifier(column.name)}"

    def _plain(self, column: Column) -> str:
        if column in self._keys:
            return f"__keys.{identifier(column.name)}"
        return f"CAST({identifier(column.name)} AS {column.type})"


def objects(connection: duckdb.DuckDBPyConnection, values: Sequence[bytes]) -> list[bytes]:
    """Those that a read takes for JSON objects."""
    texts, faults = _texts(pa.array(values, pa.binary()), values, nested=True)
    fault = pa.array(faults or [None] * len(values), pa.string())
    connection.register(_TABLE, pa.table({VALUE: texts, "__fault": fault}))
    sound = connection.execute(f"SELECT ({_WHOLE}) IS NULL FROM {_TABLE}").fetchall()
    return [each for each, (taken,) in zip(values, sound, strict=True) if taken]


def _texts(
    values: pa.Array, given: Sequence[bytes | None], *, nested: bool
) -> tuple[pa.Array, list[str | None] | None]:
    """The values as texts; and, if any is none or nests too deeply, what is wrong with each."""
    try:
        texts = values.cast(pa.string())
    except pa.ArrowInvalid:
        texts = None
    if texts is not None and not (nested and too_deep(BytesIO(b"\n".join(each or b"" for each in given)))):
        return texts, None
    faults = [_fault(each, nested=nested) for each in given]
    shown = [each and each.decode("utf-8", "backslashreplace") for each in given]
    return pa.array(shown, pa.string()), faults


def _fault(value: bytes | None, *, nested: bool) -> str | None:
    if value is None:
        return None
    try:
        value.decode()
    except UnicodeDecodeError:
        return _NOT_TEXT
    return _NESTED if nested and too_deep(BytesIO(value)) else None


def _nests(column: Column) -> bool:
    upper = column.type.upper()
    return upper.startswith(("JSON", "STRUCT", "MAP")) or upper.endswith("]")


def _exactly(text: str, type_: str) -> str:
    value = f"CAST({text} AS {casts.read_type(type_)})"
    return casts.fast(value, casts.made(value, type_), type_)


def _unfit(column: Column) -> str:
    return f"{column.name} is not {column.type}"
