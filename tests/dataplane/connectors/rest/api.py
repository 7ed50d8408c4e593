"""An API on loopback with orders that a test gives it: paged in every way, signed in every way, well or badly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.dataplane.connectors.remotes.web import Request, Web, serving

Record = dict[str, Any]
Admits = Callable[[Mapping[str, str], Mapping[str, str]], bool]


def order(number: int) -> Record:
    """Two orders share each second."""
    return {"id": number, "amount": number + 0.5, "note": f"no. {number}", "at": f"2026-01-01T00:00:{number // 2:02d}Z"}


@dataclass
class Api:
    """orders: what it holds. size: records a page at most. admits: whether headers and query may come in. before: is
    called with the number of a request and the request, and is True when it has answered. asked: queries."""

    web: Web
    orders: list[Record] = field(default_factory=lambda: [order(each) for each in range(1, 8)])
    size: int = 3
    admits: Admits = lambda headers, query: True
    before: Callable[[int, Request], bool] = lambda number, request: False
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def base(self) -> str:
        return self.web.url("/v1")

    def answer(self, request: Request) -> None:
        query = dict(parse_qsl(urlsplit(request.path).query))
        self.asked.append(query)
        headers = {name.lower(): value for name, value in request.headers.items()}
        if self.before(len(self.asked), request):
            return
        if not self.admits(headers, query):
            request.answer(401, b"{}")
            return
        way = urlsplit(request.path).path.rpartition("/")[2]
        found = [each for each in self.orders if each["at"] >= query.get("since", "")]
        at = self._offset(way, query, found)
        rows, more = found[at : at + self.size], at + self.size < len(found)
        if way == "all":
            rows = found
        told: dict[str, Any] = {"data": {"orders": rows}, "next": str(at + self.size) if more else None}
        onward = urlencode({**query, "cursor": str(at + self.size)})
        if way == "address" and more:
            told["next"] = f"/v1/address?{onward}"
        if way == "last":
            told |= {"next": None, "has": {"more": more}}
        link = dict(self.headers)
        if way == "link" and more:
            link["Link"] = f'</v1/link?cursor=0>; rel="first", <{self.base}/link?{onward}>; rel="next"'
        request.answer(200, json.dumps(told).encode(), link)

    def _offset(self, way: str, query: Mapping[str, str], found: list[Record]) -> int:
        if way == "page":
            return (int(query.get("page", "1")) - 1) * self.size
        if way == "last" and "after" in query:
            return next(at for at, each in enumerate(found, 1) if str(each["id"]) == query["after"])
        return int(query.get("offset" if way == "offset" else "cursor", "0"))


@contextmanager
def serving_orders() -> Iterator[Api]:
    with serving() as web:
        api = Api(web)
        for way in ("all", "page", "offset", "cursor", "address", "last", "link"):
            web.bad[f"/v1/{way}"] = api.answer
        yield api
