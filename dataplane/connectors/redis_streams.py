"""Streams of Redis 7, Valkey and compatible servers, read by the ids of their entries."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from dataplane.connectors import recognising
from dataplane.connectors.base import Column, secret_field
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.files.server import IDLE_SECONDS, connected, lost, not_admitted
from dataplane.connectors.streams.connector import Broker, StreamConnector, no_stream
from dataplane.connectors.streams.extents import Extent, Written
from dataplane.connectors.streams.messages import Batch, Pace
from dataplane.connectors.streams.params import MessageParams
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from dataplane.net import resolve

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

_HURRIED_SECONDS = 10.0
AT_ONCE = 5_000
_MOST_STREAMS = 1_000
_SHIFT = 64
_LOW = (1 << _SHIFT) - 1


def number(text: str) -> int:
    """An id such as 1526919030474-55 as one integer, in the same order."""
    time, _, sequence = text.partition("-")
    return int(time) << _SHIFT | int(sequence or 0)


def text(position: int) -> str:
    """The id of a number."""
    return f"{position >> _SHIFT}-{position & _LOW}"


class RedisAccess(BaseModel):
    """Where the server is, how one is let in, and which of its keys are read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, title="Host", description="A name or an address.")
    port: int = Field(6379, ge=1, le=65535, title="Port")
    user: str | None = Field(None, title="User", description="Empty: the server's default user.")
    password: str | None = secret_field("Password")
    database: int = Field(0, ge=0, le=1_000_000, title="Database")
    tls: bool = Field(False, title="TLS", description="The server's certificate is checked.")
    certificate: str | None = Field(
        None,
        title="Certificate of the issuer",
        description="As PEM; empty: whom this machine trusts.",
        json_schema_extra={"multiline": True},
    )
    streams: tuple[str, ...] = Field(
        (), max_length=1_000, title="Streams", description="Keys, one a line. Empty: every stream that is found."
    )
    json_field: str | None = Field(
        None,
        title="Field with JSON",
        description="The field of each entry that holds the whole message. Empty: the fields are the columns.",
    )


class RedisParams(MessageParams, RedisAccess):
    """The parameters of a source. A form shows the fields of the last base first."""


class RedisStreams(StreamConnector):
    """Entries of streams, as they were added."""

    key = "redis_streams"
    title = "Redis Streams"
    summary = "Entries of streams in Redis 7, Valkey and compatible servers, each once, in the order of their ids."
    tested_with = "Valkey on loopback, also behind TLS"
    Params: ClassVar[type[RedisParams]] = RedisParams
    params: RedisParams
    beside = (
        Column("_offset", "VARCHAR", False, "id of the entry"),
        Column("_timestamp", "TIMESTAMP WITH TIME ZONE", False, "time in the id"),
    )
    place = ("_offset", "NULL")
    written = Written(text, number)

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        found = recognising.broker(clue, product="Redis", schemes=("redis", "rediss"), port=6379)
        if found is None or clue.address is None:
            return None
        more: dict[str, Any] = {"tls": True} if clue.address.scheme == "rediss" else {}
        if (database := clue.address.path.strip("/")).isdecimal():
            more["database"] = int(database)
        return replace(found, params=found.params | more)

    @contextmanager
    def session(self, *, hurried: bool = False) -> Iterator[Broker]:
        session = _Session(self.params, hurried=hurried)
        try:
            for _, step in session.steps():
                step()
            yield session
        finally:
            session.close()

    def _latest(self, broker: Broker, stream: str, most: int) -> Iterator[Batch]:
        assert isinstance(broker, _Session)
        return broker.latest(stream, most)

    @contextmanager
    def stages(self) -> Iterator[Sequence[tuple[str, Callable[[], str]]]]:
        session = _Session(self.params, hurried=True)
        try:
            yield [*session.steps(), ("list", session.listed), ("read a row", session.tasted)]
        finally:
            session.close()


