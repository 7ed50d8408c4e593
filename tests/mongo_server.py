"""A server that speaks MongoDB's protocol (OP_MSG over TCP, with TLS and SCRAM-SHA-256) and holds documents in memory.

It understands what a reader asks: hello, listCollections, listIndexes, find, getMore, count and the aggregation by
which drivers count. Documents are kept as BSON, in the order of their `_id`, so that what a reader gets are the bytes
that were stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import bson
from bson import Int64, ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from tests import peers

OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_MS, unicode_decode_error_handler="surrogateescape"
)
_MESSAGE = 2013
_QUERY = 2004
_ITERATIONS = 4096
_TYPES = {"date": "DatetimeMS", "objectId": "ObjectId", "int": "int", "long": "Int64", "array": "list"}


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.answer = {"ok": 0.0, "code": code, "errmsg": message}


class Store:
    """The collections of a server, and what happens to those who ask."""

    def __init__(self) -> None:
        self.collections: dict[str, list[bytes]] = {}
        self.views: set[str] = set()
        self.indexes: dict[str, list[str]] = {}
        self.users: dict[str, str] = {}
        self.hello: dict[str, Any] = {}
        self.refusing: dict[str, Refused] = {}
        self.break_after: int | None = None
        """Answer so many getMore, then close the connection."""
        self.kill_at: int | None = None
        """Kill whoever asks for so many a batch behind the first."""
        self.most_bytes = 16 << 20
        """No answer holds more, but always a document."""
        self.asked: list[dict[str, Any]] = []
        self.cursors: dict[int, list[bytes]] = {}
        self.lock = threading.Lock()

    def add(self, collection: str, *documents: dict[str, Any] | bytes) -> None:
        kept = self.collections.setdefault(collection, [])
        kept += [each if isinstance(each, bytes) else bson.encode(each) for each in documents]

    def found(self, collection: str, query: dict[str, Any]) -> list[bytes]:
        return [each for each in self.collections.get(collection, []) if matches(bson.decode(each, OPTIONS), query)]


def matches(document: dict[str, Any], query: dict[str, Any]) -> bool:
    """Whether a document is one that a filter means."""
    return all(_meets(document, name, wanted) for name, wanted in query.items())


def _meets(document: dict[str, Any], name: str, wanted: Any) -> bool:
    if name in ("$and", "$or", "$nor"):
        each = [matches(document, one) for one in wanted]
        return all(each) if name == "$and" else any(each) if name == "$or" else not any(each)
    if name.startswith("$"):
        raise Refused(2, f"unknown top level operator: {name}")
    value = document.get(name)
    if not (isinstance(wanted, dict) and any(each.startswith("$") for each in wanted)):
        return bool(value == wanted)
    return all(_holds(value, operator, than, name in document) for operator, than in wanted.items())


def _holds(value: Any, operator: str, than: Any, there: bool) -> bool:
    if operator == "$not":
        return not all(_holds(value, inner, one, there) for inner, one in than.items())
    if isinstance(value, list) and operator != "$ne" and any(_holds(each, operator, than, there) for each in value):
        return True
    if operator == "$type":
        return type(value).__name__ in [_TYPES[each] for each in ([than] if isinstance(than, str) else than)]
    if operator == "$exists":
        return there is bool(than)
    if operator == "$in":
        return value in than
    if operator not in ("$gt", "$gte", "$lt", "$lte", "$ne"):
        raise Refused(2, f"unknown operator: {operator}")
    if operator == "$ne":
        return bool(value != than)
    if isinstance(than, datetime):
        than = bson.DatetimeMS(than)
    # Values of other types are never compared.
    if type(value) is not type(than) and not (isinstance(value, int) and isinstance(than, int)):
        return False
    if isinstance(value, bson.DatetimeMS):
        value, than = int(value), int(than)
    holds: bool = {"$gt": value > than, "$gte": value >= than, "$lt": value < than, "$lte": value <= than}[operator]
    return holds


def _projected(document: bytes, names: dict[str, int]) -> bytes:
    """The document with these fields; as it is where it holds what nobody can write again."""
    try:
        return bson.encode({name: value for name, value in bson.decode(document, OPTIONS).items() if name in names})
    except UnicodeEncodeError:
        return document


def _key(value: Any) -> Any:
    return int(value) if isinstance(value, bson.DatetimeMS) else value


class _Session(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.user = ""
        self.proof: tuple[str, bytes] = ("", b"")
        try:
            while True:
                length, number, _, kind = struct.unpack("<iiii", self._exactly(16))
                body = self._exactly(length - 16)
                if kind == _QUERY:
                    # The first greeting of old drivers.
                    answer, head = self._answer(bson.decode(body[body.index(b"\0", 4) + 9 :])), b""
                    head = struct.pack("<iqii", 8, 0, 0, 1)
                    self._send(1, number, head + bson.encode(answer))
                    continue
                assert kind == _MESSAGE, kind
                asked = bson.decode(body[5:] if body[4:5] == b"\0" else body, OPTIONS)
                self._send(_MESSAGE, number, b"\0\0\0\0\0" + bson.encode(self._answer(asked)))
        except (ConnectionError, EOFError, ssl.SSLError, OSError):
            return

    def _send(self, kind: int, number: int, body: bytes) -> None:
        self.request.sendall(struct.pack("<iiii", len(body) + 16, 0, number, kind) + body)

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self.request.recv(size - len(found))
            if not more:
                raise EOFError
            found += more
        return found

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        store = self.server.store
        name = next(iter(asked))
        with store.lock:
            store.asked.append(asked)
            try:
                if name in store.refusing:
                    raise store.refusing[name]
                if store.users and not self.user and name not in ("hello", "ismaster", "saslStart", "saslContinue"):
                    raise Refused(13, f"command {name} requires authentication")
                return {**getattr(self, f"_{name.lower()}")(asked), "ok": 1.0}
            except Refused as refused:
                return refused.answer

    def _hello(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {
            "isWritablePrimary": True,
            "ismaster": True,
            "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "logicalSessionTimeoutMinutes": 30,
            "saslSupportedMechs": ["SCRAM-SHA-256"],
            **self.server.store.hello,
        }

    _ismaster = _hello

    def _ping(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {}

    _endsessions = _killcursors = _ping

    def _buildinfo(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"version": "7.0.0"}

    def _listcollections(self, asked: dict[str, Any]) -> dict[str, Any]:
        store = self.server.store
        listed = [{"name": each, "type": "view" if each in store.views else "collection"} for each in store.collections]
        return {"cursor": {"id": Int64(0), "ns": "shop.$cmd.listCollections", "firstBatch": listed}}

    def _listindexes(self, asked: dict[str, Any]) -> dict[str, Any]:
        names = ["_id", *self.server.store.indexes.get(asked["listIndexes"], [])]
        listed = [{"v": 2, "key": {each: 1}, "name": each} for each in names]
        return {"cursor": {"id": Int64(0), "ns": "shop.x", "firstBatch": listed}}

    def _count(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"n": len(self.server.store.found(asked["count"], asked.get("query", {})))}

    def _aggregate(self, asked: dict[str, Any]) -> dict[str, Any]:
        query, *rest = asked["pipeline"]
        found = len(self.server.store.found(asked["aggregate"], query["$match"]))
        found = min([found, *(each["$limit"] for each in rest if "$limit" in each)])
        listed = [{"_id": 1, "n": found}] if found else []
        return {"cursor": {"id": Int64(0), "ns": "shop.x", "firstBatch": listed}}

    def _find(self, asked: dict[str, Any]) -> dict[str, Any]:
        store = self.server.store
        found = store.found(asked["find"], asked.get("filter", {}))
        for name, direction in reversed(list(asked.get("sort", {}).items())):
            found.sort(key=lambda each: _key(bson.decode(each, OPTIONS).get(name)), reverse=direction < 0)
        found = found[: asked["limit"]] if asked.get("limit") else found
        if names := asked.get("projection"):
            found = [_projected(each, names) for each in found]
        return self._page(
            asked["find"], found, asked.get("batchSize", 101), "firstBatch", asked.get("singleBatch", False)
        )

    def _getmore(self, asked: dict[str, Any]) -> dict[str, Any]:
        store = self.server.store
        if store.break_after is not None:
            if not store.break_after:
                raise ConnectionError
            store.break_after -= 1
        if store.kill_at is not None:
            store.kill_at -= 1
            if not store.kill_at:
                store.kill_at = None
                peers.kill(self.client_address[1])
                raise ConnectionError
        rest = store.cursors.pop(int(asked["getMore"]))
        return self._page(asked["collection"], rest, asked.get("batchSize", 1000), "nextBatch")

    def _page(self, name: str, found: list[bytes], size: int, called: str, alone: bool = False) -> dict[str, Any]:
        number = Int64(0)
        sizes = accumulate(len(each) for each in found)
        size = min(size or len(found), max(1, sum(each <= self.server.store.most_bytes for each in sizes)))
        if len(found) > size and not alone:
            number = Int64(secrets.randbits(60) + 1)
            self.server.store.cursors[int(number)] = found[size:]
        page = [RawBSONDocument(each) for each in found[:size]]
        return {"cursor": {"id": number, "ns": f"shop.{name}", called: page}}

    def _saslstart(self, asked: dict[str, Any]) -> dict[str, Any]:
        bare = asked["payload"].decode().removeprefix("n,,")
        fields = dict(each.split("=", 1) for each in bare.split(","))
        if asked["mechanism"] != "SCRAM-SHA-256" or fields["n"] not in self.server.store.users:
            raise Refused(18, "Authentication failed.")
        nonce = fields["r"] + secrets.token_hex(8)
        salt = secrets.token_bytes(16)
        first = f"r={nonce},s={base64.b64encode(salt).decode()},i={_ITERATIONS}"
        self.wanted = fields["n"]
        self.proof = (f"{bare},{first}", salt)
        return {"conversationId": 1, "done": False, "payload": first.encode()}

    def _saslcontinue(self, asked: dict[str, Any]) -> dict[str, Any]:
        payload = asked["payload"].decode()
        if not payload:
            return {"conversationId": 1, "done": True, "payload": b""}
        before, salt = self.proof
        without, _, proof = payload.rpartition(",p=")
        message = f"{before},{without}".encode()
        salted = hashlib.pbkdf2_hmac("sha256", self.server.store.users[self.wanted].encode(), salt, _ITERATIONS)
        client = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client).digest(), message, "sha256")
        if bytes(a ^ b for a, b in zip(client, signature, strict=True)) != base64.b64decode(proof):
            raise Refused(18, "Authentication failed.")
        self.user = self.wanted
        verifier = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return {"conversationId": 1, "done": True, "payload": b"v=" + base64.b64encode(verifier)}


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 50
    context: ssl.SSLContext | None = None

    def __init__(self, store: Store) -> None:
        self.store = store
        super().__init__(("127.0.0.1", 0), _Session)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is not None:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that went away is none."""


@contextmanager
def serving(store: Store, certificate: Path | None = None) -> Iterator[int]:
    """The port of a server of this store. certificate: a PEM file with key and certificate, for TLS."""
    server = _Server(store)
    if certificate is not None:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ids(count: int) -> list[ObjectId]:
    """Ids in rising order, the same in every process."""
    return [ObjectId(f"{each:024x}") for each in range(1, count + 1)]
