"""Values of Avro's logical types, as Arrow takes them and as JSON writes them. What does not fit raises `Unfit`."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

Convert = Callable[[Any], Any]

_EXACT = Context(prec=100)
_DAY = 86_400_000_000
# What DuckDB holds of each: numbers beyond are its words for endless, or nothing at all.
_DAYS = (-2_147_483_646, 2_147_483_646)
_MICROS = (-9_223_372_022_400_000_000, 9_223_372_036_854_775_806)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unfit(ValueError):
    """A value that its type does not hold."""


def whole(low: int, high: int, factor: int = 1) -> Convert:
    """A number that has to lie within bounds once it is multiplied."""

    def convert(value: int) -> int:
        scaled = value * factor
        if not low <= scaled <= high:
            raise Unfit
        return scaled

    return convert


def day() -> Convert:
    return whole(*_DAYS)


def time(factor: int) -> Convert:
    return whole(0, _DAY - 1, factor)


def moment(factor: int) -> Convert:
    return whole(*_MICROS, factor)


def unscaled(precision: int, scale: int) -> Convert:
    """The decimal of the two's complement that Avro writes."""
    most: int = 10**precision

    def convert(value: bytes) -> Decimal:
        number = int.from_bytes(value, "big", signed=True)
        if abs(number) >= most:
            raise Unfit
        return _EXACT.scaleb(Decimal(number), -scale)

    return convert


def decimal_text(scale: int) -> Convert:
    """The digits of a decimal that no type of DuckDB holds."""

    def convert(value: bytes) -> str:
        number = str(abs(whole_number := int.from_bytes(value, "big", signed=True)))
        digits = number.rjust(scale + 1, "0")
        sign = "-" if whole_number < 0 else ""
        return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else f"{sign}{digits}"

    return convert


def identity_of(value: bytes) -> str:
    return str(uuid.UUID(bytes=value))


def duration(value: bytes) -> str:
    """A length of time as ISO 8601 writes it."""
    months, days, millis = (int.from_bytes(value[at : at + 4], "little") for at in (0, 4, 8))
    return f"P{months}M{days}DT{millis // 1000}.{millis % 1000:03d}S"


def day_text(value: int) -> str:
    try:
        return (date(1970, 1, 1) + timedelta(days=value)).isoformat()
    except OverflowError:
        raise Unfit from None


def time_text(micros: int) -> str:
    return (_EPOCH + timedelta(microseconds=micros)).time().isoformat()


def moment_text(zone: bool, factor: int = 1) -> Convert:
    """A time as ISO 8601 writes it; factor: how many of what is counted make a microsecond."""

    def text(value: int) -> str:
        micros, rest = divmod(value, factor)
        try:
            written = (_EPOCH + timedelta(microseconds=micros)).replace(tzinfo=None)
        except OverflowError:
            raise Unfit from None
        digits = f"{rest:03d}" if factor > 1 else ""
        return written.isoformat(timespec="microseconds") + digits + ("Z" if zone else "")

    return text


def bytes_text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def float_text(value: float) -> float | str:
    """JSON has no words for endless, and for what is no number."""
    return value if value - value == 0 else str(value)
