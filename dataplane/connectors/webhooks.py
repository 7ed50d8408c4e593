"""Inbound webhooks: events that others send to an address of the source, kept before they are acknowledged."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said, secret_field
from dataplane.connectors.schema import Column
from dataplane.connectors.streams.connector import Broker, StreamConnector, no_stream
from dataplane.connectors.streams.extents import Extent
from dataplane.connectors.streams.inbox import Inbox, Received, Standing
from dataplane.connectors.streams.messages import Batch
from dataplane.connectors.streams.params import MessageParams

STREAM = "events"
_AT_ONCE = 5_000


class WebhookAccess(Stated):
    """Which secrets events are signed with, and how long they are kept."""

    secret: str | None = secret_field(
        "Secret", "The one that the sender has given you (whsec_…). Empty: have one made on the source's page."
    )
    previous: str | None = secret_field(
        "Secret before", "Also accepted, while the sender changes over.", only={"secret": []}
    )
    largest_kb: int = Field(256, ge=1, le=2_048, title="Largest event, in kB", json_schema_extra=said("Limits"))
    keep_days: int = Field(
        7,
        ge=1,
        le=3_650,
        title="Keep events, in days",
        description="Then those that were loaded are removed. So long one that comes again is known.",
        json_schema_extra=said("Limits"),
    )

    @field_validator("secret", "previous")
    @classmethod
    def _bits(cls, value: str | None) -> str | None:
        try:
            bits = base64.b64decode((value or "").removeprefix("whsec_"), validate=True)
        except binascii.Error:
            bits = b""
        if value and len(bits) < 24:
            raise ValueError("It is no secret of Standard Webhooks: whsec_ and at least 24 bytes in base64.")
        return value

    @property
    def secrets(self) -> tuple[str, ...]:
        """Those that an event may be signed with."""
        return tuple(each for each in (self.secret, self.previous) if each)


class WebhookParams(MessageParams, WebhookAccess):
    """The parameters of a source. A form shows the fields of the last base first."""


class Webhooks(StreamConnector):
    """Events of one inbox, in the order in which they were taken."""

    key = "webhooks"
    title = "Inbound webhooks"
    summary = "Events that others send to an address of Manifold, signed as Standard Webhooks say; each is read once."
    tested_with = "signed requests over HTTP"
    Params: ClassVar[type[WebhookParams]] = WebhookParams
    params: WebhookParams
    beside = (
        Column("_offset", "BIGINT", False, "position"),
        Column("_timestamp", "TIMESTAMP WITH TIME ZONE", False, "when it came"),
        Column("_id", "VARCHAR", False, "webhook-id"),
    )
    place = ("_id", "_offset")

    def broker(self, *, hurried: bool) -> Broker:
        return _Session(self._given())

    def questions(self, broker: Broker) -> Sequence[tuple[str, Callable[[], str]]]:
        return [("secret", self._secret), ("list", self._list)]

    def _secret(self) -> str:
        many = len(self.params.secrets)
        if not many:
            return "No secret is set, so no event is taken. Have one made on the source's page, or enter the sender's."
        return f"Events signed with {'its secret' if many == 1 else 'either of its secrets'} are taken."

    def _list(self) -> str:
        # A test must not ask the database that keeps the events.
        standing = self._given().standing
        return f"{standing.newest - standing.before:,} events are kept of {standing.newest:,} that came."

    def _given(self) -> Inbox:
        return self.inbox or _Unused()


class _Unused:
    """The inbox of a source that is not kept yet."""

    standing = Standing(0, 0)

    def look(self) -> Standing:
        return self.standing

    def since(self, at: datetime) -> int:
        return 0

    def events(self, lower: int, upper: int, most: int) -> Sequence[Received]:
        return []


class _Session:
    """The inbox as a broker of one stream."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def steps(self) -> Sequence[tuple[str, Callable[[], str]]]:
        return ()

    def close(self) -> None:
        """Nothing was opened."""

    def names(self) -> list[str]:
        return [STREAM]

    def extents(self, stream: str) -> list[Extent]:
        if stream != STREAM:
            raise no_stream(stream, "stream")
        standing = self._inbox.look()
        return [Extent("", standing.before, standing.newest)]

    def since(self, stream: str, extents: Sequence[Extent], at: datetime) -> list[Extent]:
        return [each.behind(self._inbox.since(at)) for each in extents]

    def follow(self, stream: str, read: dict[str, int]) -> None:
        """What was loaded is removed by its own tick."""

    def messages(self, stream: str, spans: dict[str, tuple[int, int]], most: int) -> Iterator[Batch]:
        for lower, upper in spans.values():
            left = most
            while lower < upper and left > 0:
                found = self._inbox.events(lower, upper, min(left, _AT_ONCE))
                if not found:
                    break
                lower = found[-1].position
                left -= len(found)
                beside = {
                    "_offset": pa.array([each.position for each in found], pa.int64()),
                    "_timestamp": pa.array([each.at for each in found], pa.timestamp("us", "UTC")),
                    "_id": pa.array([each.message_id for each in found], pa.string()),
                }
                values = [each.body for each in found]
                yield Batch(beside, values, {"": lower}, {"": len(found)}, sum(map(len, values)))
