"""NATS JetStream against a real server."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats
import pytest
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError, ServiceUnavailableError

from dataplane.connectors import nats_jetstream, registry
from dataplane.connectors.base import Connector
from dataplane.connectors.nats_jetstream import NatsJetStream, NatsParams
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.streams import messages
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ManifoldError, TransientError
from tests.certificates import self_signed
from tests.dataplane.connectors.streams.reading import declared, failed, read, whole
from tests.nats_accounts import Party, handed_out
from tests.nats_server import BY_PASSWORD, PASSWORD, PATIENCE, USER, nats_server, send_all

Do = Callable[..., Any]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nats_server(tmp_path_factory.mktemp("nats")) as found:
        yield found


@pytest.fixture
def do(port: int) -> Do:
    return caller(port)


def caller(port: int) -> Do:
    """Calls a method of JetStream's client."""

    def called(method: str, *given: Any, **named: Any) -> Any:
        async def call() -> Any:
            known = {"user": USER, "password": PASSWORD, "connect_timeout": PATIENCE}
            client = await nats.connect(f"nats://127.0.0.1:{port}", **known)
            try:
                return await getattr(client.jetstream(timeout=PATIENCE), method)(*given, **named)
            finally:
                await client.close()

        return asyncio.run(call())

    return called


@pytest.fixture
def name(do: Do) -> str:
    """A stream that takes what is published below its name."""
    found = f"events-{uuid4().hex}"
    do("add_stream", name=found, subjects=[f"{found}.>"])
    return found


def build(port: int, name: str, **changes: Any) -> Connector:
    given = {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD, "streams": [name]}
    return registry.build("nats_jetstream", {**given, **changes})


def publish(do: Do, name: str, *values: bytes, **more: Any) -> None:
    for each in values:
        do("publish", f"{name}.new", each, **more)


def test_it_works(port: int, name: str, do: Do):
    publish(do, name, b'{"n": 1}', headers={"trace": "a"})
    publish(do, name, b'{"n": 2}', b"odd")
    connector = build(port, name)
    stages = list(connector.test())
    assert [each.name for each in stages] == ["resolve", "connect", "authenticate", "list", "read a row"]
    assert all(each.ok for each in stages), stages
    (info,) = connector.discover()
    assert [each.name for each in info.columns] == ["_offset", "_timestamp", "_subject", "_headers", "n"]
    stream = StreamConfig(name, columns=info.columns)
    rows, rejected, settled = read(connector, stream, whole(connector, stream))
    assert [(row[0], row[2], row[3], row[4]) for row in rows] == [
        (1, f"{name}.new", '{"trace": "a"}', 1),
        (2, f"{name}.new", None, 2),
    ]
    assert [each[:3] for each in rejected] == [(name, 3, "it is no JSON object")]
    assert settled is not None and read(connector, stream, settled)[0] == rows
    assert connector.preview(stream, 5).num_rows == 2
    assert isinstance(connector, NatsJetStream)
    with connector.session() as broker:
        assert connector.first_at(broker, name, {"": (1, 3)}) == rows[1][1]


def test_a_window_ends_where_it_was_planned_and_a_limit_cuts_it(port: int, name: str, do: Do):
    stream = declared(name, n="INTEGER")
    connector = build(port, name, most_messages=3)
    publish(do, name, *(b'{"n": %d}' % n for n in range(5)))
    window = whole(connector, stream)
    publish(do, name, b'{"n": 5}')
    rows, _, settled = read(connector, stream, window)
    assert settled is not None
    assert ([n for (n,) in rows], settled.behind) == ([0, 1, 2], 2)
    following = connector.plan(stream, "incremental", Mark(spans=settled.spans)).window
    assert following is not None
    assert [n for (n,) in read(connector, stream, following)[0]] == [3, 4, 5]


