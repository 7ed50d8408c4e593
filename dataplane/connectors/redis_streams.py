"""Streams of Redis 7, Valkey and compatible servers, read by the ids of their entries."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pyarrow as pa
from pydantic import Field

from dataplane import authorities
from dataplane.connectors import recognising
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said
from dataplane.connectors.files.server import connected, lost, not_admitted
from dataplane.connectors.schema import Column
from dataplane.connectors.streams import messages
from dataplane.connectors.streams.connector import Broker, StreamConnector, no_stream
from dataplane.connectors.streams.extents import Extent, Written, milliseconds
from dataplane.connectors.streams.messages import Batch, Pace
from dataplane.connectors.streams.params import MessageParams
from dataplane.connectors.streams.server import ChosenStreams, ServerAddress, ServerSession, TlsAccess, tls_fails
from dataplane.connectors.watch import Watch
from dataplane.errors import ConfigurationError, ManifoldError, TransientError

if TYPE_CHECKING:
    import redis

T = TypeVar("T")
Entry = tuple[bytes, dict[bytes, bytes]]

AT_ONCE = 5_000
COUNT_SECONDS = 10.0
_MOST_STREAMS = 1_000
_ALL = 1 << 62
_SHIFT = 64
_LOW = (1 << _SHIFT) - 1


def number(text: str) -> int:
    """An id such as 1526919030474-55 as one integer, in the same order."""
    time, _, sequence = text.partition("-")
    return int(time) << _SHIFT | int(sequence or 0)


def text(position: int) -> str:
    """The id of a number."""
    return f"{position >> _SHIFT}-{position & _LOW}"


class RedisAccess(ServerAddress):
    """Where the server is, and how one is let in."""

    port: int = Field(6379, ge=1, le=65535, title="Port")
    user: str | None = Field(
        None, title="User", description="Empty: the server's default user.", json_schema_extra=said("Sign in")
    )
    database: int = Field(0, ge=0, le=1_000_000, title="Database")


class RedisEntries(Stated):
    """Where in an entry its message stands."""

    json_field: str | None = Field(
        None,
        title="Field with JSON",
        description="The field of each entry that holds the whole message. Empty: the fields are the columns.",
        json_schema_extra=said("Reading"),
    )


class RedisParams(MessageParams, RedisEntries, ChosenStreams, TlsAccess, RedisAccess):
    """The parameters of a source. A form shows the fields of the last base first."""


class RedisStreams(StreamConnector):
    """Entries of streams, as they were added."""

    key = "redis_streams"
    title = "Redis Streams"
    summary = "Entries of streams in Redis 7, Valkey and compatible servers, each once, in the order of their ids."
    tested_with = "Valkey on loopback, also behind TLS and with a user of few rights"
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

    def broker(self, *, hurried: bool) -> Broker:
        return _Session(self.params, hurried=hurried)

    def _latest(self, broker: Broker, stream: str, most: int) -> Iterator[Batch]:
        assert isinstance(broker, _Session)
        return broker.latest(stream, most)


class _Session(ServerSession[RedisParams]):
    """One connection; its client opens it with the first question."""

    def __init__(self, params: RedisParams, *, hurried: bool) -> None:
        super().__init__(params, hurried=hurried)
        self._hurried = hurried
        self._client: redis.Redis | None = None
        self._watch: Watch | None = None

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        if self._client is not None:
            self._client.close()

    def extents(self, stream: str) -> list[Extent]:
        told: Any = self._ask(lambda client: client.xinfo_stream(stream), stream)
        if "entries-added" not in told:
            raise _too_old()
        newest, first = number(_decoded(told["last-generated-id"])), told["first-entry"]
        before = number(_decoded(first[0])) - 1 if first else newest
        return [Extent("", before, newest, int(told["entries-added"]), int(told["length"]))]

    def messages(self, stream: str, spans: dict[str, tuple[int, int]], most: int) -> Iterator[Batch]:
        for lower, upper in spans.values():
            yield from self._batches(self._entries(stream, lower, upper, most))

    def latest(self, stream: str, most: int) -> Iterator[Batch]:
        """So many of the newest entries, from batch to batch older ones: ids tell nobody where these begin."""
        return self._batches(self._newest(stream, most), newest_first=True)

    def _batches(self, came: Iterator[Sequence[Entry]], *, newest_first: bool = False) -> Iterator[Batch]:
        """What came, gathered until it fills a batch."""
        gathered: list[Entry] = []
        size = 0
        for found in came:
            gathered += found
            size += _size(found)
            if len(gathered) >= AT_ONCE or size >= messages.MOST_BYTES:
                yield self._batch(gathered[::-1] if newest_first else gathered)
                gathered, size = [], 0
        if gathered:
            yield self._batch(gathered[::-1] if newest_first else gathered)

    def _entries(self, stream: str, lower: int, upper: int, left: int) -> Iterator[Sequence[Entry]]:
        """The entries between two ids, some at once."""
        pace = Pace(AT_ONCE)
        while lower < upper and left > 0:
            bounds = (f"({text(lower)}", text(upper))
            count = min(left, pace.count)
            found: Any = self._ask(lambda client: client.xrange(stream, *bounds, count=count), stream)  # noqa: B023
            if not found:
                break
            yield found
            lower = number(found[-1][0].decode())
            left -= len(found)
            pace.took(len(found), _size(found))

    def _newest(self, stream: str, left: int) -> Iterator[Sequence[Entry]]:
        """The newest entries, some at once, the newest first."""
        upper, pace = "+", Pace(AT_ONCE)
        while left > 0:
            count = min(left, pace.count)
            found: Any = self._ask(lambda client: client.xrevrange(stream, upper, count=count), stream)  # noqa: B023
            if not found:
                break
            yield found
            upper = f"({_decoded(found[-1][0])}"
            left -= len(found)
            pace.took(len(found), _size(found))

    def since(self, stream: str, extents: Sequence[Extent], at: datetime) -> list[Extent]:
        """No command counts entries, so those of the side that has fewer are looked through, with each plan."""
        (extent,) = extents
        lower = number(f"{milliseconds(at)}-0") - 1
        if lower <= extent.before:
            return [extent]
        return [self._counted(stream, extent, lower)]

    def _counted(self, stream: str, extent: Extent, lower: int) -> Extent:
        """What is behind an id; where somebody waits and it takes long, as many entries as were counted by then."""
        began, behind, before = time.monotonic(), 0, 0
        earlier = self._entries(stream, extent.before, lower, _ALL)
        for found in self._entries(stream, lower, extent.newest, _ALL):
            behind += len(found)
            if (others := next(earlier, None)) is not None:
                before += len(others)
            elif (same := self.extents(stream)[0]).given_before == extent.given_before and same.before == extent.before:
                # All that was there is there still, so what is not before the id is behind it.
                return extent.behind(lower, (extent.kept or 0) - before)
            if self._hurried and time.monotonic() - began > COUNT_SECONDS:
                return extent.behind(lower, behind, at_least=True)
        return extent.behind(lower, behind)

    def _found(self) -> list[str]:
        found = self._ask(lambda client: list(islice(client.scan_iter(count=1000, _type="STREAM"), _MOST_STREAMS)))
        return [each.decode("utf-8", "surrogateescape") for each in found if _fits(each)]

    def _batch(self, found: Sequence[Entry]) -> Batch:
        ids = [each.decode() for each, _ in found]
        times = pa.array([int(each.partition("-")[0]) for each in ids], pa.int64()).cast(pa.timestamp("ms", "UTC"))
        name = self._params.json_field and self._params.json_field.encode()
        values = [fields.get(name) if name else _as_json(fields) for _, fields in found]
        size = sum(len(each) for each in values if each)
        beside = {"_offset": pa.array(ids, pa.string()), "_timestamp": times}
        return Batch(beside, values, {"": number(ids[-1])}, {"": len(ids)}, size)

    def _connect(self) -> str:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        params = self._params
        opened: list[socket.socket] = []
        kind = _pinned(redis.SSLConnection if params.tls else redis.Connection, opened)
        if self._hurried:
            self._watch = Watch(lambda: opened)
        secure: dict[str, Any] = {}
        if params.tls:
            own = params.certificate
            secure = {"ssl_ca_data": own} if own else {"ssl_ca_certs": authorities.trusted()}
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
            answer = question(self._client)
        except redis.RedisError as error:
            raise _told(error, self._params, stream) from error
        except OSError as error:
            raise lost(self._params.host) from error
        if self._watch is not None:
            self._watch.came()
        return answer


def _pinned(kind: type[Any], opened: list[socket.socket]) -> type[Any]:
    """A connection to the address that was checked; the name stays what a certificate has to show.

    opened: where the one that is open stands.
    """
    import redis

    class Checked(redis.Connection):
        def _connect(self) -> socket.socket:
            sock = connected(self.host, self.port)
            sock.settimeout(self.socket_timeout)
            return sock

    checked = Checked if kind is redis.Connection else type("CheckedTls", (kind, Checked), {})

    class Noted(checked):  # type: ignore[misc, valid-type]
        def _connect(self) -> socket.socket:
            opened[:] = [super()._connect()]
            return opened[0]

    return Noted


def _told(error: redis.RedisError, params: RedisParams, stream: str) -> ManifoldError:
    import redis

    said = str(error)
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthenticationWrongNumberOfArgsError):
        return not_admitted(params.user or "the default user", "password")
    if isinstance(error, redis.exceptions.NoPermissionError):
        return ConfigurationError(
            f"The user may not read {stream or 'this server'}. Have PING, SELECT, SCAN, XINFO, XRANGE and XREVRANGE "
            "granted.",
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
            return tls_fails(params.host, said)
        return lost(params.host)
    if "no such key" in said or "WRONGTYPE" in said:
        return no_stream(stream, "stream")
    if "DB index" in said:
        return ConfigurationError(
            f"The server has no database {params.database}. Correct its number.", code="database_missing"
        )
    return TransientError(f"The server answers: {said[:200]}.", code="server_error")


def _too_old() -> ConfigurationError:
    return ConfigurationError(
        "The server does not tell how many entries a stream was given, so nobody could tell if some are gone. Use "
        "Redis 7 or newer, or Valkey.",
        code="server_too_old",
    )


def _size(found: Sequence[Entry]) -> int:
    """Bytes of what the entries say."""
    return sum(len(each) for _, fields in found for each in fields.values())


def _as_json(fields: dict[bytes, bytes]) -> bytes:
    """The fields of an entry as a JSON object of texts; bytes that are no text stay visible as \\xNN."""
    named = {name.decode("utf-8", "backslashreplace"): _decoded(value) for name, value in fields.items()}
    return json.dumps(named, ensure_ascii=False).encode()


def _decoded(value: bytes | str) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _fits(name: bytes) -> bool:
    """Whether a stream may be called so."""
    return len(name) <= 200 and b"/" not in name and name.isascii()
