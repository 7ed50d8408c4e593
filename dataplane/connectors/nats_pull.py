"""A read's own consumer in JetStream, whose messages are asked for by count and size."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dataplane.connectors.streams import messages

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

_API = "$JS.API.CONSUMER"
# So long the server keeps our place in a stream when nobody asks for the next messages.
_FORGOTTEN_AFTER = 600.0
_NOTHING_LEFT = ("404", "408")
_TOO_LARGE = "409"


class Pull:
    """A place in a stream, which acknowledges nothing."""

    def __init__(self, client: Client, stream: str, *, seconds: float) -> None:
        self._client, self._stream, self._seconds = client, stream, seconds
        self._name, self._inbox = uuid4().hex, client.new_inbox()
        self._requests = count()
        self._answers: Subscription | None = None

    async def begin(self, **begins: Any) -> int:
        """Open it where `begins` says; the sequence before it."""
        from nats.js.api import AckPolicy, ConsumerConfig

        config = ConsumerConfig(
            name=self._name,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=_FORGOTTEN_AFTER,
            mem_storage=True,
            num_replicas=1,
            **begins,
        )
        made = await self._client.jetstream(timeout=self._seconds).add_consumer(self._stream, config)
        self._answers = await self._client.subscribe(f"{self._inbox}.*")
        assert made.delivered is not None
        return made.delivered.stream_seq

    async def next(self, most: int) -> list[Msg]:
        """The next messages, no more than fit a batch; one that is larger comes alone. Empty where none is left.

        A server closes the connection of whoever asks for far more than the network takes at once, so their size is
        said, too.
        """
        found, status = await self._asked({"batch": most, "max_bytes": messages.MOST_BYTES})
        if found or status is None or status.headers is None or status.headers.get("Status") != _TOO_LARGE:
            return self._told(found, status)
        return self._told(*await self._asked({"batch": 1}))

    async def end(self) -> None:
        """Nobody waits for the server to forget it: who may not end it leaves that to time."""
        import nats.errors

        with suppress(nats.errors.Error):
            if self._answers is not None:
                await self._answers.unsubscribe()
            await self._client.publish(f"{_API}.DELETE.{self._stream}.{self._name}")
            await self._client.flush()

    async def _asked(self, wanted: dict[str, int]) -> tuple[list[Msg], Msg | None]:
        """What came, and what the server said instead of more."""
        assert self._answers is not None, "it has not begun"
        inbox = f"{self._inbox}.{next(self._requests)}"
        request = json.dumps({**wanted, "no_wait": True}).encode()
        await self._client.publish(f"{_API}.MSG.NEXT.{self._stream}.{self._name}", request, reply=inbox)
        found: list[Msg] = []
        while len(found) < wanted["batch"]:
            came = await self._answers.next_msg(self._seconds)
            # A message has its own subject, and says where it would be acknowledged, whatever its headers are called.
            if came.reply:
                found.append(came)
            elif came.subject == inbox:
                return found, came
        return found, None

    @staticmethod
    def _told(found: list[Msg], status: Msg | None) -> list[Msg]:
        """The messages; where there is none, an error unless none is left."""
        from nats.js.errors import APIError

        if not found and status is not None and (status.headers or {}).get("Status") not in _NOTHING_LEFT:
            raise APIError.from_msg(status)
        return found
