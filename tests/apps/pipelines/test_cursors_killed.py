"""kill -9 at each page, and at each place of plan, extract and load, of what is read by a cursor: each row comes once.

Where a window is one answer, so many bytes of it are a page. A file of SQLite or DuckDB is asked for nothing: there, so
many bytes of a staged file are one, and the kernel ends whoever writes more.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bson import DatetimeMS

from apps.accounts.models import Project
from apps.pipelines import services
from apps.pipelines.models import Pipeline
from apps.sources import services as sources
from dataplane.connectors.mongodb.reading import BATCH
from tests import peers
from tests.apps.pipelines import workshop as ws
from tests.clickhouse_server import AT_ONCE, ClickHouseServer
from tests.cutting import cutting
from tests.dataplane.connectors.databases import params_of
from tests.dataplane.connectors.graphql.api import PAGED, WAYS, serving_graphql
from tests.dataplane.connectors.remotes.web import Request
from tests.dataplane.connectors.rest.api import serving_orders
from tests.dataplane.connectors.rest.reading import WAYS as PAGINGS
from tests.mariadb import Database
from tests.mongo_server import Store, serving
from tests.mortal import Mortals, mortals
from tests.trino_server import PAGE, trino_server

pytestmark = pytest.mark.all

NETWORKS = "127.0.0.0/8"
TEXT = """
manifold: 1
pipeline: orders
steps:
  orders: {{extract: {{source: shop, stream: {stream}, mode: incremental}}}}
  kept: {{load: {{input: orders, dataset: orders}}}}
