"""Adding sources of each kind by their forms, as somebody who sees only what applies: up to the stored source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import paramiko
import pytest
import redis
from moto.server import ThreadedMotoServer
from playwright.sync_api import Page, expect

from tests import mongo_server, nats_server
from tests.browser.axe import serious_faults
from tests.browser.conftest import Open
from tests.browser.installation import ORDERS
from tests.dataplane.connectors.graphql.api import PAGED, WAYS, serving_graphql
from tests.dataplane.connectors.remotes import ftp, ssh, web
from tests.dataplane.connectors.remotes.test_s3 import OWNER

pytestmark = pytest.mark.all
LOOKS = [(1400, "light"), (390, "dark")]
Filled = dict[str, str]
"""What is entered, by the names of the fields, in their order: a choice before what depends on it."""
Served = Callable[[Path, str], AbstractContextManager[Filled]]


@contextmanager
def _sftp(folder: Path, redis_url: str) -> Iterator[Filled]:
    (folder / "orders.csv").write_text(ORDERS)
    key, mine = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    kept = folder.parent / "key"
    mine.write_private_key_file(str(kept))
    with ssh.serving(folder, key, mine) as server:
        where = {"host": "127.0.0.1", "port": str(server.port), "host_key": server.host_key}
        yield {**where, "way": "key", "user": ssh.USER, "private_key": kept.read_text()}


@contextmanager
def _ftp(folder: Path, redis_url: str) -> Iterator[Filled]:
    (folder / "orders.csv").write_text(ORDERS)
    with ftp.serving(folder) as server:
        where = {"host": "127.0.0.1", "port": str(server.port), "tls": "off"}
        yield {**where, "user": ftp.USER, "password": ftp.PASSWORD}


@contextmanager
def _s3(folder: Path, redis_url: str) -> Iterator[Filled]:
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    host, port = store.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for path, content in (("/drop", ""), ("/drop/in/orders.csv", ORDERS)):
        httpx.put(endpoint + path, content=content, headers=OWNER, trust_env=False, timeout=60).raise_for_status()
    try:
        keys = {"way": "keys", "access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cret"}
        yield {"bucket": "drop", "prefix": "in", "endpoint": endpoint, **keys}
    finally:
        store.stop()


@contextmanager
def _http_files(folder: Path, redis_url: str) -> Iterator[Filled]:
    with web.serving() as served:
        served.files["/orders.csv"] = ORDERS.encode()
        yield {"urls": served.url("/orders.csv"), "auth": "header", "header": "X-Key", "token": "k"}


@contextmanager
def _redis_streams(folder: Path, redis_url: str) -> Iterator[Filled]:
    parts = urlsplit(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.xadd("browser-orders", {"id": 1})
        where = {"host": parts.hostname or "", "port": str(parts.port), "database": parts.path.strip("/") or "0"}
        try:
            yield {**where, "password": parts.password or "", "streams": "browser-orders"}
        finally:
            client.delete("browser-orders")


@contextmanager
def _nats_jetstream(folder: Path, redis_url: str) -> Iterator[Filled]:
    with nats_server.nats_server(folder) as port:
        nats_server.send_all(port, "orders", [b'{"id": 1}'])
        who = {"way": "password", "user": nats_server.USER, "password": nats_server.PASSWORD}
        yield {"host": "127.0.0.1", "port": str(port), **who}


@contextmanager
def _mongodb(folder: Path, redis_url: str) -> Iterator[Filled]:
    store = mongo_server.Store()
    store.add("orders", {"_id": 1, "customer": "ann"})
    with mongo_server.serving(store) as port:
        yield {"host": "127.0.0.1", "port": str(port), "database": "shop", "tls": "disable"}


@contextmanager
def _graphql(folder: Path, redis_url: str) -> Iterator[Filled]:
    with serving_graphql() as served:
        yield {"base_url": served.url, "queries": PAGED, "streams": "\n".join(WAYS["nodes"])}


KINDS: dict[str, Served] = {
    "sftp": _sftp,
    "ftp": _ftp,
    "s3": _s3,
    "http_files": _http_files,
    "redis_streams": _redis_streams,
    "nats_jetstream": _nats_jetstream,
    "mongodb": _mongodb,
    "graphql": _graphql,
}


def _fill(page: Page, fields: Filled) -> None:
    for name, text in fields.items():
        field = page.locator(f"[name=param-{name}]")
        if field.evaluate("each => each.tagName") == "SELECT":
            field.select_option(text)
        else:
            field.fill(text)


def _sound(page: Page) -> None:
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("key", list(KINDS))
def test_a_source_of_each_kind_is_added_by_what_its_form_shows(
    key: str, open_page: Open, signed_in: Path, tmp_path: Path, redis_url: str
) -> None:
    width, theme = LOOKS[list(KINDS).index(key) % 2]
    folder = tmp_path / "served"
    folder.mkdir()
    with KINDS[key](folder, redis_url) as fields:
        page = open_page(signed_in, width=width, height=844, theme=theme)
        page.goto(f"/p/default/new-source/{key}/")
        page.get_by_label("Title").fill(f"By its form {key}")
        _fill(page, fields)
        _sound(page)
        page.get_by_role("button", name="Test and go on").click()
        page.get_by_role("button", name="Look at the types").click()
        # What is tried of the first stream moves the button down when it comes.
        expect(page.locator("#sample-0 .callout.ok")).to_be_visible()
        page.get_by_role("button", name="Save the source").click()
        expect(page.get_by_role("heading", name=f"By its form {key}")).to_be_visible()
        expect(page.locator(".head-facts")).to_contain_text("healthy")
        page.get_by_role("link", name="Edit").first.click()
        shown = fields.keys() - {"way"}
        for name in shown:
            expect(page.locator(f"[name=param-{name}]")).to_be_visible()
        _sound(page)
        page.get_by_role("button", name="Save and test").click()
        expect(page.get_by_text("Saved, and the connection works.")).to_be_visible()


@pytest.mark.parametrize(("width", "theme"), LOOKS)
def test_fields_follow_what_is_chosen_and_keep_what_was_typed(
    *, width: int, theme: str, open_page: Open, signed_in: Path
) -> None:
    page = open_page(signed_in, width=width, height=844, theme=theme)
    page.goto("/p/default/new-source/rest/")
    page.get_by_label("Title").fill("Never stored")
    _fill(page, {"base_url": "http://127.0.0.1:1", "streams": "orders /orders"})
    user, token = page.locator("[name=param-user]"), page.locator("[name=param-token]")
    expect(user).to_be_hidden()
    page.get_by_label("Sign in with").select_option("user and password (Basic)")
    user.fill("ann")
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.locator("[name=param-password]")).to_be_focused()  # what is needed is asked for
    page.get_by_label("Sign in with").select_option("bearer")
    expect(user).to_be_hidden()
    token.fill("t")
    with page.expect_request(lambda each: each.method == "POST") as sent:
        page.get_by_role("button", name="Test", exact=True).click()
    assert "param-token=t" in (sent.value.post_data or "") and "param-user" not in (sent.value.post_data or "")
    expect(page.locator("#tried li.failed")).to_contain_text("Connect")
    page.get_by_label("Sign in with").select_option("basic")
    expect(user).to_have_value("ann")
    page.get_by_label("Pages", exact=True).select_option("cursor")
    expect(page.get_by_label("Path of the next cursor")).to_have_attribute("required", "")
    expect(page.get_by_label("Number of the first page")).to_be_hidden()
    _sound(page)


def test_without_scripts_all_fields_are_there_and_say_when_they_apply(open_page: Open, signed_in: Path) -> None:
    page = open_page(signed_in)
    page.route("**/conditions*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto("/p/default/new-source/sftp/")
    expect(page.locator("[name=param-password]")).to_be_visible()
    expect(page.locator("[name=param-passphrase]")).to_be_visible()
    expect(page.get_by_text("Only where one signs in with a private key.")).to_have_count(2)
    _sound(page)
