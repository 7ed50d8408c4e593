"""The lines of NDJSON that are set aside: where they stand, and of those that are no JSON why, and what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import duckdb
import pyarrow as pa

from dataplane.connectors.reading import SourceFile
from dataplane.fingerprints import text_of

_TOGETHER = 10_000
_TOLD, _SOME = "__told", "__some"
_TYPES = pa.schema({"number": pa.int64(), "line": pa.int64(), "why": pa.string(), "text": pa.string()})


def tell_lines(connection: duckdb.DuckDBPyConnection, table: str, sources: Sequence[SourceFile]) -> None:
    """Give the rejected rows of NDJSON their lines, and those that are no JSON what stands there and why it is none.

    The table tells them by their numbers among the lines that are not blank, counted from 1.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_TOLD} (file VARCHAR, number BIGINT, line BIGINT, why VARCHAR, text VARCHAR)"
    )
    for source in sources:
        path = source.ref.path
        asked = connection.execute(f"SELECT row, raw IS NULL FROM {table} WHERE file = ?", [path]).fetchall()
        found = _objects(source, dict(asked))
        while some := list(islice(found, _TOGETHER)):
            columns = map(list, zip(*some, strict=True))
            told = pa.table(dict(zip(("number", "line", "why", "text"), columns, strict=True)), _TYPES)
            connection.register(_SOME, told)
            connection.execute(f"INSERT INTO {_TOLD} SELECT ?, * FROM {_SOME}", [path])
            connection.unregister(_SOME)
    connection.execute(
        f"UPDATE {table} AS rejected SET row = told.line, reason = coalesce(told.why, rejected.reason), "
        f"raw = coalesce(rejected.raw, told.text) FROM {_TOLD} AS told "
        f"WHERE rejected.file = told.file AND rejected.row = told.number"
    )
    connection.execute(f"DROP TABLE {_TOLD}")


def _objects(source: SourceFile, asked: Mapping[int, bool]) -> Iterator[tuple[int, int, str | None, str | None]]:
    """Number and line of those that are asked for, in their order; why it is no JSON and what stands there, where
    the mapping says so."""
    number, left = 0, len(asked)
    with text_of(source) as file:
        for line, text in enumerate(file if left else (), 1):
            if not text.strip():
                continue
            number += 1
            if number in asked:
                yield (number, line, _why(text), _shown(text)) if asked[number] else (number, line, None, None)
                left -= 1
                if not left:
                    return


def _why(text: bytes) -> str:
    try:
        json.loads(text.decode().rstrip("\r\n"))
    except json.JSONDecodeError as error:
        return f"is no JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1}"
    except UnicodeDecodeError as error:
        return f"is no JSON: no UTF-8 at byte {error.start + 1}"
    except (ValueError, RecursionError):
        pass
    return "is no JSON"


def _shown(text: bytes) -> str:
    # No table of an installation takes a NUL in a text.
    return text.decode(errors="replace").rstrip("\r\n").replace("\0", "\ufffd")
