"""A web server on loopback that serves what a test gives it, well or badly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Request"], None]


@dataclass
class Web:
    """files: by path, their bytes. bad: by path, what happens instead. asked: path and headers of each request."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    bad: dict[str, Behaviour] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    plain: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


class Request(BaseHTTPRequestHandler):
    """Answers with ETag and ranges, as good servers do; `plain` servers tell neither version nor length."""

    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.web.asked.append((path, {name.lower(): value for name, value in self.headers.items()}))
        self.close_connection = True
        if path in self.web.bad:
            self.web.bad[path](self)
        elif path not in self.web.files:
            self.answer(404, b"nothing")
        elif self.web.plain:
            self.answer(200, self.web.files[path], length=None)
        else:
            self.whole(self.web.files[path])

    do_POST = do_GET

    def whole(self, body: bytes) -> None:
        etag = f'"{sha256(body).hexdigest()[:16]}"'
        wanted = self.headers.get("Range", "")
        if self.headers.get("If-None-Match") == etag:
            self.answer(304, b"", {"ETag": etag})
        elif wanted and self.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            range_ = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.answer(206, body[start:], {"ETag": etag, "Content-Range": range_})
        else:
            self.answer(200, body, {"ETag": etag})

    def raw(self, text: bytes) -> None:
        self.wfile.write(text)

    def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, *, length: int | None = -1
    ) -> None:
        """length: what is said of the body's; -1 says the truth, None says nothing."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def serving() -> Iterator[Web]:
    """The server while the block lasts; a behaviour that waits for `web.stopped` is let go in the end."""
    web = Web()
    handler = type("Handler", (Request,), {"web": web})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield web
    finally:
        web.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()
