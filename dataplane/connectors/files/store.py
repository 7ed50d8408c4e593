"""A store of objects as a place of files: listed page by page, each object read in the version that was listed."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from pydantic import AfterValidator

from dataplane.connectors.files.found import Found, gone, size_told
from dataplane.connectors.files.place import Work
from dataplane.connectors.files.remote import Remote, bounded, changed, resuming
from dataplane.connectors.files.server import fit
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from dataplane.http import Answer, Http, origin, shown
from dataplane.net import resolve_public

LOOK_SECONDS = 60
_READ_SECONDS = 6 * 3600
_LARGEST_ANSWER = 16 << 20
MOST_PAGES = 10_000

Refusal = tuple[str, str]
"""The code of a ConfigurationError, and what it says."""


def _endpoint(value: str | None) -> str | None:
    if value is not None:
        try:
            origin(value)
        except ConfigurationError:
            raise ValueError("Write it as https://store.example.org:9000.") from None
        if urlsplit(value).query or urlsplit(value).fragment:
            raise ValueError("Write it without a query.")
    return value.rstrip("/") if value else None


Endpoint = Annotated[str | None, AfterValidator(_endpoint)]
"""Where a store answers, without a slash at its end; None where its maker's own does."""


class Store(Remote):
    """What lies below a folder of a bucket or container, whose own address is `base`."""

    kind: ClassVar[str]
    """What answers there, for the errors: an S3 store."""
    busy: ClassVar[tuple[str, ...]] = ()
    """What it says, beside the status 429, where it has been asked for too much."""

    def __init__(self, base: str, prefix: str, networks: Sequence[str]) -> None:
        self.base = base
        self.http = Http(networks)
        self.folder = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._networks = networks

    @abstractmethod
    def _entries(self, page: ElementTree.Element) -> Iterator[Found]:
        """The objects of a page of the listing, by their whole names."""

    @abstractmethod
    def _asked(self, most: int, after: str) -> str:
        """The address of a page of the listing. after: what the page before has told; empty for the first."""

    @abstractmethod
    def _next(self, page: ElementTree.Element) -> str | None:
        """What asks for the next page; None behind the last, and empty where it is not told."""

    @abstractmethod
    def _secret(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that prove who asks for this address with these headers."""

    @abstractmethod
    def _admitted(self) -> str:
        """A sentence: who may list."""

    @abstractmethod
    def _refusal(self, path: str, answer: Answer, code: str) -> Refusal | None:
        """What a refusal means that is the product's own. code: what the store itself calls it, or empty."""

    def steps(self) -> Sequence[Work]:
        return [("resolve", self._resolve), ("connect", self._connect), ("authenticate", self._authenticate)]

    def open(self) -> None:
        """Every request stands for itself."""

    def files(self) -> tuple[list[Found], list[str]]:
        found: list[Found] = []
        warnings: list[str] = []
        for page in self._pages():
            for each in self._entries(page):
                path = each.path.removeprefix(self.folder)
                # What ends in a slash is what consoles show as an empty folder.
                if path and not path.endswith("/") and fit(path, warnings):
                    found.append(Found(path, "", each.size, each.changed, each.version))
            bounded(found, self.folder or shown(self.base))
        return found, warnings

    def stat(self, path: str) -> Found:
        with self._got(self._object(path)) as answer:
            self._good(path, answer)
            return _of_headers(path, answer.headers)

    def read(self, found: Found) -> Iterator[bytes]:
        return resuming(lambda done: self._from(found, done))

    def close(self) -> None:
        self.http.close()

    def _from(self, found: Found, done: int) -> Iterator[bytes]:
        told = {"If-Match": found.version, **({"Range": f"bytes={done}-"} if done else {})}
        with self._got(self._object(found.path), told, seconds=_READ_SECONDS) as answer:
            if answer.status == 412:
                raise changed(found.path, "since the run was planned")
            self._good(found.path, answer)
            if not done and _of_headers(found.path, answer.headers) != found:
                raise changed(found.path, "since the run was planned")
            if done and not answer.headers.get("content-range", "").startswith(f"bytes {done}-"):
                raise TransientError(
                    f"The reading of {found.path} broke off after {done:,} bytes, and the store cannot go on there: "
                    "it has to be read from the beginning.",
                    code="connection_lost",
                    evidence={"file": found.path, "bytes": done},
                )
            yield from answer.chunks()

    def _resolve(self) -> str:
        _, host, port = origin(self.base)
        return f"{host} is {', '.join(resolve_public(host, port, self._networks))}."

    def _connect(self) -> str:
        self.http.deadline = time.monotonic() + LOOK_SECONDS
        with self.http.get(self.base) as answer:
            return f"The store answers ({answer.status})."

    def _authenticate(self) -> str:
        next(self._pages(most=1))
        return self._admitted()

    def _pages(self, most: int = 1000) -> Iterator[ElementTree.Element]:
        """The pages of the listing."""
        after = ""
        for _ in range(MOST_PAGES):
            with self._got(self._asked(most, after)) as answer:
                self._good("", answer)
                page = self._parsed(answer)
            yield page
            token = self._next(page)
            if token is None:
                return
            if not token or token == after:
                break
            after = token
        raise ConfigurationError(
            f"The listing of {shown(self.base)} does not come to an end: the store says that there is more, and not "
            "where. Name a *Folder* of the source, or have the store mended.",
            code="pages_repeat",
            evidence={"store": shown(self.base), "most_pages": MOST_PAGES},
        )

    @contextmanager
    def _got(
        self, url: str, headers: Mapping[str, str] | None = None, *, seconds: int = LOOK_SECONDS
    ) -> Iterator[Answer]:
        self.http.deadline = time.monotonic() + seconds
        with self.http.get(url, headers, self._secret(url, headers or {})) as answer:
            yield answer

    def _object(self, path: str) -> str:
        return f"{self.base}/{quote(self.folder + path, safe='/-_.~')}"

    def _good(self, path: str, answer: Answer) -> None:
        """Raises the error of an answer that is a refusal."""
        if answer.status in (200, 206):
            return
        code = self._code(answer)
        evidence = {"store": shown(self.base), "status": answer.status, **({"code": code} if code else {})}
        if known := self._refusal(path, answer, code):
            raise ConfigurationError(known[1], code=known[0], evidence=evidence)
        raise self._usual_refusal(path, answer.status, code, evidence)

    def _code(self, answer: Answer) -> str:
        """What the store itself calls a refusal; empty where it does not say."""
        if answer.headers.get("content-type", "").endswith("xml"):
            # What stands before a store may answer with a page of its own: then the status has to do.
            with suppress(ConfigurationError):
                return text_of(self._parsed(answer), "Code")
        return ""

    def _usual_refusal(self, path: str, status: int, code: str, evidence: dict[str, Any]) -> ManifoldError:
        if status == 404:
            return gone(path)
        if status == 429 or code in self.busy:
            return TransientError(
                "The store has been asked for too much and refuses more for now. If it stays so, run less often.",
                code="rate_limited",
                evidence=evidence,
            )
        if status >= 500:
            return TransientError(
                f"The store cannot answer now ({status}). If it stays so, look at the store.",
                code="server_error",
                evidence=evidence,
            )
        return ConfigurationError(
            f"{shown(self.base)} answers {status} {code}, as no {self.kind} does. Correct the endpoint.",
            code="http_status",
            evidence=evidence,
        )

    def _parsed(self, answer: Answer) -> ElementTree.Element:
        """The XML of an answer without its namespaces. Raises ConfigurationError for what is none."""
        body = b""
        for chunk in answer.chunks():
            body += chunk
            if len(body) > _LARGEST_ANSWER:
                break
        try:
            # Entities and the like are declared in what begins so; no store sends it, and without it none is expanded.
            if len(body) > _LARGEST_ANSWER or b"<!" in body:
                raise ElementTree.ParseError
            root = ElementTree.fromstring(body)  # noqa: S314
        except ElementTree.ParseError:
            raise ConfigurationError(
                f"{shown(answer.url)} answers with what no {self.kind} sends. Correct the endpoint.", code="http_status"
            ) from None
        for each in root.iter():
            each.tag = each.tag.rpartition("}")[2]
        return root


def text_of(element: ElementTree.Element, name: str) -> str:
    """The text of an element within, without the blanks around it; empty where there is none."""
    return (element.findtext(name) or "").strip()


def web_time(text: str) -> int:
    """Nanoseconds of a time as HTTP writes it; 0 for what is none."""
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 1_000_000_000
    except (ValueError, TypeError, OverflowError):
        return 0


def _of_headers(path: str, headers: Mapping[str, str]) -> Found:
    changed_at = web_time(headers.get("last-modified", ""))
    return Found(path, "", size_told(headers.get("content-length", "")), changed_at, headers.get("etag", ""))
