"""The child's side of the sandbox: a script that is run by path, in an interpreter that sees nothing but DuckDB.

It is told on its standard input what to do, limits itself, and answers on its standard output, a line of JSON each: the
columns, every row, and how it ended. With `copy` it writes a COPY to its standard output instead.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Any

ROWS_AT_ONCE = 256


def main() -> None:
    request = json.loads(sys.stdin.buffer.read())
    sys.path[:] = [*sys.path, *request["packages"]]
    import duckdb  # noqa: PLC0415 - its place is known only now

    connection = duckdb.connect(":memory:", config=request["config"])
    try:
        for statement in request["setup"]:
            connection.execute(statement)
        _limit(request["memory"], request["seconds"])
        if request["copy"]:
            connection.execute(request["copy"], _values(request["parameters"]))
        else:
            _answer(connection, request)
    except (duckdb.Error, MemoryError, RuntimeError) as error:
        _say({"error": {"kind": type(error).__name__, "message": str(error)}}, error=bool(request["copy"]))
    sys.stdout.buffer.flush()
    # Nothing is left to tidy, and a thread that is out of memory may not let an orderly end happen.
    os._exit(0)


def _limit(memory: int, seconds: int) -> None:
    """From here on: no file may be written, and neither memory nor processor time exceeds what was granted."""
    with open("/proc/self/statm", "rb") as statm:
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _values(given: dict[str, list[Any]]) -> dict[str, Any] | None:
    """What is bound to the names of parameters; JSON has neither dates nor exact numbers."""
    read: dict[str, Any] = {"date": date.fromisoformat, "timestamp": datetime.fromisoformat, "number": Decimal}
    return {
        name: read[kind](value) if kind in read and value is not None else value
        for name, (kind, value) in given.items()
    } or None


def _answer(connection: Any, request: dict[str, Any]) -> None:
    query, values = request["query"], _values(request["parameters"])
    described = [(row[0], row[1]) for row in connection.execute(f"DESCRIBE (\n{query}\n)", values).fetchall()]
    _say({"columns": described})
    names = [f"c{position}" for position in range(len(described))]
    items = [_item(name, type_, request) for name, (_, type_) in zip(names, described, strict=True)]
    limit = request["limit_rows"]
    whole = f"(\n{query}\n) AS result({', '.join(names)}){request['order']}"
    connection.execute(f"SELECT {', '.join(items)} FROM {whole} LIMIT {limit + 1}", values)
    rows = size = 0
    while batch := connection.fetchmany(ROWS_AT_ONCE):
        for row in batch:
            line = json.dumps(row).encode()
            size += len(line)
            if rows == limit or size > request["limit_bytes"]:
                _say({"end": {"truncated": True, "bytes": size > request["limit_bytes"]}})
                return
            sys.stdout.buffer.write(line + b"\n")
            rows += 1
    _say({"end": {"truncated": False, "bytes": False}})


def _item(name: str, type_: str, request: dict[str, Any]) -> str:
    if type_ in request["plain_types"]:
        return name
    nested = type_.endswith("]") or type_.startswith(tuple(request["nested_types"]))
    return f"CAST(to_json({name}) AS VARCHAR)" if nested else f"CAST({name} AS VARCHAR)"


def _say(value: dict[str, Any], *, error: bool = False) -> None:
    stream = sys.stderr.buffer if error else sys.stdout.buffer
    stream.write(json.dumps(value).encode() + b"\n")
    stream.flush()


if __name__ == "__main__":
    main()
