"""What an Avro schema says, as it is read and as it arrives; nothing is taken over from it unlooked at.

A schema is written anew for the reader: logical types are left out, since fastavro rounds decimals and knows no year
beyond 9999, and each branch of a union becomes a record of its own, which takes no byte and tells which branch it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from dataplane.connectors.files import avro_types as types
from dataplane.connectors.files.avro_blocks import LARGEST_BLOCK
from dataplane.connectors.files.avro_types import Field, Value
from dataplane.connectors.files.elements import refused
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.nests import DEEPEST
from dataplane.errors import DataError

_MOST_PARTS = 10_000
# So many values may one byte of a file become: more of them are nulls, which take no byte.
_DENSEST = 32


@dataclass(frozen=True)
class Schema:
    """The records of a file: what fastavro is told, their fields, and how many values a byte becomes at most."""

    read: Any
    fields: tuple[Field, ...]
    dense: float


def schema_of(found: Found, schema: Any) -> Schema:
    """Raises DataError for a schema that is none, that holds itself, or that is made to exhaust whoever reads by it."""
    return _Reader(found).schema(schema)


class _Reader:
    def __init__(self, found: Found) -> None:
        self._found = found
        self._named: dict[str, tuple[dict[str, Any], str]] = {}
        self._open: set[str] = set()
        self._parts = 0
        self._depth = 0
        self._densest = 1.0

    def schema(self, schema: Any) -> Schema:
        if not (isinstance(schema, dict) and schema.get("type") in ("record", "error")):
            # A file of mere values is one of records of one field: both are written alike.
            schema = {"type": "record", "name": "row", "fields": [{"name": "value", "type": schema}]}
        self._define(schema, "")
        read, fields = self._fields(schema, self._named_as(schema, "")[1])
        least = sum(each.value.least for each in fields)
        if not least:
            raise self._wrong("whose records take no bytes")
        self._bounded((1 + sum(each.value.values for each in fields)) / least)
        return Schema(read, tuple(fields), self._densest)

    def value(self, schema: Any, space: str) -> Value:
        self._parts += 1
        self._depth += 1
        if self._parts > _MOST_PARTS or self._depth > DEEPEST:
            raise self._wrong(f"of more than {_MOST_PARTS:,} parts, or with types more than {DEEPEST} deep in others")
        found = self._value(schema, space)
        self._depth -= 1
        return found

    def _value(self, schema: Any, space: str) -> Value:
        if isinstance(schema, list):
            return self._union(schema, space)
        if isinstance(schema, str):
            return types.plain(schema) if schema in types.PLAIN else self._named_value(schema, space)
        kind = schema.get("type") if isinstance(schema, dict) else None
        if isinstance(kind, (dict, list)):
            return self.value(kind, space)
        if kind in ("record", "error", "enum", "fixed"):
            return self._named_value(self._define(schema, space), space)
        if kind == "array":
            return self._array(self.value(schema.get("items"), space))
        if kind == "map":
            return self._map(self.value(schema.get("values"), space))
        if isinstance(kind, str) and kind in types.PLAIN:
            return types.logical(types.plain(kind), kind, schema)
        if isinstance(kind, str):
            return self._named_value(kind, space)
        raise self._wrong(f"in which {str(schema)[:50]!r} is no type")

    def _named_as(self, schema: dict[str, Any], space: str) -> tuple[str, str]:
        """A definition's full name, and the namespace of what stands in it."""
        name, own = schema.get("name"), schema.get("namespace", space)
        if not isinstance(name, str) or not name or not isinstance(own, str):
            raise self._wrong("with a type that has no name")
        full = name if "." in name or not own else f"{own}.{name}"
        return full, full.rpartition(".")[0]

    def _define(self, schema: dict[str, Any], space: str) -> str:
        full, _ = self._named_as(schema, space)
        if full in self._named and self._named[full][0] is not schema:
            raise self._wrong(f"that says twice what {full[:100]} is")
        self._named[full] = (schema, space)
        return full

    def _named_value(self, name: str, space: str) -> Value:
        full = next((each for each in (f"{space}.{name}", name) if each in self._named), None)
        if full is None:
            raise self._wrong(f"in which {name[:100]!r} is no type")
        if full in self._open:
            raise refused(
                self._found, "avro_recursive", f"has a schema in which {full[:100]} holds itself, so that it has no end"
            )
        schema, within = self._named[full]
        kind, inner = schema["type"], self._named_as(schema, within)[1]
        if kind == "enum":
            return self._enum(schema)
        if kind == "fixed":
            return self._fixed(schema)
        self._open.add(full)
        read, fields = self._fields(schema, inner)
        self._open.discard(full)
        return types.record(read, fields)

    def _fields(self, schema: dict[str, Any], space: str) -> tuple[Any, list[Field]]:
        listed = schema.get("fields")
        if not isinstance(listed, list) or not all(
            isinstance(each, dict) and isinstance(each.get("name"), str) for each in listed
        ):
            raise self._wrong("with a record that has no list of named fields")
        fields = [Field(each["name"], self.value(each.get("type"), space)) for each in listed]
        if len({each.name for each in fields}) < len(fields):
            raise self._wrong("with a record that has two fields of one name")
        return self._as_record([(each.name, each.value.read) for each in fields]), fields

    def _as_record(self, fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        return {
            "type": "record",
            "name": self._new_name(),
            "fields": [{"name": name, "type": read} for name, read in fields],
        }

    def _new_name(self) -> str:
        self._parts += 1
        return f"n{self._parts}"

    def _array(self, item: Value) -> Value:
        self._dense_enough(item)
        return types.array(item)

    def _map(self, item: Value) -> Value:
        self._dense_enough(replace(item, least=item.least + 1))
        return types.mapping(item)

    def _dense_enough(self, item: Value) -> None:
        if not item.least:
            raise self._wrong("with an array of items that take no bytes")
        self._bounded(item.values / item.least)

    def _bounded(self, dense: float) -> None:
        self._densest = max(dense, self._densest)
        if dense > _DENSEST:
            raise self._wrong("of which nearly nothing stands in the file: most of it is the type null")

    def _enum(self, schema: dict[str, Any]) -> Value:
        symbols = schema.get("symbols")
        if not isinstance(symbols, list) or not symbols or not all(isinstance(each, str) for each in symbols):
            raise self._wrong("with an enum that has no symbols")
        return Value({"type": "enum", "name": self._new_name(), "symbols": symbols}, pa.string(), 1)

    def _fixed(self, schema: dict[str, Any]) -> Value:
        size = schema.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= LARGEST_BLOCK:
            raise self._wrong("with a fixed type of no size")
        read = {"type": "fixed", "name": self._new_name(), "size": size}
        return types.logical(types.fixed(read, size), "fixed", schema)

    def _union(self, schema: list[Any], space: str) -> Value:
        if any(isinstance(each, list) for each in schema):
            raise self._wrong("with a union in a union")
        found = [(each == "null", self.value(each, space)) for each in schema]
        branches = [each for null, each in found if not null]
        if not branches:
            return replace(types.plain("null"), read=["null"], least=1)
        read = [each.read for _, each in found]
        if together := types.together(read, branches):
            return together
        # A record of one field takes no byte more, and its name tells which branch it is.
        read = ["null" if null else self._as_record([(f"b{at}", each.read)]) for at, (null, each) in enumerate(found)]
        return types.mixed(read, {f"b{at}": each for at, (null, each) in enumerate(found) if not null})

    def _wrong(self, why: str) -> DataError:
        return refused(self._found, "avro_schema", f"has a schema {why}")
