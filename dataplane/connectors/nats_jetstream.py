"""Streams of NATS JetStream, read by the sequence of their messages."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pyarrow as pa
from pydantic import Field, model_validator

from dataplane import authorities
from dataplane.connectors import recognising
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.conditions import signing_in
from dataplane.connectors.databases.stages import reachable
from dataplane.connectors.fields import said, secret_field
from dataplane.connectors.files.server import CONNECT_SECONDS, lost, not_admitted
from dataplane.connectors.nats_credentials import NatsCredentials
from dataplane.connectors.nats_pull import Pull
from dataplane.connectors.schema import Column
from dataplane.connectors.streams.connector import Broker, StreamConnector, no_stream
from dataplane.connectors.streams.extents import Extent
from dataplane.connectors.streams.messages import Batch
from dataplane.connectors.streams.params import MessageParams
from dataplane.connectors.streams.server import ChosenStreams, ServerAddress, ServerSession, TlsAccess, tls_fails
from dataplane.errors import ConfigurationError, ManifoldError, TransientError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

T = TypeVar("T")

AT_ONCE = 5_000
_OF_THEIR_OWN = ("KV_", "OBJ_", "$")
# What the server calls its errors: no consumer of this name, and no JetStream for the account or at all.
_NO_CONSUMER = 10014
_OFF = (10039, 10076)


class NatsAccess(ServerAddress):
    """Where the server is, and how one is let in."""

    model_config = signing_in(
        {
            "none": "nothing",
            "password": "user and password",
            "token": "a token",
            "credentials": "a credentials file or an NKey",
        }
    )

    port: int = Field(4222, ge=1, le=65535, title="Port")
    user: str | None = Field(
        None, title="User", json_schema_extra=said("Sign in", only={"way": ["password"]}, needed=True)
    )
    password: str | None = secret_field("Password", only={"way": ["password"]})
    token: str | None = secret_field("Token", only={"way": ["token"]}, needed=True)
    credentials: str | None = secret_field(
        "Credentials file",
        "The whole text of a .creds file, or the seed of an NKey (SU…).",
        multiline=True,
        only={"way": ["credentials"]},
        needed=True,
    )

    @model_validator(mode="after")
    def _complete(self) -> NatsAccess:
        if self.password and not self.user:
            raise ValueError("Enter the user that the password belongs to.")
        if self.credentials:
            NatsCredentials.read(self.credentials)
        return self


class NatsParams(MessageParams, ChosenStreams, TlsAccess, NatsAccess):
    """The parameters of a source. A form shows the fields of the last base first."""


class NatsJetStream(StreamConnector):
    """Messages of streams, in the order of their sequence."""

    key = "nats_jetstream"
    title = "NATS JetStream"
    summary = "Messages of streams of NATS JetStream, each once, by their sequence; no consumer of yours is touched."
    tested_with = "nats-server 2.15 on loopback, with user and password, a token, a credentials file, an NKey, and TLS"
    Params: ClassVar[type[NatsParams]] = NatsParams
    params: NatsParams
    beside = (
        Column("_offset", "BIGINT", False, "sequence in the stream"),
        Column("_timestamp", "TIMESTAMP WITH TIME ZONE", False, "time of storing"),
        Column("_subject", "VARCHAR", False, "subject"),
        Column("_headers", "JSON", True, "headers"),
    )

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.broker(clue, product="NATS", schemes=("nats", "tls"), port=4222, alone="token")

    def broker(self, *, hurried: bool) -> Broker:
        return _Session(self.params, hurried=hurried)


class _Session(ServerSession[NatsParams]):
    """One connection on an event loop of its own; nothing is opened before its steps."""

    def __init__(self, params: NatsParams, *, hurried: bool) -> None:
        super().__init__(params, hurried=hurried)
        self._loop = asyncio.new_event_loop()
        self._address = ""
        self._client: Client | None = None
        self._entered = False

    def close(self) -> None:
        if self._client is not None:
            with suppress(Exception):
                self._loop.run_until_complete(self._client.close())
        self._loop.close()

    def extents(self, stream: str) -> list[Extent]:
        found = self._ask(self._stream.stream_info(stream), stream)
        made = found.created.isoformat(timespec="milliseconds") if found.created else ""
        return [Extent("", max(found.state.first_seq - 1, 0), found.state.last_seq, made=made)]

    def since(self, stream: str, extents: Sequence[Extent], at: datetime) -> list[Extent]:
        from nats.js.api import DeliverPolicy

        place = self._place(stream)
        before = self._ask(place.begin(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=at), stream)
        self._ask(place.end())
        return [each.behind(before) for each in extents]

    def messages(self, stream: str, spans: dict[str, tuple[int, int]], most: int) -> Iterator[Batch]:
        from nats.js.api import DeliverPolicy

        for lower, upper in spans.values():
            if lower >= upper:
                continue
            place = self._place(stream)
            self._ask(place.begin(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=lower + 1), stream)
            left, more = most, True
            while more and left > 0:
                taken, more = self._taken(place, stream, upper, min(left, AT_ONCE))
                left -= len(taken)
                if taken:
                    yield _batch(taken)
            self._ask(place.end())

    def _place(self, stream: str) -> Pull:
        assert self._client is not None, "the session has not been opened"
        return Pull(self._client, stream, seconds=self._seconds)

    def _taken(self, place: Pull, stream: str, upper: int, most: int) -> tuple[list[Msg], bool]:
        """The next messages of a span, and whether there may be more."""
        found = self._ask(place.next(most), stream)
        taken = [each for each in found if each.metadata.sequence.stream <= upper]
        if not found or len(taken) < len(found):
            return taken, False
        newest = found[-1].metadata
        return taken, newest.sequence.stream < upper and newest.num_pending > 0

    def _found(self) -> list[str]:
        async def all_of_them() -> list[str]:
            found: list[str] = []
            while page := await self._stream.streams_info(offset=len(found)):
                found += [each.config.name or "" for each in page]
            return found

        return [each for each in self._ask(all_of_them()) if not each.startswith(_OF_THEIR_OWN)]

    @property
    def _stream(self) -> JetStreamContext:
        assert self._client is not None, "the session has not been opened"
        return self._client.jetstream(timeout=self._seconds)

    def _connect(self) -> str:
        self._address = reachable(self._params.host, self._params.port, "the NATS server")
        return f"{self._params.host}:{self._params.port} answers."

    def _authenticate(self) -> str:
        import nats

        params = self._params
        host = f"[{self._address}]" if ":" in self._address else self._address
        secure: dict[str, Any] = {}
        if params.tls:
            secure = {"tls": authorities.context(params.certificate), "tls_hostname": params.host}
        credentials = NatsCredentials.read(params.credentials) if params.credentials else None
        client = nats.NATS()
        if credentials is not None and not credentials.jwt:
            # Given a seed it would set this itself, by a package of its own.
            client._public_nkey = credentials.user
        self._ask(
            client.connect(
                f"{'tls' if params.tls else 'nats'}://{host}:{params.port}",
                name="manifold",
                # The address was checked; others that the server tells of are not followed.
                allow_reconnect=False,
                max_reconnect_attempts=0,
                connect_timeout=int(CONNECT_SECONDS),
                error_cb=_nothing,
                **_entrance(params, credentials),
                **secure,
            )
        )
        self._client = client
        self._ask(self._stream.account_info())
        self._entered = True
        return "The server lets us in, and its JetStream is on."

    def _ask(self, question: Awaitable[T], stream: str = "") -> T:
        """Ask on the session's loop, and tell failures in our words."""
        import nats.errors

        async def asked() -> T:
            return await asyncio.wait_for(question, self._seconds + CONNECT_SECONDS)

        try:
            return self._loop.run_until_complete(asked())
        except (nats.errors.Error, TimeoutError, OSError, ssl.SSLError) as error:
            raise told(error, self._params, stream, entered=self._entered) from error


