"""A door before the brokers of a Kafka cluster that asks for what the cluster knows nothing of: TLS, and SASL.

It speaks as much of Kafka's protocol as that takes. Every message is a length, and then of a request: what is asked, in
which version, a number for the answer, who asks; of an answer: the number. Brokers tell where they are, so each has a
door of its own, and answers are handed on with the doors' ports. It also finds offsets by time, as brokers do, if the
time of each message is `FIRST_AT` and its offset, in milliseconds. And it names the broker that speaks for all, which
the mock cluster leaves out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

USER, PASSWORD = "reader", "s3cret"
FIRST_AT = 1_700_000_000_000
_LIST_OFFSETS, _HANDSHAKE, _VERSIONS, _SIGN_IN = 2, 17, 18, 36
_WRONG, _UNKNOWN = 58, 33
_HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_ITERATIONS = 4096
_HOST = b"localhost"
# The cluster's name, and behind it the number of the broker that speaks for all: 0, though none has it.
_UNNAMED = re.compile(rb"(mockCluster[0-9a-f]+)\0\0\0\0")


class Door:
    """What stands before one broker. mechanism: how one signs in; empty: nobody has to."""

    def __init__(self, broker: int, certificate: Path | None, mechanism: str) -> None:
        self.broker, self.mechanism = broker, mechanism
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.moved: dict[bytes, bytes] = {}
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                came, _ = self.listening.accept()
                threading.Thread(target=self._received, args=[came], daemon=True).start()

    def _received(self, came: socket.socket) -> None:
        with suppress(OSError), came:
            near = self.context.wrap_socket(came, server_side=True) if self.context else came
            with near, socket.create_connection(("127.0.0.1", self.broker)) as far:
                _Visit(self, near, far).serve()


class _Visit:
    """One connection: requests are answered here, or handed on and answered there, one after the other."""

    def __init__(self, door: Door, near: socket.socket, far: socket.socket) -> None:
        self.door, self.near, self.far = door, near, far
        self.scram = Scram(_HASHES[door.mechanism]) if door.mechanism in _HASHES else None
        self.admitted = not door.mechanism

    def serve(self) -> None:
        while (request := _message(self.near)) is not None:
            what, version, number, named = struct.unpack(">hhih", request[:10])
            said = request[10 + max(0, named) :]
            if what == _HANDSHAKE:
                answer = self._handshake(said)
            elif what == _SIGN_IN:
                answer = self._sign_in(said)
            elif not self.admitted and what != _VERSIONS:
                return
            elif what == _LIST_OFFSETS:
                answer = self._by_time(request, said)
            else:
                answer = self._handed_on(request)
            answer = _versions(answer, version) if what == _VERSIONS else answer
            self.near.sendall(struct.pack(">ii", len(answer) + 4, number) + answer)

    def _handed_on(self, request: bytes) -> bytes:
        self.far.sendall(struct.pack(">i", len(request)) + request)
        answer = (_message(self.far) or b"")[4:]
        for there, here in self.door.moved.items():
            answer = answer.replace(there, here)
        return _UNNAMED.sub(lambda found: found[1] + struct.pack(">i", 1), answer)

    def _handshake(self, said: bytes) -> bytes:
        known = self.door.mechanism.encode()
        wrong = _UNKNOWN if said[2:] != known else 0
        return struct.pack(">hih", wrong, 1, len(known)) + known

    def _sign_in(self, said: bytes) -> bytes:
        given = said[4:]
        if self.scram is not None:
            answer = self.scram.answer(given.decode())
            self.admitted = self.scram.proven
        else:
            self.admitted = given.split(b"\0")[1:] == [USER.encode(), PASSWORD.encode()]
            answer = b"" if self.admitted else None
        if answer is None:
            return struct.pack(">hhi", _WRONG, -1, 0)
        return struct.pack(">hhi", 0, -1, len(answer)) + answer

    def _by_time(self, request: bytes, said: bytes) -> bytes:
        """Where messages from a time on are asked for: the newest offsets are, and put in their place."""
        asked = list(_partitions(said, 5, 4, ">q"))
        if any(time < 0 for _, time in asked):
            return self._handed_on(request)
        start = len(request) - len(said)
        newest = bytearray(request)
        for place, _ in asked:
            newest[start + place : start + place + 8] = struct.pack(">q", -1)
        answer = bytearray(self._handed_on(bytes(newest)))
        for (place, end), (_, time) in zip(list(_partitions(bytes(answer), 4, 14, ">q")), asked, strict=True):
            wanted = max(0, time - FIRST_AT)
            answer[place : place + 8] = struct.pack(">q", wanted if wanted < end else -1)
        return bytes(answer)


class Scram:
    """The server's side of SCRAM (RFC 5802) for one user."""

    def __init__(self, hash_: str) -> None:
        self.hash, self.proven, self.begun = hash_, False, ""

    def answer(self, said: str) -> bytes | None:
        """To the first message the challenge, to the second the signature; None where that proves nothing."""
        if not self.begun:
            bare = said.partition(",,")[2]
            challenge = f"r={bare.rpartition('r=')[2]}own,s={base64.b64encode(b'salt').decode()},i={_ITERATIONS}"
            self.begun = f"{bare},{challenge}"
            return challenge.encode()
        plain, _, proof = said.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac(self.hash, PASSWORD.encode(), b"salt", _ITERATIONS)
        key = self._signed(salted, b"Client Key")
        about = f"{self.begun},{plain}".encode()
        signature = self._signed(hashlib.new(self.hash, key).digest(), about)
        wanted = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        self.proven = base64.b64decode(proof) == wanted and self.begun.startswith(f"n={USER},")
        server = self._signed(self._signed(salted, b"Server Key"), about)
        return b"v=" + base64.b64encode(server) if self.proven else None

    def _signed(self, key: bytes, what: bytes) -> bytes:
        return hmac.digest(key, what, self.hash)


