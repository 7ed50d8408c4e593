"""Files that were given to a source are read as those of a folder are, under the names they were given."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from dataplane.connectors.base import Connector, Uploaded
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import DataError
from tests.dataplane.steps.files_source import extracted, rows


@pytest.fixture
def connector(tmp_path: Path) -> Connector:
    uploads = []
    for number, month in enumerate(("2013-02", "2013-01")):
        kept = tmp_path / f"kept-{number}"
        kept.write_text(f"id,month\n{number},{month}\n")
        uploads.append(Uploaded(f"flights_{month}.csv", str(kept), kept.stat().st_size, 1_700_000_000_000_000_000))
    return build("uploads", {}, uploads=uploads)


def discovered(connector: Connector) -> StreamConfig:
    (info,) = connector.discover()
    return StreamConfig(info.name, settings=info.settings, columns=info.columns)


def test_every_stage_of_a_test_passes(connector: Connector) -> None:
    assert [(each.name, each.ok) for each in connector.test()] == [("resolve", True), ("list", True), ("read", True)]


def test_names_make_streams_and_rows_arrive_in_the_order_of_their_dates(connector: Connector, tmp_path: Path) -> None:
    stream = discovered(connector)
    assert stream.settings["pattern"] == ["flights_{YYYY}-{MM}.csv"]
    planned = connector.plan(stream, "incremental", Mark())
    assert planned.window is not None
    assert [each.file_date for each in planned.window.files] == ["2013-01-01", "2013-02-01"]
    assert rows(tmp_path, extracted(tmp_path, connector, stream, planned.window)) == [(1, "2013-01"), (0, "2013-02")]
    assert connector.plan(stream, "incremental", Mark(files=planned.window.files)).window is None


def test_a_file_that_was_removed_meanwhile_is_told(connector: Connector, tmp_path: Path) -> None:
    stream = discovered(connector)
    window = connector.plan(stream, "incremental", Mark()).window
    assert isinstance(window, Window)
    with pytest.raises(DataError) as caught:
        extracted(tmp_path, build("uploads", {}), stream, window)
    assert caught.value.code == "files_missing"


def test_a_file_that_the_storage_lost_is_told(connector: Connector) -> None:
    Path(connector.uploads[0].absolute).unlink()
    planned = connector.plan(StreamConfig("x", settings={"pattern": "*.csv"}), "incremental", Mark())
    assert [each.path for each in planned.listed] == ["flights_2013-01.csv"]
    assert "not in the storage any more" in planned.warnings[0]


def test_without_a_file_nothing_is_found() -> None:
    empty = build("uploads", {})
    assert empty.discover() == []
    assert [each.detail for each in empty.test()][-1] == "There is no file to read yet."


@pytest.mark.parametrize("name", ["a.json.gz", "a.ndjson.gz", "a.ndjson.zst"])
def test_compressed_json_is_read_though_its_copy_has_no_suffix(tmp_path: Path, name: str) -> None:
    content = b'{"id": 1}\n{"id": 2}\n'
    kept = tmp_path / "kept"
    kept.write_bytes(gzip.compress(content) if name.endswith("gz") else pa.compress(content, "zstd", asbytes=True))
    given = Uploaded(name, str(kept), kept.stat().st_size, 1_700_000_000_000_000_000)
    uploads = build("uploads", {}, uploads=[given])
    stream = discovered(uploads)
    assert [each.name for each in stream.columns] == ["id"]
    planned = uploads.plan(stream, "incremental", Mark())
    assert planned.window is not None
    assert rows(tmp_path, extracted(tmp_path, uploads, stream, planned.window)) == [(1,), (2,)]