def test_messages_that_are_gone_are_told_and_deleted_ones_between_are_not_waited_for(port: int, name: str, do: Do):
    stream = declared(name, n="INTEGER")
    connector = build(port, name)
    publish(do, name, *(b'{"n": %d}' % n for n in range(6)))
    do("delete_msg", name, 3)
    do("delete_msg", name, 6)
    rows, _, settled = read(connector, stream, whole(connector, stream))
    assert [n for (n,) in rows] == [0, 1, 3, 4]
    assert settled is not None
    publish(do, name, b'{"n": 6}', b'{"n": 7}')
    do("purge_stream", name, seq=8)
    with pytest.raises(ManifoldError) as refused:
        connector.plan(stream, "incremental", Mark(spans=settled.spans))
    assert (refused.value.code, refused.value.evidence["messages"]) == ("messages_gone", 1)
    planned = build(port, name, when_gone="go on").plan(stream, "incremental", Mark(spans=settled.spans))
    assert planned.window is not None and planned.window.gone == 1
    assert read(connector, stream, planned.window)[0] == [(7,)]


def test_a_stream_that_was_made_anew_is_no_continuation_also_where_it_has_more_messages(port: int, name: str, do: Do):
    stream = declared(name, n="INTEGER")
    connector = build(port, name)
    publish(do, name, b'{"n": 1}', b'{"n": 2}')
    settled = read(connector, stream, whole(connector, stream))[2]
    assert settled is not None
    mark = Mark(spans=Window.from_json(settled.as_json()).spans)
    publish(do, name, b'{"n": 3}')
    waiting = connector.plan(stream, "incremental", mark).window
    assert waiting is not None
    do("delete_stream", name)
    do("add_stream", name=name, subjects=[f"{name}.>"])
    publish(do, name, *(b'{"n": %d}' % n for n in range(10, 15)))
    for refuse in (lambda: connector.plan(stream, "incremental", mark), lambda: read(connector, stream, waiting)):
        with pytest.raises(ManifoldError, match="was made anew since it was read") as refused:
            refuse()
        assert refused.value.code == "stream_restarted"
    planned = build(port, name, when_gone="go on").plan(stream, "incremental", mark)
    assert planned.window is not None and len(planned.warnings) == 1
    assert read(connector, stream, planned.window)[0] == [(n,) for n in range(10, 15)]
    earlier = Mark(spans=tuple(replace(each, made="") for each in mark.spans))
    known = connector.plan(stream, "incremental", earlier).window
    assert known is not None and known.spans[0].lower == "2", "a window of before says nothing of when it was made"


def test_large_messages_are_taken_few_at_once(port: int, name: str, monkeypatch: pytest.MonkeyPatch):
    """As many as a batch holds by their bytes; one that is larger than a batch comes alone."""
    monkeypatch.setattr(messages, "MOST_BYTES", 160_000)
    sizes = [20] * 100 + [4_000] * 100 + [300_000, 20]
    send_all(port, name, (b'{"x": "%s"}' % (b"x" * (size - 9)) for size in sizes))
    connector = NatsJetStream(build(port, name).params)
    with connector.session() as broker:
        (extent,) = broker.extents(name)
        batches = list(broker.messages(name, {"": (extent.before, extent.newest)}, 202))
    assert [len(each or b"") for batch in batches for each in batch.values] == sizes
    assert [each.bytes <= 160_000 for each in batches] == [True] * (len(batches) - 2) + [False, True]
    assert batches[0].count > 100 and batches[-2].count == 1
    assert connector.preview(declared(name, x="VARCHAR"), 240).num_rows == 202


