"""Files made to exhaust or mislead whoever reads them: each is read exactly, or refused by name."""

from __future__ import annotations

import gzip
import io
import threading
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataplane.connectors.files import bombs
from dataplane.connectors.files.encodings import open_bytes
from dataplane.connectors.files.layouts import MOST_COLUMNS
from dataplane.connectors.files.nests import too_deep
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.errors import ConfigurationError, DataError
from dataplane.steps.extract import ExtractSpec, ExtractStep
from tests.dataplane.steps.files_source import Drop, context, rejects, rows


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(10_000))}), out)
    return out.getvalue()


def wide(columns: int) -> str:
    line = ",".join("1" for _ in range(columns))
    return ",".join(f"c{number}" for number in range(columns)) + f"\n{line}\n"


def test_more_columns_than_memory_holds_are_refused_and_hide_no_other_stream(drop):
    drop.write("wide.csv", wide(10_000))
    drop.write("b.csv", "id\n1\n")
    found = {each.name: each for each in drop.connector.discover()}
    assert "10,000 columns" in found["wide"].warnings[0]
    assert len(found["b"].columns) == 1
    stream = StreamConfig("wide", {"pattern": ["wide.csv"]}, (Column("c1", "BIGINT"),))
    with pytest.raises(DataError) as caught:
        drop.extract(stream, drop.plan(stream).window)
    assert caught.value.code == "too_many_columns"


@pytest.mark.all
def test_as_many_columns_as_are_allowed_are_read(drop):
    drop.write("wide.csv", wide(MOST_COLUMNS))
    columns = tuple(Column(f"c{number}", "BIGINT") for number in range(MOST_COLUMNS))
    stream = StreamConfig("wide", {"pattern": ["wide.csv"]}, columns)
    assert rows(drop.root, drop.extract(stream, drop.plan(stream).window)) == [(1,) * MOST_COLUMNS]


@pytest.mark.all
@pytest.mark.parametrize("quote", ['"', ""])
def test_a_text_of_a_hundred_megabytes_is_refused(drop, quote):
    drop.write("a.csv", f"id,note\n1,x\n2,{quote}{'x' * (100 << 20)}{quote}\n3,y\n")
    columns = (Column("id", "BIGINT"), Column("note", "VARCHAR"))
    stream = StreamConfig("a", {"pattern": ["a.csv"]}, columns)
    with pytest.raises(DataError, match="a line of more than 8 MB, from its byte 12 on"):
        drop.extract(stream, drop.plan(stream).window)


@pytest.mark.all
def test_an_object_of_a_hundred_megabytes_is_refused(drop):
    drop.write("a.ndjson", f'{{"id": 1, "note": "{"x" * (100 << 20)}"}}\n')
    columns = (Column("id", "BIGINT"), Column("note", "VARCHAR"))
    stream = StreamConfig("a", {"pattern": ["a.ndjson"]}, columns)
    with pytest.raises(DataError) as caught:
        drop.extract(stream, drop.plan(stream).window)
    assert caught.value.code == "json_object_too_large"
    assert str(drop.root) not in caught.value.message


def test_an_object_of_megabytes_is_read_among_small_ones(drop):
    """The fast read takes small pieces, and the careful one what is larger."""
    lengths = [1, 3_000_000, 2, 12_000_000, 3]
    drop.write("a.ndjson", "".join(f'{{"id": {id_}, "note": "{"x" * size}"}}\n' for id_, size in enumerate(lengths)))
    stream = StreamConfig("a", {"pattern": ["a.ndjson"]}, (Column("id", "BIGINT"), Column("note", "VARCHAR")))
    result = drop.extract(stream, drop.plan(stream).window)
    assert [(id_, len(note)) for id_, note in rows(drop.root, result)] == list(enumerate(lengths))
    assert rejects(drop.root, result) == []


