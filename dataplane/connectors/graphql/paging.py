"""From one page to the next by pageInfo, and where that has to end."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal

import duckdb

from dataplane.connectors.graphql.params import GraphQLParams, Query
from dataplane.connectors.graphql.refusals import Judge
from dataplane.connectors.rest.client import Answered, Client
from dataplane.connectors.rest.paging import again, digest, too_many
from dataplane.connectors.rest.records import Page, page_of
from dataplane.errors import DataError, ManifoldError

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,37})(?:[.][0-9]{1,38})?")


class Pages:
    """The pages of one stream, from the first to the last. since: from where on records are asked for; None: all."""

    def __init__(
        self,
        client: Client,
        params: GraphQLParams,
        query: Query,
        connection: duckdb.DuckDBPyConnection,
        since: str | None = None,
    ) -> None:
        self._client = client
        self._params = params
        self._query = query
        self._connection = connection
        self._since = since

    def enter(self) -> None:
        """Ask the query. Raises ManifoldError for whoever is not let in; a wrong query is told where it is read."""
        try:
            self._asked(None)
        except ManifoldError as error:
            if error.code != "query_refused":
                raise

    def __iter__(self) -> Iterator[Page]:
        """Raises DataError for pages that come again, and ManifoldError for what the server refuses."""
        query, cursor = self._query, None
        seen: set[bytes] = set()
        for _ in range(self._params.most_pages):
            page = page_of(self._connection, self._asked(cursor), query)
            more = self._goes_on(page)
            yield page
            if not more:
                return
            cursor = str(page.cursor)
            if digest(cursor.encode()) in seen:
                raise again(query.name, "the next page is one that was read")
            seen.add(digest(cursor.encode()))
        raise too_many(query.name, self._params.most_pages)

    def _asked(self, cursor: str | None) -> Answered:
        """The answer to the query for a page. A cursor is a variable, whatever it looks like, and never an address."""
        operation = self._query.operation
        told = {self._query.since_variable: self._since, self._query.cursor_variable: cursor}
        variables = {
            name: as_declared(text, operation.variables[name])
            for name, text in told.items()
            if text is not None and name in operation.variables
        }
        document = {"query": operation.text, "operationName": operation.name, "variables": variables}
        judge = Judge(self._client, self._connection, self._query.name)
        return self._client.post(self._params.base_url, json.dumps(document).encode(), judge)

    def _goes_on(self, page: Page) -> bool:
        """Whether another page follows. Raises DataError where that is not told, or nobody could ask for it."""
        query = self._query
        if not query.paged:
            if page.more == "true":
                raise _unknown(
                    query,
                    f"has more pages, but its query declares no ${query.cursor_variable} to ask for them",
                    f"Write query {query.name}(${query.cursor_variable}: String) and after: ${query.cursor_variable}",
                )
            return False
        if page.more not in ("true", "false"):
            raise _unknown(
                query,
                f"does not say at {query.pages_at} whether more pages follow",
                "Let its query ask for pageInfo { endCursor hasNextPage } beside the records, or correct page_info",
            )
        if page.more == "true" and page.cursor is None:
            raise _unknown(
                query,
                f"has more pages, but no cursor at {query.next_path}",
                "Let its query ask for pageInfo { endCursor hasNextPage } beside the records",
            )
        return page.more == "true"


def _unknown(query: Query, what: str, remedy: str) -> DataError:
    return DataError(
        f"{query.name} {what}. {remedy}.",
        code="pages_unknown",
        evidence={"stream": query.name, "page_info": query.pages_at},
    )


def as_declared(text: str, declared: str) -> str | int | float:
    """A value as the variable's declared type wants it: a number where it is one, and never later than it is."""
    if declared in ("String", "ID") or not _NUMBER.fullmatch(text):
        return text
    if "." not in text:
        return int(text)
    near = float(text)
    return near if Decimal(near) <= Decimal(text) else math.nextafter(near, -math.inf)
