"""A stream of Redis that is there for one test, and a source that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis

from apps.accounts.models import Project
from apps.sources import services as sources
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as found:
        yield found


@pytest.fixture
def key(broker: redis.Redis) -> Iterator[str]:
    name = f"orders-{uuid4().hex}"
    yield name
    broker.delete(name)


def on_broker(project: Project, slug: str, url: str, key: str) -> Source:
    parts = urlsplit(url)
    params: dict[str, Any] = {"host": parts.hostname, "port": parts.port, "password": parts.password}
    params |= {"database": parts.path.strip("/") or 0, "streams": [key]}
    return sources.create_source(project, slug=slug, title="", connector="redis_streams", params=params, actor=ws.ACTOR)
