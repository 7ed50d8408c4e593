"""Messages: one an id, into the step's queue; a broker that is down is no error."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
import redis
from kombu import pools

from apps.pipelines.execution import dispatch
from apps.pipelines.models import StepRun
from manifold import celery
from manifold.embedded.ports import free_port
from tests.apps.pipelines.execution.factories import make_run, step_of


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    celery.app.set_current()
    yield client
    client.flushall()
    client.close()


@pytest.fixture
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    celery.app.set_current()
    gone = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setitem(celery.app.conf, "broker_url", gone)
    monkeypatch.setitem(celery.app.conf, "broker_write_url", gone)
    _forget_connections()
    yield
    _forget_connections()


def _forget_connections() -> None:
    """The next message opens a connection to the broker of then, for this test and for those after it."""
    pools.reset()
    celery.app._pool = celery.app.amqp._producer_pool = None


@pytest.mark.django_db
def test_it_works(broker: redis.Redis) -> None:
    step = step_of(make_run(), "a")
    StepRun.objects.update(queue="bulk")
    dispatch.publish([step.pk, uuid.uuid4()])
    assert broker.llen("bulk") == dispatch.queued() == 1
    message = json.loads(broker.lindex("bulk", 0) or b"")
    assert message["headers"]["task"] == dispatch.TASK
    assert message["headers"]["argsrepr"] == f"['{step.pk}']"


@pytest.mark.django_db
def test_only_ready_steps_are_sent(broker: redis.Redis) -> None:
    step = step_of(make_run(), "a")
    StepRun.objects.update(state="cancelled")
    dispatch.publish([step.pk])
    assert dispatch.queued() == 0


@pytest.mark.usefixtures("_no_broker")
def test_a_broker_that_is_down_is_no_error() -> None:
    assert dispatch.send([(uuid.uuid4(), "default")]) is False
    assert dispatch.queued() is None
