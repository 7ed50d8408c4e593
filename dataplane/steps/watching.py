"""A running query tells how far it is and can be interrupted from the heartbeat's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from dataplane.steps.base import StepContext


class Share:
    """Which share of the whole step the query that runs now is; plain attributes, read by the heartbeat's thread.

    in_vain: whether it is known already that the step fails; the query is interrupted then.
    """

    def __init__(self) -> None:
        self.before = 0.0
        self.width = 1.0
        self.in_vain: Callable[[], bool] = lambda: False

    def next(self, width: float) -> None:
        """The query that comes next is this share (0..1) of the whole."""
        self.before, self.width = min(self.before + self.width, 1.0), width


@contextmanager
def watched(context: StepContext, connection: duckdb.DuckDBPyConnection) -> Iterator[Share]:
    """Let the context's progress ask the connection, and let it be interrupted, while the context is open."""
    share, closing = Share(), threading.Lock()
    share.width = 0.0
    progress = context.progress

    def look() -> None:
        # The lock keeps the connection open for as long as it is asked.
        with closing:
            if progress.look is not None and share.in_vain():
                connection.interrupt()
            percent = -1.0 if progress.look is None else connection.query_progress()
        if percent >= 0 and share.width:
            progress.fraction = min(share.before + share.width * percent / 100, 1.0)

    progress.look = look
    context.on_cancel(connection.interrupt)
    try:
        yield share
    finally:
        context.interrupts.remove(connection.interrupt)
        with closing:
            progress.look = None
