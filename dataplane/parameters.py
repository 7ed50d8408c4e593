"""Values for the `$name` of a query. They are bound by DuckDB and never become part of the statement's text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args

from dataplane.errors import ConfigurationError

Kind = Literal["text", "integer", "number", "boolean", "date", "timestamp"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
LONGEST = 10_000
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_WRITTEN = {
    "text": "a text",
    "integer": "a whole number, as 42",
    "number": "a number, as 12.50",
    "boolean": "`true` or `false`",
    "date": "a date, as 2026-01-31",
    "timestamp": "a time, as 2026-01-31T08:00:00, with its zone (+01:00, Z) or without",
}


@dataclass(frozen=True)
class Parameter:
    """A name, a kind, and a value as JSON has it: numbers and times as texts, None for NULL."""

    name: str
    kind: Kind
    value: str | int | bool | None


def parameter(name: str, kind: Kind | None, value: Any) -> Parameter:
    """A checked parameter. Without a kind it is what the value is in JSON; a text is read as its kind is written.

    Raises ConfigurationError `parameter_invalid` that names the parameter.
    """
    if not NAME.fullmatch(name):
        raise refused(name[:63], "This is no name of a parameter. Use letters, digits and _, as in `$since`.")
    kind = kind or _kind_of(value)
    if not isinstance(value, str | int | float | None):
        raise refused(name, "A value is a text, a number, true, false or null.")
    if value is None:
        return Parameter(name, kind, None)
    text = str(value).strip() if kind != "text" else str(value)
    if len(text) > LONGEST:
        raise refused(name, f"The value is longer than {LONGEST:,} characters.")
    try:
        # No database takes a NUL character, or half of one.
        if b"\0" in text.encode():
            raise ValueError
        return Parameter(name, kind, _READERS[kind](text))
    except (ValueError, InvalidOperation, OverflowError):
        raise refused(name, f"`{text[:80]}` does not fit. Write {_WRITTEN[kind]}.") from None


def refused(name: str, message: str) -> ConfigurationError:
    """A value that cannot be used, as the field that it stands in."""
    field = f"parameters.{name}"
    return ConfigurationError(
        f"`${name}`: {message}",
        code="parameter_invalid",
        evidence={"errors": [{"field": field, "message": message}]},
    )


def _kind_of(value: Any) -> Kind:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "text"


def _integer(text: str) -> int:
    number = int(text)
    if not -(2**127) <= number < 2**127:
        raise OverflowError
    return number


def _number(text: str) -> str:
    number = Decimal(text)
    if not number.is_finite() or len(number.as_tuple().digits) > 38 or abs(number.adjusted()) > 37:
        raise OverflowError
    return f"{number:f}"


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError
    return text.lower() in _TRUE


def _timestamp(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).isoformat()


_READERS: dict[Kind, Callable[[str], str | int | bool]] = {
    "text": str,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": lambda text: date.fromisoformat(text).isoformat(),
    "timestamp": _timestamp,
}
