"""Redis Streams against a real server: stages that fail in their own way, types, messages that do not fit, gaps."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis

from dataplane.connectors import redis_streams, registry, watch
from dataplane.connectors.base import Connector
from dataplane.connectors.clues import Clue
from dataplane.connectors.redis_streams import RedisStreams
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.streams import connector as connector_module
from dataplane.connectors.streams import messages
from dataplane.connectors.windows import Mark, Span, Window
from dataplane.errors import ConfigurationError, ManifoldError
from dataplane.sampling import tried
from tests.certificates import self_signed, tls_before
from tests.dataplane.connectors.streams.reading import declared, failed, read, whole
from tests.dataplane.steps.files_source import extracted, rows


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as found:
        yield found


@pytest.fixture
def key(client: redis.Redis) -> Iterator[str]:
    name = f"events-{uuid4().hex}"
    yield name
    client.delete(name)


def build(url: str, key: str, **changes: Any) -> Connector:
    parts = urlsplit(url)
    params = {"host": parts.hostname, "port": parts.port, "password": parts.password, "streams": [key]}
    return registry.build("redis_streams", {**params, "database": parts.path.strip("/") or 0, **changes})


def test_it_works(client: redis.Redis, redis_url: str, key: str):
    for n in range(3):
        client.xadd(key, {"n": n, "name": f"ä{n}"}, id=f"1000-{n + 1}")
    connector = build(redis_url, key)
    stages = list(connector.test())
    assert [each.name for each in stages] == ["resolve", "connect", "authenticate", "list", "read a row"]
    assert all(each.ok for each in stages)
    (info,) = connector.discover()
    assert [each.name for each in info.columns] == ["_offset", "_timestamp", "n", "name"]
    assert info.rows == 3
    stream = StreamConfig(key, columns=info.columns, select=("_offset", "name"))
    rows, rejected, settled = read(connector, stream, whole(connector, stream))
    assert (rows, rejected) == ([("1000-1", "ä0"), ("1000-2", "ä1"), ("1000-3", "ä2")], [])
    assert settled is not None and read(connector, stream, settled)[0] == rows
    assert Window.from_json(settled.as_json()) == settled
    assert connector.preview(stream, 2).to_pylist() == [
        dict(zip(("_offset", "name"), each, strict=True)) for each in rows[-2:]
    ], "the newest ones"
    full = connector.plan(stream, "full_refresh", Mark()).window
    assert full is not None and read(connector, stream, full)[0] == rows


def test_each_stage_fails_in_its_own_way(client: redis.Redis, redis_url: str, key: str):
    assert failed(build(redis_url, key, host="no-such-host.invalid")) == ("resolve", "host_unknown")
    assert failed(build(redis_url, key, host="169.254.169.254")) == ("resolve", "address_refused")
    assert failed(build(redis_url, key, port=1)) == ("connect", "connection_refused")
    assert failed(build(redis_url, key, password="wrong")) == ("authenticate", "authentication")
    assert failed(build(redis_url, key)) == ("list", "stream_missing")
    client.set(key, "no stream")
    assert failed(build(redis_url, key)) == ("list", "stream_missing")


def test_what_does_not_fit_is_set_aside_with_its_reason(client: redis.Redis, redis_url: str, key: str):
    good: list[str | bytes] = [
        '{"n": 1, "at": "2026-01-01T02:00:00+02:00", "tags": ["a"]}',
        '{"n": 9007199254740993}',
        ' {\n "n": 3}',
    ]
    bad: list[str | bytes] = [
        '{"n": 1.5}',
        '{"n": ',
        "[1]",
        b'{"n": \xff}',
        '{"n":' + "[" * 200 + "]" * 200 + "}",
        '{"n": 4, "at": "soon"}',
    ]
    for each in good + bad:
        client.xadd(key, {"body": each})
    client.xadd(key, {"other": "x"})
    connector = build(redis_url, key, json_field="body")
    stream = declared(key, n="BIGINT", at="TIMESTAMP WITH TIME ZONE", tags="VARCHAR[]")
    rows, rejected, _ = read(connector, stream, whole(connector, stream))
    assert [each[0] for each in rows] == [1, 9007199254740993, 3, None]
    assert rows[0][1].timestamp() == 1767225600 and rows[0][2] == ["a"]
    reasons = [reason for *_, reason, _ in rejected]
    assert reasons == [
        "n is not BIGINT",
        "it is no JSON object",
        "it is no JSON object",
        "it is not UTF-8",
        "it has nests more than 100 deep",
        "at is not TIMESTAMP WITH TIME ZONE",
    ]
    assert rejected[3][-1] == '{"n": \\xff}'
    shown = connector.previewed(stream)
    assert shown.table["n"].to_pylist() == [each[0] for each in rows]
    assert (shown.rejected, sorted(each.reason for each in shown.samples)) == (6, sorted(reasons))


def test_types_are_tried_on_more_messages_than_come_at_once_at_first(client: redis.Redis, redis_url: str, key: str):
    with client.pipeline() as together:
        for n in [*range(150), "odd", *range(400)]:
            together.xadd(key, {"n": n})
        together.execute()
    found = tried(build(redis_url, key), declared(key, n="INTEGER"))
    assert (found.rows, found.rejected, [each.raw for each in found.samples]) == (550, 1, ['{"n": "odd"}'])


def test_raw_messages_are_one_column(client: redis.Redis, redis_url: str, key: str):
    client.xadd(key, {"body": b"\x00\xff"}, id="7-1")
    client.xadd(key, {"body": "plain"}, id="7-2")
    connector = build(redis_url, key, json_field="body", format="raw")
    (info,) = connector.discover()
    assert [(each.name, each.type) for each in info.columns][-1] == ("value", "VARCHAR")
    texts, rejected, _ = read(connector, declared(key, value="VARCHAR"), whole(connector, declared(key)))
    assert (texts, [reason for *_, reason, _ in rejected]) == ([("plain",)], ["it is not UTF-8"])
    blobs, rejected, _ = read(connector, declared(key, value="BLOB"), whole(connector, declared(key)))
    assert (blobs, rejected) == ([(b"\x00\xff",), (b"plain",)], [])


def test_a_stream_of_which_only_what_stands_beside_is_read(client: redis.Redis, redis_url: str, key: str):
    client.xadd(key, {"body": '{"n": 1}'}, id="7-1")
    client.xadd(key, {"body": b"\xff"}, id="7-2")
    client.xadd(key, {"body": "no object"}, id="7-3")
    connector = build(redis_url, key, json_field="body")
    stream = declared(key, _offset="VARCHAR")
    assert connector.preview(stream).to_pylist() == [{"_offset": "7-1"}, {"_offset": "7-3"}]
    rows, rejected, _ = read(connector, stream, whole(connector, stream))
    assert (rows, [reason for *_, reason, _ in rejected]) == ([("7-1",), ("7-3",)], ["it is not UTF-8"])


def test_over_tls_the_certificate_is_checked(
    client: redis.Redis, redis_url: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client.xadd(key, {"n": 1})
    at = urlsplit(redis_url)
    assert at.hostname is not None and at.port is not None
    trusted, other = self_signed(tmp_path / "own.pem", "localhost"), self_signed(tmp_path / "other.pem", "localhost")
    with tls_before(at.hostname, at.port, tmp_path / "own.pem") as port:
        given = {"host": "localhost", "port": port, "tls": True}
        stages = list(build(redis_url, key, certificate=trusted, **given).test())
        assert all(each.ok for each in stages), stages
        assert failed(build(redis_url, key, certificate=other, **given)) == ("connect", "tls")
        assert failed(build(redis_url, key, **given)) == ("connect", "tls")
        numbered = build(redis_url, key, certificate=trusted, **(given | {"host": "127.0.0.1"}))
        assert failed(numbered) == ("connect", "tls")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
        assert all(each.ok for each in build(redis_url, key, **given).test())


def test_a_user_needs_what_the_documentation_says_and_no_more(client: redis.Redis, redis_url: str, key: str):
    client.xadd(key, {"n": 1})
    rights = ["+xinfo", "+xrange", "+xrevrange", "+scan", "+ping", "+select"]
    given = {"user": key, "password": "own-s3cret"}
    try:
        for lacking, expected in (("", ""), ("+xrange", "read a row"), ("+xinfo", "list"), ("+ping", "authenticate")):
            client.acl_deluser(key)
            some = [each for each in rights if each != lacking]
            client.acl_setuser(key, enabled=True, passwords=["+own-s3cret"], keys=[key], commands=some)
            connector = build(redis_url, key, **given)
            if not lacking:
                assert all(each.ok for each in connector.test())
                client.xadd(f"{key}-closed", {"n": 1})
                closed, open_ = build(redis_url, key, streams=[f"{key}-closed", key], **given).discover()
                assert closed.columns == () and "may not read" in closed.warnings[0]
                assert [each.name for each in open_.columns] == ["_offset", "_timestamp", "n"]
                assert connector.preview(declared(key, n="INTEGER")).num_rows == 1
            else:
                assert failed(connector) == (expected, "permission_denied")
        assert failed(build(redis_url, key, user=key, password="wrong")) == ("authenticate", "authentication")
    finally:
        client.acl_deluser(key)
        client.delete(f"{key}-closed")


def test_whoever_is_let_in_no_more_is_told_so_once_and_not_for_each_stream(
    client: redis.Redis, redis_url: str, key: str
):
    client.xadd(key, {"n": 1})
    client.acl_setuser(key, enabled=True, passwords=["+own-s3cret"], keys=["*"], categories=["+@all"])
    connector = RedisStreams(build(redis_url, key, user=key, password="own-s3cret").params)
    with connector.session(hurried=True) as broker:
        client.acl_deluser(key)
        with suppress(ManifoldError):
            # The client notices that it was sent away, and signs in anew with what is asked next.
            broker.extents(key)
        with pytest.raises(ConfigurationError) as refused:
            connector._found(broker, [key])
    assert refused.value.code == "authentication"


def test_a_pipeline_may_begin_with_the_newest(client: redis.Redis, redis_url: str, key: str):
    client.xadd(key, {"n": 1})
    connector, stream = build(redis_url, key, begin="newest"), declared(key, n="INTEGER")
    first = connector.plan(stream, "incremental", Mark())
    assert first.window is not None and "1 messages" in first.reason
    rows, _, settled = read(connector, stream, first.window)
    assert rows == [] and settled is not None
    assert connector.plan(stream, "incremental", Mark(spans=settled.spans)).window is None
    client.xadd(key, {"n": 2})
    later = connector.plan(stream, "incremental", Mark(spans=settled.spans)).window
    assert later is not None and read(connector, stream, later)[0] == [(2,)]
    anew = connector.plan(stream, "incremental", Mark(seed=True)).window
    assert anew is not None and read(connector, stream, anew)[0] == [(1,), (2,)]


def test_a_filter_takes_rows_out_and_may_be_only_a_condition(client: redis.Redis, redis_url: str, key: str):
    for n in range(4):
        client.xadd(key, {"n": n})
    connector = build(redis_url, key)
    stream = StreamConfig(key, columns=(Column("n", "INTEGER"),), row_filter="n % 2 = 0")
    assert read(connector, stream, whole(connector, stream))[0] == [(0,), (2,)]
    evil = StreamConfig(key, columns=(Column("n", "INTEGER"),), row_filter="true) UNION SELECT 1 --")
    with pytest.raises(ManifoldError):
        read(connector, evil, whole(connector, stream))


def test_a_window_of_which_entries_were_deleted_is_not_read_again(client: redis.Redis, redis_url: str, key: str):
    ids: Any = [client.xadd(key, {"n": n}) for n in range(3)]
    connector = build(redis_url, key)
    stream = declared(key, n="INTEGER")
    settled = read(connector, stream, whole(connector, stream))[2]
    assert settled is not None and settled.messages == 3
    client.xdel(key, ids[1])
    with pytest.raises(ManifoldError) as refused:
        read(connector, stream, settled)
    assert refused.value.code == "messages_gone"
    rows = read(build(redis_url, key, when_gone="go on"), stream, settled)[0]
    assert rows == [(0,), (2,)]


def test_entries_that_were_read_may_be_deleted_without_a_word(client: redis.Redis, redis_url: str, key: str):
    connector = build(redis_url, key)
    stream = declared(key, n="INTEGER")
    marks: tuple[Span, ...] = ()
    for n in range(3):
        last: Any = client.xadd(key, {"n": n})
        planned = connector.plan(stream, "incremental", Mark(spans=marks))
        assert planned.window is not None and planned.rows == 1
        rows, _, settled = read(connector, stream, planned.window)
        assert rows == [(n,)] and settled is not None
        marks = settled.spans
        client.xdel(key, last)
    assert connector.plan(stream, "incremental", Mark(spans=marks)).window is None


def test_an_empty_stream_has_no_row(client: redis.Redis, redis_url: str, key: str):
    last: Any = client.xadd(key, {"n": 1})
    client.xdel(key, last)
    connector = build(redis_url, key)
    assert connector.plan(declared(key, n="INTEGER"), "incremental", Mark()).window is None
    full = connector.plan(declared(key, n="INTEGER"), "full_refresh", Mark()).window
    assert full is not None and read(connector, declared(key, n="INTEGER"), full)[0] == []
    assert connector.preview(declared(key, n="INTEGER")).num_rows == 0


def test_large_entries_are_taken_few_at_once(
    client: redis.Redis, redis_url: str, key: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(messages, "MOST_BYTES", 160_000)
    sizes = [4_000] * 300 + [25] * 300
    with client.pipeline() as together:
        for size in sizes:
            together.xadd(key, {"body": '{"x": "%s"}' % ("x" * (size - 14)), "more": "y" * 5})
        together.execute()
    connector = RedisStreams(build(redis_url, key, json_field="body").params)
    with connector.session() as broker:
        (extent,) = broker.extents(key)
        batches = list(broker.messages(key, {"": (extent.before, extent.newest)}, 590))
    assert [len(each or b"") for batch in batches for each in batch.values] == [size - 5 for size in sizes[:590]]
    assert [each.count for each in batches] == [61, *([40] * 5), 245, 84]
    assert connector.preview(declared(key, x="VARCHAR"), 500).num_rows == 500


def test_of_entries_that_each_fill_a_batch_no_two_are_held_at_once(
    client: redis.Redis, redis_url: str, key: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(messages, "MOST_BYTES", 160_000)
    for _ in range(5):
        client.xadd(key, {"x": "x" * 200_000})
    connector = RedisStreams(build(redis_url, key).params)
    with connector.session() as broker:
        (extent,) = broker.extents(key)
        batches = list(broker.messages(key, {"": (extent.before, extent.newest)}, 5))
        newest = list(connector._latest(broker, key, 5))
    assert [each.count for each in batches] == [each.count for each in newest] == [1] * 5


def test_new_keys_are_looked_for_in_the_newest_entries_of_a_long_stream(
    client: redis.Redis, redis_url: str, key: str, monkeypatch: pytest.MonkeyPatch
):
    def found() -> set[str]:
        columns = build(redis_url, key).columns_now(StreamConfig(key), ()) or ()
        return {each.name for each in columns if not each.name.startswith("_")}

    for name in ["old"] * 50 + ["before"] * 100 + ["new"] * 2:
        client.xadd(key, {name: "1" * 20})
    assert found() == {"old", "before", "new"}
    monkeypatch.setattr(connector_module, "_SAMPLE", 2)
    assert found() == {"new"}
    monkeypatch.setattr(connector_module, "_SAMPLE", 1_000)
    monkeypatch.setattr(connector_module, "MOST_BYTES", 1_000)
    monkeypatch.setattr(messages, "MOST_BYTES", 1_000)
    assert found() == {"before", "new"}, "enough was seen of large messages before a thousand were"


def test_messages_that_are_set_aside_hide_no_columns_of_the_others(client: redis.Redis, redis_url: str, key: str):
    """Also such as look like objects; what is found to be one is what a read takes for one."""
    bad = [b'{"n": }', b'{"n": "\xff"}', b"{'n': 1}", b'{"n": 1}{"n": 2}', b'{"n": "\\ud800"}', b'{"n": "a\0b"}']
    nested = b'{"n": %s1%s}' % (b"[" * 100_000, b"]" * 100_000)
    for each in (*bad, nested, b'{"n": 1, "new": true}'):
        client.xadd(key, {"body": each})
    connector, stream = build(redis_url, key, json_field="body"), declared(key, n="INTEGER")
    columns = connector.columns_now(stream, ())
    assert columns is not None and [each.name for each in columns if each.name[0] != "_"] == ["n", "new"]
    (info,) = connector.discover()
    assert (info.columns, [each.partition(" messages")[0] for each in info.warnings]) == (columns, ["7 of 8"])
    arrived, rejected, _ = read(connector, stream, whole(connector, stream))
    assert (arrived, len(rejected)) == ([(1,)], 7)


def test_it_begins_with_a_time_and_counts_from_there_on(client: redis.Redis, redis_url: str, key: str):
    for each in ("1000-1", "2000-1", "2000-2", "3000-1"):
        client.xadd(key, {"n": each[0]}, id=each)
    stream = declared(key, n="INTEGER")
    connector = build(redis_url, key, begin="time", begin_at="1970-01-01T01:00:01.0005+01:00", most_messages=2)
    plan = connector.plan(stream, "incremental", Mark())
    said = f"First read, from 1970-01-01T00:00:01.000500+00:00 on: 3 messages of {key} wait, of which a run reads 2"
    assert plan.window is not None and plan.reason == f"{said} at most."
    rows_read, _, settled = read(connector, stream, plan.window)
    assert settled is not None and (rows_read, settled.behind) == ([(2,), (2,)], 1)
    client.xtrim(key, minid="3000", approximate=False)
    following = connector.plan(stream, "incremental", Mark(spans=settled.spans)).window
    assert following is not None and read(connector, stream, following)[0] == [(3,)]
    assert connector.plan(stream, "incremental", Mark(seed=True)).rows == 1
    later = build(redis_url, key, begin="time", begin_at="2100-01-01").plan(stream, "incremental", Mark())
    assert (later.window, later.reason) == (None, f"{key} has no message from 2100-01-01T00:00:00+00:00 on yet.")


@pytest.mark.parametrize(("first", "trimmed"), [(3, False), (3, True), (38, False), (38, True)])
def test_what_a_time_leaves_is_counted_from_the_nearer_end_also_where_entries_go_meanwhile(
    client: redis.Redis, redis_url: str, key: str, monkeypatch: pytest.MonkeyPatch, *, first: int, trimmed: bool
):
    asked: list[str] = []

    class Noting(redis_streams._Session):
        def _ask(self, question: Any, stream: str = "") -> Any:
            asked.append(stream)
            if trimmed and asked.count(key) == 2:
                client.xtrim(key, minid="2", approximate=False)
            return super()._ask(question, stream)

    for n in range(1, 41):
        client.xadd(key, {"n": n}, id=f"{n}-1")
    monkeypatch.setattr(redis_streams, "AT_ONCE", 2)
    with closing(Noting(RedisStreams(build(redis_url, key).params).params, hurried=False)) as broker:
        for _, step in broker.steps():
            step()
        (extent,) = broker.since(key, broker.extents(key), datetime.fromtimestamp(first / 1000, UTC))
    assert extent.kept == 41 - first
    assert trimmed or asked.count(key) <= 8


def test_nobody_waits_long_for_what_a_time_leaves_to_be_counted(
    client: redis.Redis, redis_url: str, key: str, monkeypatch: pytest.MonkeyPatch
):
    for n in range(1, 41):
        client.xadd(key, {"n": n}, id=f"{n}-1")
    monkeypatch.setattr(redis_streams, "COUNT_SECONDS", 0)
    monkeypatch.setattr(redis_streams, "AT_ONCE", 2)
    connector, stream = build(redis_url, key, begin="time", begin_at="1970-01-01T00:00:00.020Z"), declared(key)
    counted = connector.plan(stream, "incremental", Mark())
    assert (counted.rows, "on: 21 messages" in counted.reason) == (21, True)
    connector.hurried = True
    told = connector.plan(stream, "incremental", Mark())
    assert (told.rows, "on: at least 1 message" in told.reason) == (1, True)


WRONG_TIMES = [
    ({"begin": "time"}, "needed where begin is time"),
    ({"begin": "time", "begin_at": "2026"}, "It is no time"),
    ({"begin": "time", "begin_at": "0001-01-01T00:00:00+14:00"}, "It is no time"),
    ({"begin": "time", "begin_at": "1969-12-31"}, "from 1970 to 2199"),
    ({"begin_at": "2026-01-01"}, "Choose to begin with `time`, or empty it"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG_TIMES, ids=[str(place) for place in range(len(WRONG_TIMES))])
def test_a_time_that_makes_no_sense_is_refused(wrong: dict[str, str], said: str):
    with pytest.raises(ValueError, match=said):
        registry.build("redis_streams", {"host": "h", **wrong})


def test_a_stream_that_is_gone_is_named(redis_url: str, key: str):
    with pytest.raises(ConfigurationError, match=key):
        build(redis_url, key).plan(declared(key), "incremental", Mark())


def test_an_address_is_recognised():
    found = RedisStreams.recognise(Clue("rediss://reader:s3cret@cache.example.org:6380/2"))
    assert found is not None and found.confidence > 0.9
    wanted = {"host": "cache.example.org", "port": 6380, "user": "reader", "password": "s3cret"}
    assert found.params == {**wanted, "tls": True, "database": 2}
    assert RedisStreams.recognise(Clue("cache.example.org")) is None


def test_a_key_that_was_renamed_arrives_under_its_name_and_the_window_is_settled(
    client: redis.Redis, redis_url: str, key: str, tmp_path: Path
):
    client.xadd(key, {"n": "1"}, id="1000-1")
    client.xadd(key, {"number": "2"}, id="1000-2")
    connector = build(redis_url, key)
    stream = replace(declared(key, n="BIGINT", number="BIGINT"), names={"number": "n"})
    result = extracted(tmp_path, connector, stream, whole(connector, stream))
    assert rows(tmp_path, result) == [(1,), (2,)]
    assert result.facts["settled"]["messages"] == 2


def test_a_server_that_dribbles_is_given_up(monkeypatch: pytest.MonkeyPatch):
    def dribble(listening: socket.socket) -> None:
        with listening.accept()[0] as connection, suppress(OSError):
            while not over.wait(0.02):
                connection.sendall(b"A")

    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.5)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=dribble, args=[listening], daemon=True)
        server.start()
        last = list(build(f"redis://127.0.0.1:{listening.getsockname()[1]}", "s").test())[-1]
        over.set()
        server.join(60)
    assert last.error is not None
    assert (last.name, last.error.code, last.error.retryable) == ("connect", "connection_lost", True)
