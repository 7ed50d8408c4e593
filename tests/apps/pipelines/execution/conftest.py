"""Every test of the engine knows the kinds `noop` and `trial`, and no broker: messages are counted instead of sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from kombu import Producer

from apps.pipelines.execution import dispatch
from manifold import celery
from tests import kinds


@pytest.fixture(autouse=True)
def _kinds() -> None:
    kinds.register()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the steps whose messages went to the broker, in their order."""
    ids: list[str] = []

    def send_task(name: str, args: list[str], queue: str, producer: Producer) -> None:
        assert name == dispatch.TASK
        ids.append(args[0])

    monkeypatch.setattr(dispatch.current_app, "send_task", send_task)
    return ids


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    """The broker, empty."""
    client = redis.Redis.from_url(redis_url)
    client.flushdb()
    celery.app.set_current()
    yield client
    client.flushdb()
    client.close()
