"""The types of Avro: as they are read, as they arrive in Arrow, and as JSON writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from dataplane.connectors.files import avro_values as values
from dataplane.connectors.files.avro_values import Convert

_DIGITS = 38
_MIXED = "holds values of several types; each arrives as JSON"
_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

PLAIN: dict[str, tuple[pa.DataType, int]] = {
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


def plain(kind: str) -> Value:
    """One of the types that have no parts."""
    arrow, least = PLAIN[kind]
    written = values.bytes_text if kind == "bytes" else values.float_text if kind in ("float", "double") else None
    return Value(kind, arrow, least, plain=written)


def fixed(read: Any, size: int) -> Value:
    """So many bytes."""
    return Value(read, pa.binary(), size, plain=values.bytes_text)


def record(read: Any, fields: Sequence[Field]) -> Value:
    """A struct of the fields; a text of JSON where there can be no such struct."""
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


def array(item: Value) -> Value:
    """A list of such items."""
    return Value(
        {"type": "array", "items": item.read},
        pa.list_(item.arrow),
        1,
        convert=_each_item(item.convert) if item.convert else None,
        plain=_each_item(item.plain) if item.plain else None,
    )


def mapping(item: Value) -> Value:
    """Such items by names."""
    return Value(
        {"type": "map", "values": item.read},
        pa.map_(pa.string(), item.arrow),
        1,
        convert=_each_value(item.convert) if item.convert else None,
        plain=_each_value(item.plain) if item.plain else None,
    )


def together(read: Any, branches: Sequence[Value]) -> Value | None:
    """A union whose branches arrive as one type; None where there is none that holds all of them."""
    found, worst = branches[0] if len(branches) == 1 else _alike(branches), _worst(branches)
    return found and replace(
        found,
        read=read,
        least=1 + worst.least,
        values=worst.values,
        convert=_unless_null(found.convert) if found.convert else None,
        plain=_unless_null(found.plain) if found.plain else None,
    )


def mixed(read: Any, branches: Mapping[str, Value]) -> Value:
    """A union that arrives as JSON; the names are those of the records that its branches are read as."""
    writers = {name: _writer(each) for name, each in branches.items()}
    worst, convert, text = _worst(list(branches.values())), _branch(writers), _unless_null(json.loads)
    return Value(read, pa.string(), 1 + worst.least, worst.values, "JSON", _MIXED, convert, text)


def _worst(branches: Sequence[Value]) -> Value:
    """The branch of which a byte becomes most values."""
    return max(branches, key=lambda each: each.values / (1 + each.least))


def logical(value: Value, kind: str, schema: dict[str, Any]) -> Value:
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


def _unless_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)
