"""Values of documents: what they are, and how each arrives as a declared type. What does not fit raises `Unfit`."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import pyarrow as pa

from dataplane.connectors.databases.declared import DECIMAL
from dataplane.connectors.files import casts
from dataplane.connectors.files.nests import DEEPEST
from dataplane.relations import identifier

ZONED = "TIMESTAMP WITH TIME ZONE"
_WHOLE = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "INTEGER": (-(2**31), 2**31 - 1),
    "BIGINT": (-(2**63), 2**63 - 1),
    "UTINYINT": (0, 2**8 - 1),
    "USMALLINT": (0, 2**16 - 1),
    "UINTEGER": (0, 2**32 - 1),
}
_EXACT = Context(prec=100)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Milliseconds that DuckDB's times hold.
_MILLIS = (-9_223_372_022_400_000, 9_223_372_036_854_775)
_DIGITS = re.compile(r"[+-]?\d{1,40}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_FINER = re.compile(r"[.,]\d{6}\d*[1-9]")
_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"), allow_nan=False).encode


class Unfit(ValueError):
    """A value that its declared type does not hold."""


@dataclass(frozen=True)
class Arrival:
    """How a field arrives: `convert` makes of its value what the Arrow type takes, `sql` the declared type of that.

    exact: whether `sql` takes every value; else it is NULL for one that does not fit.
    """

    name: str
    type: str
    arrow: pa.DataType
    convert: Callable[[Any], Any]
    exact: bool = True

    def sql(self, place: str) -> str:
        if not self.exact:
            return casts.careful(identifier(place), self.type)
        return f"CAST({identifier(place)} AS {self.type})"


def arrival(name: str, type_: str) -> Arrival:
    """How a field of that declared type arrives."""
    upper = type_.upper()
    if upper in _WHOLE:
        return Arrival(name, upper, pa.int64(), _whole(*_WHOLE[upper]))
    if found := DECIMAL.fullmatch(upper.replace(" ", "")):
        precision, scale = int(found[1]), int(found[2])
        return Arrival(name, upper, pa.decimal128(precision, scale), _decimal(precision, scale))
    known: dict[str, tuple[pa.DataType, Callable[[Any], Any]]] = {
        "BOOLEAN": (pa.bool_(), _boolean),
        "DOUBLE": (pa.float64(), _double),
        ZONED: (pa.timestamp("us", "UTC"), _moment),
        "TIMESTAMP": (pa.timestamp("us"), _local),
        "DATE": (pa.date32(), _day),
        "UUID": (pa.string(), _identity),
        "BLOB": (pa.binary(), _bytes),
        "VARCHAR": (pa.string(), text),
        "JSON": (pa.string(), as_json),
    }
    if upper in known:
        arrow, convert = known[upper]
        return Arrival(name, upper, arrow, convert)
    return Arrival(name, type_, pa.string(), text, exact=False)


def kind(value: Any) -> str:
    """What a value is, in MongoDB's words; empty for none."""
    return "" if value is None else _KINDS.get(type(value).__name__, "other")


# By the names of the driver's classes, for it is imported only where a source asks for it.
_KINDS = {
    "bool": "bool",
    "int": "int",
    "Int64": "int",
    "float": "double",
    "str": "string",
    "ObjectId": "objectId",
    "DatetimeMS": "date",
    "Decimal128": "decimal",
    "UUID": "uuid",
    "bytes": "binData",
    "dict": "object",
    "list": "array",
}


def text(value: Any) -> str:
    """A value as its text; what is nested as JSON."""
    what = kind(value)
    if what == "bool":
        return "true" if value else "false"
    if what == "date":
        return moment_text(int(value))
    if what == "int":
        return str(int(value))
    if what == "double":
        return repr(value)
    if what == "binData":
        return base64.b64encode(value).decode()
    return str(value) if what in ("string", "objectId", "uuid", "decimal") else as_json(value)


def as_json(value: Any) -> str:
    """A value as JSON: dates in ISO 8601, decimals, ids and what JSON has no numbers for as texts, bytes in base64."""
    return _ENCODE(_plain(value, 0))


