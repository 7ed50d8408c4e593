"""Bytes to text: compression by what a file begins with, encodings guessed once, and UTF-8 copies for DuckDB."""

from __future__ import annotations

import codecs
import io
import re
import tempfile
import zlib
from typing import IO, Literal

import pyarrow as pa
from charset_normalizer import from_bytes

from dataplane.connectors.files.bombs import TooMuch, Unpacked, bomb
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.place import require_room
from dataplane.connectors.files.roots import unreadable
from dataplane.errors import DataError, Suggestion

Compression = Literal["none", "gzip", "zstd"]
READERS_NAMES: dict[Compression, str] = {"none": "uncompressed", "gzip": "gzip", "zstd": "zstd"}
"""What DuckDB's readers call them."""
SAMPLE = 1 << 20
_CHUNK = 4 << 20
# What gzip unpacks it to at most, a thousand times as much, is held at once.
_PIECE = 16 << 10
# Of a gzip file's header: more fields, and the name of the file in it.
_DUCKDB_KNOWS = 0x04 | 0x08
_TOGETHER = re.compile(rb"[\x80-\xff]{3}")
_WESTERN = ("ascii", "cp1250", "cp1252", "cp1254", "cp1257", "cp1258", "latin-1", "iso8859", "cp850", "cp437", "mac")


def compression_of(absolute: str) -> Compression:
    """How a file is compressed, by its first bytes: a wrong suffix does not mislead."""
    with open(absolute, "rb") as file:
        magic = file.read(4)
    if magic.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if magic == b"\x28\xb5\x2f\xfd" else "none"


def _beyond_duckdb(absolute: str) -> bool:
    """Whether a gzip file's header holds what DuckDB refuses: a comment, its checksum, or that it is text."""
    with open(absolute, "rb") as file:
        magic = file.read(4)
    return magic.startswith(b"\x1f\x8b") and bool(magic[3:] and magic[3] & ~_DUCKDB_KNOWS)


def oddly_continued(absolute: str) -> bool:
    """Whether a header behind the first of a sound gzip file of several parts holds what DuckDB refuses."""
    if compression_of(absolute) != "gzip":
        return False
    with open(absolute, "rb") as file:
        rest = file.read(_PIECE)
        while rest:
            rest += file.read(4)
            if any(each & ~_DUCKDB_KNOWS for each in rest[3:4]):
                return True
            unpacker = zlib.decompressobj(wbits=31)
            while rest and not unpacker.eof:
                unpacker.decompress(rest)
                rest = unpacker.unused_data or file.read(_PIECE)
    return False


def open_bytes(absolute: str) -> IO[bytes]:
    """A file's bytes, decompressed while they are read."""
    compression = compression_of(absolute)
    if compression == "none":
        return open(absolute, "rb")
    return io.BufferedReader(Unpacked(absolute, compression))


def head(found: Found, size: int = SAMPLE) -> bytes:
    """The first decompressed bytes. Raises ManifoldError naming the file."""
    try:
        with open_bytes(found.absolute) as file:
            return file.read(size)
    except FileNotFoundError:
        raise
    except pa.ArrowInvalid as error:
        raise broken(found.path, error) from error
    except OSError as error:
        if error.errno is None:
            raise broken(found.path, error) from error
        raise unreadable(found.path, error) from error


def broken(path: str, error: Exception) -> DataError:
    """The error for a compressed file that cannot be unpacked."""
    if isinstance(error, TooMuch):
        return bomb(path, str(error))
    return DataError(
        f"{path} cannot be unpacked: it is damaged or was not written to its end. Deliver it again, or set it aside.",
        code="file_damaged",
        evidence={"file": path, "detail": str(error)},
        suggestions=[Suggestion("ignore_file", f"Set {path} aside", "The run goes on without it.", applicable=True)],
    )


def encoding_of(sample: bytes) -> str:
    """The most likely encoding of a sample: a byte order mark, then UTF-8 if it fits, then a guess."""
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        # The sample may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        pass
    else:
        zeros = sample[:4096].count(0)
        if zeros <= len(sample[:4096]) // 4:
            return "utf-8"
        return "utf-16-le" if sample[1:4096:2].count(0) > zeros // 2 else "utf-16-be"
    western = _western(sample)
    # Letters with accents stand alone among others; those of other alphabets, and what takes two bytes, stand together
    # or hold bytes that are no letter of Western Europe.
    asked = western != "cp1252" or _TOGETHER.search(sample)
    best = from_bytes(sample[:65536]).best() if asked else None
    name = best.encoding.replace("_", "-") if best else western
    return western if name.startswith(_WESTERN) else name


def _western(sample: bytes) -> str:
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def for_duckdb(found: Found, encoding: str, folder: str) -> str:
    """Where DuckDB's readers find a text in UTF-8: the file itself, or a copy in `folder`. Raises DataError."""
    if encoding != "utf-8":
        return as_utf8(found, encoding, folder)
    return _copied(found, folder, None) if _beyond_duckdb(found.absolute) else found.absolute


def as_utf8(found: Found, encoding: str, folder: str) -> str:
    """A copy of the file in UTF-8, in `folder`, with the same lines. Raises DataError naming a wrong byte's place."""
    return _copied(found, folder, encoding)


def _copied(found: Found, folder: str, encoding: str | None) -> str:
    """A copy that is not compressed, in UTF-8; without an encoding, of the bytes as they are."""
    handle, target = tempfile.mkstemp(suffix=".utf8", dir=folder)
    decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
    done = 0
    try:
        with open_bytes(found.absolute) as source, open(handle, "wb") as out:
            while chunk := source.read(_CHUNK):
                # What a compressed file unpacks to, it does not say beforehand; a character takes four bytes at most.
                require_room(folder, 4 * len(chunk))
                out.write(decoder.decode(chunk).encode("utf-8") if decoder else chunk)
                done += len(chunk)
            if decoder:
                out.write(decoder.decode(b"", final=True).encode("utf-8"))
    except OSError as error:
        if error.errno is None:
            raise broken(found.path, error) from error
        raise
    except UnicodeError as error:
        raise DataError(
            f"{found.path} is not written in {encoding} (near byte {done + getattr(error, 'start', 0):,}). "
            f"Correct the stream's encoding, or deliver the file again.",
            code="encoding",
            evidence={"file": found.path, "encoding": encoding},
        ) from error
    return target


def no_other(path: str, sample: bytes, encoding: str) -> None:
    """Raises DataError for UTF-16 where the stream's encoding has one byte for most letters."""
    first = sample[:4096]
    marked = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    zeros = first[::2].count(0), first[1::2].count(0)
    if "16" in encoding or "32" in encoding or not (marked or (min(zeros) == 0 and max(zeros) > len(first) // 4)):
        return
    found = encoding_of(first)
    raise DataError(
        f"{path} is written in {found}, and its stream in {encoding}. Correct the stream's encoding, or deliver the "
        "file again.",
        code="encoding",
        evidence={"file": path, "encoding": encoding, "found": found},
    )


def text_of(sample: bytes, encoding: str) -> str:
    """A sample as text, without a byte order mark; what does not fit is replaced."""
    return codecs.getincrementaldecoder(encoding)(errors="replace").decode(sample).removeprefix("\ufeff")
