"""An operator's query in a confined child process: an instance of its own that sees the given tables and nothing else.

DuckDB's settings are no sandbox, so there are four walls: the statement is walked before it runs (`statements`); the
instance may read the tables' files only and cannot be reconfigured; the process has no environment, may write no file
and has limits of memory and time that the kernel holds; and its parent kills it at the deadline. The answer comes back
as lines of JSON, never as anything that could run.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

from dataplane import statements
from dataplane.errors import CancelledError, ConfigurationError, InfrastructureError, ManifoldError
from dataplane.parameters import Parameter
from dataplane.relations import identifier, path_list, relation_sql
from dataplane.steps.base import Table
from dataplane.storage import Storage
from dataplane.types import NESTED

_SCRIPT = Path(__file__).with_name("confined.py")
_PACKAGES = str(Path(duckdb.__file__).parent.parent)
_THREADS = 2
# Beside what a query needs: DuckDB's threads, each with its stack, are mapped before a byte of data is read.
_HEADROOM = 512 << 20
_PLAIN = (
    "BOOLEAN VARCHAR FLOAT DOUBLE TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT"
)
_MEMORY = ("OutOfMemoryException", "MemoryError")
# How often somebody may wish to stop a query that says nothing.
_LOOK_SECONDS = 0.4
_CHUNK = 256 << 10

Cut = Literal["", "rows", "bytes"]


@dataclass(frozen=True)
class QueryResult:
    """The `query` shape of the API. Values are what JSON has: what is no number, text or truth is written as text.

    `cut` names the limit at which the answer ends before the result does.
    """

    columns: list[dict[str, str]]
    rows: list[list[Any]]
    cut: Cut
    seconds: float
    bytes_scanned: int

    @property
    def truncated(self) -> bool:
        return bool(self.cut)

    @property
    def row_count(self) -> int:
        return len(self.rows)

    def as_json(self) -> dict[str, Any]:
        return {
            "columns": self.columns,
            "rows": self.rows,
            "row_count": self.row_count,
            "truncated": self.truncated,
            "seconds": self.seconds,
            "bytes_scanned": self.bytes_scanned,
        }


def run_query(
    sql: str,
    tables: Mapping[str, Table],
    storage: Storage,
    *,
    memory: int,
    parameters: Iterable[Parameter] = (),
    order: int = 0,
    limit_rows: int = 1000,
    limit_bytes: int = 8 << 20,
    seconds: int = 30,
    stopped: Callable[[], bool] = lambda: False,
) -> QueryResult:
    """Answer one SELECT over these tables (by the names they have in it).

    memory in bytes; `order` sorts by the column of this position, from 1, downwards when it is negative; the answer is
    cut at `limit_rows` and `limit_bytes`, and says so. `stopped` is asked about twice a second. Raises StatementError
    with line and column for SQL that is refused or wrong, ConfigurationError `query_timeout` and `query_memory` for a
    query that asks for too much, CancelledError when it was stopped.
    """
    started = time.perf_counter()
    given = list(parameters)
    query = statements.check_select(sql, tables, [each.name for each in given])
    request = {
        **confinement(tables, storage, memory=memory, seconds=seconds),
        "query": query,
        "parameters": bound(given),
        "order": order_by(order),
        "limit_rows": limit_rows,
        "limit_bytes": limit_bytes,
        "plain_types": _PLAIN.split(),
        "nested_types": NESTED,
    }
    with child(request) as process:
        # What the child may send is bounded here too, should it no longer be what we started.
        answer = _heard(process, limit_bytes + (4 << 20), started + seconds, stopped)
        if answer is None or process.wait() == -signal.SIGXCPU:
            raise _too_long(seconds)
    columns, rows, cut = _understood(answer.splitlines(), sql, memory, limit_bytes)
    scanned = sum(each.bytes for each in tables.values())
    return QueryResult(columns, rows, cut, round(time.perf_counter() - started, 3), scanned)


def bound(parameters: Iterable[Parameter]) -> dict[str, list[Any]]:
    """Parameters as the child is told them."""
    return {each.name: [each.kind, each.value] for each in parameters}


def order_by(order: int) -> str:
    """Sorting by a column of `result(c0, c1, …)`, NULL last; nothing for 0."""
    return f" ORDER BY c{abs(order) - 1} {'DESC' if order < 0 else 'ASC'} NULLS LAST" if order else ""


def _heard(process: subprocess.Popen[bytes], most: int, until: float, stopped: Callable[[], bool]) -> bytes | None:
    """All that the child says, or None when the time is over first. Raises CancelledError."""
    assert process.stdout is not None
    answer = bytearray()
    voice = select.poll()
    voice.register(process.stdout, select.POLLIN)
    look = time.perf_counter() + _LOOK_SECONDS
    while len(answer) < most:
        now = time.perf_counter()
        if now >= until:
            return None
        if now >= look:
            if stopped():
                raise CancelledError
            look = now + _LOOK_SECONDS
        if voice.poll(max(1.0, min(until, look) * 1000 - now * 1000)):
            chunk = os.read(process.stdout.fileno(), _CHUNK)
            if not chunk:
                return bytes(answer)
            answer += chunk
    process.kill()
    return bytes(answer)


def confinement(tables: Mapping[str, Table], storage: Storage, *, memory: int, seconds: int) -> dict[str, Any]:
    """What a child is told: its instance's settings, the views on the tables, and its limits."""
    files = sorted({storage.absolute(file.path) for table in tables.values() for file in table.files})
    return {
        "packages": [_PACKAGES],
        "config": {
            "threads": _THREADS,
            "memory_limit": f"{memory}B",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
        },
        "setup": [
            "SET TimeZone = 'UTC'",
            f"SET allowed_paths = {path_list(files)}",
            *(
                f"CREATE VIEW {identifier(name)} AS {relation_sql(table, storage)}"
                for name, table in sorted(tables.items())
            ),
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ],
        "memory": memory + _HEADROOM,
        "seconds": seconds * _THREADS,
        "parameters": {},
        "order": "",
        "copy": None,
    }


