"""Looking at Parquet files by a DuckDB of the tests' own: one for a whole process, since opening one takes its time."""

from __future__ import annotations

from functools import cache
from typing import Any

import duckdb

from dataplane import sandbox
from dataplane.relations import relation_sql
from dataplane.steps.base import Table
from dataplane.storage import Storage


@cache
def _instance() -> duckdb.DuckDBPyConnection:
    found = duckdb.connect(config={"threads": 1, "python_enable_replacements": False})
    # A file that is written anew within a moment would be taken for the old one.
    found.execute("SET GLOBAL enable_external_file_cache = false; SET GLOBAL TimeZone = 'UTC'")
    return found


def looking() -> duckdb.DuckDBPyConnection:
    """A connection to it that nobody has used, to be closed by whoever asked for it."""
    return _instance().cursor()


def shown(table: Table, storage: Storage, columns: str = "*") -> list[tuple[Any, ...]]:
    """The rows of a table, every value as the API shows it."""
    query = f"SELECT {columns} FROM ({relation_sql(table, storage)})"
    with looking() as connection:
        described = connection.execute(f"DESCRIBE {query}").fetchall()
        names = [f"c{position}" for position in range(len(described))]
        items = [
            name if type_ in sandbox._PLAIN.split() else f"CAST({name} AS VARCHAR)"
            for name, (_, type_, *_) in zip(names, described, strict=True)
        ]
        return connection.execute(f"SELECT {', '.join(items)} FROM ({query}) AS t({', '.join(names)})").fetchall()
