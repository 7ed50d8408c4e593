"""The connector to APIs that answer queries of GraphQL."""

from __future__ import annotations

from typing import ClassVar

import duckdb

from dataplane.connectors import web
from dataplane.connectors.base import Capabilities
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.graphql.paging import Pages
from dataplane.connectors.graphql.params import GraphQLParams, Query
from dataplane.connectors.rest.client import Client
from dataplane.connectors.rest.declared import DeclaredApi


class GraphQL(DeclaredApi[Query]):
    """APIs of GraphQL: each named query is a stream."""

    key = "graphql"
    title = "GraphQL API"
    summary = "Records that your queries ask an API for, page by page, whole or by a cursor that the API can filter by."
    tested_with = "a web server on loopback, with OAuth"
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, resumable=True)
    Params: ClassVar[type[GraphQLParams]] = GraphQLParams
    params: GraphQLParams
    remedy = "Add its query to *Queries* of the source."

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return web.graphql(clue)

    def declared(self) -> dict[str, Query]:
        return self.params.declared()

    def pages(self, client: Client, stream: Query, duck: duckdb.DuckDBPyConnection, begin: str | None = None) -> Pages:
        return Pages(client, self.params, stream, duck, begin)

    def url(self, stream: Query) -> str:
        return self.params.base_url
