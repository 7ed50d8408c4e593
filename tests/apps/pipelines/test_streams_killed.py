"""kill -9 at each batch, and at each place of plan, extract and load, for each kind of broker: each message once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis
from confluent_kafka import Producer

from apps.accounts.models import Project
from apps.pipelines import services
from apps.pipelines.models import Pipeline
from apps.sources import services as sources
from dataplane.connectors import nats_jetstream, redis_streams
from dataplane.connectors.kafka import session as kafka
from tests.apps.pipelines import workshop as ws
from tests.kafka_cluster import kafka_cluster
from tests.mortal import Mortals, mortals
from tests.nats_server import PASSWORD, USER, nats_server, send_all

pytestmark = pytest.mark.all

TEXT = """
manifold: 1
pipeline: orders
steps:
  orders: {{extract: {{source: broker, stream: {name}, mode: incremental}}}}
  kept: {{load: {{input: orders, dataset: orders}}}}
"""
RUNS = (
    ("plan in_commit", "plan committed", "orders part_1", "orders part_2", "orders part_3", "kept committed"),
    ("orders written", "orders in_commit", "orders committed", "kept in_commit"),
)


@dataclass
class Broker:
    """A stream in a broker; `send` puts messages with these numbers into it.

    Twice `at_once` and ten are read in three batches or more.
    """

    name: str
    connector: str
    params: dict[str, Any]
    at_once: int
    send: Callable[[range], None]


def by_redis(url: str, _: pytest.TempPathFactory) -> Iterator[Broker]:
    name, parts = f"orders-{uuid4().hex}", urlsplit(url)
    params = {"host": parts.hostname, "port": parts.port, "password": parts.password, "streams": [name]}
    with redis.Redis.from_url(url) as client:

        def send(numbers: range) -> None:
            with client.pipeline() as together:
                for each in numbers:
                    together.xadd(name, {"n": each})
                together.execute()

        database = parts.path.strip("/") or 0
        yield Broker(name, "redis_streams", {**params, "database": database}, 2 * redis_streams.AT_ONCE, send)
        client.delete(name)


def by_kafka(_: str, __: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka_cluster() as servers:
        producer = Producer({"bootstrap.servers": ",".join(servers)})

        def send(numbers: range) -> None:
            for each in numbers:
                producer.produce("orders", value=b'{"n": %d}' % each, key=str(each))
            assert producer.flush(60) == 0

        yield Broker("orders", "kafka", {"servers": servers, "topics": ["orders"]}, kafka.AT_ONCE, send)


def by_nats(_: str, folders: pytest.TempPathFactory) -> Iterator[Broker]:
    with nats_server(folders.mktemp("nats")) as port:
        params = {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD, "streams": ["orders"]}

        def send(numbers: range) -> None:
            send_all(port, "orders", (b'{"n": %d}' % each for each in numbers))

        yield Broker("orders", "nats_jetstream", params, nats_jetstream.AT_ONCE, send)


@pytest.fixture(params=[by_redis, by_kafka, by_nats], ids=["redis", "kafka", "nats"])
def broker(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    yield from request.param(redis_url, tmp_path_factory)


@pytest.fixture
def pipeline(project: Project, workshop: object, broker: Broker) -> Pipeline:
    broker.send(range(1, 4))
    params = {**broker.params, "most_messages": 2 * broker.at_once + 10}
    source = sources.create_source(
        project, slug="broker", title="", connector=broker.connector, params=params, actor=ws.ACTOR
    )
    (stream,) = sources.discover_streams(source, actor=ws.ACTOR)
    columns = [{**each, "type": "BIGINT" if each["name"] == "n" else each["type"]} for each in stream.config["columns"]]
    sources.update_stream(stream, config={"columns": columns}, actor=ws.ACTOR)
    return ws.published(project, TEXT.format(name=broker.name))


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Mortals]:
    with mortals(tmp_path_factory.mktemp("orders")) as found:
        yield found


def test_whoever_dies_each_message_comes_once(project: Project, pipeline: Pipeline, broker: Broker, mortal: Mortals):
    sent = 3
    for number, places in enumerate(RUNS):
        many = 100 if number else 2 * broker.at_once + 100
        broker.send(range(sent + 1, sent + many + 1))
        sent += many
        services.start_run(pipeline, actor=ws.ACTOR)
        for each in places:
            ws.killed(mortal, *each.split())
            sent += 1
            broker.send(range(sent, sent + 1))
        ws.work()
    while ws.run(pipeline).state == "succeeded":
        pass
    found = ws.rows(project, "orders", "count(*), count(DISTINCT n), min(n), max(n)")
    assert found == {(sent, sent, 1, sent): 1}
