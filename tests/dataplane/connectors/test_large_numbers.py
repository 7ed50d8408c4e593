"""Whole numbers of JSON that neither a BIGINT nor a DOUBLE holds: each digit of them arrives."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from dataplane.connectors.rest.spool import Batch
from tests.dataplane.steps.files_source import Drop, rows, typed

HUGE = 18446744073709551615


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "type_", "arrives"),
    [
        ("9007199254740993", str(HUGE), "DECIMAL(38,0)", (Decimal(9007199254740993), Decimal(HUGE))),
        ("1", "1" * 30, "DECIMAL(38,0)", (Decimal(1), Decimal("1" * 30))),
        ("1.5", "9007199254740993", "VARCHAR", ("1.5", "9007199254740993")),
        ("1", "1" * 40, "VARCHAR", ("1", "1" * 40)),
        ("1.5", "7", "DOUBLE", (1.5, 7.0)),
        (f'{{"k": {HUGE}}}', '{"k": 1}', "STRUCT(k DECIMAL(38,0))", ({"k": Decimal(HUGE)}, {"k": Decimal(1)})),
        (f"[{HUGE}]", "[1]", "DECIMAL(38,0)[]", ([Decimal(HUGE)], [Decimal(1)])),
    ],
    ids=["beyond", "thirty", "fraction", "forty", "small", "nested", "list"],
)
def test_each_digit_of_a_whole_number_arrives(
    drop: Drop, first: str, second: str, type_: str, arrives: tuple[object, ...]
) -> None:
    lines = f'{{"v": {first}}}\n{{"v": {second}}}\n'
    drop.write("a.ndjson", lines)
    stream = drop.stream()
    assert stream.columns[0].type == type_
    assert [value for (value,) in rows(drop.root, drop.extract(stream))] == list(arrives)
    if type_.startswith(("DECIMAL(38,0)", "VARCHAR")) and not type_.endswith("[]"):
        path = drop.write("pages.ndjson", lines)
        with duckdb.connect() as connection:
            (of_api,) = Batch("pages", str(path), path.stat().st_size, 2).columns(connection)
        assert of_api.type == type_


def test_a_column_that_was_declared_as_hugeint_keeps_its_last_digit(drop: Drop) -> None:
    drop.write("a.csv", f"id\n{HUGE}\n")
    result = drop.extract(typed(drop.stream(), id="HUGEINT"))
    assert rows(drop.root, result) == [(Decimal(HUGE),)]
