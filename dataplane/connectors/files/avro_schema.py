"""What an Avro schema says, as it is read and as it arrives; nothing is taken over from it unlooked at.

A schema is written anew for the reader: logical types are left out, since fastavro rounds decimals and knows no year
beyond 9999, and each branch of a union becomes a record of its own, which takes no byte and tells which branch it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from dataplane.connectors.files import avro_values as values
from dataplane.connectors.files.avro_blocks import LARGEST_BLOCK
from dataplane.connectors.files.avro_values import Convert
from dataplane.connectors.files.elements import refused
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.nests import DEEPEST
from dataplane.errors import DataError

_MOST_PARTS = 10_000
# So many values may one byte of a file become: more of them are nulls, which take no byte.
_DENSEST = 32
_DIGITS = 38
MIXED = "holds values of several types; each arrives as JSON"
_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

_PLAIN: dict[str, tuple[pa.DataType, int]] = {
    "null": (pa.string(), 0),
    "boolean": (pa.bool_(), 1),
    "int": (pa.int32(), 1),
    "long": (pa.int64(), 1),
    "float": (pa.float32(), 4),
    "double": (pa.float64(), 8),
    "bytes": (pa.binary(), 1),
    "string": (pa.string(), 1),
}


@dataclass(frozen=True)
class Value:
    """A type of a schema. read: what fastavro is told. arrow: as it arrives. type: DuckDB's name where that differs.

    least, values: the fewest bytes it takes, and how many values these become. convert: from what fastavro gives to
    what Arrow takes; None where they are the same. plain: from what Arrow takes to what JSON has.
    """

    read: Any
    arrow: pa.DataType
    least: int
    values: int = 1
    type: str = ""
    warning: str = ""
    convert: Convert | None = None
    plain: Convert | None = None


@dataclass(frozen=True)
class Field:
    """A column of a file."""

    name: str
    value: Value


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
            return self._plain(schema) if schema in _PLAIN else self._named_value(schema, space)
        kind = schema.get("type") if isinstance(schema, dict) else None
        if isinstance(kind, (dict, list)):
            return self.value(kind, space)
        if kind in ("record", "error", "enum", "fixed"):
            return self._named_value(self._define(schema, space), space)
        if kind == "array":
            return self._array(self.value(schema.get("items"), space))
        if kind == "map":
            return self._map(self.value(schema.get("values"), space))
        if isinstance(kind, str) and kind in _PLAIN:
            return _logical(self._plain(kind), kind, schema)
        if isinstance(kind, str):
            return self._named_value(kind, space)
        raise self._wrong(f"in which {str(schema)[:50]!r} is no type")

    def _plain(self, kind: str) -> Value:
        arrow, least = _PLAIN[kind]
        plain = values.bytes_text if kind == "bytes" else values.float_text if kind in ("float", "double") else None
        return Value(kind, arrow, least, plain=plain)

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
        return self._record(read, fields)

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

    def _record(self, read: Any, fields: Sequence[Field]) -> Value:
        names = [each.name for each in fields]
        converts = {each.name: each.value.convert for each in fields if each.value.convert}
        plains = {each.name: each.value.plain for each in fields if each.value.plain}
        found = Value(
            read,
            pa.struct([(each.name, each.value.arrow) for each in fields]),
            sum(each.value.least for each in fields),
            1 + sum(each.value.values for each in fields),
            convert=_each_field(converts) if converts else None,
            plain=_each_field(plains) if plains else None,
        )
        # DuckDB has no structs without fields, and none with two names that differ by the size of their letters.
        if not fields or len({each.casefold() for each in names}) < len(names):
            return _as_json(found)
        return found

    def _array(self, item: Value) -> Value:
        self._dense_enough(item)
        return Value(
            {"type": "array", "items": item.read},
            pa.list_(item.arrow),
            1,
            convert=_each_item(item.convert) if item.convert else None,
            plain=_each_item(item.plain) if item.plain else None,
        )

    def _map(self, item: Value) -> Value:
        self._dense_enough(replace(item, least=item.least + 1))
        return Value(
            {"type": "map", "values": item.read},
            pa.map_(pa.string(), item.arrow),
            1,
            convert=_each_value(item.convert) if item.convert else None,
            plain=_each_value(item.plain) if item.plain else None,
        )

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
        return _logical(Value(read, pa.binary(), size, plain=values.bytes_text), "fixed", schema)

    def _union(self, schema: list[Any], space: str) -> Value:
        if any(isinstance(each, list) for each in schema):
            raise self._wrong("with a union in a union")
        found = [(each == "null", self.value(each, space)) for each in schema]
        branches = [each for null, each in found if not null]
        if not branches:
            return replace(self._plain("null"), read=["null"], least=1)
        worst = max(branches, key=lambda each: each.values / (1 + each.least))
        least = 1 + worst.least
        read = [each.read for _, each in found]
        alike = branches[0] if len(branches) == 1 else _alike(branches)
        if alike is not None:
            return replace(
                alike,
                read=read,
                least=least,
                values=worst.values,
                convert=_unless_null(alike.convert) if alike.convert else None,
                plain=_unless_null(alike.plain) if alike.plain else None,
            )
        # A record of one field takes no byte more, and its name tells which branch it is.
        read = ["null" if null else self._as_record([(f"b{at}", each.read)]) for at, (null, each) in enumerate(found)]
        writers = {f"b{at}": _writer(each) for at, (_, each) in enumerate(found)}
        convert, plain = _branch(writers), _unless_null(json.loads)
        return Value(read, pa.string(), least, worst.values, type="JSON", warning=MIXED, convert=convert, plain=plain)

    def _wrong(self, why: str) -> DataError:
        return refused(self._found, "avro_schema", f"has a schema {why}")


def _logical(value: Value, kind: str, schema: dict[str, Any]) -> Value:
    """The value as its logical type says; as it is where that says nothing, or nothing that can be so."""
    logical = schema.get("logicalType")
    if logical == "decimal" and kind in ("bytes", "fixed"):
        return _decimal(value, schema)
    if logical == "uuid" and kind == "string":
        return replace(value, type="UUID")
    if logical == "uuid" and kind == "fixed" and value.least == 16:
        return replace(value, arrow=pa.string(), type="UUID", convert=values.identity_of, plain=None)
    if logical == "duration" and kind == "fixed" and value.least == 12:
        warning = "a duration of months, days and milliseconds; it arrives as text (ISO 8601)"
        return replace(value, arrow=pa.string(), warning=warning, convert=values.duration, plain=None)
    made = _MOMENTS.get((kind, str(logical)))
    if made is None:
        return value
    arrow, convert, plain, warning = made
    return replace(value, arrow=arrow, convert=convert, plain=plain, warning=warning)


_NANOS = values.whole(-(2**63) + 2, 2**63 - 2)
_MOMENTS: dict[tuple[str, str], tuple[pa.DataType, Convert, Convert, str]] = {
    ("int", "date"): (pa.date32(), values.day(), values.day_text, ""),
    ("int", "time-millis"): (pa.time64("us"), values.time(1000), values.time_text, ""),
    ("long", "time-micros"): (pa.time64("us"), values.time(1), values.time_text, ""),
    ("long", "timestamp-millis"): (pa.timestamp("us", "UTC"), values.moment(1000), values.moment_text(True), ""),
    ("long", "timestamp-micros"): (pa.timestamp("us", "UTC"), values.moment(1), values.moment_text(True), ""),
    ("long", "timestamp-nanos"): (
        pa.timestamp("ns"),
        _NANOS,
        values.moment_text(True, 1000),
        "nanoseconds of a time zone; it arrives as TIMESTAMP_NS, in UTC",
    ),
    ("long", "local-timestamp-millis"): (pa.timestamp("us"), values.moment(1000), values.moment_text(False), ""),
    ("long", "local-timestamp-micros"): (pa.timestamp("us"), values.moment(1), values.moment_text(False), ""),
    ("long", "local-timestamp-nanos"): (pa.timestamp("ns"), _NANOS, values.moment_text(False, 1000), ""),
}


def _decimal(value: Value, schema: dict[str, Any]) -> Value:
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    if not (type(precision) is int and type(scale) is int and 0 <= scale <= precision and precision > 0):
        return value
    if precision > _DIGITS:
        if scale > 1000:
            return value
        warning = f"decimal({precision}, {scale}) has more digits than DECIMAL; it arrives as text"
        return replace(value, arrow=pa.string(), warning=warning, convert=values.decimal_text(scale), plain=None)
    return replace(value, arrow=pa.decimal128(precision, scale), convert=values.unscaled(precision, scale), plain=str)


def _alike(branches: Sequence[Value]) -> Value | None:
    """The type that holds the values of all branches as they are; None where there is none."""
    if any(each.convert or each.type for each in branches):
        return None
    kinds = {each.arrow for each in branches}
    for some in ((pa.int32(), pa.int64()), (pa.float32(), pa.float64()), (pa.string(),)):
        if kinds <= set(some):
            return next(each for each in branches if each.arrow == max(kinds, key=some.index))
    return None


def _as_json(value: Value) -> Value:
    """The same as a text of JSON."""
    writer = _writer(value)
    warning = "has fields that no struct can hold; it arrives as JSON"
    return replace(
        value,
        arrow=pa.string(),
        type="JSON",
        warning=warning,
        convert=lambda each: _ENCODE(writer(each)),
        plain=json.loads,
    )


def _writer(value: Value) -> Convert:
    """From what fastavro gives to what JSON has."""
    convert, plain = value.convert, value.plain

    def write(each: Any) -> Any:
        each = convert(each) if convert else each
        return plain(each) if plain else each

    return write


def _branch(writers: dict[str, Convert]) -> Convert:
    def convert(value: dict[str, Any] | None) -> str | None:
        if value is None:
            return None
        ((branch, inner),) = value.items()
        return _ENCODE(writers[branch](inner))

    return convert


def _each_field(converts: dict[str, Convert]) -> Convert:
    def convert(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, **{name: each(value[name]) for name, each in converts.items()}}

    return convert


def _each_item(each: Convert) -> Convert:
    return lambda value: [each(item) for item in value]


def _each_value(each: Convert) -> Convert:
    return lambda value: {key: each(item) for key, item in value.items()}


def _unless_null(convert: Convert) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)
