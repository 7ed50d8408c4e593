"""The condition of a stream: a document in MongoDB's own language, of operators that only compare."""

from __future__ import annotations

import json
from typing import Any

from dataplane.connectors.schema import StreamConfig
from dataplane.errors import ConfigurationError

_ALLOWED = frozenset(
    f"${each}"
    for words in (
        ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or", "nor", "not", "exists", "type", "mod"),
        ("regex", "options", "all", "elemMatch", "size"),
        ("bitsAllSet", "bitsAnySet", "bitsAllClear", "bitsAnyClear"),
    )
    for each in words
)
# How values are written that JSON has no words for.
_VALUES = frozenset(
    ("$oid", "$date", "$numberLong", "$numberInt", "$numberDouble", "$numberDecimal", "$uuid", "$binary")
)
_DEEPEST = 20
_NO_DOCUMENT = 'it is no JSON document, such as {"state": "open"}'
_NO_VALUE = (
    'MongoDB does not hold a value in it. Write numbers of at most 64 bits, {"$oid": "<24 hexadecimal digits>"}, '
    '{"$date": "2026-01-01T00:00:00Z"} or {"$numberDecimal": "1.50"}'
)


def filter_of(stream: StreamConfig) -> dict[str, Any]:
    """The stream's filter. Raises ConfigurationError for what is none, and for operators that run code."""
    if not stream.row_filter:
        return {}
    # The filter of a stream and that of a step arrive as one text.
    parts = stream.row_filter.removeprefix("(\n").removesuffix("\n)").split("\n) AND (\n")
    found = [_parsed(stream.name, each) for each in parts]
    return found[0] if len(found) == 1 else {"$and": found}


def _parsed(stream: str, text: str) -> dict[str, Any]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong(stream, _NO_DOCUMENT) from None
    _allowed(stream, raw, 0)
    if not isinstance(raw, dict):
        raise _wrong(stream, _NO_DOCUMENT)
    return _values(stream, text)


def _values(stream: str, text: str) -> dict[str, Any]:
    """The document with what only MongoDB has; what is returned can be sent."""
    import bson
    from bson import json_util

    try:
        found: dict[str, Any] = json_util.loads(text, json_options=json_util.JSONOptions(tz_aware=True))
        bson.encode(found)
    except (bson.errors.BSONError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
        raise _wrong(stream, _NO_VALUE) from None
    return found


def _allowed(stream: str, value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise _wrong(stream, f"it is nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        for name, each in value.items():
            if name.startswith("$") and name not in _ALLOWED and name not in _VALUES:
                raise _wrong(stream, f"it may not use {name}. These may stand in it: {', '.join(sorted(_ALLOWED))}")
            _allowed(stream, each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _allowed(stream, each, depth + 1)


def _wrong(stream: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The filter of {stream} cannot be used: {why}.", code="filter_refused", evidence={"stream": stream}
    )
