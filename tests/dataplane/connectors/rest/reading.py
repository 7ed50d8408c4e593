"""A stream of the served API, as a pipeline reads it."""

from __future__ import annotations

from typing import Any

from dataplane.connectors.base import Connector, StreamConfig
from dataplane.connectors.registry import build
from tests.dataplane.connectors.rest.api import Api

LOOPBACK = ["127.0.0.0/8"]
WAYS = {
    "all": "orders /all",
    "page": "orders /page pagination=page",
    "offset": "orders /offset pagination=offset",
    "cursor": "orders /cursor pagination=cursor next_path=next",
    "address": "orders /address pagination=cursor next_path=next",
    "link": "orders /link pagination=link",
}


def source(api: Api, way: str = "page", **params: Any) -> Connector:
    given = {"base_url": api.base, "streams": [WAYS[way]], "records": "data.orders", "since_parameter": "since"}
    return build("rest", {**given, **params}, networks=LOOPBACK)


def stream_of(connector: Connector, *, cursor: str | None = None) -> StreamConfig:
    (info,) = connector.discover()
    return StreamConfig(info.name, settings=info.settings, columns=info.columns, cursor=cursor)
