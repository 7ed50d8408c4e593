"""A table as one file to take away: CSV that is harmless in a spreadsheet, or Parquet, streamed while it is written."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from dataplane import sandbox
from dataplane.errors import InfrastructureError
from dataplane.relations import identifier, literal, relation_sql
from dataplane.steps.base import ColumnType, Table
from dataplane.storage import Storage
from dataplane.types import family

Format = Literal["csv", "parquet"]
CHUNK = 256 << 10
MEMORY = 512 << 20
LONGEST = 6 * 3600
_CONTENT = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
# Into a pipe DuckDB keeps the order of rows only when it is told to.
_HOW = {
    "csv": "FORMAT csv, HEADER true, PRESERVE_ORDER true",
    "parquet": "FORMAT parquet, COMPRESSION zstd, PRESERVE_ORDER true",
}
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Export:
    """A file that is written as it is iterated over. `content_type` and `suffix` are for whoever sends it."""

    content_type: str
    suffix: Format
    request: dict[str, Any]

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, as they come. Raises InfrastructureError when the writing breaks off; stopping early ends it."""
        with sandbox.child(self.request, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stderr is not None
            while chunk := process.stdout.read1(CHUNK):  # type: ignore[attr-defined]
                yield chunk
            said = process.stderr.read(1 << 20).decode(errors="replace").strip()
            if process.wait() != 0 or said:
                raise InfrastructureError(
                    "The export broke off before its end; what was sent is not complete. Try again.",
                    code="export_broken",
                    evidence={"detail": _detail(said)},
                )


def open_export(table: Table, storage: Storage, form: Format) -> Export:
    """A table as one file. Nothing is started before the export is iterated over."""
    columns = ", ".join(_column(each, form) for each in table.columns)
    source = f"SELECT {columns} FROM ({relation_sql(table, storage)})"
    request = sandbox.confinement({"table": table}, storage, memory=MEMORY, seconds=LONGEST)
    paths = [storage.absolute(each.path) for each in table.files]
    allowed = ", ".join(literal(each) for each in [*paths, "/dev/stdout"])
    request["setup"].insert(2, f"SET allowed_paths = [{allowed}]")
    return Export(_CONTENT[form], form, {**request, "copy": f"COPY ({source}) TO '/dev/stdout' ({_HOW[form]})"})


def _column(column: ColumnType, form: Format) -> str:
    """Numbers, times and truth as they are: a minus before digits is a number to a spreadsheet. All else is guarded."""
    name = identifier(column.name)
    if form == "parquet":
        return name
    header = identifier(harmless(column.name))
    if family(column.type) in ("number", "time", "boolean"):
        return f"{name} AS {header}"
    text = f"CAST({name} AS VARCHAR)"
    risky = ", ".join(f"chr({ord(each)})" for each in _FORMULA)
    return f"CASE WHEN {text}[1] IN ({risky}) THEN '''' || {text} ELSE {text} END AS {header}"


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _detail(said: str) -> str:
    try:
        return str(json.loads(said)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return said[:1000]
