"""Parts of nested JSON that do not fit the declared type: their row is set aside, and none becomes NULL in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dataplane.connectors.files import inside
from tests.dataplane.steps.files_source import Drop, rejects, rows

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