@pytest.mark.parametrize(
    ("name", "encoding", "most", "many"),
    [
        # Behind what is looked at first, so that it comes out while the rows are read.
        ("a.csv.gz", "utf-8", 3 << 20, 2_000_000),
        ("a.csv.zst", "cp1252", 1 << 13, 60_000),
        ("a.xml.gz", "utf-8", 1 << 13, 60_000),
        ("a.json.zst", "utf-8", 1 << 13, 60_000),
    ],
)
def test_a_packed_file_that_would_be_huge_is_refused(drop, monkeypatch, *, name, encoding, most, many):
    monkeypatch.setattr(bombs, "STREAM_FROM", most)
    monkeypatch.setattr(bombs, "STREAM_RATIO", 400)
    row = {"csv": b"1\n", "xml": b"<id>1</id>", "json": b'{"id": 1}\n'}[name.split(".")[1]]
    begin, end = {"csv": (b"id\n", b""), "xml": (b"<r>", b"</r>"), "json": (b"", b"")}[name.split(".")[1]]
    content = begin + row * many + end
    packed = gzip.compress(content) if name.endswith(".gz") else bytes(pa.compress(content, "zstd", asbytes=True))
    assert len(content) > 400 * len(packed)
    drop.write(name, packed)
    stream = StreamConfig("a", {"pattern": ["*"], "encoding": encoding, "records": "r/id"}, (Column("id", "BIGINT"),))
    with pytest.raises(DataError) as caught:
        drop.extract(stream, drop.plan(stream).window)
    assert caught.value.code == "file_bomb"
    assert caught.value.message.startswith(f"{name} is refused")


def test_what_is_refused_is_not_read_to_its_end(drop, monkeypatch):
    monkeypatch.setattr(bombs, "STREAM_FROM", 3 << 20)
    drop.write("a.csv.zst", bytes(pa.compress(b"id\n" + b"1\n" * 2_000_000, "zstd", asbytes=True)))
    endless = "id < (SELECT count(*) FROM range(1000000000000) t(x) WHERE x % 7 = 3)"
    stream = StreamConfig("a", {"pattern": ["*"]}, (Column("id", "BIGINT"),), row_filter=endless)
    of_step = context(drop.root, connector=drop.connector, stream=stream, window=drop.plan(stream).window)
    over = threading.Event()

    def beat() -> None:
        for _ in range(600):
            if over.wait(0.1):
                return
            if of_step.progress.look is not None:
                of_step.progress.look()
        for each in of_step.interrupts:
            each()

    heartbeat = threading.Thread(target=beat)
    heartbeat.start()
    try:
        with pytest.raises(DataError) as caught:
            ExtractStep.run(of_step, ExtractSpec(source="drop", stream="a"))
    finally:
        over.set()
        heartbeat.join()
    assert caught.value.code == "file_bomb"


def test_a_file_that_was_packed_well_in_earnest_is_read(tmp_path):
    """Sparse files are packed a thousand to one."""
    content = bytes(bombs.RATIO_FROM + 1)
    (tmp_path / "a.csv.gz").write_bytes(packed := gzip.compress(content, 6))
    assert len(content) > 900 * len(packed)
    with open_bytes(str(tmp_path / "a.csv.gz")) as file:
        assert sum(map(len, iter(lambda: file.read(4 << 20), b""))) == len(content)


@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "a.ndjson.gz"])
def test_a_nest_without_a_bottom_is_refused_before_anybody_looks_into_it(drop, name):
    content = b'{"id": 1}\n{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    drop.write(name, gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    (found,) = drop.connector.discover()
    assert f"{name} has brackets within brackets more than 100 deep" in found.warnings[0]
    stream = StreamConfig("a", {"pattern": [name]}, (Column("id", "BIGINT"),))
    with pytest.raises(DataError) as caught:
        drop.extract(stream, drop.plan(stream).window)
    assert caught.value.code == "json_nested"


def test_a_nest_far_down_is_a_value_as_any_other(drop):
    """Types are looked for in the first objects only; whoever reads declared ones goes down into nothing."""
    nest = b"[" * 100_000 + b"]" * 100_000
    drop.write("a.ndjson", b'{"id": {}}\n' * 200_000 + b'{"id": ' + nest + b"}\n")
    stream = StreamConfig("a", {"pattern": ["a.ndjson"]}, (Column("id", "JSON"),))
    found = drop.extract(stream, drop.plan(stream).window)
    assert rows(drop.root, found)[-1] == (nest.decode(),)


