"""Snapshots named in SQL, as in `flights@3`: the parser takes them in double quotes only."""

from __future__ import annotations

import re
from typing import Any

import duckdb

from dataplane.syntax import MAX_LENGTH, parse, syntax_error

_SNAPSHOT = re.compile(rb"\w+@\w+")


def readable(text: str) -> str:
    """A text without a semicolon at its end, and with snapshots in double quotes where it cannot be read as it is.

    Raises StatementError, placed in the text as it was written, where such quotes do not make it readable.
    """
    text = text.rstrip().removesuffix(";")
    if "@" in text and len(text) <= MAX_LENGTH and parse(text).get("error"):
        quoted = _snapshots_in_quotes(text)
        parsed = parse(quoted)
        if parsed.get("error"):
            raise syntax_error(_placed_as_written(parsed, quoted, text), text, "")
        return quoted
    return text


def _snapshots_in_quotes(text: str) -> str:
    """`flights@3` and `flights@audited` in double quotes, wherever DuckDB's own lexer sees a name before the sign."""
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return text
    quoted, done = b"", 0
    for start, kind in duckdb.tokenize(text):
        name = _SNAPSHOT.match(raw, start) if kind == duckdb.token_type.identifier else None
        if name is not None and start >= done:
            quoted, done = quoted + raw[done:start] + b'"' + name[0] + b'"', name.end()
    return (quoted + raw[done:]).decode()


def _placed_as_written(parsed: dict[str, Any], quoted: str, text: str) -> dict[str, Any]:
    """A parser's refusal of the quoted text, with its position less the quotes that were put before it."""
    if "position" not in parsed:
        return parsed
    return {**parsed, "position": len(written(quoted[: int(parsed["position"])], text))}


def written(before: str, text: str) -> str:
    """The beginning of a text as it was written that became `before` when quotes were put around its snapshots."""
    length = 0
    for each in before:
        length += text[length : length + 1] == each
    return text[:length]
