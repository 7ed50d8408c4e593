"""JSON files of odd shapes: a key that is called as DuckDB calls values, or not at all, and files without a row or a
key."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dataplane.connectors.schema import Column, StreamConfig
from dataplane.errors import DataError
from tests.dataplane.steps.files_source import Drop, rejects, rows

NAMES = ["a.json", "a.ndjson"]


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("values", "type_"),
    [([1, 2], "BIGINT"), (['"x"', '"y"'], "VARCHAR"), (['{"a":1}', '{"a":2}'], "STRUCT(a BIGINT)")],
    ids=["number", "text", "object"],
)
def test_a_key_that_is_called_json_is_a_column(drop: Drop, name: str, values: list[str], type_: str) -> None:
    drop.write(name, "".join(f'{{"json":{each}}}\n' for each in values))
    stream = drop.stream()
    assert [(each.name, each.type) for each in stream.columns] == [("json", type_)]
    assert len(rows(drop.root, drop.extract(stream))) == 2


def test_a_value_beside_a_key_that_is_called_json_is_set_aside(drop: Drop) -> None:
    drop.write("a.ndjson", '{"json":1}\n5\n')
    result = drop.extract(drop.stream())
    assert rows(drop.root, result) == [(1,)]
    assert [(row, raw) for _, row, _, raw in rejects(drop.root, result)] == [(2, "5")]


@pytest.mark.parametrize("text", ["5\n6\n", '"x"\n', "[5, 6]", "[[5]]"], ids=["numbers", "text", "list", "lists"])
def test_values_that_are_no_objects_are_refused(drop: Drop, text: str) -> None:
    drop.write("a.json", '{"json":1}')
    stream = drop.stream()
    drop.write("a.json", text)
    with pytest.raises(DataError) as caught:
        drop.extract(stream)
    assert caught.value.code == "json_malformed"


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.json", "[]", 0),
        ("a.json", "[{}]", 1),
        ("a.json", "[null, {}]", 2),
        ("a.json", "{}\n{}", 2),
        ("a.ndjson", "{}\nnull\n", 2),
        ("a.ndjson", "", 0),
        ("a.ndjson", "\n \n", 0),
        ("a.ndjson.gz", "", 0),
    ],
    ids=["list", "object", "null", "objects", "lines", "nothing", "blank", "packed"],
)
def test_a_file_without_a_key_has_rows_without_values(drop: Drop, name: str, text: str, count: int) -> None:
    def write(content: str) -> None:
        drop.write(name, gzip.compress(content.encode(), mtime=0) if name.endswith(".gz") else content)

    write('{"id":1}\n')
    stream = drop.stream()
    write(text)
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(None,)] * count
    assert result.facts["warnings"] == [] and [each["rows"] for each in result.facts["files"]] == [count]
    file = drop.plan(stream).window.files  # type: ignore[union-attr]
    assert drop.connector.columns_now(stream, file) == stream.columns


@pytest.mark.parametrize("content", ["", " \n"], ids=["nothing", "blank"])
def test_a_file_of_json_with_nothing_in_it_is_no_delivery(drop: Drop, content: str) -> None:
    drop.write("a.json", "[]")
    stream = StreamConfig("a", {"pattern": ["a.json"]}, (Column("id", "BIGINT"),))
    drop.write("a.json", content)
    with pytest.raises(DataError) as caught:
        drop.extract(stream)
    assert caught.value.code == "file_empty"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "odd", ['{"":1,"id":2}', '{"id":2,"":1,"C1":3}', '{"":1,"id":{"p":1,"P":2}}'], ids=["first", "taken", "beside"]
)
def test_a_key_without_a_name_is_told_and_not_lost(drop: Drop, name: str, odd: str) -> None:
    drop.write(name, '{"id":1}\n')
    stream = drop.stream()
    drop.write(name, f'{{"id":1}}\n{odd}\n')
    with pytest.raises(DataError, match=r'has a key without a name \(""\) in object 2, ') as caught:
        drop.extract(stream)
    assert caught.value.code == "json_key_unnamed" and caught.value.message.startswith(name)
    assert [each.title for each in caught.value.suggestions] == [f"Set {name} aside"]
    assert "a key without a name" in drop.connector.discover()[0].warnings[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_is_called_as_a_column_without_a_name_is_read(drop: Drop, name: str) -> None:
    drop.write(name, '{"C0":1,"id":2}\n')
    assert rows(drop.root, drop.extract(drop.stream())) == [(1, 2)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("inner", ['{"":1,"a":2}', '[{"a":1,"":{"b":2}}]'], ids=["object", "list"])
def test_an_object_with_a_key_without_a_name_within_stays_json(drop: Drop, name: str, inner: str) -> None:
    drop.write(name, f'{{"o":{inner}}}\n')
    assert rows(drop.root, drop.extract(drop.stream())) == [(inner,)]


@pytest.mark.parametrize("name", NAMES)
def test_a_key_without_a_name_for_which_a_declared_object_has_no_place_is_told(drop: Drop, name: str) -> None:
    drop.write(name, '{"o":{"a":2}}\n')
    stream = drop.stream()
    drop.write(name, '{"o":{"a":2,"":1}}\n')
    (warning,) = drop.extract(stream).facts["warnings"]
    assert warning == f"{name} has keys that the stream does not declare: o (a key within it has no name)."
