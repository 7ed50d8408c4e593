"""Kafka against the mock cluster of librdkafka, which runs in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from dataplane.connectors import registry
from dataplane.connectors.base import Connector
from dataplane.connectors.clues import Clue
from dataplane.connectors.kafka import Kafka, identity, session
from dataplane.connectors.kafka.params import settings_of
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark
from dataplane.errors import DataError, ManifoldError
from tests.certificates import self_signed
from tests.dataplane.connectors.streams.reading import declared, failed, read, whole
from tests.kafka_cluster import kafka_cluster
from tests.kafka_door import FIRST_AT, PASSWORD, USER, doors

Send = Callable[..., None]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[str]]:
    with kafka_cluster() as found:
        yield found


@pytest.fixture
def topic() -> str:
    return f"events-{uuid4().hex}"


@pytest.fixture
def send(servers: list[str], topic: str) -> Send:
    producer = Producer({"bootstrap.servers": ",".join(servers), "linger.ms": 0})

    def messages(*values: bytes | None, partition: int = 0, **more: Any) -> None:
        for each in values:
            producer.produce(topic, value=each, partition=partition, **more)
        assert producer.flush(60) == 0

    return messages


def build(servers: list[str], topic: str, **changes: Any) -> Connector:
    return registry.build("kafka", {"servers": servers, "topics": [topic], **changes})


def test_it_works(servers: list[str], topic: str, send: Send):
    headers: Any = [("trace", b"a"), ("trace", b"\xff"), ("one", None)]
    send(b'{"n": 1}', key=b"k\xff", headers=headers, timestamp=1_700_000_000_000)
    send(b'{"n": 2}', partition=3)
    connector = build(servers, topic)
    stages = list(connector.test())
    assert [each.name for each in stages] == ["resolve", "connect", "authenticate", "list", "read a row"]
    assert all(each.ok for each in stages), stages
    (info,) = connector.discover()
    assert [each.name for each in info.columns] == ["_partition", "_offset", "_timestamp", "_key", "_headers", "n"]
    assert info.rows == 2
    stream = StreamConfig(topic, columns=info.columns)
    rows, rejected, settled = read(connector, stream, whole(connector, stream))
    assert rejected == [] and settled is not None
    first, second = sorted(rows, key=lambda row: row[0])
    assert (first[0], first[1], first[3], first[5]) == (0, 0, "k\\xff", 1)
    assert first[2].timestamp() == 1_700_000_000
    assert first[4] == '{"trace": ["a", "\\\\xff"], "one": null}'
    assert (second[0], second[1], second[3], second[4], second[5]) == (3, 0, None, None, 2)
    assert sorted(read(connector, stream, settled)[0], key=str) == sorted(rows, key=str)
    assert connector.preview(stream, 10).num_rows == 2
    assert isinstance(connector, Kafka)
    with connector.session() as broker:
        oldest = connector.first_at(broker, topic, {"0": (-1, 0), "3": (-1, 0)})
        assert oldest is not None and oldest.timestamp() == 1_700_000_000
        assert connector.first_at(broker, topic, {"0": (0, 0)}) is None


def test_a_window_ends_where_it_was_planned_although_more_came(servers: list[str], topic: str, send: Send):
    stream = declared(topic, n="INTEGER")
    connector = build(servers, topic)
    send(*(b'{"n": %d}' % n for n in range(5)))
    window = whole(connector, stream)
    send(*(b'{"n": %d}' % n for n in range(5, 9)))
    rows, _, settled = read(connector, stream, window)
    assert [n for (n,) in rows] == list(range(5))
    assert settled is not None
    again = connector.plan(stream, "incremental", Mark(spans=settled.spans))
    assert again.window is not None and again.rows == 4
    assert [n for (n,) in read(connector, stream, again.window)[0]] == [5, 6, 7, 8]


def test_a_limit_cuts_every_partition_where_it_was_read(servers: list[str], topic: str, send: Send):
    stream = declared(topic, n="INTEGER")
    for partition in range(4):
        send(*(b'{"n": %d}' % (10 * partition + n) for n in range(5)), partition=partition)
    connector = build(servers, topic, most_messages=7)
    found: list[int] = []
    mark = Mark()
    lengths = []
    while (window := connector.plan(stream, "incremental", mark).window) is not None:
        rows, _, settled = read(connector, stream, window)
        assert settled is not None
        assert read(connector, stream, settled)[0] != [] and settled.limits is None
        lengths.append((len(rows), settled.behind))
        found += [n for (n,) in rows]
        known = {each.partition: each for each in (*mark.spans, *settled.spans)}
        mark = Mark(spans=tuple(known.values()))
    assert sorted(found) == sorted(10 * partition + n for partition in range(4) for n in range(5))
    assert lengths == [(7, 13), (7, 6), (6, 0)]


def test_large_messages_are_read_and_of_one_that_is_too_large_it_says_so(
    servers: list[str], topic: str, monkeypatch: pytest.MonkeyPatch
):
    given = {"bootstrap.servers": ",".join(servers), "message.max.bytes": 10_000_000, "linger.ms": 0}
    producer = Producer(given)
    for size in (1_500_000, 3_000_000):
        producer.produce(topic, value=b'{"n": "%s"}' % (b"x" * size), partition=2)
        assert producer.flush(60) == 0
    stream = declared(topic, n="VARCHAR")
    connector = build(servers, topic)
    window = whole(connector, stream)
    rows, _, settled = read(connector, stream, window)
    assert settled is not None
    assert [len(n) for (n,) in rows] == [1_500_000, 3_000_000]
    limits = {"receive.message.max.bytes": 2_000_000, "fetch.max.bytes": 1_000_000, "message.max.bytes": 1_000_000}
    monkeypatch.setattr(session, "settings_of", lambda *given: settings_of(*given) | limits)
    patience = 300.0
    monkeypatch.setattr(session, "IDLE_SECONDS", patience)
    began = time.monotonic()
    with pytest.raises(DataError) as refused:
        read(connector, stream, window)
    assert (refused.value.code, refused.value.evidence["ahead"]) == ("message_too_large", {"2": 1})
    assert time.monotonic() - began < patience, "nobody waits for it as for a broker that is silent"


def test_it_begins_with_a_time_in_each_partition(servers: list[str], topic: str, send: Send):
    """The mock brokers find no offset by time, so the door before them does."""
    for n in range(5):
        send(b'{"n": %d}' % n, timestamp=FIRST_AT + n)
    send(b'{"n": 7}', partition=1, timestamp=FIRST_AT)
    stream = declared(topic, n="INTEGER")
    with doors(servers) as found:
        connector = build(found, topic, begin="time", begin_at="2023-11-14T22:13:20.0025Z")
        window = whole(connector, stream)
        assert read(connector, stream, window)[0] == [(3,), (4,)]
        assert {each.partition: each.upper for each in window.spans} == {"0": "4", "1": "0", "2": "-1", "3": "-1"}
        assert connector.plan(stream, "incremental", Mark(seed=True)).rows == 6
        later = build(found, topic, begin="time", begin_at="2100-01-01").plan(stream, "incremental", Mark())
    assert later.window is None and "no message from 2100-01-01" in later.reason


ENTRANCES: list[tuple[str, dict[str, Any]]] = [
    ("PLAIN", {"password": "wrong"}),
    ("SCRAM-SHA-256", {"password": "wrong"}),
    ("SCRAM-SHA-512", {"sasl": "SCRAM-SHA-256"}),
]


def test_whoever_is_right_is_let_in_over_tls(servers: list[str], topic: str, send: Send, tmp_path: Path):
    send(b'{"n": 1}')
    stream = declared(topic, n="INTEGER")
    trusted = self_signed(tmp_path / "own.pem", "localhost")
    for mechanism, wrong in ENTRANCES:
        given = {"tls": True, "certificate": trusted, "sasl": mechanism, "user": USER, "password": PASSWORD}
        with doors(servers, certificate=tmp_path / "own.pem", mechanism=mechanism) as found:
            connector = build(found, topic, **given)
            assert read(connector, stream, whole(connector, stream))[0] == [(1,)]
            assert failed(build(found, topic, **given | wrong)) == ("authenticate", "authentication"), wrong


def test_over_tls_the_certificate_is_checked(
    servers: list[str], topic: str, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    send(b"{}")
    trusted, other = self_signed(tmp_path / "own.pem", "localhost"), self_signed(tmp_path / "other.pem", "localhost")
    named_otherwise = self_signed(tmp_path / "named.pem", "kafka.example.org")
    with doors(servers, certificate=tmp_path / "own.pem") as found:
        stages = list(build(found, topic, tls=True, certificate=trusted).test())
        assert all(each.ok for each in stages), stages
        assert failed(build(found, topic, tls=True, certificate=other)) == ("authenticate", "tls")
        assert failed(build(found, topic, tls=True)) == ("authenticate", "tls")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
        assert all(each.ok for each in build(found, topic, tls=True).test())
    with doors(servers, certificate=tmp_path / "named.pem") as found:
        assert failed(build(found, topic, tls=True, certificate=named_otherwise)) == ("authenticate", "tls")


def test_a_server_whose_certificate_is_wrong_keeps_nobody_from_the_others(
    servers: list[str], topic: str, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # The client tries the servers in any order, some of them more than once.
    monkeypatch.setattr(session, "HURRIED_SECONDS", 60.0)
    send(b"{}")
    trusted = self_signed(tmp_path / "own.pem", "localhost")
    self_signed(tmp_path / "other.pem", "localhost")
    with ExitStack() as stack:
        found = stack.enter_context(doors(servers, certificate=tmp_path / "own.pem"))
        wrong = [stack.enter_context(doors(servers, certificate=tmp_path / "other.pem")) for _ in range(2)]
        connector = Kafka(build([*found[:1], *wrong[0], *wrong[1]], topic, tls=True, certificate=trusted).params)
        for _ in range(2):
            with connector.session(hurried=True) as broker:
                assert broker.names() == [topic]
        assert failed(build(wrong[0], topic, tls=True, certificate=trusted)) == ("authenticate", "tls")


def test_what_went_wrong_before_explains_only_that_nothing_came(servers: list[str], topic: str):
    told: list[str] = []
    with closing(Kafka(build(servers, topic).params).broker(hurried=True)) as broker:
        broker._noted(KafkaError(KafkaError._SSL, "ssl://other:9092/bootstrap: no"))
        for code in (KafkaError._TIMED_OUT, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            with pytest.raises(ManifoldError) as refused, broker._told():
                raise KafkaException(KafkaError(code, "refused"))
            told.append(refused.value.code)
    assert told == ["tls", "permission_denied"]


def test_what_does_not_fit_is_set_aside_with_partition_and_offset(servers: list[str], topic: str, send: Send):
    send(b'{"n": 1}', b"nonsense", None, b'{"n": "x"}', partition=2, key="k")
    connector = build(servers, topic)
    stream = declared(topic, n="INTEGER", _key="VARCHAR")
    rows, rejected, _ = read(connector, stream, whole(connector, stream))
    # A message without a value says that its key is no more: it arrives with its key alone.
    assert rows == [(1, "k"), (None, "k")]
    assert [each[:3] for each in rejected] == [
        (f"{topic}, partition 2", 1, "it is no JSON object"),
        (f"{topic}, partition 2", 3, "n is not INTEGER"),
    ]


def test_the_offsets_of_a_group_follow_and_are_never_read(servers: list[str], topic: str, send: Send):
    stream = declared(topic, n="INTEGER")
    connector = build(servers, topic, group=f"watch-{topic}")
    send(b'{"n": 1}', b'{"n": 2}')
    settled = read(connector, stream, whole(connector, stream))[2]
    assert settled is not None
    send(b'{"n": 3}')
    window = connector.plan(stream, "incremental", Mark(spans=settled.spans)).window
    assert window is not None
    assert read(connector, stream, window)[0] == [(3,)]
    consumer = Consumer({"bootstrap.servers": ",".join(servers), "group.id": f"watch-{topic}"})
    try:
        (place,) = consumer.committed([TopicPartition(topic, 0)], timeout=60)
        assert place.offset == 2
    finally:
        consumer.close()


def test_each_stage_fails_in_its_own_way(servers: list[str], topic: str, send: Send):
    assert failed(build(["no-such-host.invalid:9092"], topic)) == ("resolve", "host_unknown")
    assert failed(build(["169.254.169.254:9092"], topic)) == ("resolve", "address_refused")
    assert failed(build(["127.0.0.1:1"], topic)) == ("connect", "connection_refused")


def test_a_topic_whose_messages_are_fewer_than_were_read_was_made_anew(servers: list[str], topic: str, send: Send):
    stream = declared(topic, n="INTEGER")
    connector = build(servers, topic)
    send(b'{"n": 1}')
    settled = read(connector, stream, whole(connector, stream))[2]
    assert settled is not None
    ahead = tuple(type(each)(each.partition, each.lower, "100") for each in settled.spans)
    with pytest.raises(ManifoldError) as refused:
        connector.plan(stream, "incremental", Mark(spans=ahead))
    assert refused.value.code == "stream_restarted"


@pytest.mark.all
def test_a_topic_that_was_made_anew_is_told_by_its_id(
    servers: list[str], topic: str, send: Send, monkeypatch: pytest.MonkeyPatch
):
    """The mock brokers remove no topic, so it is made anew on others, where it has more messages than were read."""
    monkeypatch.setattr(identity, "_SECONDS", 60.0)
    stream = declared(topic, n="INTEGER")
    send(*(b'{"n": %d}' % n for n in range(3)))
    with kafka_cluster() as others, doors(servers) as before, doors(others) as after:
        producer = Producer({"bootstrap.servers": ",".join(others), "linger.ms": 0})
        for n in range(10, 15):
            producer.produce(topic, value=b'{"n": %d}' % n, partition=0)
        assert producer.flush(60) == 0
        connector, anew = build(before, topic), build(after, topic)
        settled = read(connector, stream, whole(connector, stream))[2]
        assert settled is not None
        mark = Mark(spans=settled.spans)
        assert connector.plan(stream, "incremental", mark).window is None
        send(b'{"n": 3}')
        waiting = connector.plan(stream, "incremental", mark).window
        assert waiting is not None
        for refuse in (lambda: anew.plan(stream, "incremental", mark), lambda: read(anew, stream, waiting)):
            with pytest.raises(ManifoldError, match="was made anew since it was read") as refused:
                refuse()
            assert refused.value.code == "stream_restarted"
        planned = build(after, topic, when_gone="go on").plan(stream, "incremental", mark)
        assert planned.window is not None and len(planned.warnings) == 4
        assert read(anew, stream, planned.window)[0] == [(n,) for n in range(10, 15)]
    untold = build(servers, topic).plan(stream, "incremental", mark).window
    assert untold is not None
    assert [each.made for each in untold.spans] == [each.made for each in mark.spans], "what was said before holds on"


def test_what_is_entered_is_checked():
    with pytest.raises(ValueError, match="no host with a port"):
        registry.build("kafka", {"servers": ["kafka"]})
    with pytest.raises(ValueError, match=r"(?s)user\n.*needed where sasl is PLAIN.*password\n"):
        registry.build("kafka", {"servers": ["kafka:9092"], "sasl": "PLAIN"})


def test_an_address_is_recognised():
    found = Kafka.recognise(Clue("broker.example.org:9092"))
    assert found is not None and found.params == {"servers": ["broker.example.org:9092"]}
    for each in ("a.example.org:9092, b.example.org:9093", "kafka://a.example.org,b.example.org:9093/orders"):
        found = Kafka.recognise(Clue(each))
        assert found is not None and found.params["servers"] == ["a.example.org:9092", "b.example.org:9093"]
    assert Kafka.recognise(Clue("id,name:1")) is None
