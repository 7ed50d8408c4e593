"""An end for the connections of a look at a server that dribbles: each byte comes in time, and nothing whole ever."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

LOOK_SECONDS = 120.0
"""So long a server has for anything whole: an answer, a list of files, or a piece of one."""
_AGAIN = 0.1


class Watch:
    """Cuts the connections of a session in which nothing whole has come for LOOK_SECONDS.

    Whoever waits for one is told that it broke off. A read has no watch: it may rest for as long as its step may take.
    """

    def __init__(self, connections: Callable[[], Iterable[socket.socket | None]]) -> None:
        """Begin. connections: those that are open, asked for when the time has come."""
        self._connections = connections
        self._closed = threading.Event()
        self.came()
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def came(self) -> None:
        """Something whole has come, so there is time for the next."""
        self._until = time.monotonic() + LOOK_SECONDS

    def close(self) -> None:
        """The session has ended."""
        self._closed.set()

    def _run(self) -> None:
        # One that is opened anew after the end is cut as well.
        while not self._closed.wait(max(self._until - time.monotonic(), _AGAIN)):
            if time.monotonic() >= self._until:
                self._cut()

    def _cut(self) -> None:
        for each in self._connections():
            with suppress(OSError):
                if each is not None:
                    # That of the base class: with TLS the other thread is in the middle of its read.
                    socket.socket.shutdown(each, socket.SHUT_RDWR)
