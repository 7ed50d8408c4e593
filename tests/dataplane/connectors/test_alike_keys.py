"""Keys of JSON that differ only by case: the first is read, and nobody overlooks that the other is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.connectors.files.alike import apart
from dataplane.connectors.schema import Column
from dataplane.connectors.windows import Mark
from dataplane.errors import DataError
from tests.dataplane.steps.files_source import Drop, rows

TEXTS = {"a.ndjson": '{"id":1,"ID":2.5}\n{"id":3}\n', "a.json": '[{"id":1,"ID":2.5},{"id":3}]'}
TOLD = "has keys that the stream does not declare: ID (only its case differs from id)."


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


@pytest.mark.parametrize("name", TEXTS)
def test_the_first_is_declared_and_the_other_is_told(drop: Drop, name: str) -> None:
    drop.write(name, TEXTS[name])
    (info,) = drop.connector.discover()
    assert [each.name for each in info.columns] == ["id"]
    assert [said for said in info.warnings if "The key ID differs from id only by case" in said]
    stream = drop.stream()
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(1,), (3,)]
    assert result.facts["warnings"] == [f"{name} {TOLD}"]
    window = drop.plan(stream).window
    assert window is not None
    now = drop.connector.columns_now(stream, window.files)
    assert now is not None
    assert [each.name for each in now] == ["id"]


@pytest.mark.parametrize("name", TEXTS)
def test_a_stream_that_declares_both_is_told_which_is_not_read(drop: Drop, name: str) -> None:
    drop.write(name, TEXTS[name])
    stream = drop.stream()
    both = replace(stream, columns=(*stream.columns, Column("ID_1", "DOUBLE")))
    assert drop.extract(both).facts["warnings"] == [f"{name} {TOLD}"]


@pytest.mark.parametrize("name", TEXTS)
def test_a_key_with_a_number_is_a_column_of_its_own(drop: Drop, name: str) -> None:
    drop.write(name, TEXTS[name].replace("ID", "ID_1"))
    result = drop.extract(drop.stream())
    assert rows(drop.root, result) == [(1, 2.5), (3, None)]
    assert result.facts["warnings"] == []


def test_files_of_one_stream_that_spell_a_key_differently_have_one_column_for_it(drop: Drop) -> None:
    drop.write("a_1.ndjson", '{"id":1}\n')
    drop.write("a_2.ndjson", '{"ID":2}\n')
    (info,) = drop.connector.discover()
    assert [each.name for each in info.columns] == ["id"]
    result = drop.extract(drop.stream())
    assert result.facts["warnings"] == [f"a_2.ndjson {TOLD}"]


def test_files_of_one_stream_in_which_another_key_comes_first_are_all_read(drop: Drop) -> None:
    drop.write("a_1.ndjson", '{"id":1,"ID":2}\n')
    drop.write("a_2.ndjson", '{"ID":3,"id":4}\n')
    (info,) = drop.connector.discover()
    assert [each.name for each in info.columns] == ["id"]
    assert rows(drop.root, drop.extract(drop.stream())) == [(1,), (4,)]


@pytest.mark.parametrize(("name", "form"), [("a.ndjson", "%s\n"), ("a.json", "[%s]")], ids=["ndjson", "json"])
def test_a_key_that_is_called_as_a_numbered_one_is_told_as_well(drop: Drop, name: str, form: str) -> None:
    drop.write(name, form % '{"id":1,"ID":2.5,"ID_1":"x"}')
    (info,) = drop.connector.discover()
    assert [(each.name, each.type) for each in info.columns] == [("id", "BIGINT"), ("ID_1", "VARCHAR")]
    assert [said for said in info.warnings if "The key ID differs from id only by case" in said]
    result = drop.extract(drop.stream())
    assert rows(drop.root, result) == [(1, "x")]
    assert result.facts["warnings"] == [f"{name} {TOLD}"]


@pytest.mark.parametrize("keys", [("ä", "Ä"), ("straße", "STRASSE")], ids=["umlaut", "sharp"])
def test_letters_beyond_ascii_are_different_whatever_their_case(drop: Drop, keys: tuple[str, str]) -> None:
    drop.write("a.ndjson", f'{{"{keys[0]}":1,"{keys[1]}":2}}\n')
    result = drop.extract(drop.stream())
    assert rows(drop.root, result) == [(1, 2)]
    assert result.facts["warnings"] == []


def test_a_stream_without_columns_waits_for_rows_and_cannot_be_read_as_a_whole(drop: Drop) -> None:
    drop.write("a.json", "[]")
    stream = drop.stream()
    planned = drop.plan(stream)
    assert (planned.window, planned.reason) == (None, "No file of a has rows yet, which would tell its columns.")
    whole = drop.connector.plan(stream, "full_refresh", Mark()).window
    with pytest.raises(DataError, match="declares no columns") as failed:
        drop.extract(stream, whole)
    assert failed.value.code == "column_missing"


def test_names_that_differ_only_by_case() -> None:
    assert apart(["id", "ID", "Id", "x"]) == {"ID": "id", "Id": "id"}
    assert apart(["ID", "id"], ["id"]) == {"ID": "id"}
