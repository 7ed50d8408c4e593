"""XML as it is parsed: chunk by chunk, within bounds, and without anything that a document may define for itself."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

import pyarrow as pa

from dataplane.connectors.files.encodings import broken, head, open_bytes
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.layouts import empty
from dataplane.connectors.files.nests import DEEPEST
from dataplane.connectors.files.settings import codec
from dataplane.errors import DataError, Suggestion

LARGEST = 8 << 20
"""So many bytes may one record have, or any single tag or comment."""
_CHUNK = 512 << 10
_MOST_NAMES = 10_000
_LONGEST_NAME = 500
_DECLARED = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
# Encodings of Python's own that no file is written in.
_NONE = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7")


class Names(dict[str, str]):
    """Names as they stand in a file, and without their namespace's prefix."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self._found = found

    def __missing__(self, name: str) -> str:
        if len(self) >= _MOST_NAMES or len(name) > _LONGEST_NAME:
            raise refused(
                self._found, "xml_names", f"has more than {_MOST_NAMES:,} different names, or one that is too long"
            )
        self[name] = local = name.rpartition(":")[2]
        return local


class Walk:
    """One way through a file. A subclass sets the parser's handlers.

    `begun` is where the record in hand begins, `parsed` how many bytes were parsed, in UTF-8.
    """

    def __init__(self, found: Found, encoding: str) -> None:
        self.found = found
        self.names = Names(found)
        self.begun: int | None = None
        self.parsed = 0
        self._encoding = _encoding_of(found, encoding)
        self.parser = expat.ParserCreate("utf-8", intern={})
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse

    def steps(self) -> Iterator[int]:
        """Parse on; after each chunk the bytes that were parsed. Raises DataError, naming the line."""
        try:
            for text in self._texts():
                self._parse(text)
                yield len(text)
            self._parse(b"", True)
        except expat.ExpatError as error:
            raise refused(
                self.found,
                "xml_malformed",
                f"is not well-formed in line {error.lineno:,}, column {error.offset + 1:,}: "
                f"{expat.ErrorString(error.code)}",
                line=error.lineno,
            ) from error

    def _parse(self, text: bytes, final: bool = False) -> None:
        self.parsed += len(text)
        self.parser.Parse(text, final)
        # What is not whole yet has not been handed out: a tag, a comment, or the record around it.
        since = self.parser.CurrentByteIndex if self.begun is None else self.begun
        if not final and self.parsed - max(since, 0) > LARGEST:
            raise refused(
                self.found,
                "xml_too_large",
                f"has more than {LARGEST >> 20} MB in one record, tag or comment near line "
                f"{self.parser.CurrentLineNumber:,}",
                line=self.parser.CurrentLineNumber,
            )

    def _texts(self) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self._encoding)()
        done = 0
        try:
            with open_bytes(self.found.absolute) as source:
                while chunk := source.read(_CHUNK):
                    yield decoder.decode(chunk).encode()
                    done += len(chunk)
                yield decoder.decode(b"", final=True).encode()
        except UnicodeError as error:
            place = f"{self.found.path} is not written in {self._encoding.removesuffix('-sig')}"
            raise DataError(
                f"{place} (near byte {done + getattr(error, 'start', 0):,}). Correct the stream's encoding, or deliver "
                "the file again.",
                code="encoding",
                evidence={"file": self.found.path, "encoding": self._encoding},
            ) from error
        except pa.ArrowInvalid as error:
            raise broken(self.found.path, error) from error
        except OSError as error:
            if error.errno is None:
                raise broken(self.found.path, error) from error
            raise

    def deep(self, depth: int) -> None:
        """Raises DataError for elements that stand too deep in others."""
        if depth > DEEPEST:
            line = self.parser.CurrentLineNumber
            raise refused(
                self.found, "xml_nested", f"has elements more than {DEEPEST} deep in others in line {line:,}", line=line
            )

    def _refuse(self, *_: Any) -> None:
        raise refused(
            self.found,
            "xml_doctype",
            "declares a document type (DOCTYPE), which may define entities that grow without end or name other files",
        )


def _encoding_of(found: Found, chosen: str) -> str:
    """The encoding that a file declares, unless the stream has chosen another than UTF-8. Raises DataError."""
    sample = head(found, 1024)
    if not sample.strip():
        raise empty(found.path)
    if chosen != "utf-8":
        return chosen
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if sample[:2] in (b"<\0", b"\0<"):
        return "utf-16-le" if sample[1] == 0 else "utf-16-be"
    declared = _DECLARED.match(sample.removeprefix(codecs.BOM_UTF8).lstrip())
    name = declared[1].decode() if declared else "utf-8"
    try:
        known = codec(name)
    except LookupError:
        known = "undefined"
    if known in _NONE:
        raise refused(found, "encoding", f"says that it is written in {name}, which is unknown")
    # Programs that write UTF-16 in memory say so in files that they store in UTF-8.
    return "utf-8-sig" if known.startswith(("utf-8", "utf8", "utf-16", "utf16")) else known


def refused(found: Found, code: str, why: str, **evidence: object) -> DataError:
    """The error for a file that is not read any further."""
    return DataError(
        f"{found.path} {why}. Deliver it again in another form, or set it aside.",
        code=code,
        evidence={"file": found.path, **evidence},
        suggestions=[
            Suggestion("ignore_file", f"Set {found.path} aside", "The run goes on without it.", applicable=True)
        ],
    )