def _entrance(params: NatsParams, credentials: NatsCredentials | None) -> dict[str, Any]:
    """How the client signs in."""
    if credentials is None:
        return {"user": params.user, "password": params.password, "token": params.token}
    jwt = credentials.jwt.encode()
    return {
        # It is not sent; the client signs only where it believes that there is somebody to be let in.
        "user": "signed",
        "user_jwt_cb": (lambda: bytearray(jwt)) if jwt else None,
        "signature_cb": credentials.signed,
    }


async def _nothing(error: Exception) -> None:
    """What the client reports beside its answers is told by the next of them."""


def told(error: Exception, params: NatsParams, stream: str, *, entered: bool) -> ManifoldError:
    """A failure in our words. entered: JetStream has answered in this session, so its silence will pass."""
    import nats.errors
    import nats.js.errors

    number = getattr(error, "err_code", None)
    if isinstance(error, nats.js.errors.NotFoundError):
        # The consumer is this read's own: it was forgotten, or went with the server that held it.
        return lost(params.host) if number == _NO_CONSUMER else no_stream(stream, "stream")
    silent = isinstance(error, nats.js.errors.ServiceUnavailableError | nats.errors.NoRespondersError)
    if number in _OFF or (silent and number is None and not entered):
        return ConfigurationError(
            "JetStream is not on, on this server or for this account. Switch it on, or enter another account.",
            code="jetstream_off",
        )
    if silent:
        return lost(params.host)
    said = str(error)
    if isinstance(error, nats.errors.AuthorizationError) or "authorization" in said.lower():
        return not_admitted(params.user or "us", "credentials file" if params.credentials else "password or token")
    if isinstance(error, ssl.SSLError | nats.errors.SecureConnRequiredError | nats.errors.SecureConnWantedError):
        return tls_fails(params.host, said)
    if isinstance(error, nats.js.errors.APIError):
        return TransientError(f"The server answers: {said[:200]}.", code="server_error")
    return lost(params.host)


def _batch(taken: Sequence[Msg]) -> Batch:
    known = [each.metadata for each in taken]
    values = [each.data for each in taken]
    beside = {
        "_offset": pa.array([each.sequence.stream for each in known], pa.int64()),
        "_timestamp": pa.array([each.timestamp for each in known], pa.timestamp("us", "UTC")),
        "_subject": pa.array([each.subject for each in taken], pa.string()),
        "_headers": pa.array(
            [json.dumps(each.headers, ensure_ascii=False) if each.headers else None for each in taken], pa.string()
        ),
    }
    last = {"": known[-1].sequence.stream}
    return Batch(beside, values, last, {"": len(taken)}, sum(map(len, values)))
