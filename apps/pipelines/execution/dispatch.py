"""Messages: "wake up, look at step N". A ready row is the truth; a message that is lost is sent again by the sweep."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import TypeVar

import structlog
from celery import current_app
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.transport.redis import Channel
from redis import Redis
from redis.exceptions import RedisError

from apps.pipelines import failpoints

log = structlog.get_logger(__name__)

TASK = "apps.pipelines.tasks.run_step"
QUEUES = ("critical", "default", "bulk")
# Of hundreds of messages the first are with the workers while the rest are made.
_AT_ONCE = 20
UNREACHABLE = (OperationalError, BatchPublishError, RedisError, OSError)
Ready = tuple[uuid.UUID, str]
Answer = TypeVar("Answer")


def send(ready: Sequence[Ready]) -> bool:
    """One message for each step, into its queue. Call it after commit; False when the broker could not be reached."""
    try:
        if ready:
            _publish(ready)
    except (*UNREACHABLE, RuntimeError) as error:
        # RuntimeError: the connection was made anew within a batch, which kombu gives up then.
        # The sweep sends what nobody claims when the broker is back.
        log.warning("broker_unreachable", error=str(error))
        return False
    failpoints.hit("published")
    return True


def _publish(ready: Sequence[Ready]) -> None:
    with current_app.producer_or_acquire() as producer, producer.batch(_AT_ONCE) if len(ready) > 1 else nullcontext():
        for step, queue in ready:
            current_app.send_task(TASK, args=[str(step)], queue=queue, producer=producer)


def somebody_waits(queue: str) -> bool:
    """Whether a message waits that would come before one that is sent into this queue now, as far as can be known."""
    # A queue without messages is no key.
    return _ask(lambda client: client.exists(*QUEUES[: QUEUES.index(queue) + 1])) != 0


def queued() -> dict[str, int] | None:
    """How many messages wait in each queue of steps; None when the broker cannot be reached."""
    return _ask(lambda client: {queue: int(client.llen(queue)) for queue in QUEUES})


@lru_cache(maxsize=1)
def _client(channel: Channel) -> Redis:
    """Not the channel's own: a call to the workers leaves that waiting for their answers. Making one takes longer than
    its question, so it is kept with its channel."""
    with channel.conn_or_acquire() as client:
        return client


def _ask(question: Callable[[Redis], Answer]) -> Answer | None:
    try:
        with current_app.pool.acquire(block=True) as connection:
            return question(_client(connection.default_channel))
    except UNREACHABLE as error:
        log.warning("broker_unreachable", error=str(error))
        return None
