"""An API on loopback that gives records page by page, each after a pause such as servers elsewhere make."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

PAGES, RECORDS, PAUSE = 100, 1_000, 0.05
_NOTHING = b'{"data":[]}'


@contextmanager
def served(source: Path) -> Iterator[str]:
    """The first lines of an NDJSON file as pages, numbered from 1; yields their address without `page`."""
    with source.open(encoding="utf-8") as file:
        pages = [_page([next(file) for _ in range(RECORDS)]) for _ in range(PAGES)]
    handler = type("Handler", (_Handler,), {"pages": pages})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/orders"
        finally:
            server.shutdown()
            thread.join()


def fetch(url: str) -> float:
    """Seconds that one client takes to ask for each page behind the other, up to the one without a record."""
    began = time.perf_counter()
    with httpx.Client(trust_env=False) as client:
        for number in count(1):
            if client.get(url, params={"page": number}).content == _NOTHING:
                return time.perf_counter() - began
    raise AssertionError


def _page(lines: list[str]) -> bytes:
    return ('{"data":[' + ",".join(each.rstrip("\n") for each in lines) + "]}").encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else the body waits for the client's word that the headers have come.
    disable_nagle_algorithm = True
    pages: list[bytes]

    def handle(self) -> None:
        """Until the client has left, however it leaves."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        number = int(parse_qs(urlsplit(self.path).query).get("page", ["1"])[0])
        time.sleep(PAUSE)
        body = self.pages[number - 1] if number <= len(self.pages) else _NOTHING
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a measurement reads no log."""
