"""Interrupting what a connection does, whenever it begins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb


@contextmanager
def interrupted(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Again and again while the block lasts, for an interrupt that meets no query is forgotten."""
    over = threading.Event()

    def interrupt() -> None:
        while not over.wait(0.05):
            connection.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