def moment_text(millis: int) -> str:
    """A time as ISO 8601 writes it."""
    try:
        written = (_EPOCH + timedelta(milliseconds=millis)).replace(tzinfo=None).isoformat(timespec="milliseconds")
    except OverflowError:
        raise Unfit from None
    return f"{written}Z"


def whole_document(value: dict[str, Any]) -> str:
    """A document as MongoDB's own JSON, for people; cut where it is long."""
    from bson import json_util

    try:
        return json_util.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()[:2_000]
    except (ValueError, TypeError, OverflowError, RecursionError):
        return str(value.get("_id"))


def _plain(value: Any, depth: int) -> Any:
    what = kind(value)
    if depth > DEEPEST:
        raise Unfit
    if what == "object":
        return {name: _plain(each, depth + 1) for name, each in value.items()}
    if what == "array":
        return [_plain(each, depth + 1) for each in value]
    if what == "double":
        return value if math.isfinite(value) else str(value)
    if what == "other":
        return _only_here(value)
    return int(value) if what == "int" else value if what in ("", "bool", "string") else text(value)


def _only_here(value: Any) -> Any:
    """What only MongoDB has, in its own JSON."""
    from bson import json_util

    return json.loads(json_util.dumps(value))


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        what = kind(value)
        if what in ("decimal", "double"):
            exact = Decimal(value) if what == "double" else value.to_decimal()
            if not exact.is_finite() or exact.adjusted() > 20 or exact != exact.to_integral_value():
                raise Unfit
            number = int(exact)
        elif what == "int" or (what == "string" and _DIGITS.fullmatch(value.strip())):
            number = int(value)
        else:
            raise Unfit
        if not low <= number <= high:
            raise Unfit
        return number

    return convert


def _decimal(precision: int, scale: int) -> Callable[[Any], Decimal]:
    def convert(value: Any) -> Decimal:
        try:
            scaled = _EXACT.scaleb(_digits(value), scale)
            whole = scaled.to_integral_value()
        except InvalidOperation:
            raise Unfit from None
        if whole != scaled or whole.adjusted() >= precision:
            raise Unfit
        return _EXACT.scaleb(whole, -scale)

    return convert


def _digits(value: Any) -> Decimal:
    what = kind(value)
    if what not in ("decimal", "int", "double", "string") or (
        what == "string" and not _NUMBER.fullmatch(value.strip())
    ):
        raise Unfit
    found: Decimal = value.to_decimal() if what == "decimal" else Decimal(repr(value) if what == "double" else value)
    if not found.is_finite() or abs(found.adjusted()) > 60:
        raise Unfit
    return found


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise Unfit


def _double(value: Any) -> float:
    what = kind(value)
    if what == "int":
        number = float(value)
        if int(number) != value:
            raise Unfit
        return number
    if what == "decimal":
        return float(value.to_decimal())
    if what == "double" or (what == "string" and _NUMBER.fullmatch(value.strip())):
        return float(value)
    raise Unfit


def _moment(value: Any) -> int:
    """Microseconds since 1970; a text without a zone is UTC."""
    if kind(value) == "date":
        if not _MILLIS[0] <= int(value) <= _MILLIS[1]:
            raise Unfit
        return int(value) * 1000
    # Python cuts what is finer than microseconds.
    if not isinstance(value, str) or _FINER.search(value):
        raise Unfit
    found = datetime.fromisoformat(value)
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return (found - _EPOCH) // timedelta(microseconds=1)


def _local(value: Any) -> int:
    """Microseconds since 1970 in UTC; a text with another zone would lose it, so it does not fit."""
    if isinstance(value, str) and datetime.fromisoformat(value).utcoffset():
        raise Unfit
    return _moment(value)


def _day(value: Any) -> int:
    if kind(value) == "date":
        days, rest = divmod(int(value), 86_400_000)
        if rest or not _MILLIS[0] <= int(value) <= _MILLIS[1]:
            raise Unfit
        return days
    if not isinstance(value, str):
        raise Unfit
    return (date.fromisoformat(value) - date(1970, 1, 1)).days


def _identity(value: Any) -> str:
    if isinstance(value, (UUID, str)):
        return str(UUID(str(value)))
    raise Unfit


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return bytes(value)
    raise Unfit
