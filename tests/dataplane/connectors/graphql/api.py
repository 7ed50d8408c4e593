"""A server of GraphQL on loopback with orders that a test gives it, which answers the queries that are written here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dataplane.connectors.base import Connector
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from tests.dataplane.connectors.remotes.web import Request, Web, serving
from tests.dataplane.connectors.rest.api import Record, order

LOOPBACK = ["127.0.0.0/8"]
PAGED = """
# All orders, in pages.
query orders($cursor: String, $since: DateTime) {
  orders(first: 3, after: $cursor, since: $since) {
    nodes { ...Fields }
    edges { node { ...Fields } }
    pageInfo { endCursor hasNextPage }
  }
}
query all { orders { nodes { ...Fields } } }
fragment Fields on Order { id amount note at }
"""
WAYS = {
    "nodes": ["orders records=data.orders.nodes key=id", "all records=data.orders.nodes"],
    "edges": ["orders records=data.orders.edges[].node key=id", "all records=data.orders.edges[].node"],
}


@dataclass
class Server:
    """orders: what it holds. size: records a page. admits: whether headers may come in. before: is called with the
    number of a request and the request, and is True when it has answered. asked: the documents that came."""

    web: Web
    orders: list[Record] = field(default_factory=lambda: [order(each) for each in range(1, 8)])
    size: int = 3
    admits: Callable[[Mapping[str, str]], bool] = lambda headers: True
    before: Callable[[int, Request], bool] = lambda number, request: False
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.web.url("/graphql")

    def answer(self, request: Request) -> None:
        if request.command != "POST":
            request.answer(405, b"POST a query")
            return
        document = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.asked.append(document)
        if self.before(len(self.asked), request):
            return
        if not self.admits({name.lower(): value for name, value in request.headers.items()}):
            request.answer(200, refusing("Sign in first", "UNAUTHENTICATED"))
            return
        request.answer(200, json.dumps({"data": {"orders": self._orders(document)}}).encode(), self.headers)

    def _orders(self, document: Mapping[str, Any]) -> dict[str, Any]:
        told = document["variables"]
        found = [each for each in self.orders if each["at"] >= told.get("since", "")]
        at = int(told.get("cursor", "0"))
        size = self.size if document["operationName"] == "orders" else len(found)
        rows, end = found[at : at + size], at + size
        info = {"endCursor": str(end) if rows else None, "hasNextPage": end < len(found)}
        return {"nodes": rows, "edges": [{"node": each} for each in rows], "pageInfo": info}


def refusing(message: str, code: str = "", **more: Any) -> bytes:
    """An answer that refuses."""
    extensions = {"extensions": {"code": code}} if code else {}
    return json.dumps({"data": None, "errors": [{"message": message, **extensions, **more}]}).encode()


@contextmanager
def serving_graphql() -> Iterator[Server]:
    with serving() as web:
        server = Server(web)
        web.bad["/graphql"] = server.answer
        yield server


def source(server: Server, way: str = "nodes", **params: Any) -> Connector:
    given = {"base_url": server.url, "queries": PAGED, "streams": WAYS[way]}
    return build("graphql", {**given, **params}, networks=LOOPBACK)


def stream_of(connector: Connector, *, cursor: str | None = None) -> StreamConfig:
    (info,) = connector.discover_named(["orders"])
    return StreamConfig(info.name, settings=info.settings, columns=info.columns, cursor=cursor)
