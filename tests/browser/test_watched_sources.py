"""Sources of each kind as they are watched: cards with figures and without, in error, with a warning, never tested."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import redis
from playwright.sync_api import expect
from standardwebhooks.webhooks import Webhook

from manifold.client import Client
from tests.browser.conftest import PATIENCE, Open
from tests.browser.installation import ORDERS, Installation
from tests.browser.walking import visit
from tests.ports import own_port

pytestmark = pytest.mark.all

DOCUMENT = """\
manifold: 1
pipeline: {name}
steps:
  read: {{extract: {{source: {source}, stream: {stream}, mode: incremental}}}}
  kept: {{load: {{input: read, dataset: {name}}}}}
"""


@pytest.fixture(scope="session")
def watched(installation: Installation, redis_url: str) -> list[str]:
    """The addresses of a project with sources in each state, and a run that waits for a decision about columns."""
    installation.client().call("POST", "projects/", json={"slug": "watched", "name": "Watched"})
    client = installation.client("watched")
    folder = installation.drop / "watched"
    folder.mkdir()
    (folder / "sales-1.csv").write_text(ORDERS)
    _add(client, "sales", "local_files", {"path": str(folder)})
    _add(client, "api", "rest", {"base_url": f"http://127.0.0.1:{own_port()}", "streams": ["orders /orders"]})
    _add(client, "never", "kafka", {"servers": ["127.0.0.1:9092"], "topics": ["orders"]}, check_every=0)
    _add(client, "queue", "redis_streams", _queue(redis_url))
    events = _add(client, "events", "webhooks", {})
    _send(installation, client, events["id"])
    for slug in ("sales", "api", "queue", "events"):
        client.in_project("POST", f"sources/{slug}/test/")
    streams = {slug: _stream(client, slug) for slug in ("sales", "queue", "events")}
    for slug, stream in streams.items():
        text = DOCUMENT.format(name=f"all-{slug}", source=slug, stream=stream["name"])
        client.in_project("POST", "pipelines/apply/", json={"text": text, "publish": True})
        run = client.wait(
            client.in_project("POST", f"pipelines/all-{slug}/runs/", json={})["id"], seconds=PATIENCE / 1000
        )
        assert run["state"] == "succeeded", run
    client.in_project(
        "PATCH", f"sources/sales/streams/{streams['sales']['name']}/", json={"config": {}, "drift": "ask"}
    )
    lines = [f"{each},note" if each.startswith("id") else f"{each},new" for each in ORDERS.splitlines()]
    (folder / "sales-2.csv").write_text("\n".join(lines) + "\n")
    waits = client.in_project("POST", "pipelines/all-sales/runs/", json={})
    deadline = time.monotonic() + PATIENCE / 1000
    while client.in_project("GET", f"runs/{waits['id']}/")["state"] != "waiting":
        assert time.monotonic() < deadline, "it asks nothing"
        time.sleep(0.2)
    return [
        "sources/",
        "connectors/",
        "history/",
        "history/?source=queue&state=succeeded",
        f"runs/{waits['id']}/",
        f"sources/sales/streams/{streams['sales']['id']}/",
        f"sources/sales/streams/{streams['sales']['id']}/freshness/",
        f"sources/queue/streams/{streams['queue']['id']}/",
        *(f"sources/{slug}/" for slug in ("api", "never", "queue", "events")),
        "sources/queue/impact/",
        "sources/api/cost/",
        "sources/api/history/",
    ]


def _add(
    client: Client, slug: str, connector: str, params: Mapping[str, object], check_every: int = 900
) -> dict[str, str]:
    named = {"slug": slug, "title": slug.title(), "connector": connector}
    body = {**named, "params": params, "check_every": check_every}
    made: dict[str, str] = client.in_project("POST", "sources/", json=body)
    return made


def _queue(url: str) -> dict[str, object]:
    parts, name = urlsplit(url), f"orders-{uuid4().hex[:8]}"
    with redis.Redis.from_url(url) as broker:
        for number in range(500):
            broker.xadd(name, {"n": number, "country": "DE"})
    place = {"host": parts.hostname, "port": parts.port, "database": int(parts.path.strip("/") or 0)}
    return {**place, "streams": [name], **({"password": parts.password} if parts.password else {})}


def _send(installation: Installation, client: Client, source: str) -> None:
    secret = client.in_project("POST", "sources/events/inbox/secret/")["secret"]
    body, now = '{"type": "order.paid", "amount": 12.5}', datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "webhook-id": "one",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("one", now, body),
    }
    answer = httpx.post(f"{installation.url}/in/{source}", content=body, headers=headers, trust_env=False, timeout=60)
    assert answer.is_success, answer.text


def _stream(client: Client, slug: str) -> dict[str, str]:
    client.in_project("POST", f"sources/{slug}/discover/")
    (stream,) = client.in_project("GET", f"sources/{slug}/streams/")["results"]
    return dict(stream)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_pages_of_watched_sources(open_page: Open, signed_in: Path, watched: list[str], width: int, theme: str) -> None:
    visit(open_page, signed_in, [f"/p/watched/{each}" for each in watched], width, theme)


def test_cards_tell_how_each_source_is(open_page: Open, signed_in: Path, watched: list[str]) -> None:
    page = open_page(signed_in, width=390)
    page.goto("/p/watched/sources/")
    for title, health in (("Api", "error"), ("Never", "unknown"), ("Queue", "healthy"), ("Sales", "warning")):
        card = page.locator("article", has=page.get_by_role("link", name=title, exact=True))
        expect(card).to_contain_text(health)
