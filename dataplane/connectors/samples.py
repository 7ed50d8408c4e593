"""What the first bytes of a file say of its format."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import PurePath

# The letters with which files of a format begin, and where those stand.
_MAGIC = (
    (0, b"PAR1", "parquet"),
    (0, b"Obj\x01", "avro"),
    (0, b"SQLite format 3\0", "sqlite"),
    (8, b"DUCK", "duckdb"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel"),
)
_WORKBOOKS = (".xlsx", ".xlsm", ".xlsb")
_DELIMITERS = "\t;|,"
_LINES = 50


def format_of_sample(sample: bytes, name: str = "") -> str:
    """The format as streams call it (`csv`, `json`, `ndjson`, `parquet`, `excel`, …), `html`, or empty for none.

    Never raises, whatever the bytes are; they may end anywhere in a file.
    """
    for place, letters, format_ in _MAGIC:
        if sample[place : place + len(letters)] == letters:
            return format_
    if sample.startswith(b"PK\x03\x04"):
        workbook = PurePath(name).suffix.lower() in _WORKBOOKS or b"xl/" in sample or b"[Content_Types].xml" in sample
        return "excel" if workbook else "zip"
    return _of_text(_decoded(sample))


def _decoded(sample: bytes) -> str:
    """As text; empty where it is none."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if sample.startswith(mark):
            return sample.decode(encoding, errors="replace")
    return "" if b"\0" in sample else sample.decode("utf-8", errors="replace")


def _of_text(text: str) -> str:
    begin = text.lstrip()
    if begin[:1] == "<":
        return "html" if begin[:200].lower().startswith(("<!doctype html", "<html")) else "xml"
    if begin[:1] in ("{", "["):
        return _json(begin)
    return _delimited([line for line in text.splitlines()[:_LINES] if line.strip()])


def _json(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(isinstance(_parsed(line), dict) for line in lines[:2]):
        return "ndjson"
    # A sample may end in the middle of what it shows.
    return "json" if _parsed(text) is not None or text[1:].lstrip()[:1] in ('"', "{", "[", "}", "]") else ""


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _delimited(lines: list[str]) -> str:
    """Lines that hold the same delimiter equally often, which is more than chance from two lines on."""
    if len(lines) < 2:
        return ""
    for delimiter in _DELIMITERS:
        counts = Counter(line.count(delimiter) for line in lines)
        often, lines_with = counts.most_common(1)[0]
        if often and lines_with > 0.7 * len(lines):
            return "tsv" if delimiter == "\t" else "csv"
    return ""
