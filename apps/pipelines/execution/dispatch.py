"""Messages: "wake up, look at step N". A ready row is the truth; a message that is lost is sent again by the sweep."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

import structlog
from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.pipelines import failpoints
from apps.pipelines.models import StepRun

log = structlog.get_logger(__name__)

TASK = "apps.pipelines.tasks.run_step"
QUEUES = ("critical", "default", "bulk")
UNREACHABLE = (OperationalError, RedisError, OSError)
Ready = tuple[uuid.UUID, str]


def publish(steps: Sequence[uuid.UUID]) -> None:
    """Send a message for each of these ready steps. Call it after commit; a broker that is down raises nothing."""
    send(StepRun.objects.filter(pk__in=steps, state="ready").values_list("pk", "queue"))


def send(ready: Iterable[Ready]) -> bool:
    """One message for each step, into its queue; False when the broker could not be reached."""
    for step, queue in ready:
        try:
            current_app.send_task(TASK, args=[str(step)], queue=queue)
        except UNREACHABLE as error:
            # The others would wait for the same broker; the sweep sends them when it is back.
            log.warning("broker_unreachable", error=str(error))
            return False
    failpoints.hit("published")
    return True


def queued() -> int | None:
    """How many messages wait in the queues of steps; None when the broker cannot be reached."""
    try:
        with current_app.connection_for_write() as connection:
            client = connection.default_channel.client
            return sum(int(client.llen(queue)) for queue in QUEUES)
    except UNREACHABLE as error:
        log.warning("broker_unreachable", error=str(error))
        return None
