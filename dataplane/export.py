"""A table or an answer as one file to take away: CSV that is harmless in a spreadsheet, Parquet, JSON, streamed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dataplane import sandbox, statements
from dataplane.errors import ConfigurationError, InfrastructureError
from dataplane.parameters import Parameter
from dataplane.relations import identifier, literal, relation_sql
from dataplane.steps.base import ColumnType, Table
from dataplane.storage import Storage
from dataplane.types import as_text, family

Format = Literal["csv", "parquet", "json", "ndjson"]
FORMATS: tuple[Format, ...] = get_args(Format)
CHUNK = 256 << 10
MEMORY = 512 << 20
LONGEST = 6 * 3600
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}
# Into a pipe DuckDB keeps the order of rows only when it is told to.
_HOW = {
    "csv": "FORMAT csv, HEADER true, PRESERVE_ORDER true",
    "parquet": "FORMAT parquet, COMPRESSION zstd, PRESERVE_ORDER true",
    "json": "FORMAT json, ARRAY true, PRESERVE_ORDER true",
    "ndjson": "FORMAT json, ARRAY false, PRESERVE_ORDER true",
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
    names = [identifier(each.name) for each in table.columns]
    columns = _columns([(name, each) for name, each in zip(names, table.columns, strict=True)], form)
    source = f"SELECT {columns} FROM ({relation_sql(table, storage)})"
    return _export(source, {"table": table}, storage, form, memory=MEMORY, seconds=LONGEST)


def open_query(
    sql: str,
    columns: Sequence[ColumnType],
    tables: Mapping[str, Table],
    storage: Storage,
    form: Format,
    *,
    memory: int,
    seconds: int,
    parameters: Iterable[Parameter] = (),
    order: int = 0,
) -> Export:
    """The whole answer of a query as one file; `columns` are those of the answer that somebody has seen.

    Of two columns with one name the second is called `name_1`. Raises StatementError for SQL that is refused. Nothing
    is started before the export is iterated over.
    """
    given = list(parameters)
    query = statements.check_select(sql, tables, [each.name for each in given])
    if not 0 <= abs(order) <= len(columns):
        raise ConfigurationError(f"The answer has {len(columns)} columns; there is none to sort by.", code="order")
    names = [f"c{at}" for at in range(len(columns))]
    chosen = _columns(list(zip(names, _told_apart(columns), strict=True)), form)
    source = f"SELECT {chosen} FROM (\n{query}\n) AS result({', '.join(names)}){sandbox.order_by(order)}"
    made = _export(source, tables, storage, form, memory=memory, seconds=seconds)
    made.request["parameters"] = sandbox.bound(given)
    return made


def _export(
    source: str, tables: Mapping[str, Table], storage: Storage, form: Format, *, memory: int, seconds: int
) -> Export:
    request = sandbox.confinement(tables, storage, memory=memory, seconds=seconds)
    paths = sorted({storage.absolute(each.path) for table in tables.values() for each in table.files})
    allowed = ", ".join(literal(each) for each in [*paths, "/dev/stdout"])
    request["setup"].insert(2, f"SET allowed_paths = [{allowed}]")
    return Export(MEDIA_TYPES[form], form, {**request, "copy": f"COPY ({source}) TO '/dev/stdout' ({_HOW[form]})"})


def _told_apart(columns: Sequence[ColumnType]) -> list[ColumnType]:
    """The columns with names that no other has, in whichever case."""
    taken: set[str] = set()
    found = []
    for each in columns:
        name, number = each.name, 0
        while name.lower() in taken:
            number += 1
            name = f"{each.name}_{number}"
        taken.add(name.lower())
        found.append(ColumnType(name, each.type, each.nullable))
    return found


def _columns(columns: list[tuple[str, ColumnType]], form: Format) -> str:
    """What is chosen from names in SQL, each as the column that it becomes."""
    return ", ".join(_column(name, column, form) for name, column in columns)


def _column(name: str, column: ColumnType, form: Format) -> str:
    """Numbers, times and truth as they are: a minus before digits is a number to a spreadsheet. All else is guarded."""
    if form != "csv":
        return f"{name} AS {identifier(column.name)}"
    header = identifier(harmless(column.name))
    if family(column.type) in ("number", "time", "boolean"):
        return f"{name} AS {header}"
    text = as_text(name, column.type)
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
