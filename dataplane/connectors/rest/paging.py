"""From one page to the next, and where that has to end."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import duckdb
import xxhash

from dataplane.connectors.rest.client import Answered, Client, refused
from dataplane.connectors.rest.params import Declared, Endpoint, RestParams
from dataplane.connectors.rest.records import Page, page_of
from dataplane.errors import ConfigurationError, DataError
from dataplane.http import following, with_parameters

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]+))?)*)')
_NEXT = re.compile(r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?=\s|;|$))', re.IGNORECASE)


class Pages:
    """The pages of one stream, from the first to the last. since: from where on records are asked for; None: all."""

    def __init__(
        self,
        client: Client,
        params: RestParams,
        endpoint: Endpoint,
        connection: duckdb.DuckDBPyConnection,
        since: str | None = None,
    ) -> None:
        self._client = client
        self._params = params
        self._endpoint = endpoint
        self._connection = connection
        self._since = since

    def __iter__(self) -> Generator[Page, None, None]:
        """Raises DataError for pages that come again, and ManifoldError for what the server refuses."""
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="next-page")
        try:
            yield from self._read(pool)
        finally:
            # Nobody wants the page that is on its way any more; the end of the session ends it.
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, pool: ThreadPoolExecutor) -> Iterator[Page]:
        endpoint, url, received = self._endpoint, self.first(), 0
        seen = {digest(url.encode())}
        before = b""
        coming: Future[Answered] | None = None
        size = 0
        for number in range(self._params.most_pages):
            answered = self._client.get(url) if coming is None else coming.result()
            ahead = self._known(url, number, answered, size) if self._client.may_ask_ahead else None
            coming = pool.submit(self._client.get, ahead) if ahead else None
            size = len(answered.body)
            if answered.status == 404:
                if number and endpoint.pagination == "page":
                    return
                raise refused(answered)
            page = page_of(self._connection, answered, endpoint)
            numbered = endpoint.pagination in ("page", "offset")
            if numbered and page.count and page.lines == before:
                raise again(endpoint.name, f"the parameter {endpoint.parameter} does not move on")
            before = page.lines if numbered else b""
            received += page.count
            yield page
            following = self._following(url, number, received, answered, page)
            if following is None:
                return
            url = following
            if digest(url.encode()) in seen:
                raise again(endpoint.name, "the next page is one that was read")
            seen.add(digest(url.encode()))
        raise too_many(endpoint.name, self._params.most_pages)

    def enter(self) -> None:
        """Ask for the first page. Raises ManifoldError for whoever is not let in."""
        self._client.get(self.first())

    def first(self) -> str:
        """The address of the first page."""
        endpoint = self._endpoint
        asked = {}
        if endpoint.size_parameter:
            asked[endpoint.size_parameter] = str(endpoint.page_size)
        if endpoint.pagination == "page":
            asked[endpoint.parameter] = str(endpoint.first_page)
        elif endpoint.pagination == "offset":
            asked[endpoint.parameter] = "0"
        if endpoint.since_parameter and self._since is not None:
            asked[endpoint.since_parameter] = self._since
        return with_parameters(self._params.url(endpoint), asked)

    def _known(self, url: str, number: int, answered: Answered, size: int) -> str | None:
        """The address of the next page, where it can be told before this one is looked into and is sure to be asked.

        size: bytes of the page before. One much smaller may be the empty one that ends pages by number.
        """
        if answered.status == 404 or number + 1 == self._params.most_pages:
            return None
        if self._endpoint.pagination == "link":
            told = linked(answered.headers.get("link", ""))
            return following(url, told) if told else None
        if self._endpoint.pagination == "page" and 0 < size < 2 * len(answered.body):
            return self._numbered(url, number + 1)
        return None

    def _numbered(self, url: str, number: int) -> str:
        return with_parameters(url, {self._endpoint.parameter: str(self._endpoint.first_page + number)})

    def _following(self, url: str, number: int, received: int, answered: Answered, page: Page) -> str | None:
        """The address of the next page. A page by number is the last when nothing is on it, however few the others
        hold: a server may give less than it was asked for."""
        endpoint = self._endpoint
        if endpoint.more_path and endpoint.pagination in ("cursor", "last") and not _says_more(page, endpoint):
            return None
        if endpoint.pagination == "page" and page.count:
            return self._numbered(url, number + 1)
        if endpoint.pagination == "offset" and page.count:
            return with_parameters(url, {endpoint.parameter: str(received)})
        if endpoint.pagination == "cursor" and page.cursor not in (None, "false"):
            told = str(page.cursor)
            if _leads(url, told):
                return following(url, told)
            return with_parameters(url, {endpoint.parameter: told})
        if endpoint.pagination == "last" and page.count:
            return with_parameters(url, {endpoint.parameter: _last(page, endpoint)})
        if endpoint.pagination == "link":
            told = linked(answered.headers.get("link", ""))
            return following(url, told) if told else None
        return None


def _says_more(page: Page, endpoint: Endpoint) -> bool:
    """Whether an answer says that there are more pages. Raises DataError for one that does not say."""
    if page.more not in ("true", "false"):
        raise DataError(
            f"An answer does not say at {endpoint.more_path} whether {endpoint.name} has more pages. Correct more_path "
            f"of {endpoint.name}.",
            code="pages_unknown",
            evidence={"stream": endpoint.name, "more_path": endpoint.more_path},
        )
    return page.more == "true"


def _last(page: Page, endpoint: Endpoint) -> str:
    """What the last record of a page is called. Raises DataError where it does not say."""
    found: Any = json.loads(page.lines.rstrip(b"\n").rpartition(b"\n")[2])
    for name in str(endpoint.next_path).split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise DataError(
            f"The last record on a page of {endpoint.name} has nothing at {endpoint.next_path} to ask for the next "
            f"page with. Correct next_path of {endpoint.name}.",
            code="records_malformed",
            evidence={"stream": endpoint.name, "next_path": endpoint.next_path},
        )
    return str(found)


def too_many(stream: str, most: int) -> ConfigurationError:
    """The error for pages without an end."""
    return ConfigurationError(
        f"{stream} has more than {most:,} pages, the most of one read. Ask for larger pages, or raise *Most pages* of "
        "the source.",
        code="too_many_pages",
        evidence={"stream": stream, "pages": most},
    )


def again(stream: str, why: str) -> DataError:
    """The error for pages that were read before."""
    return DataError(
        f"The pages of {stream} come again and again: {why}. Correct how the pages of {stream} are asked for.",
        code="pages_repeat",
        evidence={"stream": stream},
    )


def _leads(url: str, told: str) -> bool:
    """Whether what stands for the next page is its address: a cursor in base64 may begin with a slash, too."""
    if told.startswith("/"):
        return "?" in told or told.split("/")[1] == urlsplit(url).path.split("/")[1]
    return told.startswith(("http://", "https://"))


def linked(header: str) -> str:
    """The address of the next page in a header Link (RFC 8288); empty where there is none."""
    return next((found[1] for found in _LINK.finditer(header) if _NEXT.search(found[2])), "")


def since(value: str | None, type_: str, endpoint: Declared) -> str | None:
    """A cursor's value as the API wants it: never later than it is."""
    if value is None or not type_.startswith(("TIMESTAMP", "DATE")):
        return value
    moment = datetime.fromisoformat(value[:26] if type_ == "TIMESTAMP_NS" else value)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if endpoint.since_format == "date" or (type_ == "DATE" and endpoint.since_format == "iso"):
        return moment.date().isoformat()
    if endpoint.since_format == "iso":
        return moment.replace(tzinfo=None).isoformat() + "Z"
    return str((moment - _EPOCH) // timedelta(**{endpoint.since_format: 1}))


def digest(text: bytes) -> bytes:
    """What tells whether a text was there before, however long it was."""
    return xxhash.xxh3_128_digest(text)