@pytest.mark.parametrize("filler", [0, (1 << 20) - 30, (1 << 20) - 29, 3 << 20])
@pytest.mark.parametrize(("depth", "deep"), [(100, False), (101, True)])
def test_depth_is_counted_outside_of_strings_wherever_a_piece_ends(filler, depth, deep):
    strings = b'"' + b"x" * filler + b'\\\\\\\\\\"[[{' + b'\\\\" , "]}' + b'"'
    whole = b"[" * (depth - 1) + strings.join([b"[", b"]"]) + b"]" * (depth - 1)
    assert too_deep(io.BytesIO(whole * 2)) is deep


PARQUET = parquet()


@pytest.mark.parametrize(
    ("name", "content", "codes"),
    [
        ("a.parquet", PARQUET[: len(PARQUET) // 2], {"file_damaged"}),
        ("a.parquet", PARQUET[:-4], {"file_damaged"}),
        ("a.parquet", b"id\n1\n", {"file_damaged"}),
        ("a.csv", PARQUET, {"header_missing", "encoding", "invalid_input"}),
        ("a.csv", gzip.compress(b"id\n" + b"1\n" * 10_000, mtime=0)[:-20], {"file_damaged"}),
        ("a.json", b"id\n1\n", {"json_malformed", "invalid_input"}),
    ],
)
def test_a_file_cut_off_or_of_another_format_is_refused(drop, name, content, codes):
    drop.write(name, content)
    stream = StreamConfig("a", {"pattern": [name]}, (Column("id", "BIGINT"),))
    with pytest.raises((DataError, ConfigurationError)) as caught:
        drop.extract(stream, drop.plan(stream).window)
    assert caught.value.code in codes


LONG = gzip.compress(b"id\n" + b"1234567\n" * 1_200_000, 1, mtime=0)
PART = gzip.compress(b"2\n" * 3000, mtime=0)


@pytest.mark.parametrize(
    "second",
    [b"XX" + PART[2:], PART[:2] + b"\x09" + PART[3:], PART[:12] + b"\xff" * 9],
    ids=["magic", "method", "body"],
)
def test_a_gzip_file_whose_second_part_is_damaged_is_told_by_name(drop, second):
    """DuckDB, which reads that far where nobody has looked before, says of no file that it is one."""
    drop.write("a.csv.gz", LONG + second)
    stream = StreamConfig("a", {"pattern": ["*.gz"]}, (Column("id", "BIGINT"),))
    with pytest.raises(DataError) as caught:
        drop.extract(stream, drop.plan(stream).window)
    assert (caught.value.code, caught.value.evidence) == ("file_damaged", {"files": ["a.csv.gz"]})


@pytest.mark.parametrize("flags", [0x01, 0x02, 0x10], ids=["text", "checksum", "comment"])
def test_a_gzip_file_with_a_header_that_nobody_reads_behind_its_first_is_told_by_name(drop, flags):
    header = PART[:3] + bytes([flags]) + PART[4:10]
    further = {0x01: b"", 0x02: (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little"), 0x10: b"made by hand\0"}[flags]
    odd = header + further + PART[10:]
    drop.write("a.csv.gz", gzip.compress(b"id\n1\n") + PART)
    drop.write("b.csv.gz", gzip.compress(b"id\n1\n") + PART + odd)
    stream = StreamConfig("a", {"pattern": ["*.gz"]}, (Column("id", "BIGINT"),))
    with pytest.raises(DataError) as caught:
        drop.extract(stream, drop.plan(stream).window)
    assert (caught.value.code, caught.value.evidence) == ("gzip_header", {"files": ["b.csv.gz"]})
    assert caught.value.suggestions[0].applicable and "Pack it again as one" in caught.value.message
