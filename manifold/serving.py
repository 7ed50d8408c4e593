"""The workers of gunicorn that serve the console and the API."""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# Of a body that nobody has read gunicorn reads so much by itself before the next request of a connection.
LEFT_AT_MOST = 64 * 1024


class Worker(ThreadWorker):
    """gunicorn's threads, which say so when they are going to close a connection behind a body that was not read.

    Without it the answer promises to keep the connection, and the client's next request on it fails.
    """

    def handle_request(self, req: Any, conn: Any) -> Any:
        closes = req.should_close
        # Asked when the headers of the answer are written: by then the application has read what it wants.
        req.should_close = lambda: closes() or _leaves_too_much(req.body)
        return super().handle_request(req, conn)


def _leaves_too_much(body: Any) -> bool:
    """Of a body in chunks nobody knows how much is left, unless it was read to its end."""
    reader = body.reader
    if hasattr(reader, "length"):
        return bool(body.buf.tell() + reader.length >= LEFT_AT_MOST)
    return getattr(reader, "parser", None) is not None
