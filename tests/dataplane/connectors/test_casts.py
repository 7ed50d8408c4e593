"""What the fast read makes of a text, beside what the careful one makes of it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import duckdb
import pytest

from dataplane.connectors.files import casts
from tests.dataplane.steps.files_source import Drop, rejects, rows, typed

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


@pytest.mark.parametrize(
    ("type_", "texts", "misfits"),
    [
        ("BIGINT", ["1e2", "1.5e1", "150e-1", "1_000", "\t7", "+8 ", "2.0", "-0.0"], ["1.25e1", "1__0", "1e", "0x10"]),
        ("DECIMAL(10,2)", ["1.234e1", "1_000.5", "100e-2", "\t7.25"], ["1.2345e1", "1e30", "7.255"]),
        ("DATE", ["2013-01-31 24:00:00", "2013-01-31T00:00", "0024-01-31 (BC)"], ["300000-01-01", "2013-01-31 10:00"]),
    ],
    ids=["whole", "decimal", "day"],
)
def test_whether_a_row_is_kept_depends_on_no_other_row(
    tmp_path: Path, type_: str, texts: list[str], misfits: list[str]
) -> None:
    """One that the reader would round has its file read again with care."""
    kept = []
    for name, others in (("alone", []), ("beside", misfits)):
        root = tmp_path / name
        (root / "drop").mkdir(parents=True)
        drop = Drop(root)
        drop.write("a.csv", "id;v\n" + "".join(f"{n};{text}\n" for n, text in enumerate([*texts, *others])))
        result = drop.extract(typed(drop.stream(delimiter=";"), id="BIGINT", v=type_))
        kept.append(rows(root, result))
        assert [raw.partition(";")[2] for *_, raw in rejects(root, result)] == others
    assert kept[0] == kept[1]
    assert [row[0] for row in kept[0]] == list(range(len(texts)))


def _fast(connection: duckdb.DuckDBPyConnection, value: str | float, type_: str) -> object:
    """None where the fast read ends."""
    try:
        fast = casts.fast("v", casts.made("v", type_), type_)
        ((found,),) = connection.execute(f"SELECT {fast} FROM (SELECT ? AS v)", [value]).fetchall()
    except (duckdb.ConversionException, duckdb.InvalidInputException):
        return None
    return found
