"""A running query tells how far it is and can be interrupted from the heartbeat's thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from dataplane.steps.base import StepContext

_EVERY = 0.5


class Share:
    """Which share of the whole step the query that runs now is; plain attributes, read by the watching thread."""

    def __init__(self) -> None:
        self.before = 0.0
        self.width = 1.0

    def next(self, width: float) -> None:
        """The query that comes next is this share (0..1) of the whole."""
        self.before, self.width = min(self.before + self.width, 1.0), width


@contextmanager
def watched(context: StepContext, connection: duckdb.DuckDBPyConnection) -> Iterator[Share]:
    """Report the connection's progress and let it be interrupted while the context is open."""
    context.on_cancel(connection.interrupt)
    share, stopped = Share(), threading.Event()
    share.width = 0.0

    def look() -> None:
        while not stopped.wait(_EVERY):
            percent = connection.query_progress()
            if percent >= 0 and share.width:
                context.progress.fraction = min(share.before + share.width * percent / 100, 1.0)

    thread = threading.Thread(target=look, name="query-progress", daemon=True)
    thread.start()
    try:
        yield share
    finally:
        stopped.set()
        thread.join()
        context.interrupts.remove(connection.interrupt)
