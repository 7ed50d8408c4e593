"""Nested parts that do not fit the declared type become NULL nowhere in silence: of JSON their row is set aside; of
Parquet the read ends."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
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
@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        ("STRUCT(b DOUBLE)", {"b": 2.5}, '{"b": 1e400}'),
        ("STRUCT(b FLOAT)", {"b": 2.5}, '{"b": -1e39}'),
        ("DOUBLE[]", [2.5, None], "[1, -1e400]"),
        ("STRUCT(p DOUBLE[])[]", [{"p": [2.5]}, None], '[{"p": []}, {"p": [1e400]}]'),
        ("MAP(VARCHAR, DOUBLE)", {"k": 2.5}, '{"k": 1e400}'),
        ("STRUCT(b BIGINT)", {"b": 9007199254740993}, '{"b": 1.5}'),
        ("DECIMAL(9,2)[]", [Decimal("1.25")], "[1.239]"),
        ("STRUCT(b DATE)", {"b": date(2026, 1, 2)}, '{"b": "2026-01-02 10:00:00"}'),
    ],
    ids=["struct", "float", "list", "structs", "map", "fraction", "decimal", "day"],
)
def test_a_part_that_would_be_another_sets_its_row_aside(
    tmp_path: Path, name: str, type_: str, good: Any, bad: str
) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    text = json.dumps(good, default=lambda each: float(each) if isinstance(each, Decimal) else str(each))
    drop.write(name, f'{{"id": 1, "v": {text}}}\n')
    stream = typed(drop.stream(), v=type_)
    assert rows(drop.root, drop.extract(stream)) == [(1, good)]
    drop.write(name, f'{{"id": 1, "v": null}}\n{{"id": 2, "v": {bad}}}\n{{"id": 3, "v": {text}}}\n')
    done = drop.extract(stream)
    assert rows(drop.root, done) == [(1, None), (3, good)]
    assert [(row, reason) for _, row, reason, _ in rejects(drop.root, done)] == [(2, f"v is not {type_}")]


def test_infinity_that_is_written_as_such_within_an_object_arrives(tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    drop.write("a.ndjson", '{"v": {"b": 1.5}}\n{"v": {"b": "-Infinity"}}\n{"v": {"b": 1e400}}\n')
    done = drop.extract(typed(drop.stream(), v="STRUCT(b DOUBLE)"))
    assert rows(drop.root, done) == [({"b": 1.5},), ({"b": float("-inf")},)]
    assert len(rejects(drop.root, done)) == 1


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
        ({"a": True}, True),
        ({"a": 1.5}, False),
        ({"x/y": "2026-01-01 10:00:00"}, False),
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