def _message(connection: socket.socket) -> bytes | None:
    """The next message; None where nothing comes any more."""
    head = connection.recv(4)
    while 0 < len(head) < 4 and (more := connection.recv(4 - len(head))):
        head += more
    if len(head) < 4:
        return None
    found = bytearray()
    (size,) = struct.unpack(">i", head)
    while len(found) < size:
        if not (more := connection.recv(size - len(found))):
            return None
        found += more
    return bytes(found)


def _partitions(said: bytes, at: int, skipped: int, form: str) -> Iterator[tuple[int, int]]:
    """Where a number of each partition stands behind `skipped` bytes of it, and the number."""
    (topics,) = struct.unpack_from(">i", said, at)
    at += 4
    for _ in range(topics):
        at += 2 + struct.unpack_from(">h", said, at)[0]
        (partitions,) = struct.unpack_from(">i", said, at)
        at += 4
        for _ in range(partitions):
            at += skipped
            yield at, struct.unpack_from(form, said, at)[0]
            at += 8


def _versions(answer: bytes, version: int) -> bytes:
    """What the brokers understand, and this door; offsets are asked for in a version that it can read."""
    head, size, tagged = (3, 7, b"\0") if version >= 3 else (6, 6, b"")
    many = answer[2] - 1 if version >= 3 else struct.unpack_from(">i", answer, 2)[0]
    known = {
        what: (least, most)
        for what, least, most in (struct.unpack_from(">hhh", answer, head + size * each) for each in range(many))
    }
    known |= {_LIST_OFFSETS: (2, 2), _HANDSHAKE: (0, 1), _SIGN_IN: (0, 0)}
    count = bytes([len(known) + 1]) if version >= 3 else struct.pack(">i", len(known))
    entries = b"".join(struct.pack(">hhh", what, *span) + tagged for what, span in sorted(known.items()))
    return answer[:2] + count + entries + answer[head + size * many :]


@contextmanager
def doors(brokers: Sequence[str], *, certificate: Path | None = None, mechanism: str = "") -> Iterator[list[str]]:
    """The addresses of doors before these brokers. certificate: PEM with its key, for TLS; mechanism: of SASL."""
    made = [Door(int(each.rpartition(":")[2]), certificate, mechanism) for each in brokers]
    moved = {_place(b"127.0.0.1", each.broker): _place(_HOST, each.port) for each in made}
    with ExitStack() as stack:
        for each in made:
            each.moved = moved
            stack.enter_context(each.listening)
            thread = threading.Thread(target=each.serve, daemon=True)
            thread.start()
            stack.callback(thread.join, 60)
            stack.callback(each.listening.shutdown, socket.SHUT_RDWR)
        yield [f"localhost:{each.port}" for each in made]


def _place(host: bytes, port: int) -> bytes:
    """How an address stands in an answer, whatever says how long the name is: both have nine letters."""
    return host + struct.pack(">i", port)
