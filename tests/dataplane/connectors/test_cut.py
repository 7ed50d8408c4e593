"""A connection that is cut amid a read: told as what passes, nothing half read is kept, the next read has it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import redis
from moto.server import ThreadedMotoServer

from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark
from dataplane.errors import TransientError
from dataplane.steps.extract import ExtractSpec, ExtractStep
from tests.cutting import Way, cutting
from tests.dataplane.connectors.remotes import ssh
from tests.dataplane.connectors.remotes.conftest import HOST_KEY, USER_KEY
from tests.dataplane.connectors.remotes.test_s3 import OWNER
from tests.dataplane.steps.files_source import context, rows
from tests.nats_server import PASSWORD, USER, nats_server, send_all

pytestmark = pytest.mark.all

ROWS = 20_000
SECONDS = 40
LINES = "".join(f'{{"n": {n}, "text": "{"y" * 50}"}}\n' for n in range(ROWS))


@dataclass
class Cut:
    """A source that is reached by a way that can be cut."""

    kind: str
    params: dict[str, Any]
    way: Way


@contextmanager
def sftp(folder: Path, _: str) -> Iterator[Cut]:
    (folder / "served").mkdir()
    (folder / "served" / "orders.ndjson").write_text(LINES)
    with ssh.serving(folder / "served", HOST_KEY, USER_KEY) as server, cutting(server.port) as way:
        params = {"host": "127.0.0.1", "port": way.port, "user": ssh.USER, "password": ssh.PASSWORD}
        yield Cut("sftp", {**params, "host_key": server.host_key}, way)


@contextmanager
def s3(_: Path, __: str) -> Iterator[Cut]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        bucket = f"http://{host}:{port}/drop-{uuid4().hex}"
        for address, content in ((bucket, ""), (f"{bucket}/orders.ndjson", LINES)):
            httpx.put(address, content=content.encode(), headers=OWNER, trust_env=False).raise_for_status()
        with cutting(port) as way:
            params = {"bucket": bucket.rpartition("/")[2], "endpoint": f"http://127.0.0.1:{way.port}"}
            yield Cut("s3", {**params, "access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cret"}, way)
    finally:
        server.stop()


@contextmanager
def redis_streams(_: Path, url: str) -> Iterator[Cut]:
    name, parts = f"orders-{uuid4().hex}", urlsplit(url)
    with redis.Redis.from_url(url) as client, cutting(parts.port or 6379) as way:
        with client.pipeline() as together:
            for n in range(ROWS):
                together.xadd(name, {"n": n})
            together.execute()
        params = {"host": "127.0.0.1", "port": way.port, "password": parts.password, "streams": [name]}
        yield Cut("redis_streams", {**params, "database": parts.path.strip("/") or 0}, way)
        client.delete(name)


@contextmanager
def nats_jetstream(folder: Path, _: str) -> Iterator[Cut]:
    with nats_server(folder) as port, cutting(port) as way:
        send_all(port, "orders", (b'{"n": %d}' % n for n in range(ROWS)))
        params = {"host": "127.0.0.1", "port": way.port, "user": USER, "password": PASSWORD, "streams": ["orders"]}
        yield Cut("nats_jetstream", params, way)


Serve = Callable[[Path, str], Any]
SERVERS: list[Serve] = [sftp, s3, redis_streams, nats_jetstream]


@pytest.fixture(params=SERVERS, ids=[each.__name__ for each in SERVERS])
def cut(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Iterator[Cut]:
    with ExitStack() as stack:
        yield stack.enter_context(request.param(tmp_path, redis_url))


def test_a_read_that_is_cut_is_told_and_read_again(cut: Cut, tmp_path: Path) -> None:
    def connector() -> Any:
        return build(cut.kind, cut.params, networks=["127.0.0.0/8"])

    (info,) = connector().discover()
    wanted = tuple(replace(each, type="BIGINT") for each in info.columns if each.name == "n")
    settings = {**info.settings, **({"settle_seconds": 0} if "settle_seconds" in info.settings else {})}
    stream = StreamConfig(info.name, settings=settings, columns=wanted)
    for after in (5_000, 100_000):
        planned = connector().plan(stream, "incremental", Mark()).window
        cut.way.after, cut.way.cuts = after, 0
        here = context(tmp_path, connector=connector(), stream=stream, window=planned)
        began = time.monotonic()
        with pytest.raises(TransientError) as caught:
            ExtractStep.run(here, ExtractSpec(source="cut", stream=stream.name))
        assert time.monotonic() - began < SECONDS and cut.way.cuts, "it came to an end, by the cut"
        assert "127.0.0.1" in str(caught.value) or "connection" in str(caught.value).lower()
        cut.way.after = None
    again = context(tmp_path, connector=connector(), stream=stream, window=planned)
    result = ExtractStep.run(again, ExtractSpec(source="cut", stream=stream.name))
    assert sorted(n for (n,) in rows(tmp_path, result)) == list(range(ROWS))
