"""A stream of the served API, as a pipeline reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataplane.connectors.base import Connector
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.steps.extract import ExtractSpec, ExtractStep
from tests.dataplane.connectors.rest.api import Api
from tests.dataplane.steps.files_source import context, rows

LOOPBACK = ["127.0.0.0/8"]
WAYS = {
    "all": "orders /all",
    "page": "orders /page pagination=page",
    "offset": "orders /offset pagination=offset",
    "cursor": "orders /cursor pagination=cursor next_path=next",
    "address": "orders /address pagination=cursor next_path=next",
    "last": "orders /last pagination=last page_parameter=after next_path=id more_path=has.more",
    "link": "orders /link pagination=link",
}


def source(api: Api, way: str = "page", **params: Any) -> Connector:
    given = {"base_url": api.base, "streams": [WAYS[way]], "records": "data.orders", "since_parameter": "since"}
    return build("rest", {**given, **params}, networks=LOOPBACK)


def stream_of(connector: Connector, *, cursor: str | None = None) -> StreamConfig:
    (info,) = connector.discover()
    return StreamConfig(info.name, settings=info.settings, columns=info.columns, cursor=cursor)


class Reader:
    """A pipeline's extract step: remembers what it has read, and reads what is new."""

    def __init__(self, root: Path, connector: Connector, stream: StreamConfig) -> None:
        self.root, self.connector, self.stream = root, connector, stream
        self.mark = Mark()
        self.seen: str | None = None
        self.found: list[int] = []

    def plan(self) -> Window | None:
        return self.connector.plan(self.stream, "incremental", self.mark).window

    def read(self, window: Window) -> None:
        spec = ExtractSpec(source="api", stream=self.stream.name, mode="incremental")
        extras = {"connector": self.connector, "stream": self.stream, "window": window, "seen": self.seen}
        result = ExtractStep.run(context(self.root, **extras), spec)
        self.found += [row[0] for row in rows(self.root, result)]
        facts = result.facts
        self.seen = facts["seen"] or ""
        self.mark = Mark(upper=window.upper, boundary_rows=facts["boundary_rows"], seen_from=facts["seen_from"])

    def run(self) -> bool:
        window = self.plan()
        if window is not None:
            self.read(window)
        return window is not None
