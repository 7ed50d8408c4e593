"""A PostgreSQL connector on the scratch database of a test, and what tests do with it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb

from dataplane.connectors.base import Connector
from dataplane.connectors.postgresql import PostgreSQL
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance, write_parquet
from dataplane.relations import path_list
from dataplane.storage import Storage


def params_of(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "host": parts.hostname,
        "port": parts.port,
        "database": parts.path.strip("/"),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }


def connector(url: str, **changes: Any) -> PostgreSQL:
    return PostgreSQL(PostgreSQL.Params(**{**params_of(url), **changes}))


def staged(source: Connector, stream: StreamConfig, window: Window, select: str = "*") -> list[tuple[Any, ...]]:
    """Read a window to Parquet as a run does, and look at `select` of the files."""
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(Path(folder).as_uri())
        with (
            connector_instance(extensions=source.extensions, memory=2**28, threads=2) as duck,
            source.read(stream, window, duck) as reading,
        ):
            files = write_parquet(duck, reading.query, storage=storage, folder="out", split=True)
            paths = [storage.absolute(each.path) for each in files]
            if reading.check is not None and files:
                reading.check(f"SELECT * FROM read_parquet({path_list(paths)})")
        return parquet(paths, select)


def read_as_it_grows(source: Connector, stream: StreamConfig, insert: Callable[[str], None], values: Sequence[str]):
    """Add a row at a time, by its cursor: each is read once it is there, with no others than those at the mark.

    The values are in the order of their bytes, and no other rows are there.
    """
    mark = Mark()
    there: list[tuple[str]] = []
    for place, value in enumerate(values):
        insert(value)
        window = source.plan(stream, "incremental", mark).window
        assert window is not None
        assert (window.lower, window.upper) == (mark.upper, value)
        assert sorted(staged(source, stream, window, f'CAST("{stream.cursor}" AS VARCHAR)')) == [*there, (value,)]
        assert source.count(stream, window) == 1
        assert source.count(stream, Window("slice", column=window.column, upper=value)) == place
        mark, there = Mark(upper=value, boundary_rows=1), [(value,)]
        assert source.plan(stream, "incremental", mark).window is None


def parquet(paths: Sequence[str], select: str) -> list[tuple[Any, ...]]:
    if not paths:
        return []
    with duckdb.connect() as check:
        check.execute("SET TimeZone = 'UTC'")
        return check.execute(f"SELECT {select} FROM read_parquet(?)", [list(paths)]).fetchall()