def test_no_more_is_asked_for_than_the_server_sends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It closes the connection of whoever lets much more than that wait."""
    monkeypatch.setattr(messages, "MOST_BYTES", 1 << 20)
    with nats_server(tmp_path, entrance=f"{BY_PASSWORD}\nmax_pending: 2MB") as port:
        caller(port)("add_stream", name="events", subjects=["events.>"])
        send_all(port, "events", (b'{"n": %d, "x": "%s"}' % (n, b"x" * 500_000) for n in range(60)))
        connector, stream = build(port, "events"), declared("events", n="INTEGER")
        rows, _, settled = read(connector, stream, whole(connector, stream))
    assert rows == [(n,) for n in range(60)]
    assert settled is not None and settled.messages == 60


def test_headers_of_a_message_are_its_own_whatever_they_are_called(port: int, name: str, do: Do):
    stream = declared(name, n="INTEGER", _headers="JSON")
    publish(do, name, b'{"n": 1}', headers={"Status": "404"})
    publish(do, name, b'{"n": 2}', headers={"Status": "500"})
    connector = build(port, name)
    rows = read(connector, stream, whole(connector, stream))[0]
    assert rows == [(1, '{"Status": "404"}'), (2, '{"Status": "500"}')]


def test_a_read_leaves_no_consumer_behind(port: int, name: str, do: Do):
    publish(do, name, b'{"n": 1}')
    connector, stream = build(port, name, begin="time", begin_at="2026-01-01"), declared(name, n="INTEGER")
    assert read(connector, stream, whole(connector, stream))[0] == [(1,)]
    until = time.monotonic() + PATIENCE
    while left := do("consumers_info", name):
        assert time.monotonic() < until, left
        time.sleep(0.02)


def test_it_begins_with_a_time(port: int, name: str, do: Do):
    stream = declared(name, _timestamp="TIMESTAMP WITH TIME ZONE", n="INTEGER")
    publish(do, name, *(b'{"n": %d}' % n for n in range(4)))
    everything = read(build(port, name), stream, whole(build(port, name), stream))[0]
    do("delete_msg", name, 3)
    connector = build(port, name, begin="time", begin_at=everything[2][0].isoformat())
    window = whole(connector, stream)
    assert read(connector, stream, window)[0] == everything[3:]
    assert connector.plan(stream, "incremental", Mark(seed=True)).rows == 4
    later = build(port, name, begin="time", begin_at="2100-01-01").plan(stream, "incremental", Mark())
    assert later.window is None and "no message from 2100-01-01" in later.reason


def test_an_empty_stream_has_no_row(port: int, name: str):
    connector = build(port, name)
    assert connector.plan(declared(name, n="INTEGER"), "incremental", Mark()).window is None
    full = connector.plan(declared(name, n="INTEGER"), "full_refresh", Mark()).window
    assert full is not None and read(connector, declared(name, n="INTEGER"), full)[0] == []


def test_each_stage_fails_in_its_own_way(port: int, name: str):
    assert failed(build(port, name, host="no-such-host.invalid")) == ("resolve", "host_unknown")
    assert failed(build(port, name, host="169.254.169.254")) == ("resolve", "address_refused")
    assert failed(build(1, name)) == ("connect", "connection_refused")
    assert failed(build(port, name, password="wrong")) == ("authenticate", "authentication")
    assert failed(build(port, "nothing-here")) == ("list", "stream_missing")


def test_a_read_whose_consumer_went_away_is_tried_again(port: int, name: str, do: Do, monkeypatch: pytest.MonkeyPatch):
    """The server forgets it when it starts again; the stream is there all the same."""
    publish(do, name, b"{}", b"{}", b"{}")
    monkeypatch.setattr(nats_jetstream, "AT_ONCE", 2)
    connector = NatsJetStream(build(port, name).params)
    with connector.session() as broker:
        batches = broker.messages(name, {"": (0, 3)}, 3)
        assert next(batches).count == 2
        (consumer,) = do("consumers_info", name)
        do("delete_consumer", name, consumer.name)
        with pytest.raises(TransientError) as refused:
            list(batches)
    assert refused.value.code == "connection_lost"


PASSING = [
    (ServiceUnavailableError(), True, "connection_lost"),
    (ServiceUnavailableError(code=503, err_code=10008), False, "connection_lost"),
    (NoRespondersError(), True, "connection_lost"),
    (NotFoundError(code=404, err_code=10014), True, "connection_lost"),
    (NotFoundError(code=404, err_code=10059), True, "stream_missing"),
    (ServiceUnavailableError(), False, "jetstream_off"),
    (ServiceUnavailableError(code=503, err_code=10039), True, "jetstream_off"),
    (ServiceUnavailableError(code=503, err_code=10076), True, "jetstream_off"),
]


@pytest.mark.parametrize(("error", "entered", "code"), PASSING, ids=[str(place) for place in range(len(PASSING))])
def test_what_passes_is_told_from_what_stays(error: Exception, entered: bool, code: str):
    """`entered`: JetStream has answered in this session."""
    told = nats_jetstream.told(error, NatsParams(host="broker.example.org"), "orders", entered=entered)
    assert (told.code, isinstance(told, TransientError)) == (code, code == "connection_lost")


def test_a_server_without_jetstream_says_so(tmp_path: Path):
    with nats_server(tmp_path, jetstream=False) as port:
        assert failed(build(port, "any")) == ("authenticate", "jetstream_off")


def test_over_tls_the_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    own = tmp_path / "own.pem"
    trusted, other = self_signed(own, "localhost"), self_signed(tmp_path / "other.pem", "localhost")
    with nats_server(tmp_path, certificate=own) as port:
        given = {"host": "localhost", "tls": True}
        stages = list(build(port, "none", streams=[], certificate=trusted, **given).test())
        assert all(each.ok for each in stages), stages
        assert failed(build(port, "none", certificate=other, **given)) == ("authenticate", "tls")
        assert failed(build(port, "none", **given)) == ("authenticate", "tls")
        assert failed(build(port, "none", certificate=trusted, **(given | {"host": "127.0.0.1"}))) == (
            "authenticate",
            "tls",
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(own))
        assert all(each.ok for each in build(port, "none", streams=[], **given).test())


def test_a_token_lets_in_who_has_it(tmp_path: Path):
    with nats_server(tmp_path, entrance='authorization { token: "s3cret" }') as port:
        given: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        stages = list(registry.build("nats_jetstream", given | {"token": "s3cret"}).test())
        assert all(each.ok for each in stages), stages
        for wrong in ({"token": "wrong"}, {}):
            assert failed(registry.build("nats_jetstream", given | wrong)) == ("authenticate", "authentication")


def test_a_key_alone_lets_in_whom_the_server_knows_by_it(tmp_path: Path):
    user = Party("user")
    with nats_server(tmp_path, entrance=f"authorization {{ users: [{{ nkey: {user.name} }}] }}") as port:
        given: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        stages = list(registry.build("nats_jetstream", given | {"credentials": f"{user.seed}\n"}).test())
        assert all(each.ok for each in stages), stages
        strange = registry.build("nats_jetstream", given | {"credentials": Party("user").seed})
        assert failed(strange) == ("authenticate", "authentication")
    for wrong, said in ((Party("account").seed, "seed of an NKey"), (user.seed[:-1], "damaged")):
        with pytest.raises(ValueError, match=said):
            NatsParams(host="h", credentials=wrong)


def test_a_credentials_file_lets_its_user_in(tmp_path: Path):
    config, credentials = handed_out()
    with nats_server(tmp_path, entrance=config) as port:
        given: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        stages = list(registry.build("nats_jetstream", given | {"credentials": credentials}).test())
        assert all(each.ok for each in stages), stages
        in_one_line = registry.build("nats_jetstream", given | {"credentials": credentials.replace("\n", "")})
        assert all(each.ok for each in in_one_line.test())
        strange = registry.build("nats_jetstream", given | {"credentials": handed_out()[1]})
        assert failed(strange) == ("authenticate", "authentication")
    with pytest.raises(ValueError, match=r"whole text of the \.creds file"):
        NatsParams(host="h", credentials="eyJhbGciOi")
    seed = re.search(r"SU[A-Z2-7]{56}", credentials)
    assert seed is not None
    turned = seed[0][:20] + ("A" if seed[0][20] != "A" else "B") + seed[0][21:]
    with pytest.raises(ValueError, match="damaged"):
        NatsParams(host="h", credentials=credentials.replace(seed[0], turned))
