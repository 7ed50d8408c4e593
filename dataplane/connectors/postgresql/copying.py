"""Rows from DuckDB into a table, as PostgreSQL's binary COPY format through a pipe."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import duckdb

from dataplane.connectors.postgresql.catalog import Connection
from dataplane.relations import literal

# A pipe holds 64 KB; more at a time would only wait in memory.
_PIECE = 1 << 16


def copy(connection: Connection, target: str, names: Sequence[str], duck: duckdb.DuckDBPyConnection, query: str) -> int:
    """Run a SELECT of DuckDB's into `target` (both as SQL); returns the rows. Raises duckdb.Error or psycopg.Error.

    DuckDB writes in a thread of its own. Whichever side fails, the other one notices by the pipe and ends.
    """
    reader, writer = os.pipe()
    feed = _Feed(duck, query, writer)
    feed.start()
    statement = f"COPY {target} ({', '.join(names)}) FROM STDIN (FORMAT binary)"
    try:
        with connection.cursor() as cursor:
            with cursor.copy(statement) as stream:
                while piece := os.read(reader, _PIECE):
                    stream.write(piece)
                feed.join()
                if feed.failure is not None:
                    raise feed.failure
            return cursor.rowcount
    finally:
        os.close(reader)
        feed.join()


class _Feed(threading.Thread):
    """Writes the rows into the pipe, and closes its end whatever happens."""

    def __init__(self, duck: duckdb.DuckDBPyConnection, query: str, writer: int) -> None:
        super().__init__(name="copy-feed", daemon=True)
        self.duck, self.query, self.writer = duck, query, writer
        self.failure: duckdb.Error | None = None

    def run(self) -> None:
        try:
            self.duck.execute(f"COPY ({self.query}) TO {literal(f'/dev/fd/{self.writer}')} (FORMAT postgres_binary)")
        except duckdb.Error as error:
            self.failure = error
        finally:
            os.close(self.writer)
