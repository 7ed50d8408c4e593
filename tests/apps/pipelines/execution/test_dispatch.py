"""Messages: one an id, into the step's queue; a broker that is down is no error."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Producer, pools

from apps.pipelines.execution import dispatch
from manifold import celery
from tests.apps.pipelines.execution.factories import queued
from tests.ports import own_port


@pytest.fixture
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    celery.app.set_current()
    gone = f"redis://127.0.0.1:{own_port()}/0"
    monkeypatch.setitem(celery.app.conf, "broker_url", gone)
    monkeypatch.setitem(celery.app.conf, "broker_write_url", gone)
    _forget_connections()
    yield
    _forget_connections()


def _forget_connections() -> None:
    """The next message opens a connection to the broker of then, for this test and for those after it."""
    pools.reset()
    celery.app._pool = celery.app.amqp._producer_pool = None


def test_it_works(broker: redis.Redis) -> None:
    step = uuid.uuid4()
    assert dispatch.send([(step, "bulk")]) is True
    assert broker.llen("bulk") == queued() == 1
    message = json.loads(broker.lindex("bulk", 0) or b"")
    assert message["headers"]["task"] == dispatch.TASK
    assert message["headers"]["argsrepr"] == f"['{step}']"


def test_many_go_out_in_their_order(broker: redis.Redis) -> None:
    steps = [uuid.uuid4() for _ in range(5)]
    assert dispatch.send([(step, "bulk") for step in steps]) is True
    # The one that was sent first is at the end from which workers take them.
    sent = [json.loads(each)["headers"]["argsrepr"] for each in reversed(broker.lrange("bulk", 0, -1))]
    assert sent == [f"['{step}']" for step in steps]


def test_a_message_that_would_come_first_waits(broker: redis.Redis) -> None:
    assert not dispatch.somebody_waits("bulk")
    dispatch.send([(uuid.uuid4(), "default")])
    assert [dispatch.somebody_waits(queue) for queue in dispatch.QUEUES] == [False, True, True]


def test_questions_are_answered_after_a_call_to_the_workers(broker: redis.Redis) -> None:
    """Whoever calls the workers leaves a request for their answers open on the channel of its connection."""
    celery.app.control.ping(timeout=0.1, limit=1)
    assert (queued(), dispatch.somebody_waits("bulk")) == (0, False)
    assert dispatch.send([(uuid.uuid4(), "bulk"), (uuid.uuid4(), "bulk")]) is True
    assert (queued(), dispatch.somebody_waits("bulk")) == (2, True)


def test_a_connection_that_is_made_anew_within_a_batch_is_no_error(
    broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_task = celery.app.send_task

    def reconnected(name: str, producer: Producer, **more: Any) -> None:
        send_task(name, producer=producer, **more)
        producer.revive(producer.connection.channel())

    steps = [(uuid.uuid4(), "bulk") for _ in range(2)]
    with monkeypatch.context() as changed:
        changed.setattr(celery.app, "send_task", reconnected)
        assert dispatch.send(steps) is False
    assert queued() == 0
    assert dispatch.send(steps) is True
    assert queued() == 2


@pytest.mark.usefixtures("_no_broker")
def test_a_broker_that_is_down_is_no_error() -> None:
    assert dispatch.send([(uuid.uuid4(), "default")]) is False
    assert dispatch.send([(uuid.uuid4(), "default") for _ in range(2)]) is False
    assert dispatch.queued() is None
    assert dispatch.somebody_waits("critical")