class _Session:
    """One connection; nothing is opened before its steps."""

    def __init__(self, params: RedisParams, *, hurried: bool) -> None:
        self._params = params
        self._seconds = _HURRIED_SECONDS if hurried else IDLE_SECONDS
        self._client: redis.Redis | None = None

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [("resolve", self._resolve), ("connect", self._connect), ("authenticate", self._authenticate)]

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def names(self) -> list[str]:
        if self._params.streams:
            return list(self._params.streams)
        found = self._ask(lambda client: list(islice(client.scan_iter(count=1000, _type="STREAM"), _MOST_STREAMS)))
        return sorted(each.decode("utf-8", "surrogateescape") for each in found if _fits(each))

    def extents(self, stream: str) -> list[Extent]:
        told: Any = self._ask(lambda client: client.xinfo_stream(stream), stream)
        if "entries-added" not in told:
            raise _too_old()
        newest, first = number(_decoded(told["last-generated-id"])), told["first-entry"]
        before = number(_decoded(first[0])) - 1 if first else newest
        return [Extent("", before, newest, int(told["entries-added"]), int(told["length"]))]

    def messages(self, stream: str, spans: dict[str, tuple[int, int]], most: int) -> Iterator[Batch]:
        for lower, upper in spans.values():
            left, pace = most, Pace(AT_ONCE)
            while lower < upper and left > 0:
                bounds = (f"({text(lower)}", text(upper))
                count = min(left, pace.count)
                found: Any = self._ask(lambda client: client.xrange(stream, *bounds, count=count), stream)  # noqa: B023
                if not found:
                    break
                batch = self._batch(found)
                yield batch
                lower = batch.last[""]
                left -= batch.count
                pace.took(batch.count, sum(len(each) for _, fields in found for each in fields.values()))

    def latest(self, stream: str, most: int) -> Iterator[Batch]:
        """So many of the newest entries, from batch to batch older ones: ids tell nobody where these begin."""
        upper, left, pace = "+", most, Pace(AT_ONCE)
        while left > 0:
            count = min(left, pace.count)
            found: Any = self._ask(lambda client: client.xrevrange(stream, upper, count=count), stream)  # noqa: B023
            if not found:
                break
            batch = self._batch(found[::-1])
            yield batch
            upper = f"({_decoded(found[-1][0])}"
            left -= batch.count
            pace.took(batch.count, batch.bytes)

    def follow(self, stream: str, read: dict[str, int]) -> None:
        """There is no group to tell."""

    def listed(self) -> str:
        names = self.names()
        for each in names[:1]:
            self.extents(each)
        return f"{len(names)} streams: {', '.join(names[:5])}." if names else "It has no stream yet."

    def tasted(self) -> str:
        for name in self.names():
            found: Any = self._ask(lambda client: client.xrevrange(name, count=1), name)  # noqa: B023
            if found:
                return f"The newest entry of {name} is {_decoded(found[0][0])}."
        return "No stream has an entry yet."

    def _batch(self, found: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> Batch:
        ids = [each.decode() for each, _ in found]
        times = pa.array([int(each.partition("-")[0]) for each in ids], pa.int64()).cast(pa.timestamp("ms", "UTC"))
        name = self._params.json_field and self._params.json_field.encode()
        values = [fields.get(name) if name else _as_json(fields) for _, fields in found]
        size = sum(len(each) for each in values if each)
        beside = {"_offset": pa.array(ids, pa.string()), "_timestamp": times}
        return Batch(beside, values, {"": number(ids[-1])}, {"": len(ids)}, size)

    def _resolve(self) -> str:
        return f"{self._params.host} is {', '.join(resolve(self._params.host, self._params.port))}."

    def _connect(self) -> str:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        params = self._params
        kind = _pinned(redis.SSLConnection if params.tls else redis.Connection)
        secure: dict[str, Any] = {"ssl_ca_data": params.certificate} if params.tls and params.certificate else {}
        pool = redis.ConnectionPool(
            connection_class=kind,
            max_connections=1,
            host=params.host,
            port=params.port,
            db=params.database,
            username=params.user,
            password=params.password,
            socket_timeout=self._seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **secure,
        )
        self._client = redis.Redis(connection_pool=pool)
        try:
            self._ask(lambda client: client.ping())
        except ConfigurationError as error:
            # Whoever is not let in yet has been answered all the same.
            if error.code == "tls":
                raise
        return f"{params.host}:{params.port} answers."

    def _authenticate(self) -> str:
        self._ask(lambda client: client.ping())
        return f"The server lets {self._params.user or 'its default user'} in."

    def _ask(self, question: Callable[[redis.Redis], T], stream: str = "") -> T:
        """Ask, and tell failures in our words."""
        import redis

        assert self._client is not None, "the session has not been opened"
        try:
            return question(self._client)
        except redis.RedisError as error:
            raise _told(error, self._params, stream) from error
        except OSError as error:
            raise lost(self._params.host) from error


def _pinned(kind: type[Any]) -> type[Any]:
    """A connection to the address that was checked; the name stays what a certificate has to show."""
    import redis

    class Checked(redis.Connection):
        def _connect(self) -> socket.socket:
            sock = connected(self.host, self.port)
            sock.settimeout(self.socket_timeout)
            return sock

    return Checked if kind is redis.Connection else type("CheckedTls", (kind, Checked), {})


def _told(error: redis.RedisError, params: RedisParams, stream: str) -> ManifoldError:
    import redis

    said = str(error)
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthenticationWrongNumberOfArgsError):
        return not_admitted(params.user or "the default user", "password")
    if isinstance(error, redis.exceptions.NoPermissionError):
        return ConfigurationError(
            f"The user may not read {stream or 'this server'}. Have XINFO, XRANGE, XREVRANGE, SCAN and PING granted.",
            code="permission_denied",
            evidence={"stream": stream, "detail": said[:300]},
        )
    if isinstance(error, redis.TimeoutError | redis.exceptions.BusyLoadingError):
        return lost(params.host)
    if isinstance(error, redis.ConnectionError):
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ManifoldError):
            return cause
        if "certificate" in said.lower() or "ssl" in said.lower():
            return ConfigurationError(
                f"The TLS connection to {params.host} does not come about: {said[:200]}. Correct the certificate, or "
                "switch TLS off where the server has none.",
                code="tls",
                evidence={"host": params.host},
            )
        return lost(params.host)
    if "no such key" in said or "WRONGTYPE" in said:
        return no_stream(stream, "stream")
    if "DB index" in said:
        return ConfigurationError(
            f"The server has no database {params.database}. Correct its number.", code="database_missing"
        )
    return TransientError(f"The server answers: {said[:200]}. It is tried again.", code="server_error")


def _too_old() -> ConfigurationError:
    return ConfigurationError(
        "The server does not tell how many entries a stream was given, so nobody could tell if some are gone. Use "
        "Redis 7 or newer, or Valkey.",
        code="server_too_old",
    )


def _as_json(fields: dict[bytes, bytes]) -> bytes:
    """The fields of an entry as a JSON object of texts; bytes that are no text stay visible as \\xNN."""
    named = {name.decode("utf-8", "backslashreplace"): _decoded(value) for name, value in fields.items()}
    return json.dumps(named, ensure_ascii=False).encode()


def _decoded(value: bytes | str) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _fits(name: bytes) -> bool:
    """Whether a stream may be called so."""
    return len(name) <= 200 and b"/" not in name and name.isascii()