@contextmanager
def child(request: Mapping[str, Any], *, stderr: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """A confined interpreter that has been told what to do; killed, if it still lives, at the end."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={},
        cwd=os.sep,
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _understood(
    lines: list[bytes], sql: str, memory: int, limit_bytes: int
) -> tuple[list[dict[str, str]], list[list[Any]], Cut]:
    """The columns, the rows, and the limit behind which there are more.

    Raises ManifoldError for whatever else the child said.
    """
    columns: list[dict[str, str]] = []
    rows: list[list[Any]] = []
    for line in lines:
        value = json.loads(line, parse_constant=str) if line.endswith((b"]", b"}")) else None
        if isinstance(value, list):
            rows.append(value)
        elif isinstance(value, dict) and "columns" in value:
            columns = [{"name": name, "type": type_} for name, type_ in value["columns"]]
        elif isinstance(value, dict) and "error" in value:
            raise _refused(value["error"], sql, memory)
        elif isinstance(value, dict) and "end" in value:
            if value["end"]["bytes"] and not rows:
                raise ConfigurationError(
                    f"The first row alone is larger than {limit_bytes >> 20} MB. Select fewer or shorter columns.",
                    code="query_large",
                )
            cut: Cut = "bytes" if value["end"]["bytes"] else "rows" if value["end"]["truncated"] else ""
            return columns, rows, cut
    # The child died without a word: the kernel has held a limit.
    raise _too_much(memory)


def _refused(error: dict[str, str], sql: str, memory: int) -> ManifoldError:
    kind, message = error["kind"], error["message"]
    if kind in _MEMORY or "bad_alloc" in message:
        return _too_much(memory)
    if kind == "IOException":
        return InfrastructureError("A file of the dataset could not be read.", code="io", evidence={"detail": message})
    return statements.fault(message, sql, before_lines=1)


def _too_much(memory: int) -> ConfigurationError:
    return ConfigurationError(
        f"The query needed more than the {memory >> 20} MB of memory that a query may use. Select fewer rows or "
        "columns, aggregate earlier, or raise MANIFOLD_SQL_MEMORY.",
        code="query_memory",
    )


def _too_long(seconds: int) -> ConfigurationError:
    return ConfigurationError(
        f"The query took longer than {seconds} seconds and was stopped. Narrow it with WHERE, aggregate earlier, "
        "make it a sql step, or raise MANIFOLD_SQL_SECONDS.",
        code="query_timeout",
    )
