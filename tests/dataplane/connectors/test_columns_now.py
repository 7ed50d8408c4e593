"""Which columns a stream has now, told without reading its rows, for every kind of source that can tell."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dataplane import drift
from dataplane.connectors.base import Connector
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import FileRef, Mark
from tests.dataplane.connectors.remotes.web import serving
from tests.dataplane.connectors.test_encodings import packed
from tests.dataplane.connectors.test_excel import book
from tests.dataplane.steps.files_source import Drop


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def changes(connector: Connector, stream: StreamConfig, files: Sequence[FileRef] = ()) -> dict[str, str]:
    """What became of the columns, in a word each."""
    now = connector.columns_now(stream, files)
    assert now is not None
    return {each.column: each.kind for each in drift.compared(stream.columns, now)}


def of_new_files(drop: Drop, stream: StreamConfig, *before: FileRef) -> dict[str, str]:
    window = drop.connector.plan(stream, "incremental", Mark(files=before)).window
    assert window is not None
    return changes(drop.connector, stream, window.files)


def parquet(drop: Drop, name: str, query: str) -> None:
    duckdb.sql(query).write_parquet(str(drop.folder / name))


def test_headers_of_delimited_files(drop: Drop) -> None:
    drop.write("a_1.csv", "id,amount\n1,2\n")
    stream = drop.stream()
    assert of_new_files(drop, stream) == {}
    drop.write("a_2.csv", "id,amount,note\n1,2,x\n")
    assert of_new_files(drop, stream) == {"note": "added"}
    drop.write("a_3.csv", "ID,amount\n1,2\n")
    assert of_new_files(drop, stream) == {"note": "added"}
    drop.write("a_4.csv", "amount\n2\n")
    assert of_new_files(drop, stream) == {"note": "added", "id": "removed"}


@pytest.mark.parametrize(
    ("objects", "found"),
    [
        ('{"id": 2}\n', {}),
        ('{}\nnull\n\n{"id": 2}\n', {}),
        ('{"id": 2}\n{"note": 1}\n', {"note": "added"}),
        ('{"id": 2}\n[2]\n', {}),
        ('{"id": tru}\n{"note": 2}\n', {"note": "added"}),
        ('[2]\n{"id": tru}\n', None),
    ],
)
def test_keys_of_objects(drop: Drop, objects: str, found: dict[str, str] | None) -> None:
    drop.write("a_1.ndjson", '{"id": 1}\n')
    stream = drop.stream()
    drop.write("a_1.ndjson", objects)
    (file,) = drop.connector.plan(stream, "full_refresh", Mark()).window.files  # type: ignore[union-attr]
    if found is None:
        assert drop.connector.columns_now(stream, [file]) is None
    else:
        assert changes(drop.connector, stream, [file]) == found


@pytest.mark.parametrize(
    ("name", "write"),
    [("a_1.ndjson.gz", lambda text: packed(text.encode(), 16)), ("a_1.ndjson", lambda text: text.encode("utf-16"))],
    ids=["a comment in gzip", "utf-16"],
)
def test_keys_of_objects_in_files_that_are_copied_to_be_read(
    drop: Drop, name: str, write: Callable[[str], bytes]
) -> None:
    drop.write(name, write('{"id": 1}\n'))
    stream = drop.stream()
    drop.write(name, write('{"id": 1, "note": 2}\n'))
    assert of_new_files(drop, stream) == {"note": "added"}


def test_a_file_that_cannot_be_read_says_nothing(drop: Drop) -> None:
    drop.write("a_1.csv", "id,amount\n1,2\n")
    stream = drop.stream()
    drop.write("a_2.csv", "")
    assert of_new_files(drop, stream) == {}


def test_a_type_of_a_new_column_is_found(drop: Drop) -> None:
    drop.write("a_1.csv", "id\n1\n")
    stream = drop.stream()
    drop.write("a_2.csv", "id,at\n1,2026-01-02\n")
    window = drop.connector.plan(stream, "incremental", Mark()).window
    assert window is not None
    now = drop.connector.columns_now(stream, window.files)
    assert now is not None and [(each.name, each.type) for each in now] == [("id", "BIGINT"), ("at", "DATE")]


def test_some_values_of_a_file_are_at_hand(drop: Drop) -> None:
    drop.write("a_1.csv", "id,land\n1,no\n2,se\n3,\n")
    stream = drop.stream()
    window = drop.connector.plan(stream, "incremental", Mark()).window
    assert window is not None
    values = drop.connector.values(stream, window.files[0])
    assert values == {"id": frozenset("123"), "land": frozenset({"no", "se"})}
    (drop.folder / "a_1.csv").unlink()
    assert drop.connector.values(stream, window.files[0]) == {}


def test_schemas_of_parquet(drop: Drop) -> None:
    parquet(drop, "a_1.parquet", "SELECT 1::BIGINT AS id, 'x' AS name")
    stream = drop.stream()
    parquet(drop, "a_2.parquet", "SELECT 1::INTEGER AS id, 'x' AS name")
    # What fits into the type that was seen is no other one.
    assert of_new_files(drop, stream) == {}
    parquet(drop, "a_3.parquet", "SELECT 1.5::DOUBLE AS id, 'x' AS name")
    assert of_new_files(drop, stream) == {"id": "retyped"}


def test_keys_of_json_are_new_but_never_gone(drop: Drop) -> None:
    drop.write("a_1.json", json.dumps([{"id": 1, "name": "x"}]))
    stream = drop.stream()
    drop.write("a_2.json", json.dumps([{"id": 2, "note": "y"}]))
    assert of_new_files(drop, stream) == {"note": "added"}


@pytest.mark.parametrize("name", ["a_1.json", "a_1.ndjson"])
def test_keys_are_looked_for_again_where_a_file_is_another(drop: Drop, name: str) -> None:
    drop.write(name, '{"id": 1, "name": "x"}\n')
    stream = drop.stream()
    assert of_new_files(drop, stream) == {}
    drop.write(name, '{"id": 1, "note": "y"}\n')
    assert of_new_files(drop, stream) == {"note": "added"}


def test_headers_of_workbooks(drop: Drop) -> None:
    drop.write("a_1.xlsx", book(("s", [["id", "name"], [1, "x"]])))
    stream = drop.stream()
    assert of_new_files(drop, stream) == {}
    drop.write("a_2.xlsx", book(("s", [["id", "name", "note"], [1, "x", "y"]])))
    assert of_new_files(drop, stream) == {"note": "added"}


def test_a_table_of_sqlite(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as base:
        base.execute("CREATE TABLE t (id INTEGER, name TEXT, fare REAL)")
    base.close()
    connector = build("sqlite", {"path": str(tmp_path / "a.db")}, roots=[str(tmp_path)])
    seen = table(connector)
    assert changes(connector, seen) == {}
    with sqlite3.connect(tmp_path / "a.db") as base:
        base.executescript("ALTER TABLE t DROP COLUMN name; ALTER TABLE t ADD COLUMN at DATE")
    base.close()
    assert changes(connector, seen) == {"name": "removed", "at": "added"}


def test_a_table_of_duckdb(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as base:
        base.execute("CREATE TABLE t (id INTEGER, name VARCHAR, fare DOUBLE)")
    connector = build("duckdb", {"path": str(tmp_path / "a.duckdb")}, roots=[str(tmp_path)])
    seen = table(connector)
    assert changes(connector, seen) == {}
    with duckdb.connect(str(tmp_path / "a.duckdb")) as base:
        base.execute("ALTER TABLE t ALTER fare TYPE VARCHAR")
    assert changes(connector, seen) == {"fare": "retyped"}


def test_a_file_elsewhere_is_looked_at_by_its_beginning() -> None:
    with serving() as web:
        web.files["/orders.csv"] = b"id,amount\n1,2\n"
        params: dict[str, Any] = {"urls": [web.url("/orders.csv")]}
        connector = build("http_files", params, networks=["127.0.0.0/8"])
        (info,) = connector.discover()
        stream = StreamConfig(info.name, settings=info.settings, columns=info.columns)
        web.files["/orders.csv"] = b"id,amount,note\n1,2,x\n"
        window = connector.plan(stream, "incremental", Mark()).window
        assert window is not None
        assert changes(connector, stream, window.files) == {"note": "added"}


def table(connector: Connector) -> StreamConfig:
    """The only table, as it is discovered now."""
    (info,) = connector.discover()
    return StreamConfig(info.name, settings=info.settings, columns=info.columns)
