"""A way to a server on loopback that is cut after so many bytes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Hook = Callable[[bytes, int], bytes]


def _as_it_is(said: bytes, _: int) -> bytes:
    return said


class Way:
    """Hands on what is said. after: so many bytes of the server, and its connection ends; None: it never does.

    asked, heard: what is said, and the client's port, before it is handed on as this gives it back: a server that tells
    where else it listens tells of another way.
    """

    def __init__(self, to: int, *, asked: Hook = _as_it_is, heard: Hook = _as_it_is) -> None:
        self.after: int | None = None
        self.cuts = 0
        self.to = to
        self._hooks = {False: asked, True: heard}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                near, (_, port) = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
                for each in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._hand_on, args=(*each, port), daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _hand_on(self, come: socket.socket, go: socket.socket, of_server: bool, port: int) -> None:
        sent = 0
        with suppress(OSError):
            while data := come.recv(4096):
                sent += len(data)
                if of_server and self.after is not None and sent > self.after:
                    self.cuts += 1
                    break
                go.sendall(self._hooks[of_server](data, port))
        for each in (come, go):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(port: int, **hooks: Hook) -> Iterator[Way]:
    """A way to the server at this port, while the block lasts."""
    way = Way(port, **hooks)
    thread = threading.Thread(target=way.serve, daemon=True)
    thread.start()
    try:
        yield way
    finally:
        way.close()
        thread.join()
