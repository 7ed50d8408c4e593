"""What the fast read makes of a text, beside what the careful one makes of it."""

from __future__ import annotations

from itertools import product

import duckdb
import pytest

from dataplane.connectors.files import casts

_DAYS = ("2013-01-31", "2013-1-31", "2013-1-1", "0013-01-31", "12013-1-31", " 2013-01-3", "  24-12-31", "24-12-31")
_HOURS = ("10:00:00", "1:00:00", "10:0:0", "1:0:0", "10:00", "1:00", "10", "10:00:00.5", "")
_OFFSETS = ("", "Z", " UTC", "+1", "-1", "+01", "-01", "+1:00", "+01:00", "-01:00", "+0100", "+00:30", "+00:00:01")


def test_no_moment_is_read_without_the_offset_behind_it():
    parts = product(_DAYS, (" ", "T", "+", "   "), _HOURS, _OFFSETS)
    texts = [text for text in map("".join, parts) if len(text) == len("2013-01-31 10:00:00")]
    exact = casts.careful("v", "TIMESTAMP")
    with duckdb.connect() as connection:
        wanted = connection.execute(f"SELECT {exact} FROM (SELECT unnest(?) AS v)", [texts]).fetchall()
        found = [_fast(connection, text, "TIMESTAMP") for text in texts]
    assert [text for text, (moment,), fast in zip(texts, wanted, found, strict=True) if moment != fast] == []
    assert len(texts) > 50
    assert sum(each is not None for each in found) > 3


@pytest.mark.parametrize("type_", ["TIMESTAMP", "DATETIME", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"])
def test_a_moment_without_a_zone_is_read_at_once(type_):
    with duckdb.connect() as connection:
        assert str(_fast(connection, "2013-01-31 10:00:00", type_)) == "2013-01-31 10:00:00"
        assert str(_fast(connection, "2013-1-31T10:00", type_)) == "2013-01-31 10:00:00"


@pytest.mark.parametrize("number", [2**53 - 1, 1 - 2**53, 0])
def test_whole_numbers_that_a_double_tells_apart_are_read_at_once(number):
    with duckdb.connect() as connection:
        assert _fast(connection, float(number), "BIGINT") == number


@pytest.mark.parametrize("number", [2.0**53, -(2.0**53), 0.5, float("nan"), float("inf"), float("-inf")])
def test_whole_numbers_that_a_double_might_have_changed_are_not(number):
    with duckdb.connect() as connection:
        assert _fast(connection, number, "BIGINT") is None


def _fast(connection: duckdb.DuckDBPyConnection, value: str | float, type_: str) -> object:
    """None where the fast read ends."""
    try:
        fast = casts.fast("v", casts.made("v", type_), type_)
        ((found,),) = connection.execute(f"SELECT {fast} FROM (SELECT ? AS v)", [value]).fetchall()
    except (duckdb.ConversionException, duckdb.InvalidInputException):
        return None
    return found
