"""kill -9 at each file, and at each place of plan, extract and load, wherever files may lie: each row comes once."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from moto.server import ThreadedMotoServer

from apps.accounts.models import Project
from apps.pipelines import services
from apps.pipelines.models import Pipeline
from apps.sources import services as sources
from apps.sources.models import Source
from tests import azurite
from tests.apps.pipelines import workshop as ws
from tests.dataplane.connectors.remotes import ftp, ssh, web
from tests.dataplane.connectors.remotes.conftest import HOST_KEY, USER_KEY
from tests.dataplane.connectors.remotes.test_s3 import OWNER, Store
from tests.mortal import Mortals, mortals

pytestmark = pytest.mark.all

NETWORKS = "127.0.0.0/8"
TEXT = """
manifold: 1
pipeline: orders
steps:
  orders: {extract: {source: place, stream: orders, mode: incremental}}
  kept: {load: {input: orders, dataset: orders}}
"""
RUNS = (
    ("plan in_commit", "plan committed", "orders part_1", "orders part_2", "orders part_3", "kept committed"),
    ("orders written", "orders in_commit", "orders committed", "kept in_commit"),
)
# More than are ever put there: an address says beforehand what may come.
MOST = 40


@dataclass
class Place:
    """A kind of source, what reaches it, and how a file is put there."""

    connector: str
    params: dict[str, Any]
    put: Callable[[str, str], None]


def by_sftp(folder: Path) -> Iterator[Place]:
    with ssh.serving(folder, HOST_KEY, USER_KEY) as server:
        params = {"host": "127.0.0.1", "port": server.port, "user": ssh.USER, "password": ssh.PASSWORD}
        yield Place("sftp", {**params, "host_key": server.host_key}, lambda name, text: written(folder, name, text))


def by_ftp(folder: Path) -> Iterator[Place]:
    with ftp.serving(folder) as server:
        params = {"host": "127.0.0.1", "port": server.port, "user": ftp.USER, "password": ftp.PASSWORD}
        yield Place("ftp", {**params, "tls": "off"}, lambda name, text: written(folder, name, text))


def by_folder(folder: Path) -> Iterator[Place]:
    yield Place("local_files", {"path": str(folder)}, lambda name, text: written(folder, name, text))


def by_upload(_: Path) -> Iterator[Place]:
    def put(name: str, text: str) -> None:
        body, source = io.BytesIO(text.encode()), Source.objects.get(slug="place")
        sources.keep_upload(source, name=name, body=body, length=None, actor=ws.ACTOR)

    yield Place("uploads", {}, put)


def by_s3(_: Path) -> Iterator[Place]:
    yield from in_a_bucket("s3")


def by_gcs(_: Path) -> Iterator[Place]:
    yield from in_a_bucket("gcs")


def in_a_bucket(connector: str) -> Iterator[Place]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        store = Store(f"http://{host}:{port}", f"drop-{uuid4().hex}")
        httpx.put(f"{store.endpoint}/{store.bucket}", headers=OWNER, trust_env=False, timeout=60).raise_for_status()
        keys = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cret"}
        yield Place(connector, {"bucket": store.bucket, "endpoint": store.endpoint, **keys}, store.put)
    finally:
        server.stop()


def by_azure(folder: Path) -> Iterator[Place]:
    program = azurite.command()
    if program is None:
        pytest.skip("Azurite is not installed: npm install --prefix .venv/azurite azurite")
    with azurite.serving(program, folder) as server:
        server.make("drop")
        params = {"account": azurite.ACCOUNT, "account_key": azurite.KEY, "container": "drop"}
        put = lambda name, text: server.put("drop", name, text.encode())  # noqa: E731
        yield Place("azure_blob", {**params, "endpoint": server.endpoint}, put)


def by_http(_: Path) -> Iterator[Place]:
    with web.serving() as served:
        urls = [served.url(f"/{name(number)}") for number in range(MOST)]

        def put(name: str, text: str) -> None:
            served.files[f"/{name}"] = text.encode()

        yield Place("http_files", {"urls": urls}, put)


def written(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def name(number: int) -> str:
    return f"orders-{number:03d}.csv"


def text(number: int) -> str:
    """Every second file has its columns the other way round, so that each file is a part of its own."""
    rows = [(number * 10 + each, number) for each in range(3)]
    if number % 2:
        return "n,id\n" + "".join(f"{file},{row}\n" for row, file in rows)
    return "id,n\n" + "".join(f"{row},{file}\n" for row, file in rows)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


PLACES = [by_folder, by_upload, by_sftp, by_ftp, by_s3, by_gcs, by_azure, by_http]


@pytest.fixture(params=PLACES, ids=[each.__name__ for each in PLACES])
def place(request: pytest.FixtureRequest, workshop: object, roots: Path, settings: Any) -> Iterator[Place]:
    settings.NET_ALLOW, settings.FILE_ROOTS = [NETWORKS], [roots]
    folder = roots / request.param.__name__
    folder.mkdir()
    yield from request.param(folder)


@pytest.fixture
def pipeline(project: Project, place: Place) -> Pipeline:
    source = sources.create_source(
        project, slug="place", title="", connector=place.connector, params=place.params, actor=ws.ACTOR
    )
    place.put(name(0), text(0))
    (stream,) = sources.discover_streams(source, actor=ws.ACTOR)
    stream.name = "orders"
    stream.save()
    settings = {"pattern": ["orders-*.csv"], "settle_seconds": 0}
    sources.update_stream(stream, config={"settings": settings}, actor=ws.ACTOR)
    return ws.published(project, TEXT)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, roots: Path, django_db_setup: None) -> Iterator[Mortals]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANIFOLD_NET_ALLOW", NETWORKS)
        patch.setenv("MANIFOLD_FILE_ROOTS", str(roots))
        with mortals(tmp_path_factory.mktemp("orders")) as found:
            yield found


def test_whoever_dies_each_row_comes_once(project: Project, pipeline: Pipeline, place: Place, mortal: Mortals):
    there = 1
    for run in RUNS:
        for _ in range(3):
            place.put(name(there), text(there))
            there += 1
        services.start_run(pipeline, actor=ws.ACTOR)
        for each in run:
            ws.killed(mortal, *each.split())
            place.put(name(there), text(there))
            there += 1
        ws.work()
    while ws.run(pipeline).state == "succeeded":
        pass
    assert there <= MOST
    found = ws.rows(project, "orders", "id, n")
    assert found == {(number * 10 + each, number): 1 for number in range(there) for each in range(3)}
