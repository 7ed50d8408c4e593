"""The records of a block of Avro, a slice at a time, so that what a few bytes can become never fills the memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import fastavro

from dataplane.connectors.files.avro_blocks import Block, Blocks
from dataplane.connectors.files.avro_schema import Schema
from dataplane.connectors.files.elements import LARGEST, refused
from dataplane.errors import DataError

MOST_VALUES = 1_000_000
"""So many values are in memory at most before they become Arrow, and so many may one record have."""
_WINDOW = 64 << 10
_ENDED = (EOFError, IndexError, OverflowError, MemoryError)
_FIXED = {"null": 0, "boolean": 1, "float": 4, "double": 8}


class Records:
    """The records of a file's blocks, in slices."""

    def __init__(self, blocks: Blocks, schema: Schema) -> None:
        self._blocks = blocks
        self._schema = fastavro.parse_schema(schema.read)
        self._slice = int(MOST_VALUES / schema.dense)
        self._begin = 0

    def slices(self) -> Iterator[list[dict[str, Any]]]:
        """Raises DataError naming the block."""
        rows: list[dict[str, Any]] = []
        weight = 0
        for block in self._blocks:
            self._begin = block.begin
            for row, size in self._of(block):
                rows.append(row)
                weight += size
                if weight >= self._slice:
                    yield rows
                    rows, weight = [], 0
        if rows:
            yield rows

    def _of(self, block: Block) -> Iterator[tuple[dict[str, Any], int]]:
        """Each record with its bytes."""
        at, left, size = 0, block.count, 0
        while left:
            # One that is larger than a window was measured before it is read.
            window = io.BytesIO(block.data[at : at + (size or _WINDOW)])
            done = 0
            while left:
                try:
                    row = self._row(window)
                except _ENDED as error:
                    if size and not done:
                        raise self._broken() from error
                    break
                now = window.tell()
                yield row, now - done
                done, left = now, left - 1
            at += done
            size = 0 if done else self._measured(block.data, at)
        if at < len(block.data):
            raise self._blocks.damaged(block.begin, f"it has {len(block.data) - at:,} bytes behind its last record")

    def _row(self, window: IO[bytes]) -> dict[str, Any]:
        row = fastavro.schemaless_reader(window, self._schema, None, handle_unicode_errors="surrogateescape")
        assert isinstance(row, dict)
        return row

    def _measured(self, data: bytes, at: int) -> int:
        measure = _Measure(data, at)
        try:
            measure.skip(self._schema)
        except IndexError as error:
            raise self._broken() from error
        except _TooMany as error:
            raise self._too_large() from error
        if measure.at - at > LARGEST:
            raise self._too_large()
        return measure.at - at

    def _broken(self) -> DataError:
        return self._blocks.damaged(self._begin, "its records do not fit its schema, or it has fewer than it claims")

    def _too_large(self) -> DataError:
        return refused(
            self._blocks.found,
            "avro_too_large",
            f"has a record of more than {LARGEST >> 20} MB or {MOST_VALUES:,} values in the block at byte "
            f"{self._begin:,}",
            byte=self._begin,
        )


class _TooMany(Exception):
    """A record has more values than any may have."""


class _Measure:
    """How far one record goes, without keeping its values. Raises IndexError where it is broken, or _TooMany."""

    def __init__(self, data: bytes, at: int) -> None:
        self.at = at
        self._values = 0
        self._data = data

    def skip(self, schema: Any) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            raise _TooMany
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, list):
            self.skip(kind[self._long()])
        elif kind in _FIXED:
            self._forth(_FIXED[kind])
        elif kind in ("int", "long", "enum"):
            self._long()
        elif kind in ("bytes", "string"):
            self._forth(self._long())
        elif kind == "fixed":
            self._forth(schema["size"])
        elif kind == "record":
            for each in schema["fields"]:
                self.skip(each["type"])
        else:
            self._items(schema, kind == "map")

    def _items(self, schema: dict[str, Any], named: bool) -> None:
        item = schema["values"] if named else schema["items"]
        while count := self._long():
            if count < 0:
                count = -count
                self._long()
            for _ in range(count):
                if named:
                    self._forth(self._long())
                self.skip(item)

    def _forth(self, size: int) -> None:
        if size < 0 or self.at + size > len(self._data):
            raise IndexError
        self.at += size

    def _long(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise IndexError
