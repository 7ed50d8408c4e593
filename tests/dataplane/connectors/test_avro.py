"""Avro files: every type exactly or its row set aside, in bounded memory, whatever a file says of itself."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import tracemalloc
import uuid
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.connectors.files.avro_blocks import LARGEST_BLOCK, Blocks
from dataplane.connectors.files.avro_records import MOST_VALUES
from dataplane.connectors.files.found import Found
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.errors import ManifoldError
from tests.dataplane.steps.files_source import Drop, rejects, rows, typed

SYNC = bytes(range(16))


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def record(**fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "row", "fields": [{"name": each, "type": fields[each]} for each in fields]}


def logical(kind: str, means: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": means, **more}


def avro(schema: Any, given: list[Any], codec: str = "null", **more: Any) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(schema), given, codec=codec, sync_marker=SYNC, **more)
    return out.getvalue()


def number(value: int) -> bytes:
    """A number as Avro writes it."""
    out, rest = b"", (value << 1) ^ (value >> 63)
    while rest > 0x7F:
        out, rest = out + bytes([rest & 0x7F | 0x80]), rest >> 7
    return out + bytes([rest])


def framed(schema: Any, *blocks: tuple[int, bytes], codec: bytes = b"null") -> bytes:
    """A file with blocks as they are given, whether they keep what they promise or not."""
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    header = number(2)
    for name, value in ((b"avro.schema", text), (b"avro.codec", codec)):
        header += number(len(name)) + name + number(len(value)) + value
    body = b"".join(number(count) + number(len(data)) + data + SYNC for count, data in blocks)
    return b"Obj\x01" + header + number(0) + SYNC + body


def refused(drop: Drop, content: bytes) -> ManifoldError:
    drop.write("a.avro", content)
    with pytest.raises(ManifoldError) as caught:
        drop.extract(StreamConfig("a", {"pattern": ["*"]}, (Column("a", "VARCHAR"),)))
    assert "a.avro" in caught.value.message
    return caught.value


# Of each column: its name, its type in Avro's words, a value, what arrives, and as which value.
TYPES: list[tuple[str, Any, Any, str, Any]] = [
    ("flag", "boolean", True, "BOOLEAN", True),
    ("int", "int", -(2**31), "INTEGER", -(2**31)),
    ("long", "long", 2**63 - 1, "BIGINT", 2**63 - 1),
    ("float", "float", 1.5, "FLOAT", 1.5),
    ("double", "double", 0.1, "DOUBLE", 0.1),
    ("endless", "double", float("-inf"), "DOUBLE", float("-inf")),
    ("bytes", "bytes", b"\x00\xff", "BLOB", b"\x00\xff"),
    ("fixed", {"type": "fixed", "name": "two", "size": 2}, b"ab", "BLOB", b"ab"),
    ("text", "string", "naïve 漢字 \0", "VARCHAR", "naïve 漢字 \0"),
    ("enum", {"type": "enum", "name": "mood", "symbols": ["ok", "sad"]}, "sad", "VARCHAR", "sad"),
    ("nothing", "null", None, "VARCHAR", None),
    ("maybe", ["null", "long"], None, "BIGINT", None),
    ("day", logical("int", "date"), date(2013, 1, 2), "DATE", date(2013, 1, 2)),
    ("at_ms", logical("int", "time-millis"), time(12, 0, 0, 5000), "TIME", time(12, 0, 0, 5000)),
    ("at", logical("long", "time-micros"), time(23, 59, 59, 999999), "TIME", time(23, 59, 59, 999999)),
    ("then_ms", logical("long", "timestamp-millis"), datetime(2013, 1, 1, 1, 2, 3, 4000, UTC),
     "TIMESTAMP WITH TIME ZONE", datetime(2013, 1, 1, 1, 2, 3, 4000, UTC)),
    ("then", logical("long", "timestamp-micros"), datetime(1, 1, 1, 0, 0, 0, 7, UTC),
     "TIMESTAMP WITH TIME ZONE", datetime(1, 1, 1, 0, 0, 0, 7, UTC)),
    ("local_ms", logical("long", "local-timestamp-millis"), datetime(2013, 1, 1, 1, 2, 3, 4000), "TIMESTAMP",
     datetime(2013, 1, 1, 1, 2, 3, 4000)),
    ("then_ns", logical("long", "timestamp-nanos"), 1356998400000007000, "TIMESTAMP_NS",
     datetime(2013, 1, 1, 0, 0, 0, 7)),
    ("local_ns", logical("long", "local-timestamp-nanos"), 1356998400000007000, "TIMESTAMP_NS",
     datetime(2013, 1, 1, 0, 0, 0, 7)),
    ("local", logical("long", "local-timestamp-micros"), datetime(2013, 1, 1, 1, 2, 3, 4), "TIMESTAMP",
     datetime(2013, 1, 1, 1, 2, 3, 4)),
    ("money", logical("bytes", "decimal", precision=38, scale=10), Decimal("-1234567890123456789012345678.0123456789"),
     "DECIMAL(38,10)", Decimal("-1234567890123456789012345678.0123456789")),
    ("cents", logical("fixed", "decimal", precision=4, scale=2, name="c", size=8), Decimal("-12.34"), "DECIMAL(4,2)",
     Decimal("-12.34")),
    ("huge", logical("bytes", "decimal", precision=50, scale=3), Decimal("-0.001"), "VARCHAR", "-0.001"),
    ("id", logical("string", "uuid"), uuid.UUID(int=7), "UUID", uuid.UUID(int=7)),
    ("lasts", logical("fixed", "duration", name="d", size=12), b"\x01\0\0\0\x02\0\0\0\xdc\x05\0\0", "VARCHAR",
     "P1M2DT1.500S"),
    ("list", {"type": "array", "items": ["null", logical("int", "date")]}, [date(2013, 1, 2), None], "DATE[]",
     [date(2013, 1, 2), None]),
    ("map", {"type": "map", "values": "int"}, {"a": 1}, "MAP(VARCHAR, INTEGER)", {"a": 1}),
    ("nest", {"type": "record", "name": "n", "fields": [
        {"name": "x", "type": ["null", logical("bytes", "decimal", precision=3, scale=1)]},
        {"name": "y", "type": {"type": "array", "items": "mood"}}]},
     {"x": Decimal("1.5"), "y": ["ok"]}, "STRUCT(x DECIMAL(3,1), y VARCHAR[])", {"x": Decimal("1.5"), "y": ["ok"]}),
    ("either", ["null", "string", "long", logical("int", "date")], date(2013, 1, 2), "JSON", '"2013-01-02"'),
    ("number", ["int", "long"], 5, "BIGINT", 5),
    ("twins", {"type": "record", "name": "t", "fields": [
        {"name": "a", "type": "int"}, {"name": "A", "type": "bytes"}]}, {"a": 1, "A": b"x"}, "JSON",
     '{"a":1,"A":"eA=="}'),
]  # fmt: skip
WARNED = {"then_ns", "huge", "lasts", "either", "twins"}


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"])
def test_each_type_arrives_under_each_codec(drop: Drop, codec: str) -> None:
    schema = record(**{name: kind for name, kind, *_ in TYPES})
    content = avro(schema, [{name: value for name, _, value, *_ in TYPES}] * 3, "null")
    drop.write("a.avro", repacked(content, codec))
    stream = drop.stream()
    told = [(each.name, each.type, bool(each.warning)) for each in stream.columns]
    assert told == [(name, type_, name in WARNED) for name, _, _, type_, _ in TYPES]
    result = drop.extract(stream)
    assert rows(drop.root, result) == [tuple(expected for *_, expected in TYPES)] * 3
    assert rejects(drop.root, result) == []
    assert drop.connector.preview(stream).num_rows == 3


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": deflated,
    "snappy": lambda data: bytes(pa.compress(data, "snappy", asbytes=True)) + zlib.crc32(data).to_bytes(4, "big"),
    "zstandard": lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def repacked(content: bytes, codec: str) -> bytes:
    """The same blocks in another codec: fastavro itself wants a package of its own for some of them."""
    blocks = Blocks(Found("a.avro", "", len(content), 1), io.BytesIO(content))
    return framed(blocks.schema, *((each.count, PACK[codec](each.data)) for each in blocks), codec=codec.encode())


def test_files_are_one_stream_by_the_names_of_their_columns(drop: Drop) -> None:
    drop.write("day1.avro", avro(record(id="int", name="string"), [{"id": 1, "name": "a"}]))
    schema = record(NAME=["null", "string"], id="long", more="int")
    drop.write("day2.avro", avro(schema, [{"NAME": "b", "id": 2, "more": 3}]))
    stream = typed(drop.stream(), id="BIGINT")
    stream = StreamConfig(stream.name, stream.settings, stream.columns[:2])
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(1, "a"), (2, "b")]
    assert "does not declare: more" in " ".join(result.facts["warnings"])
    window = drop.plan(stream).window
    assert window is not None
    now = drop.connector.columns_now(stream, window.files)
    assert now is not None and ("more", "INTEGER") in [(each.name, each.type) for each in now]


def test_what_does_not_fit_is_set_aside_with_the_number_of_its_record(drop: Drop) -> None:
    schema = record(n="int", at="int", d="bytes", s="string")
    told = record(
        n="int", at=logical("int", "time-millis"), d=logical("bytes", "decimal", precision=2, scale=1), s="string"
    )
    given = [
        {"n": 1, "at": 5, "d": b"\x05", "s": "1"},
        {"n": 2, "at": -1, "d": b"\x05", "s": "2"},
        {"n": 3, "at": 5, "d": b"\x70", "s": "3"},
        {"n": 4, "at": 5, "d": b"\x05", "s": "four"},
        {"n": 5, "at": 5, "d": b"\x05", "s": "5"},
    ]
    data = b"".join(bodies(schema, given)) + number(2**40) + number(5) + b"\x02\x05" + b"\x026"
    data += number(7) + number(5) + b"\x02\x05" + b"\x02\xff"
    drop.write("a.avro", framed(told, (7, data)))
    result = drop.extract(typed(drop.stream(), s="INTEGER"))
    half = Decimal("0.5")
    assert [(row[0], row[2], row[3]) for row in rows(drop.root, result)] == [(1, half, 1), (5, half, 5)]
    found = rejects(drop.root, result)
    assert [row for _, row, *_ in found] == [2, 3, 4, 6, 7]
    assert [reason.split(" ")[0] for _, _, reason, _ in found] == ["at", "d", "s", "n", "s"]
    assert found[2][2:] == ("s is not INTEGER", "4, 00:00:00.005, 0.5, four")
    assert result.rows_in == 7


def bodies(schema: Any, given: list[Any]) -> list[bytes]:
    parsed, found = fastavro.parse_schema(schema), []
    for each in given:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, each)
        found.append(out.getvalue())
    return found


ONE = record(a="string")
NODE = {"type": "record", "name": "a.node", "fields": [{"name": "next", "type": ["null", "node"]}]}
LAUGHS = record(**{
    f"f{at}": {"type": "record", "name": f"r{at}", "fields": [
        {"name": each, "type": f"r{at - 1}" if at else "int"} for each in "xy"]} for at in range(40)})  # fmt: skip
DEEP = b'{"type":"array","items":' * 5000 + b'"int"' + b"}" * 5000
NULLS = record(**{f"n{at}": "null" for at in range(1000)}, a="boolean")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"id,a\n1,2\n", "avro_unreadable"),
        (b"Obj\x01", "avro_unreadable"),
        (b"Obj\x01" + b"\xff" * 50, "avro_unreadable"),
        (b"Obj\x01" + number(1) + number(2**40), "avro_unreadable"),
        (framed(b"{"), "avro_schema"),
        (framed(DEEP), "avro_schema"),
        (framed({"type": "nope"}), "avro_schema"),
        (framed(record(a={"type": "array"})), "avro_schema"),
        (framed({"type": "record", "name": "r"}), "avro_schema"),
        (framed(record(a=["int", ["string"]])), "avro_schema"),
        (framed(record(a={"type": "enum", "name": "e", "symbols": []})), "avro_schema"),
        (framed(record(a={"type": "fixed", "name": "e", "size": -1})), "avro_schema"),
        (framed(NODE, (1, b"\x02" * 100_000)), "avro_recursive"),
        (framed(LAUGHS), "avro_schema"),
        (framed(NULLS, (1, b"\1")), "avro_schema"),
        (framed(record(a="null"), (2**60, b"")), "avro_schema"),
        (framed(record(a={"type": "array", "items": "null"}), (1, number(2**60))), "avro_schema"),
        (framed(record(**{f"c{at}": "int" for at in range(2_001)})), "too_many_columns"),
        (framed(ONE, codec=b"lzo"), "avro_codec"),
        (framed(record(b="int"), (1, b"\2")), "columns_differ"),
        (framed(ONE, (2, b"\x02a")), "file_damaged"),
        (framed(ONE, (2**60, b"\x02a")), "file_damaged"),
        (framed(ONE, (1, b"\x02a\x02b")), "file_damaged"),
        (framed(ONE, (-1, b"\x02a")), "file_damaged"),
        (framed(ONE, (1, b"\xff" * 30)), "file_damaged"),
        (framed(ONE, (1, number(2**50))), "file_damaged"),
        (framed(ONE, (1, b"\x02a"))[:-4], "file_damaged"),
        (framed(ONE, (1, b"\x02a")) + number(1) + number(10) + b"ab", "file_damaged"),
        (framed(ONE, (1, b"\x02a"))[:-1] + b"x", "file_damaged"),
        (framed(ONE) + number(1) + number(2**50), "file_bomb"),
        (framed(record(a=["null", "int"]), (1, b"\x08\2")), "file_damaged"),
        (framed(record(a={"type": "array", "items": "boolean"}), (1, number(2**60) + b"\1" * 70_000)), "file_damaged"),
        (framed(record(a={"type": "array", "items": "boolean"}), (1, number(MOST_VALUES) + b"\1" * (MOST_VALUES + 1))),
         "avro_too_large"),
        (framed(ONE, (1, number(9 << 20) + b"x" * (9 << 20))), "avro_too_large"),
        *[(framed(ONE, (1, b"\x05garbage"), codec=each), "file_damaged")
          for each in (b"deflate", b"snappy", b"zstandard", b"bzip2", b"xz")],
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_hostile_files_are_refused(drop: Drop, content: bytes, code: str) -> None:
    assert refused(drop, content).code == code


def test_a_damaged_block_is_named(drop: Drop) -> None:
    content = framed(ONE, (1, b"\x02a"), (1, b"\x02b"), (2, b"\x02c"))
    error = refused(drop, content)
    assert "block 3 (byte " in error.message and error.evidence["block"] == 3


@pytest.mark.parametrize(
    "codec",
    ["zstandard", *(pytest.param(each, marks=pytest.mark.all) for each in ("deflate", "bzip2", "xz"))],
)
def test_a_block_that_unpacks_to_far_too_much_is_refused_before_it_does(drop: Drop, codec: str) -> None:
    bomb = framed(ONE, (1, PACK[codec](bytes(LARGEST_BLOCK + 2))), codec=codec.encode())
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        assert refused(drop, bomb).code == "file_bomb"
        assert tracemalloc.get_traced_memory()[1] < 3 * LARGEST_BLOCK
    finally:
        tracemalloc.stop()


def test_a_block_of_the_tiniest_records_is_read_in_bounded_memory(drop: Drop) -> None:
    schema = record(a="string", **{f"n{at}": "null" for at in range(20)})
    drop.write("a.avro", framed(schema, (150_000, b"\0" * 150_000)))
    stream = StreamConfig("a", {"pattern": ["*"]}, (Column("a", "VARCHAR"),))
    tracemalloc.start()
    try:
        assert drop.extract(stream).rows_in == 150_000
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_records_larger_than_a_window_are_read(drop: Drop) -> None:
    schema = record(a={"type": "array", "items": {"type": "map", "values": ["null", "string"]}}, b="string")
    given = [{"a": [{"k": "v" * 10, "l": None}] * size, "b": "x" * size} for size in (1, 20_000, 0, 5_000)]
    drop.write("a.avro", avro(schema, given, sync_interval=10_000_000))
    assert [(len(a), len(b)) for a, b in rows(drop.root, drop.extract(drop.stream()))] == [
        (size, size) for size in (1, 20_000, 0, 5_000)
    ]


def test_a_file_without_a_block_has_columns_and_no_rows(drop: Drop) -> None:
    drop.write("a.avro", framed(record(a="int")))
    stream = drop.stream()
    assert [(each.name, each.type) for each in stream.columns] == [("a", "INTEGER")]
    assert rows(drop.root, drop.extract(stream)) == []


def test_odd_names_of_fields_are_harmless(drop: Drop) -> None:
    names = ["a; DROP --", "__row", "__refusal", "x'y"]
    drop.write("a.avro", framed(record(**dict.fromkeys(names, "int")), (1, b"\2\4\6\x08")))
    assert rows(drop.root, drop.extract(drop.stream())) == [(1, 2, 3, 4)]


KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("double", st.floats(allow_nan=False)),
    ("string", st.text()),
    ("bytes", st.binary()),
    (logical("bytes", "decimal", precision=20, scale=5), st.decimals(-(10**14), 10**14, places=5)),
    (logical("long", "timestamp-micros"), st.datetimes(timezones=st.just(UTC))),
    ({"type": "array", "items": ["null", "long"]}, st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=5)),
]


@given(st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_value_arrives_as_it_was_written(drop: Drop, data: st.DataObject) -> None:
    value = st.tuples(*(st.none() | each for _, each in KINDS))
    given_ = data.draw(st.lists(value, min_size=1, max_size=20))
    schema = record(**{f"c{at}": ["null", kind] for at, (kind, _) in enumerate(KINDS)})
    drop.write("a.avro", avro(schema, [{f"c{at}": each for at, each in enumerate(row)} for row in given_]))
    assert rows(drop.root, drop.extract(drop.stream())) == given_
