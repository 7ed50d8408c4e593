"""The first messages of a stream that had none when it was added: they settle its columns, and are no change."""

from __future__ import annotations

import pytest
import redis

from apps.accounts.models import Project
from apps.audit.models import Event
from apps.pipelines import runlog
from apps.sources import services as sources
from apps.sources.models import Drift, Source, Stream
from dataplane.drift import POLICIES
from tests.apps.pipelines import workshop as ws
from tests.apps.pipelines.broker import on_broker

pytestmark = pytest.mark.all

TEXT = """
manifold: 1
pipeline: orders
steps:
  orders: {{extract: {{source: broker, stream: {key}, mode: incremental}}}}
  kept: {{load: {{input: orders, dataset: orders}}}}
"""


def numbers(project: Project) -> list[int]:
    return sorted(int(n) for (n,) in ws.rows(project, "orders", "n").elements())


@pytest.fixture
def empty(project: Project, workshop: object, redis_url: str, key: str, broker: redis.Redis) -> Source:
    """A source of one stream that is there and had no message when it was added."""
    broker.xadd(key, {"n": 0})
    broker.xtrim(key, maxlen=0, approximate=False)
    made = on_broker(project, "broker", redis_url, key)
    sources.discover_streams(made, actor=ws.ACTOR)
    return made


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_messages_of_an_empty_stream_are_no_change(
    empty: Source, redis_url: str, key: str, broker: redis.Redis, policy: str
):
    project = empty.project
    sources.update_source(empty, drift=policy, actor=ws.ACTOR)
    pipeline = ws.published(project, TEXT.format(key=key))
    assert (ws.run(pipeline).state, Stream.objects.get().warnings != []) == ("skipped", True)
    broker.xadd(key, {"n": 1})
    run = ws.run(pipeline)
    assert (run.state, numbers(project)) == ("succeeded", [1]), ws.error_of(run)
    stream = Stream.objects.select_related("source").get()
    assert (Drift.objects.count(), stream.warnings) == (0, [])
    found = Event.objects.get(verb="stream columns found")
    assert (found.object_name, found.data["columns"][-1]) == (str(stream), "n VARCHAR")
    said = [(each.level, each.text) for each in runlog.lines_of(run) if "settle" in each.text]
    assert said == [("info", "orders: the first rows of its stream settle its columns: n is new (VARCHAR).")]
    # It is declared as if it had been added after them.
    (later,) = sources.discover_streams(on_broker(project, "later", redis_url, key), actor=ws.ACTOR)
    assert later.config == stream.config
    broker.xadd(key, {"note": "new"})
    assert ws.run(pipeline).state == {"ask": "waiting", "stop": "failed"}.get(policy, "succeeded")
    assert [each["column"] for each in Drift.objects.get().changes] == ["note"]


def test_columns_that_somebody_declared_of_an_empty_stream_are_known(
    project: Project, empty: Source, key: str, broker: redis.Redis
):
    sources.update_source(empty, drift="stop", actor=ws.ACTOR)
    stream = Stream.objects.get()
    columns = [*stream.config["columns"], {"name": "n", "type": "BIGINT"}]
    sources.update_stream(stream, config={"columns": columns}, actor=ws.ACTOR)
    pipeline = ws.published(project, TEXT.format(key=key))
    broker.xadd(key, {"n": 1})
    assert (ws.run(pipeline).state, numbers(project), Drift.objects.count()) == ("succeeded", [1], 0)
    assert Stream.objects.get().config["columns"][-1]["type"] == "BIGINT"
    broker.xadd(key, {"n": 2, "note": "new"})
    assert ws.failure(ws.run(pipeline))["code"] == "schema_drift"


def test_whoever_looks_again_finds_the_first_messages_and_no_change(empty: Source, key: str, broker: redis.Redis):
    broker.xadd(key, {"n": 1})
    (stream,) = sources.discover_streams(empty, actor=ws.ACTOR)
    assert ("n" in [each["name"] for each in stream.seen], Drift.objects.count()) == (True, 0)