"""
# Rows of a database's file, of which half as many more are staged at once; and so few bytes that each kill is reached,
# however two threads share the rows.
ROWS, STAGED = 40_960, 900_000
# A number is a page after which the reader dies.
RUNS = (
    ("plan in_commit", "plan committed", "orders 1", "orders 2", "orders 3", "kept committed"),
    ("orders 2", "orders written", "kept in_commit"),
    ("orders in_commit", "orders committed"),
)
Row = tuple[int, int]


@dataclass
class Shop:
    """A source of orders, each with a number and what it is read by.

    send: puts rows there. doom: the next reader is killed after so many pages. page: rows of one. lookback: three of
    what it is read by, in the source's own measure.
    """

    connector: str
    params: dict[str, Any]
    send: Callable[[Sequence[Row]], None]
    doom: Callable[[int], None]
    page: int = 10
    stream: str = "orders"
    key: str = "n"
    lookback: float = 3
    sent: list[Row] = field(default_factory=list)

    def more(self, many: int, late: int = 0) -> None:
        """Rows whose cursors grow by one for every two; `late` of them with the last cursor there is."""
        before = len(self.sent)
        rows = [(n, n // 2) for n in range(before, before + many)]
        rows += [(n, (before + many - 1) // 2) for n in range(before + many, before + many + late)]
        self.send(rows)
        self.sent += rows


def values(rows: Sequence[Row]) -> str:
    return ", ".join(f"({n}, {at})" for n, at in rows)


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouseServer) -> Shop:
    server = clickhouse_server
    server.do(
        "CREATE DATABASE IF NOT EXISTS killed",
        "CREATE OR REPLACE TABLE killed.orders (n UInt32, at UInt32) ENGINE = MergeTree ORDER BY n",
    )

    def send(rows: Sequence[Row]) -> None:
        server.do(f"INSERT INTO killed.orders VALUES {values(rows)}")

    return Shop("clickhouse", server.params, send, server.die_after, page=AT_ONCE, stream="killed.orders")


@pytest.fixture
def trino() -> Iterator[Shop]:
    with trino_server() as server:
        server.duck.execute('CREATE TABLE orders (n BIGINT, "at" BIGINT)')

        def send(rows: Sequence[Row]) -> None:
            server.duck.cursor().execute(f"INSERT INTO orders VALUES {values(rows)}")

        yield Shop("trino", server.params, send, server.die_after, page=PAGE, stream="main.orders")


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """Which of the kinds that one fixture serves."""
    return str(request.node.callspec.params["shop"]).partition(" ")[2]


@dataclass
class Amid:
    """Kills whoever reads on a way, after so many pages.

    begins: a pattern of what asks for the rows. page: what then asks for each page; or how many bytes of the one answer
    are a page.
    """

    begins: bytes
    page: bytes | int
    left: int = 0
    reader: int = 0

    def soon(self, pages: int) -> None:
        self.left = pages * self.page if isinstance(self.page, int) else pages + 1
        self.reader = 0

    def asked(self, said: bytes, port: int) -> bytes:
        if re.search(self.begins, said):
            self.reader = port
        elif isinstance(self.page, bytes) and self.page in said:
            self._closer(1, port)
        return said

    def heard(self, said: bytes, port: int) -> bytes:
        if isinstance(self.page, int):
            self._closer(len(said), port)
        return said

    def _closer(self, by: int, port: int) -> None:
        if self.left and self.reader == port:
            self.left = max(0, self.left - by)
            if not self.left:
                peers.kill(port)


@contextmanager
def on_a_way(
    connector: str, params: dict[str, Any], doom: Amid, send: Callable[..., None], **more: Any
) -> Iterator[Shop]:
    with cutting(params["port"], asked=doom.asked, heard=doom.heard) as way:
        told = {**params, "host": "127.0.0.1", "port": way.port}
        yield Shop(connector, told, send, doom.soon, page=1_000, **more)


@pytest.fixture
def postgres(way: str, postgres_url: str) -> Iterator[Shop]:
    ws.execute(postgres_url, "CREATE TABLE orders (n int, at int)")
    params = {**params_of(postgres_url), "sslmode": "disable"}
    send = lambda rows: ws.execute(postgres_url, f"INSERT INTO orders VALUES {values(rows)}")  # noqa: E731
    doom = (
        Amid(b"DECLARE .* AS c0", b"FETCH FORWARD")
        if way == "redshift"
        else Amid(rb'COPY \(SELECT (?!"behind")', 15_000)
    )
    with on_a_way(way, params, doom, send, stream="public.orders") as shop:
        yield shop


@pytest.fixture
def mysql_shop(mysql: Database) -> Iterator[Shop]:
    mysql.do("CREATE TABLE orders (n int, at int)")
    send = lambda rows: mysql.do(f"INSERT INTO orders VALUES {values(rows)}")  # noqa: E731
    with on_a_way("mysql", mysql.params, Amid(b" AS c0", 10_000), send) as shop:
        yield shop


# In a process of its own: this one reads the file with another SQLite. In WAL mode it keeps the file open.
SQLITE = """
import json, sqlite3, sys
path, mode = sys.argv[1:]
base = sqlite3.connect(path)
base.execute(f"PRAGMA journal_mode = {mode}")
base.execute("CREATE TABLE orders (n INTEGER, at INTEGER, note TEXT)")
for line in sys.stdin:
    base.executemany("INSERT INTO orders VALUES (?, ?, hex(randomblob(16)))", json.loads(line))
    base.commit()
    print("sent", flush=True)
