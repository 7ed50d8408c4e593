"""The connector to APIs whose streams are paths below one address."""

from __future__ import annotations

from typing import ClassVar

import duckdb

from dataplane.connectors import web
from dataplane.connectors.base import Capabilities
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.rest.client import Client
from dataplane.connectors.rest.declared import DeclaredApi
from dataplane.connectors.rest.paging import Pages
from dataplane.connectors.rest.params import Endpoint, RestParams


class Rest(DeclaredApi[Endpoint]):
    """APIs over HTTP with records in JSON."""

    key = "rest"
    title = "REST API"
    summary = "Records of an API that answers with JSON, page by page, whole or by a cursor that the API can filter by."
    tested_with = "a web server on loopback, with OAuth"
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, resumable=True)
    Params: ClassVar[type[RestParams]] = RestParams
    params: RestParams
    remedy = "Add its line to *Streams* of the source."

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return web.api(clue)

    def declared(self) -> dict[str, Endpoint]:
        return self.params.endpoints()

    def pages(
        self, client: Client, stream: Endpoint, duck: duckdb.DuckDBPyConnection, begin: str | None = None
    ) -> Pages:
        return Pages(client, self.params, stream, duck, begin)

    def url(self, stream: Endpoint) -> str:
        return self.params.url(stream)
