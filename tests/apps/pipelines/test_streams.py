"""Messages, end to end: each arrives exactly once, however little a run reads, whatever is trimmed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.utils import timezone

from apps.accounts.models import Project
from apps.pipelines import lag, services, windows
from apps.pipelines.cards import cards
from apps.pipelines.models import Run, Window
from apps.pipelines.pages.timeline import timeline
from apps.sources import services as sources
from apps.sources.models import Drift, Source, Stream
from dataplane.connectors import redis_streams
from tests.apps.pipelines import workshop as ws
from tests.apps.pipelines.broker import on_broker

TEXT = """
manifold: 1
pipeline: orders
steps:
  orders: {{extract: {{source: broker, stream: {key}, mode: incremental}}}}
  kept: {{load: {{input: orders, dataset: orders}}}}
"""

OTHER = """\
  other: {extract: {source: drop, stream: other, mode: incremental}}
  others: {load: {input: other, dataset: others}}
"""

Add = Callable[..., None]


@pytest.fixture
def add(broker: redis.Redis, key: str) -> Add:
    """Adds the numbers to the stream, in one transaction."""

    def rows(*numbers: int) -> None:
        with broker.pipeline() as together:
            for each in numbers:
                together.xadd(key, {"n": each})
            together.execute()

    return rows


@pytest.fixture
def source(project: Project, workshop: object, redis_url: str, key: str, add: Add) -> Source:
    add(1, 2, 3)
    made = on_broker(project, "broker", redis_url, key)
    (stream,) = sources.discover_streams(made, actor=ws.ACTOR)
    columns = [{**each, "type": "BIGINT" if each["name"] == "n" else each["type"]} for each in stream.config["columns"]]
    sources.update_stream(stream, config={"columns": columns}, actor=ws.ACTOR)
    return made


def limited(source: Source, **params: Any) -> None:
    sources.update_source(source, params=params, actor=ws.ACTOR)


def numbers(project: Project) -> list[int]:
    """What has arrived, sorted; one that came twice stands there twice."""
    return sorted(int(n) for (n,) in ws.rows(project, "orders", "n").elements())


def test_it_works(project: Project, source: Source, key: str, add: Add):
    pipeline = ws.published(project, TEXT.format(key=key))
    first = ws.run(pipeline)
    assert first.state == "succeeded", ws.error_of(first)
    assert (first.mode, numbers(project)) == ("seed", [1, 2, 3])
    assert ws.run(pipeline).state == "skipped"
    add(4, 5)
    second = ws.run(pipeline)
    assert "2 messages" in second.mode_reason
    assert numbers(project) == [1, 2, 3, 4, 5]
    assert (ws.output(second, "orders")["behind"], ws.windows(pipeline)) == (0, ["done", "done"])


def test_its_card_the_lag_and_the_run_tell_one_speed_also_where_messages_are_set_aside(
    project: Project, source: Source, key: str, broker: redis.Redis
):
    """What was given to the extract, set aside or not, in the time of this step alone."""
    broker.xadd(key, {"n": "odd"})
    run = ws.run(ws.published(project, TEXT.format(key=key)))
    began = timezone.now()
    times = {"extract": began, "load": began + timedelta(hours=1)}
    for kind, at in times.items():
        run.steps.filter(kind=kind).update(started_at=at, finished_at=at + timedelta(seconds=2))
    (card,) = cards(Source.objects.all(), project, began)
    (reader,) = lag.lag_of(Stream.objects.select_related("source__credential").get()).readers
    rows = {each.step.kind: each.rate for each in timeline(list(run.steps.order_by("position")), began).rows}
    assert (reader.messages_per_s, rows["extract"]) == (2.0, 2.0)
    assert {each.label: each.value for each in card.figures}["messages a second"] == "2"


def test_a_run_ends_at_its_limit_and_the_next_goes_on(project: Project, source: Source, key: str, add: Add):
    limited(source, most_messages=2)
    pipeline = ws.published(project, TEXT.format(key=key))
    first = ws.run(pipeline)
    assert (ws.output(first, "orders")["behind"], numbers(project)) == (1, [1, 2])
    add(4, 5)
    assert ws.output(ws.run(pipeline), "orders")["behind"] == 1
    assert numbers(project) == [1, 2, 3, 4]
    limited(source, most_messages=1000)
    ws.run(pipeline)
    assert numbers(project) == [1, 2, 3, 4, 5]
    spans = [each.bounds["spans"][0] for each in Window.objects.filter(pipeline=pipeline).order_by("id")]
    assert [each["count_upper"] for each in spans] == [2, 4, 5]
    assert [each["lower"] for each in spans[1:]] == [each["upper"] for each in spans[:-1]]


def test_what_was_read_and_not_loaded_is_read_again_exactly(project: Project, source: Source, key: str, add: Add):
    limited(source, most_messages=2)
    pipeline = ws.published(project, TEXT.format(key=key))
    assert ws.run_cut_off(pipeline, "kept").state == "cancelled"
    limited(source, most_messages=1000)
    add(4, 5)
    repeated = ws.run(pipeline)
    assert (repeated.mode, ws.output(repeated, "orders")["rows"]) == ("repair", 2)
    assert numbers(project) == [1, 2, 3, 4, 5]
    assert list(Run.objects.order_by("id").values_list("mode", flat=True)) == ["seed", "repair", "incremental"]


def test_a_window_that_failed_unread_is_repaired_whole_where_a_newer_one_begins_behind_it(
    project: Project, source: Source, key: str, add: Add, broker: redis.Redis
):
    """The newer one begins where the failed one ends, so no limit may cut that short any more."""
    limited(source, most_messages=2)
    pipeline = ws.published(project, TEXT.format(key=key).replace("incremental}", "incremental}, if_failed: continue"))
    ws.run(pipeline)
    add(4, 5, 6)
    broken = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("orders")
    broker.rename(key, f"{key}-away")
    ws.work()
    broker.rename(f"{key}-away", key)
    broken.refresh_from_db()
    assert (broken.state, ws.windows(pipeline)) == ("succeeded", ["done", "failed"])
    add(7)
    ws.run(pipeline)
    assert numbers(project) == [1, 2, 7]
    repaired = ws.run(pipeline, "repair")
    assert (repaired.mode, ws.output(repaired, "orders")["rows"]) == ("repair", 4)
    assert numbers(project) == [1, 2, 3, 4, 5, 6, 7]
    assert ws.run(pipeline).state == "skipped"


def test_the_newest_window_is_repaired_within_its_limits(
    project: Project, source: Source, key: str, broker: redis.Redis
):
    limited(source, most_messages=2)
    pipeline = ws.published(project, TEXT.format(key=key).replace("incremental}", "incremental}, if_failed: continue"))
    services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("orders")
    broker.rename(key, f"{key}-away")
    ws.work()
    broker.rename(f"{key}-away", key)
    assert ws.windows(pipeline) == ["failed"]
    ws.run(pipeline, "repair")
    assert numbers(project) == [1, 2]
    ws.run(pipeline)
    assert numbers(project) == [1, 2, 3]


def test_trimmed_messages_stop_the_run_or_are_recorded(
    project: Project, source: Source, key: str, add: Add, broker: redis.Redis
):
    pipeline = ws.published(project, TEXT.format(key=key))
    ws.run(pipeline)
    broker.xtrim(key, maxlen=1, approximate=False)
    assert ws.run(pipeline).state == "skipped"
    add(4, 5, 6, 7)
    broker.xtrim(key, maxlen=2, approximate=False)
    stopped = ws.failure(ws.run(pipeline))
    assert (stopped["code"], stopped["evidence"]["messages"]) == ("messages_gone", 2)
    kept: Any = broker.xrange(key, count=1)
    oldest = kept[0][0].decode()
    assert stopped["evidence"]["there_from"] == oldest
    assert f"those from {oldest} on are there" in stopped["message"]
    assert [each["id"] for each in stopped["suggestions"]] == ["seed"]
    limited(source, when_gone="go on")
    went_on = ws.run(pipeline)
    assert went_on.state == "succeeded", ws.error_of(went_on)
    assert numbers(project) == [1, 2, 3, 6, 7]
    window = Window.objects.filter(pipeline=pipeline).latest("id")
    assert (window.bounds["gone"], ws.output(went_on, "orders")["gone"]) == (2, 2)
    limited(source, when_gone="stop")
    assert ws.run(pipeline, "seed").state == "succeeded"
    assert numbers(project) == [6, 7]


def test_messages_that_go_between_plan_and_read_are_noticed(
    project: Project, source: Source, key: str, add: Add, broker: redis.Redis
):
    pipeline = ws.published(project, TEXT.format(key=key))
    first = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("orders")
    broker.xtrim(key, maxlen=2, approximate=False)
    ws.work()
    first.refresh_from_db()
    # Nobody had read anything: it begins with what there is.
    assert (first.state, numbers(project)) == ("succeeded", [2, 3])
    add(4, 5)
    second = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("orders")
    broker.xtrim(key, maxlen=1, approximate=False)
    ws.work()
    second.refresh_from_db()
    assert ws.failure(second)["code"] == "messages_gone"
    limited(source, when_gone="go on")
    assert ws.run(pipeline).state == "succeeded"
    assert numbers(project) == [2, 3, 5]
    add(6)
    assert ws.run(pipeline).state == "succeeded"
    assert numbers(project) == [2, 3, 5, 6]


def test_a_stream_that_was_made_anew_is_no_continuation(
    project: Project, source: Source, key: str, add: Add, broker: redis.Redis
):
    pipeline = ws.published(project, TEXT.format(key=key))
    ws.run(pipeline)
    broker.delete(key)
    add(10)
    assert ws.failure(ws.run(pipeline))["code"] == "stream_restarted"
    assert ws.run(pipeline, "seed").state == "succeeded"
    assert numbers(project) == [10]


def test_keys_that_are_new_are_followed_and_none_is_ever_gone(
    project: Project, source: Source, key: str, add: Add, broker: redis.Redis
):
    pipeline = ws.published(project, TEXT.format(key=key))
    assert ws.run(pipeline).state == "succeeded"
    assert set(ws.rows(project, "orders", "n")) == {(1,), (2,), (3,)}
    broker.xadd(key, {"note": "new"})
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "orders", "n, note")[None, "new"] == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            redis_streams.RedisStreams, "columns_now", lambda *_: pytest.fail("there is nothing to look into")
        )
        assert ws.run(pipeline).state == "skipped"
    drifts = [(each.state, [change["column"] for change in each.changes]) for each in Drift.objects.order_by("id")]
    assert drifts == [("followed", ["note"])]


def test_a_pipeline_that_begins_with_the_newest_reads_what_comes_from_then_on(
    project: Project, source: Source, key: str, add: Add
):
    limited(source, begin="newest")
    pipeline = ws.published(project, TEXT.format(key=key))
    stream = Stream.objects.select_related("source__credential").get()
    assert [(each.behind, each.waiting_since) for each in lag.lag_of(stream).readers] == [(0, None)]
    first = ws.run(pipeline)
    assert first.state == "succeeded", ws.error_of(first)
    assert (numbers(project), ws.windows(pipeline)) == ([], ["done"])
    add(4, 5)
    assert [each.behind for each in lag.lag_of(stream).readers] == [2]
    ws.run(pipeline)
    assert numbers(project) == [4, 5]
    ws.run(pipeline, "seed")
    assert numbers(project) == [1, 2, 3, 4, 5]


def test_a_pipeline_that_begins_with_a_time_waits_for_what_came_from_then_on(
    project: Project, source: Source, key: str, broker: redis.Redis
):
    broker.delete(key)
    for second in (1000, 2000, 3000):
        broker.xadd(key, {"n": second}, id=f"{second}-0")
    limited(source, begin="time", begin_at="1970-01-01T00:00:02Z")
    ws.published(project, TEXT.format(key=key))
    stream = Stream.objects.select_related("source__credential").get()
    (reader,) = lag.lag_of(stream).readers
    assert reader.waiting_since is not None
    assert (reader.behind, reader.at_least, reader.waiting_since.timestamp()) == (2, False, 2)


def test_of_entries_that_nobody_can_count_in_time_so_many_wait_at_least(
    project: Project, source: Source, key: str, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    """Whoever has begun is told exactly; a dry run shows the plan, and a run counts all of them."""
    broker.delete(key)
    broker.xadd(key, {"n": 1}, id="1-1")
    begun = ws.published(project, TEXT.format(key=key))
    ws.run(begun)
    for n in range(2, 41):
        broker.xadd(key, {"n": n}, id=f"{n}-1")
    limited(source, begin="time", begin_at="1970-01-01T00:00:00.020Z")
    later = ws.published(
        project,
        TEXT.format(key=key).replace("pipeline: orders", "pipeline: later").replace("dataset: o", "dataset: later-o"),
    )
    monkeypatch.setattr(redis_streams, "COUNT_SECONDS", 0)
    monkeypatch.setattr(redis_streams, "AT_ONCE", 2)
    stream = Stream.objects.select_related("source__credential").get()
    told = {each.pipeline: (each.behind, each.at_least) for each in lag.lag_of(stream).readers}
    assert told == {begun.slug: (39, False), later.slug: (1, True)}
    assert "on: at least 1 message" in services.plan_run(later)["mode_reason"]
    assert "on: 21 messages" in ws.run(later).mode_reason


def test_it_begins_with_the_newest_no_second_time_where_a_seed_found_nothing(
    project: Project, source: Source, workshop: Path, add: Add, broker: redis.Redis
):
    limited(source, begin="newest")
    key = Stream.objects.get().name
    ws.write(workshop, "other_1.csv", ["id", "1"])
    ws.files_source(project, workshop)
    pipeline = ws.published(project, TEXT.format(key=key) + OTHER)
    broker.xtrim(key, maxlen=0, approximate=False)
    seeded = ws.run(pipeline, "seed")
    assert seeded.state == "succeeded", ws.error_of(seeded)
    assert numbers(project) == []
    add(4, 5)
    assert ws.run(pipeline).state == "succeeded"
    assert numbers(project) == [4, 5]


def test_what_decides_does_not_grow_with_every_run(project: Project, source: Source, key: str, add: Add):
    pipeline = ws.published(project, TEXT.format(key=key))
    for each in range(4, 8):
        ws.run(pipeline)
        add(each)
    every = windows.kept(pipeline.pk)
    assert (len(every), windows.deciding(pipeline.pk)) == (4, [every[0], every[-1]])
    ws.run(pipeline)
    assert numbers(project) == list(range(1, 8))
