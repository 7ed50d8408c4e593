"""A run reads a source that somebody has connected: tokens end amid it, and once nobody renews them it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.accounts.models import Project
from apps.audit.context import acting
from apps.sources import services as sources
from apps.sources.models import Health
from apps.sources.services.grants import keep_grant
from dataplane.oauth import Tokens
from tests.apps.pipelines import workshop as ws
from tests.dataplane.connectors.rest.api import serving_orders
from tests.dataplane.connectors.rest.reading import WAYS
from tests.oauth_server import authority_on

TEXT = """
manifold: 1
pipeline: shop
steps:
  orders: {extract: {source: shop, stream: orders, mode: full_refresh}}
  kept:   {load: {input: orders, dataset: orders, mode: replace}}
"""


def test_tokens_end_amid_a_run(project: Project, workshop: Path, settings: Any) -> None:
    settings.NET_ALLOW = ["127.0.0.0/8"]
    with serving_orders() as shop, authority_on(shop.web) as authority:
        params = {"base_url": shop.base, "streams": [WAYS["page"]], "records": "data.orders", **authority.params()}
        source = sources.create_source(project, slug="shop", title="", connector="rest", params=params, actor=ws.ACTOR)
        with acting(ws.ACTOR):
            told = authority.give()
            keep_grant(source, Tokens(told["access_token"], told["refresh_token"], 60), actor=ws.ACTOR)
        sources.discover_streams(source, actor=ws.ACTOR)
        pipeline = ws.published(project, TEXT)
        shop.admits = authority.admits_once
        run = ws.run(pipeline)
        assert run.state == "succeeded", ws.error_of(run)
        assert ws.output(run, "kept")["rows"] == 7
        assert len(authority.asked) >= 3 and not authority.reused, "each page ended the token that it came with"
        authority.forget_all()
        run = ws.run(pipeline)
        assert ws.failure(run)["code"] == "connect_again" and "connect it again" in ws.failure(run)["message"].lower()
        source.refresh_from_db()
        assert source.health == Health.ERROR
