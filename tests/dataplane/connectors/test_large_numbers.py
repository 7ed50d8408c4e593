"""Whole numbers of JSON that neither a BIGINT nor a DOUBLE holds: each digit of them arrives."""

from __future__ import annotations

from decimal import Decimal
from math import isnan
from pathlib import Path

import duckdb
import pytest

from dataplane.connectors.rest.spool import Batch
from dataplane.errors import DataError
from tests.dataplane.steps.files_source import Drop, rejects, rows, typed

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


@pytest.mark.parametrize("type_", ["DOUBLE", "FLOAT"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "id,v\n1,{}\n2,1e400\n3,-1e400\n4,\n"),
        ("a.ndjson", '{{"id":1,"v":{}}}\n{{"id":2,"v":1e400}}\n{{"id":3,"v":"-1e400"}}\n{{"id":4,"v":null}}\n'),
        ("a.json", '[{{"id":1,"v":{}}},{{"id":2,"v":1e400}},{{"id":3,"v":"-1e400"}},{{"id":4,"v":null}}]'),
    ],
    ids=["csv", "ndjson", "json"],
)
def test_a_number_beyond_the_range_of_its_type_is_no_infinity(drop: Drop, name: str, text: str, type_: str) -> None:
    drop.write(name, text.format("1.5"))
    result = drop.extract(typed(drop.stream(), id="BIGINT", v=type_))
    assert rows(drop.root, result) == [(1, 1.5), (4, None)]
    assert [reason for _, _, reason, _ in rejects(drop.root, result)] == [f"v is not {type_}"] * 2


def test_infinity_that_is_written_as_such_arrives(drop: Drop) -> None:
    drop.write("a.csv", "id,v\n1,inf\n2,-Infinity\n3,1e400\n4,nan\n")
    result = drop.extract(typed(drop.stream(), v="DOUBLE"))
    values = [value for _, value in rows(drop.root, result)]
    assert values[:2] == [float("inf"), float("-inf")]
    assert isnan(values[2])
    assert [row for _, row, _, _ in rejects(drop.root, result)] == [4]


@pytest.mark.parametrize(("value", "type_"), [("1e300", "FLOAT"), ("'1e400'", "DOUBLE")], ids=["double", "text"])
def test_a_number_of_parquet_beyond_the_range_of_its_type_ends_the_read(drop: Drop, value: str, type_: str) -> None:
    drop.write("a.parquet", b"")
    duckdb.sql(f"SELECT {value} AS v").write_parquet(str(drop.folder / "a.parquet"))
    with pytest.raises(DataError, match=f"v is not {type_}"):
        drop.extract(typed(drop.stream(), v=type_))
