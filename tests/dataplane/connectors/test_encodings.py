"""The encoding of a few bytes, none of an alphabet that its letters are not from; and how a file is packed."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from dataplane.connectors.files.encodings import encoding_of
from dataplane.errors import DataError
from tests.dataplane.steps.files_source import Drop, rejects, rows


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        ("id,city\n1,Köln\n", "latin-1", "cp1252"),
        ("a;b\n1;é\n", "latin-1", "cp1252"),
        ("Größe;Maß\n1;2\n", "cp1252", "cp1252"),
        ("id;city\n1;Москва\n2;Киев\n3;Новосибирск\n", "cp1251", "cp1251"),
        ("品名;数量\nりんご;3\n", "shift_jis", "cp932"),
        ("id,name\n1,テスト\n2,データ\n", "shift_jis", "cp932"),
        ("商品;數量\n蘋果;3\n", "big5", "big5"),
        ("id,city\n" + "1,Bonn\n" * 10_000 + "2,ÄÖÜ\n", "latin-1", "cp1252"),
        ("id,city\n1,Köln\n", "utf-8", "utf-8"),
    ],
    ids=["umlaut", "accent", "two", "cyrillic", "japanese", "katakana", "chinese", "late", "utf-8"],
)
def test_few_bytes_tell_the_encoding(text: str, written: str, found: str) -> None:
    assert encoding_of(text.encode(written)) == found


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "id,city\n1,Bonn\n"), ("a.ndjson", '{"id": 1}\n')], ids=["csv", "ndjson"]
)
def test_a_file_in_utf_16_says_so_where_its_stream_is_in_utf_8(
    tmp_path: Path, name: str, text: str, encoding: str
) -> None:
    drop = Drop(tmp_path)
    drop.write(name, text)
    stream = drop.stream()
    drop.write(name, text.encode(encoding))
    with pytest.raises(DataError, match=f"is written in {encoding}") as caught:
        drop.extract(stream)
    assert caught.value.code == "encoding"


# What a header of gzip may hold: that it is text, its own checksum, more fields, a name, a comment.
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_line_behind_a_mark_amid_joined_files_is_set_aside(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    drop.write("a.csv", 'name,id\na,1\n"b",2\n'.encode(encoding))
    stream = drop.stream()
    joined = ['name,id\na,1\n"b",2\n', '"c",3\n,4\n', 'name,id\n"d",5\n']
    drop.write("a.csv", b"".join(each.encode(encoding) for each in joined))
    read = drop.extract(stream)
    assert rows(drop.root, read) == [("a", 1), ("b", 2), (None, 4), ("d", 5)]
    marked = "a byte order mark stands before it, as where files were joined"
    assert [each[1:] for each in rejects(drop.root, read)] == [
        (4, marked, '\ufeff"c",3'),
        (6, f"id is not BIGINT; {marked}", "\ufeffname,id"),
    ]


@pytest.mark.parametrize("flags", [1, 16, 31])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv.gz", "id\n1\n2\n"), ("a.ndjson.gz", '{"id": 1}\n{"id": 2}\n'), ("a.json.gz", '[{"id": 1}, {"id": 2}]')],
    ids=["csv", "ndjson", "json"],
)
def test_a_gzip_file_is_read_whatever_its_header_holds(tmp_path: Path, name: str, text: str, flags: int) -> None:
    drop = Drop(tmp_path)
    drop.write(name, packed(text.encode(), flags))
    assert rows(drop.root, drop.extract(drop.stream())) == [(1,), (2,)]
    assert list(tmp_path.glob("spill/**/*.utf8")) == []


def packed(text: bytes, flags: int) -> bytes:
    header = b"\x1f\x8b\x08" + bytes([flags, 0, 0, 0, 0, 0, 3])
    header += struct.pack("<H", 5) + b"AB\x01\x00x" if flags & 4 else b""
    header += b"a.csv\0" if flags & 8 else b""
    header += b"made by hand\0" if flags & 16 else b""
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF) if flags & 2 else b""
    return header + zlib.compress(text, wbits=-15) + struct.pack("<II", zlib.crc32(text), len(text))
