"""Sources of every kind with the same rows, each reached by a way that can be cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest
import redis
from confluent_kafka import Producer
from moto.server import ThreadedMotoServer

from tests import azurite
from tests.clickhouse_server import ClickHouseServer
from tests.cutting import Way, cutting
from tests.dataplane.connectors.databases import params_of
from tests.dataplane.connectors.remotes import ftp, ssh, web
from tests.dataplane.connectors.remotes.conftest import HOST_KEY, USER_KEY
from tests.dataplane.connectors.remotes.test_s3 import OWNER
from tests.dataplane.connectors.rest.api import order, serving_orders
from tests.dataplane.connectors.rest.reading import WAYS as PAGINGS
from tests.kafka_cluster import kafka_cluster
from tests.mariadb import Database
from tests.mongo_server import Store, serving
from tests.nats_server import PASSWORD, USER, nats_server, send_all

ROWS = 20_000
LINES = "".join(f'{{"n": {n}, "text": "{"y" * 50}"}}\n' for n in range(ROWS))
NUMBERS = f"generate_series(0, {ROWS - 1})"


@dataclass
class Cut:
    """A source that is reached by a way that can be cut.

    key: the column with the number of each row. cursor: what it is read by. after: how many bytes a connection gives
    before it is cut, each time anew.
    """

    kind: str
    params: dict[str, Any]
    way: Way
    stream: str = ""
    key: str = "n"
    cursor: str | None = None
    after: tuple[int, ...] = (5_000, 100_000)


Serve = Callable[[Path, pytest.FixtureRequest], AbstractContextManager[Cut]]


@contextmanager
def sftp(folder: Path, _: pytest.FixtureRequest) -> Iterator[Cut]:
    with ssh.serving(_lines(folder), HOST_KEY, USER_KEY) as server, cutting(server.port) as way:
        params = {"host": "127.0.0.1", "port": way.port, "user": ssh.USER, "password": ssh.PASSWORD}
        yield Cut("sftp", {**params, "host_key": server.host_key}, way)


@contextmanager
def ftp_commands(folder: Path, _: pytest.FixtureRequest) -> Iterator[Cut]:
    with ftp.serving(_lines(folder)) as server, cutting(server.port) as way:
        # Amid the greeting, the sign-in, and what is said before and behind the file.
        yield _ftp(way.port, way, after=(10, 100, 200, 300))


@contextmanager
def ftp_files(folder: Path, _: pytest.FixtureRequest) -> Iterator[Cut]:
    with ftp.serving(_lines(folder)) as server, ExitStack() as stack:
        files = stack.enter_context(cutting(0))

        def elsewhere(said: bytes, _: int) -> bytes:
            """The server's port for one file becomes that of the way to it."""
            if found := re.search(rb"\(127,0,0,1,(\d+),(\d+)\)", said):
                files.to = int(found[1]) * 256 + int(found[2])
                return said.replace(found[0], b"(127,0,0,1,%d,%d)" % divmod(files.port, 256))
            return said

        yield _ftp(stack.enter_context(cutting(server.port, heard=elsewhere)).port, files)


def _ftp(port: int, way: Way, **more: Any) -> Cut:
    params = {"host": "127.0.0.1", "port": port, "user": ftp.USER, "password": ftp.PASSWORD, "tls": "off"}
    return Cut("ftp", params, way, **more)


def _lines(folder: Path) -> Path:
    (folder / "served").mkdir()
    (folder / "served" / "orders.ndjson").write_text(LINES)
    return folder / "served"


@contextmanager
def http_files(_: Path, __: pytest.FixtureRequest) -> Iterator[Cut]:
    with web.serving() as served, cutting(served.port) as way:
        served.files["/orders.ndjson"] = LINES.encode()
        yield Cut("http_files", {"urls": [f"http://127.0.0.1:{way.port}/orders.ndjson"]}, way)


@contextmanager
def s3(_: Path, __: pytest.FixtureRequest) -> Iterator[Cut]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        bucket = f"http://{host}:{port}/drop-{uuid4().hex}"
        for address, content in ((bucket, ""), (f"{bucket}/orders.ndjson", LINES)):
            httpx.put(address, content=content.encode(), headers=OWNER, trust_env=False, timeout=60).raise_for_status()
        with cutting(port) as way:
            params = {"bucket": bucket.rpartition("/")[2], "endpoint": f"http://127.0.0.1:{way.port}"}
            yield Cut("s3", {**params, "access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cret"}, way)
    finally:
        server.stop()


@contextmanager
def azure_blob(folder: Path, _: pytest.FixtureRequest) -> Iterator[Cut]:
    program = azurite.command()
    if program is None:
        pytest.skip("Azurite is not installed: npm install --prefix .venv/azurite azurite")
    with azurite.serving(program, folder) as server:
        server.make("drop")
        server.put("drop", "orders.ndjson", LINES.encode())
        address = urlsplit(server.endpoint)
        with cutting(address.port or 0) as way:
            params = {"account": azurite.ACCOUNT, "account_key": azurite.KEY, "container": "drop"}
            yield Cut("azure_blob", {**params, "endpoint": f"http://127.0.0.1:{way.port}{address.path}"}, way)


