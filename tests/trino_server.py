"""A server that speaks Trino's protocol on loopback: statements become DuckDB's, and answers come in small pages.

Only the protocol is as Trino's manual has it, and the statements are parsed as Trino's; the engine is another.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import duckdb
import sqlglot

from tests import peers

USER = "reader"
PAGE = 3


@dataclass
class TrinoServer:
    """A server that runs. elsewhere: where it says that the second page of an answer is; drips: it answers with a
    blank now and then; ended: the numbers of the queries that their askers have ended; doom: whoever asks for so many
    pages of rows is killed."""

    port: int
    duck: duckdb.DuckDBPyConnection
    sent: list[str] = field(default_factory=list)
    user: str = USER
    busy: int = 0
    elsewhere: str = ""
    drips: bool = False
    ended: list[str] = field(default_factory=list)
    doom: int = 0
    pages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "database": "memory", "user": self.user}

    def die_after(self, pages: int) -> None:
        """The next reader of rows is killed in the place of so many a page."""
        self.doom = pages


class _Handler(BaseHTTPRequestHandler):
    here: ClassVar[TrinoServer]

    def do_POST(self) -> None:
        sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.headers["X-Trino-User"].encode("latin-1").decode() != self.here.user:
            self._answer({"message": "no"}, 401)
            return
        if self.here.drips:
            self._drip()
            return
        if self.here.busy:
            self.here.busy -= 1
            self._answer({}, 503)
            return
        self.here.sent.append(sql)
        number = str(len(self.here.sent))
        self.here.pages[number] = _pages(self.here.duck, sql)
        self._answer({"id": number, "nextUri": self._at(number, 0)})

    def do_GET(self) -> None:
        *_, number, place = self.path.split("/")
        pages = self.here.pages[number]
        page = dict(pages[int(place)])
        if int(place) + 1 < len(pages):
            page["nextUri"] = self.here.elsewhere or self._at(number, int(place) + 1)
        # Rows of a stream are called so, and answers to questions are not.
        if self.here.doom and "data" in page and page["columns"][0]["name"] == "c0":
            self.here.doom -= 1
            if not self.here.doom:
                peers.kill(self.client_address[1])
                return
        self._answer({"id": number, **page})

    def do_DELETE(self) -> None:
        *_, number, _ = self.path.split("/")
        self.here.ended.append(number)
        self.send_response(204)
        self.end_headers()

    def _at(self, number: str, place: int) -> str:
        return f"http://127.0.0.1:{self.here.port}/v1/statement/executing/{number}/{place}"

    def _drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            for _ in range(100):
                self.wfile.write(b" ")
                time.sleep(0.05)

    def _answer(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is said."""


def _pages(duck: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """The answer after the first: a page without anything, as Trino gives while it plans, then the rows."""
    try:
        (ours,) = sqlglot.transpile(sql, read="trino", write="duckdb")
        found = duck.cursor().execute(ours)
    except sqlglot.errors.ParseError as error:
        return [{"error": {"errorName": "SYNTAX_ERROR", "message": str(error)}}]
    except duckdb.CatalogException as error:
        return [{"error": {"errorName": "TABLE_NOT_FOUND", "message": str(error)}}]
    except duckdb.BinderException as error:
        return [{"error": {"errorName": "COLUMN_NOT_FOUND", "message": str(error)}}]
    columns = [{"name": name, "type": str(type_).lower()} for name, type_, *_ in found.description or ()]
    rows = [[each if isinstance(each, int | float | None) else str(each) for each in row] for row in found.fetchall()]
    parts = [rows[place : place + PAGE] for place in range(0, len(rows), PAGE)]
    return [{}, {"columns": columns}, *({"columns": columns, "data": each} for each in parts), {}]


@contextmanager
def trino_server() -> Iterator[TrinoServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server, duckdb.connect() as duck:
        _Handler.here = TrinoServer(server.server_address[1], duck)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield _Handler.here
        finally:
            server.shutdown()