"""


@pytest.fixture
def sqlite(way: str, roots: Path, mortal: Mortals) -> Iterator[Shop]:
    path = roots / f"{way}.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", SQLITE, str(path), way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        to, answers = writer.stdin, writer.stdout
        assert to is not None and answers is not None

        def send(rows: Sequence[Row]) -> None:
            print(json.dumps(rows), file=to, flush=True)
            assert answers.readline() == "sent\n"

        yield Shop("sqlite", {"path": str(path)}, send, room(mortal), page=ROWS)
        to.close()


@pytest.fixture
def duckdb_file(roots: Path, mortal: Mortals) -> Shop:
    path = roots / "shop.duckdb"

    def do(sql: str, *given: Any) -> None:
        with duckdb.connect(path) as base:
            base.execute(sql, given or None)

    def send(rows: Sequence[Row]) -> None:
        numbers, cursors = zip(*rows, strict=True)
        do("INSERT INTO orders SELECT unnest(?) AS n, unnest(?), md5(n::VARCHAR)", numbers, cursors)

    do('CREATE TABLE orders (n INTEGER, "at" INTEGER, note VARCHAR)')
    return Shop("duckdb", {"path": str(path)}, send, room(mortal), page=ROWS, stream="main.orders")


def room(mortal: Mortals) -> Callable[[int], None]:
    """The next reader is ended when it has staged so many pages."""

    def soon(pages: int) -> None:
        mortal.room = pages * STAGED

    return soon


@pytest.fixture
def mongodb() -> Iterator[Shop]:
    store = Store()

    def send(rows: Sequence[Row]) -> None:
        store.add("orders", *({"_id": n, "at": DatetimeMS(at)} for n, at in rows))

    def doom(pages: int) -> None:
        store.kill_at = pages

    with serving(store) as port:
        params = {"host": "127.0.0.1", "port": port, "database": "shop", "tls": "disable"}
        yield Shop("mongodb", params, send, doom, page=BATCH, key="_id", lookback=0.003)


@dataclass
class Doom:
    """Kills whoever asks for so many pages."""

    pages: int = 0

    def soon(self, pages: int) -> None:
        self.pages = pages

    def __call__(self, _: int, request: Request) -> bool:
        self.pages -= 1
        if self.pages == 0:
            peers.kill(request.client_address[1])
        return self.pages == 0


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        {"id": n, "amount": 0.5, "note": "", "at": f"{begin + timedelta(seconds=at):%Y-%m-%dT%H:%M:%SZ}"}
        for n, at in rows
    ]


@pytest.fixture
def rest(way: str) -> Iterator[Shop]:
    with serving_orders() as api:
        api.orders, api.before, api.size = [], (doom := Doom()), 10
        params = {
            "base_url": api.base,
            "streams": [PAGINGS[way]],
            "records": "data.orders",
            "since_parameter": "since",
        }
        yield Shop("rest", params, lambda rows: api.orders.extend(records(rows)), doom.soon, key="id")


@pytest.fixture
def graphql() -> Iterator[Shop]:
    with serving_graphql() as server:
        server.orders, server.before, server.size = [], (doom := Doom()), 10
        params = {"base_url": server.url, "queries": PAGED, "streams": WAYS["nodes"]}
        yield Shop("graphql", params, lambda rows: server.orders.extend(records(rows)), doom.soon, key="id")


SHOPS = [
    "clickhouse",
    "trino",
    "postgres postgresql",
    "postgres redshift",
    "mysql_shop",
    "sqlite delete",
    "sqlite wal",
    "duckdb_file",
    "mongodb",
    *(f"rest {each}" for each in PAGINGS if each != "all"),
    "graphql",
]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shops")


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, roots: Path, django_db_setup: None) -> Iterator[Mortals]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANIFOLD_NET_ALLOW", NETWORKS)
        patch.setenv("MANIFOLD_FILE_ROOTS", str(roots))
        # A thread more writes a file of its own, and each of them grows less.
        patch.setenv("MANIFOLD_STEP_THREADS", "2")
        with mortals(tmp_path_factory.mktemp("orders")) as found:
            yield found


@pytest.fixture(params=SHOPS)
def shop(request: pytest.FixtureRequest, workshop: object, roots: Path, settings: Any) -> Shop:
    settings.NET_ALLOW, settings.FILE_ROOTS = [NETWORKS], [roots]
    found: Shop = request.getfixturevalue(request.param.partition(" ")[0])
    return found


@pytest.fixture
def pipeline(project: Project, shop: Shop) -> Pipeline:
    shop.more(2 * shop.page)
    source = sources.create_source(
        project, slug="shop", title="", connector=shop.connector, params=shop.params, actor=ws.ACTOR
    )
    sources.discover_streams(source, names=[shop.stream], actor=ws.ACTOR)
    ws.cursor(source, shop.stream, "at", lookback=shop.lookback)
    return ws.published(project, TEXT.format(stream=shop.stream))


def test_whoever_dies_each_row_comes_once(project: Project, pipeline: Pipeline, shop: Shop, mortal: Mortals):
    for places in RUNS:
        shop.more(3 * shop.page, late=3)
        services.start_run(pipeline, actor=ws.ACTOR)
        for each in places:
            step_key, place = each.split()
            ws.work_before(step_key)
            if place.isdecimal():
                shop.doom(int(place))
            ws.killed(mortal, step_key, place)
            shop.more(1, late=1)
        ws.work()
    while ws.run(pipeline).state == "succeeded":
        pass
    assert ws.rows(project, "orders", shop.key) == Counter((n,) for n, _ in shop.sent)
