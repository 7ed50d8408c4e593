"""ClickHouse's engine (chDB) behind an HTTP interface as ClickHouse's own, on loopback, in a process of its own.

The engine, its types, its errors and its SQL are real; sign-in and HTTP are written here after ClickHouse's manual. An
answer leaves in small batches, and whoever reads it can be killed after any of them (`die_after`).
"""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest

from tests import peers

USER, PASSWORD = "reader", "of-the-house"
AT_ONCE = 5_000


@dataclass(frozen=True)
class ClickHouseServer:
    """A server that runs."""

    port: int

    @property
    def params(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}

    def do(self, *statements: str) -> None:
        for each in statements:
            self._ask("/", each)

    def die_after(self, batches: int) -> None:
        """The next reader of rows is killed when it has been sent so many batches."""
        self._ask(f"/die?after={batches}", "")

    def _ask(self, path: str, body: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
        connection.request("POST", path, body.encode(), headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status == 200, said


@contextmanager
def clickhouse(folder: Path) -> Iterator[ClickHouseServer]:
    """A server whose data lie in this folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.clickhouse_server", str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield ClickHouseServer(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with clickhouse(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Any = None
    turn = Lock()
    doom: int | None = None

    def do_POST(self) -> None:
        sql = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        given = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        signs = (self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key"))
        if signs != (USER, PASSWORD):
            self._refuse(f"Code: 516. DB::Exception: {signs[0]}: Authentication failed. (AUTHENTICATION_FAILED)")
            return
        if self.path.startswith("/die"):
            type(self).doom = int(given["after"])
            self._whole(b"")
            return
        with self.turn:
            try:
                self._run(sql, given)
            except RuntimeError as error:
                self._refuse(str(error).removeprefix("Streaming query failed: "))

    def _run(self, sql: str, given: dict[str, str]) -> None:
        database = given.pop("database", "default")
        self.engine.query(f"USE {database}")
        statement = re.sub(r"\s+FORMAT ArrowStream\s*\Z", "", sql)
        if statement == sql:
            self._whole(self.engine.query(sql).bytes())
            return
        # The engine looks at settings of the format only where they are a session's.
        for name, value in given.items():
            if name.startswith("output_format"):
                self.engine.query(f"SET {name} = {_constant(value)}")
        settings = ", ".join(f"{name} = {_constant(value)}" for name, value in given.items())
        whole = f"{statement}\nSETTINGS {settings}"
        # Of other statements the engine gives no streams.
        asked = self.engine.send_query if statement.startswith("SELECT") else self.engine.query
        rows = asked(whole, "ArrowStream")
        self._stream(whole, [rows] if hasattr(rows, "bytes") else rows)

    def _stream(self, whole: str, rows: Any) -> None:
        """Each piece of the engine's is a stream of its own; they leave as one."""
        # Of an answer without rows there is none.
        pieces = (pa.ipc.open_stream(each.bytes()) for each in rows)
        first = next(pieces, None) or pa.ipc.open_stream(self.engine.query(whole, "ArrowStream").bytes())
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sink = _Chunks(self.wfile)
        # Rows of a stream are called so, and answers to questions are not.
        sent, doom = 0, self.doom if first.schema.names[0] == "c0" else None
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), first.schema) as target:
            try:
                for piece in (first, *pieces):
                    for batch in piece.read_all().to_batches(AT_ONCE):
                        target.write_batch(batch)
                        sent += 1
                        if doom is not None and sent == doom:
                            self._kill()
            except RuntimeError as error:
                sink.write(f"\r\n__exception__\r\n{error}\r\n".encode())
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def _kill(self) -> None:
        type(self).doom = None
        peers.kill(self.client_address[1])

    def _refuse(self, said: str) -> None:
        self._whole(said.encode(), 500)

    def _whole(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is said."""


class _Chunks:
    """A body in pieces."""

    closed = False

    def __init__(self, target: Any) -> None:
        self.target = target

    def write(self, data: Any) -> int:
        piece = bytes(data)
        if piece:
            self.target.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        return len(piece)

    def flush(self) -> None:
        self.target.flush()


def _constant(value: str) -> str:
    return value if value.isdecimal() else "'" + value.replace("'", "\\'") + "'"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up, or is killed, is no error."""


def main() -> None:
    from chdb import session

    _Handler.engine = session.Session(sys.argv[1])
    server = _Server(("127.0.0.1", 0), _Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