@contextmanager
def redis_streams(_: Path, request: pytest.FixtureRequest) -> Iterator[Cut]:
    url = request.getfixturevalue("redis_url")
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
def nats_jetstream(folder: Path, _: pytest.FixtureRequest) -> Iterator[Cut]:
    with nats_server(folder) as port, cutting(port) as way:
        send_all(port, "orders", (b'{"n": %d}' % n for n in range(ROWS)))
        params = {"host": "127.0.0.1", "port": way.port, "user": USER, "password": PASSWORD, "streams": ["orders"]}
        yield Cut("nats_jetstream", params, way)


@contextmanager
def kafka(_: Path, __: pytest.FixtureRequest) -> Iterator[Cut]:
    """A way to each broker; cut is that to the one that holds the messages."""
    with kafka_cluster() as servers, ExitStack() as stack:
        # All in one batch, which is larger than what a connection gives: the client connects again by itself.
        together = {"batch.num.messages": ROWS, "linger.ms": 1_000}
        producer = Producer({"bootstrap.servers": ",".join(servers), **together})
        for n in range(ROWS):
            producer.produce("orders", value=b'{"n": %d}' % n, partition=0)
        assert producer.flush(60) == 0
        ways: dict[int, Way] = {}

        def elsewhere(said: bytes, _: int) -> bytes:
            for port, way in ways.items():
                said = said.replace(_place(port), _place(way.port))
            return said

        told = producer.list_topics("orders")
        for each in told.brokers.values():
            ways[each.port] = stack.enter_context(cutting(each.port, heard=elsewhere))
        leader = told.brokers[told.topics["orders"].partitions[0].leader]
        addresses = [f"127.0.0.1:{each.port}" for each in ways.values()]
        yield Cut("kafka", {"servers": addresses, "topics": ["orders"]}, ways[leader.port], after=(100_000,))


def _place(port: int) -> bytes:
    return b"127.0.0.1" + port.to_bytes(4, "big")


@contextmanager
def postgresql(_: Path, request: pytest.FixtureRequest, *, kind: str = "postgresql") -> Iterator[Cut]:
    url = request.getfixturevalue("postgres_url")
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE TABLE orders AS SELECT n, repeat('y', 50) AS text FROM {NUMBERS} AS n")
    params = {**params_of(url), "sslmode": "disable"}
    with cutting(params["port"]) as way:
        yield Cut(kind, {**params, "host": "127.0.0.1", "port": way.port}, way, "public.orders", cursor="n")


@contextmanager
def mysql(_: Path, request: pytest.FixtureRequest) -> Iterator[Cut]:
    database: Database = request.getfixturevalue("mysql")
    database.do("CREATE TABLE orders (n int)", f"INSERT INTO orders SELECT seq FROM seq_0_to_{ROWS - 1}")
    with cutting(database.params["port"]) as way:
        yield Cut("mysql", {**database.params, "port": way.port}, way, "orders", cursor="n")


@contextmanager
def mongodb(_: Path, __: pytest.FixtureRequest) -> Iterator[Cut]:
    store = Store()
    store.add("orders", *({"_id": n, "n": n} for n in range(ROWS)))
    with serving(store) as port, cutting(port) as way:
        params = {"host": "127.0.0.1", "port": way.port, "database": "shop", "tls": "disable"}
        yield Cut("mongodb", params, way, "orders", key="_id", cursor="_id")


@contextmanager
def clickhouse(_: Path, request: pytest.FixtureRequest) -> Iterator[Cut]:
    server: ClickHouseServer = request.getfixturevalue("clickhouse_server")
    server.do(
        "CREATE DATABASE IF NOT EXISTS cut",
        f"CREATE OR REPLACE TABLE cut.orders ENGINE = MergeTree ORDER BY n AS SELECT number AS n FROM numbers({ROWS})",
    )
    with cutting(server.port) as way:
        yield Cut("clickhouse", {**server.params, "port": way.port}, way, "cut.orders", cursor="n")


@contextmanager
def rest(_: Path, __: pytest.FixtureRequest) -> Iterator[Cut]:
    with serving_orders() as api, cutting(api.web.port) as way:
        api.orders, api.size = [order(n) | {"at": f"{n:06d}"} for n in range(ROWS)], ROWS // 4
        params = {"base_url": f"http://127.0.0.1:{way.port}/v1", "streams": [PAGINGS["page"]], "records": "data.orders"}
        params["since_parameter"] = "since"
        # What is asked again and again takes its time.
        yield Cut("rest", params, way, "orders", key="id", cursor="at", after=(100_000,))


SERVERS: dict[str, Serve] = {
    "sftp": sftp,
    "ftp commands": ftp_commands,
    "ftp files": ftp_files,
    "http": http_files,
    "s3": s3,
    "azure": azure_blob,
    "redis": redis_streams,
    "nats": nats_jetstream,
    "kafka": kafka,
    "postgresql": postgresql,
    "redshift": partial(postgresql, kind="redshift"),
    "mysql": mysql,
    "mongodb": mongodb,
    "clickhouse": clickhouse,
    "rest": rest,
}
