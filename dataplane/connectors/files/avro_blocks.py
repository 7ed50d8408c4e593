"""The frame of an Avro file: its header, and then block after block, each unpacked within bounds."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa

from dataplane.connectors.files.elements import refused
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.layouts import empty
from dataplane.connectors.files.nests import DEEPEST, too_deep
from dataplane.errors import DataError, Suggestion

LARGEST_BLOCK = 64 << 20
"""So many bytes may one block have, as it comes and unpacked."""
_LARGEST_HEADER = 16 << 20
_MAGIC = b"Obj\x01"
_SYNC = 16
_LONGEST_NUMBER = 10


@dataclass(frozen=True)
class Block:
    """A block as it was unpacked, the byte at which it begins, and how many records it claims."""

    begin: int
    count: int
    data: bytes


class Blocks:
    """The blocks of one file that is open. Raises DataError for a file that is no Avro file."""

    def __init__(self, found: Found, file: IO[bytes]) -> None:
        self.found = found
        self._file = file
        self._at = 0
        self._number = 0
        header = self._header()
        self.schema = _schema(found, header.get("avro.schema", b""))
        codec = header.get("avro.codec", b"null").decode("ascii", errors="replace")
        if codec not in _UNPACK:
            raise refused(
                found,
                "avro_codec",
                f"is packed by {codec[:50]!r}, and only {', '.join(_UNPACK)} can be unpacked",
                codec=codec[:50],
            )
        self._unpack = _UNPACK[codec]
        self._sync = self._exactly(_SYNC)

    def __iter__(self) -> Iterator[Block]:
        while True:
            begin = self._at
            self._number += 1
            first = self._file.read(1)
            if not first:
                return
            count, size = self._long(first), self._long()
            if count < 0 or size < 0:
                raise self.damaged(begin, "it claims fewer than no records or bytes")
            if size > LARGEST_BLOCK:
                raise self.too_large(begin)
            packed = self._exactly(size, begin)
            if self._exactly(_SYNC, begin) != self._sync:
                raise self.damaged(begin, "what marks its end does not stand where it says that it ends")
            yield Block(begin, count, self._unpacked(packed, begin))

    def damaged(self, begin: int, why: str) -> DataError:
        """The error for the block in hand."""
        return DataError(
            f"{self.found.path} is damaged in block {self._number:,} (byte {begin:,}): {why}. Deliver it again, or set "
            "it aside.",
            code="file_damaged",
            evidence={"file": self.found.path, "block": self._number, "byte": begin, "why": why},
            suggestions=[
                Suggestion(
                    "ignore_file", f"Set {self.found.path} aside", "The run goes on without it.", applicable=True
                )
            ],
        )

    def too_large(self, begin: int) -> DataError:
        """The error for a block that nobody's memory should be tried with."""
        return refused(
            self.found,
            "file_bomb",
            f"has more than {LARGEST_BLOCK >> 20} MB in block {self._number:,} (byte {begin:,})",
            block=self._number,
            byte=begin,
        )

    def _unpacked(self, packed: bytes, begin: int) -> bytes:
        try:
            data = self._unpack(packed)
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, IndexError) as error:
            raise self.damaged(begin, "it cannot be unpacked") from error
        if len(data) > LARGEST_BLOCK:
            raise self.too_large(begin)
        return data

    def _header(self) -> dict[str, bytes]:
        magic = self._file.read(len(_MAGIC))
        if not magic:
            raise empty(self.found.path)
        if magic != _MAGIC:
            raise refused(self.found, "avro_unreadable", "is no Avro file, whatever its name says")
        self._at += len(magic)
        found: dict[str, bytes] = {}
        while count := self._long():
            if count < 0:
                count = -count
                self._long()
            for _ in range(count):
                name = self._text()
                found[name.decode("utf-8", errors="replace")] = self._text()
        return found

    def _text(self) -> bytes:
        size = self._long()
        if not 0 <= size <= _LARGEST_HEADER - self._at:
            raise refused(self.found, "avro_unreadable", "has a damaged header, or one of more than 16 MB")
        return self._exactly(size)

    def _long(self, first: bytes = b"") -> int:
        value = 0
        for position in range(_LONGEST_NUMBER):
            if first:
                self._at += 1
            byte = (first or self._exactly(1))[0]
            first = b""
            value |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
        raise self._broken("a number in it never ends")

    def _exactly(self, size: int, begin: int | None = None) -> bytes:
        data = self._file.read(size)
        self._at += len(data)
        if len(data) < size:
            raise self._broken("the file ends before it does", begin)
        return data

    def _broken(self, why: str, begin: int | None = None) -> DataError:
        if not self._number:
            return refused(self.found, "avro_unreadable", "has a damaged header")
        return self.damaged(self._at if begin is None else begin, why)


def _schema(found: Found, text: bytes) -> Any:
    if too_deep(io.BytesIO(text)):
        raise refused(found, "avro_schema", f"has a schema with brackets more than {DEEPEST} deep in brackets")
    try:
        return json.loads(text)
    except ValueError as error:
        raise refused(found, "avro_schema", "has a schema that is not JSON") from error


def _deflate(packed: bytes) -> bytes:
    reader = zlib.decompressobj(-15)
    data = reader.decompress(packed, LARGEST_BLOCK + 1)
    if len(data) <= LARGEST_BLOCK and not reader.eof:
        raise ValueError("the packed bytes end too early")
    return data


def _bzip2(packed: bytes) -> bytes:
    return _whole(bz2.BZ2Decompressor(), packed)


def _xz(packed: bytes) -> bytes:
    return _whole(lzma.LZMADecompressor(memlimit=4 * LARGEST_BLOCK), packed)


def _whole(reader: bz2.BZ2Decompressor | lzma.LZMADecompressor, packed: bytes) -> bytes:
    data = reader.decompress(packed, LARGEST_BLOCK + 1)
    if len(data) <= LARGEST_BLOCK and not reader.eof:
        raise ValueError("the packed bytes end too early")
    return data


def _zstandard(packed: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as reader:
        return bytes(reader.read(LARGEST_BLOCK + 1))


def _snappy(packed: bytes) -> bytes:
    packed, checksum = packed[:-4], packed[-4:]
    size = 0
    for position, byte in enumerate(packed[:5]):
        size |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            break
    if size > LARGEST_BLOCK:
        return bytes(LARGEST_BLOCK + 1)
    data = bytes(pa.decompress(packed, decompressed_size=size, codec="snappy", asbytes=True)) if size else b""
    if zlib.crc32(data).to_bytes(4, "big") != checksum:
        raise ValueError("the checksum differs")
    return data


_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": _bzip2,
    "xz": _xz,
}
