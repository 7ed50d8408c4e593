"""Nested parts that do not fit the declared type become NULL nowhere in silence: of JSON their row is set aside; of
Parquet the read ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataplane.connectors.files import inside
from dataplane.errors import DataError
from tests.dataplane.steps.files_source import Drop, rejects, rows, typed

TYPE = 'STRUCT(a BIGINT, l STRUCT(z BIGINT)[], "x/y" DATE, m MAP(VARCHAR, BIGINT))'


@pytest.mark.parametrize("name", ["orders.json", "orders.ndjson"])
def test_a_row_with_such_a_part_is_set_aside_whole(tmp_path: Path, name: str) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    drop.write(name, json.dumps({"id": 1, "to": {"zip": 5}}) + "\n")
    stream = drop.stream()
    lines = [{"id": 1, "to": {"zip": "CH-3000"}}, {"id": 2, "to": {"zip": 7, "more": 1}}, {"id": 3, "to": None}]
    drop.write(name, "".join(json.dumps(each) + "\n" for each in lines))
    done = drop.extract(stream)
    assert rows(drop.root, done) == [(2, {"zip": 7}), (3, None)]
    ((row, *_),) = [each[1:] for each in rejects(drop.root, done)]
    assert row == 1


@pytest.mark.parametrize("name", ["orders.json", "orders.ndjson"])
def test_a_part_that_no_type_names_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    drop.write(name, json.dumps({"id": 1, "to": {"zip": 5}, "of": [{"n": 1}]}) + "\n")
    stream = drop.stream()
    assert drop.extract(stream).facts["warnings"] == []
    drop.write(name, json.dumps({"id": 1, "to": {"zip": 5, "town": "x"}, "of": [{"n": 1, "m": 2}]}) + "\n")
    (warning,) = drop.extract(stream).facts["warnings"]
    assert warning == f"{name} has keys that the stream does not declare: of[].m, to.town."


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ({"a": 1, "l": [{"z": 2}], "x/y": "2026-01-01", "m": {"k/~": 1}}, True),
        ({"more": 1, "l": [None, {}]}, True),
        ({"a": None, "l": None, "m": {"k": None}}, True),
        ({"a": ""}, True),
        ({"a": "CH"}, False),
        ({"l": [{"z": 1}, {"z": "no"}]}, False),
        ({"l": 5}, False),
        ({"x/y": "never"}, False),
        ({"m": {"k/~": "no"}}, False),
        (7, False),
    ],
    ids=str,
)
def test_each_part_is_looked_at(text: Any, kept: bool) -> None:
    query = f"SELECT {inside.careful('t', TYPE)} FROM (SELECT ?::JSON AS t)"
    found = duckdb.connect().execute(query, [json.dumps(text)]).fetchone()
    assert found is not None and (found[0] is not None) == kept


@pytest.mark.parametrize(
    ("kept", "value", "fits"),
    [
        ("STRUCT(a BIGINT)", {"a": "x"}, False),
        ("STRUCT(a BIGINT)", {"a": "7"}, True),
        ("STRUCT(a BIGINT)", {"a": 1, "zip": "CH"}, False),
        ("STRUCT(a BIGINT, zip VARCHAR)", {"a": 1}, True),
        ("BIGINT[]", ["x", "3"], False),
        ("BIGINT[]", [1.5], False),
        ("BIGINT[]", [1.0, None], True),
    ],
    ids=["text", "number", "more", "fewer", "list", "fraction", "whole"],
)
def test_a_part_in_parquet_that_does_not_fit_ends_the_read(tmp_path: Path, kept: str, value: Any, fits: bool) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    pq.write_table(pa.table({"v": [value]}), drop.folder / "a.parquet")
    stream = typed(drop.stream(), v=kept)
    if fits:
        ((found,),) = rows(drop.root, drop.extract(stream))
        assert found in ({"a": 7}, {"a": 1, "zip": None}, [1, None])
    else:
        with pytest.raises(DataError, match="v is not"):
            drop.extract(stream)


def test_a_moment_in_parquet_that_is_finer_than_declared_ends_the_read(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    pq.write_table(pa.table({"t": pa.array([1_000, None], pa.timestamp("ns"))}), drop.folder / "a.parquet")
    stream = typed(drop.stream(), t="TIMESTAMP")
    assert [str(t) for (t,) in rows(drop.root, drop.extract(stream))] == ["1970-01-01 00:00:00.000001", "None"]
    pq.write_table(pa.table({"t": pa.array([1_001], pa.timestamp("ns"))}), drop.folder / "a.parquet")
    with pytest.raises(DataError, match="t is not TIMESTAMP"):
        drop.extract(stream)


@pytest.mark.parametrize("name", ["orders.json", "orders.ndjson"])
def test_an_object_whose_keys_differ_only_by_case_stays_json(tmp_path: Path, name: str) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    drop.write(name, '{"id":1,"to":{"zip":5}}\n')
    before = drop.stream()
    drop.write(name, '{"id":1,"to":{"zip":5,"ZIP":6}}\n')
    stream = drop.stream()
    assert [each.type for each in stream.columns] == ["BIGINT", "JSON"]
    assert rows(drop.root, drop.extract(stream)) == [(1, '{"zip":5,"ZIP":6}')]
    said = "has keys that the stream does not declare: to (keys within it differ only by case)."
    assert drop.extract(before).facts["warnings"] == [f"{name} {said}"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [('{"id":2,"to":"x"}', [2, 3]), ('{"id":2,"to":{"zip":7,"ZIP":6}}', [3])],
    ids=["text", "case"],
)
def test_a_line_that_breaks_off_beside_parts_that_differ_is_set_aside(
    tmp_path: Path, more: str, expected: list[int]
) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    drop.write("orders.ndjson", '{"id":1,"to":{"zip":5}}\n')
    stream = drop.stream()
    drop.write("orders.ndjson", f'{{"id":1,"to":{{"zip":5}}}}\n{more}\n{{"id":3,"to":\n')
    result = drop.extract(stream)
    assert rows(drop.root, result)[0] == (1, {"zip": 5})
    assert [row for _, row, *_ in rejects(drop.root, result)] == expected
