"""A server that speaks just enough of MySQL: it lets clients in or not, and may ask them for a file."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_GREETING = (
    b"\x0a8.0.36\0"
    + struct.pack("<I", 7)
    + b"abcdefgh\0"
    + struct.pack("<HBHH", 0xF7DF, 45, 2, 0x001F)
    + b"\x15"
    + b"\0" * 10
    + b"ijklmnopqrst\0mysql_native_password\0"
)
_OK = b"\0\0\0\x02\0\0\0"
_REFUSED = b"\xff" + struct.pack("<H", 1251) + b"#08004Client does not support the authentication protocol"
_PREPARED = b"\0" + struct.pack("<IHHxH", 1, 0, 0, 0)
_QUIT, _PREPARE, _CLOSE_STATEMENT = b"\x01", b"\x16", b"\x19"


@dataclass
class Rogue:
    """Lets in who names itself so, answers `honest` statements, at the next asks for the file `wanted`, and is gone.

    drops: it hangs up on the others instead of telling them. greeting: what it says first.
    """

    wanted: str = ""
    honest: int = 1000
    admits: bytes = b""
    drops: bool = False
    greeting: bytes = _GREETING
    port: int = 0
    asked: int = 0
    got: bytes = b""
    statements: list[bytes] = field(default_factory=list)

    def serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, EOFError):
            client.settimeout(60)
            _send(client, 0, self.greeting)
            number, said = _packet(client)
            if self.admits in said:
                _send(client, number + 1, _OK)
                self._answer(client)
            elif not self.drops:
                _send(client, number + 1, _REFUSED)

    def _answer(self, client: socket.socket) -> None:
        while True:
            number, said = _packet(client)
            if said[:1] == _QUIT:
                return
            if said[:1] == _CLOSE_STATEMENT:
                continue
            self.statements.append(said)
            if len(self.statements) <= self.honest:
                _send(client, number + 1, _PREPARED if said[:1] == _PREPARE else _OK)
                continue
            self.asked += 1
            _send(client, number + 1, b"\xfb" + self.wanted.encode())
            while said:
                _, said = _packet(client)
                self.got += said
            return


def _packet(client: socket.socket) -> tuple[int, bytes]:
    head = _exactly(client, 4)
    return head[3], _exactly(client, int.from_bytes(head[:3], "little"))


def _exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = client.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def _send(client: socket.socket, number: int, payload: bytes) -> None:
    client.sendall(len(payload).to_bytes(3, "little") + bytes([number % 256]) + payload)


@contextmanager
def rogue(server: Rogue) -> Iterator[Rogue]:
    """It listens on loopback until the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=server.serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
