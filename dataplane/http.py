"""HTTP to outside servers: each connection goes to an address that was checked, and everything has an end.

Redirects are followed a few times, each as carefully as the first request; secrets stay with the server they were meant
for. Proxies, cookies and passwords of the machine's environment are not looked at.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import httpcore

from dataplane import authorities
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from dataplane.net import resolve_public

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_LONGEST_URL = 4096
_PORTS = {"http": 80, "https": 443}


@dataclass
class Traffic:
    """How many requests this process has sent. A worker does one step at a time, so two looks tell what a step sent."""

    calls: int = 0


TRAFFIC = Traffic()


@dataclass(frozen=True)
class Answer:
    """What a server said: its status, its headers by their small names, and the body while the connection is open."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. Raises TransientError when the connection breaks or nothing comes any more."""
        with _in_our_words(self.url):
            yield from self.body

    def beginning(self, most: int) -> bytes:
        """At most so many bytes of the body; what follows them is not asked for. Raises TransientError as `chunks`."""
        found = bytearray()
        for chunk in self.chunks():
            found += chunk
            if len(found) >= most:
                break
        return bytes(found[:most])


class Http:
    """A client with connections of its own. allowed: networks beside the public ones that it may reach.

    connect, idle: seconds until a connection stands, and between two pieces of an answer. The `deadline` (by the clock
    of `time.monotonic`) ends whatever is under way.
    """

    def __init__(self, allowed: Sequence[str], *, connect: float = 10.0, idle: float = 30.0) -> None:
        self.deadline: float | None = None
        self._timeout = {"connect": connect, "read": idle, "write": idle, "pool": connect}
        self._allowed = tuple(allowed)

    @cached_property
    def _pool(self) -> httpcore.ConnectionPool:
        # The server's name is checked against its certificate as usual; only the address is ours.
        return httpcore.ConnectionPool(
            ssl_context=authorities.context(),
            max_connections=4,
            max_keepalive_connections=2,
            keepalive_expiry=15,
            network_backend=_Checked(self, self._allowed),
        )

    def close(self) -> None:
        if "_pool" in vars(self):
            self._pool.close()

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None, secret: Mapping[str, str] | None = None
    ) -> Iterator[Answer]:
        """The answer to a GET, redirects followed. secret: headers that only the first server is told.

        Raises ConfigurationError for an address that is none or may not be reached, TransientError for what may work
        later. A status that tells of a failure is an answer too.
        """
        first = origin(url)
        for _ in range(_MOST_REDIRECTS + 1):
            told = {**(headers or {}), **((secret or {}) if origin(url) == first else {})}
            with self._sent(url, told) as answer:
                if answer.status not in _REDIRECTS or "location" not in answer.headers:
                    yield answer
                    return
                url = _followed(url, answer.headers["location"])
        raise ConfigurationError(
            f"{shown(url)} sends on from address to address without an end. Name the address that holds the file.",
            code="too_many_redirects",
            evidence={"url": shown(url)},
        )

    @contextmanager
    def post(self, url: str, form: Mapping[str, str], secret: Mapping[str, str]) -> Iterator[Answer]:
        """The answer to a form that is sent. It is followed nowhere: what is in it was meant for this server."""
        told = {**secret, "Content-Type": "application/x-www-form-urlencoded"}
        with self._sent(url, told, urlencode(form).encode()) as answer:
            yield answer

    @contextmanager
    def post_json(
        self, url: str, document: bytes, headers: Mapping[str, str], secret: Mapping[str, str]
    ) -> Iterator[Answer]:
        """The answer to a JSON document that is sent, which is followed nowhere either."""
        with self._sent(url, {**headers, **secret, "Content-Type": "application/json"}, document) as answer:
            yield answer

    @contextmanager
    def post_text(self, url: str, text: bytes, secret: Mapping[str, str]) -> Iterator[Answer]:
        """The answer to a text that is sent, such as a statement; it is followed nowhere either."""
        with self._sent(url, {**secret, "Content-Type": "text/plain; charset=utf-8"}, text) as answer:
            yield answer

    @contextmanager
    def delete(self, url: str, secret: Mapping[str, str]) -> Iterator[Answer]:
        """The answer to a DELETE, which is followed nowhere either."""
        with self._sent(url, secret, method="DELETE") as answer:
            yield answer

    @contextmanager
    def _sent(
        self, url: str, headers: Mapping[str, str], content: bytes | None = None, *, method: str = ""
    ) -> Iterator[Answer]:
        origin(url)
        told = {"User-Agent": "Manifold", "Accept": "*/*", "Accept-Encoding": "identity", **headers}
        with _in_our_words(url):
            request = self._pool.stream(
                method or ("GET" if content is None else "POST"),
                url,
                headers=[(name.encode(), value.encode()) for name, value in told.items()],
                content=content,
                extensions={"timeout": self._timeout},
            )
            response = request.__enter__()
        try:
            found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            TRAFFIC.calls += 1
            yield Answer(url, response.status, found, response.iter_stream())
        finally:
            request.__exit__(None, None, None)


def shown(url: str) -> str:
    """An address as it may be shown: without its query, where keys are put, and without a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """An address with parameters set; those that it has already under these names give way."""
    if not parameters:
        return url
    parts = urlsplit(url)
    kept = [each for each in parse_qsl(parts.query, keep_blank_values=True) if each[0] not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*kept, *parameters.items()])))


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ConfigurationError for an address that is none of the web's."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        parts, port = urlsplit(""), 0
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= _LONGEST_URL
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.password or not plain:
        raise ConfigurationError(
            "This is no address of the web. Write it like https://data.example.org/orders, without a user; what is no "
            "plain letter is escaped.",
            code="url",
            evidence={"url": url[:200] if "@" not in url else ""},
        )
    return parts.scheme, parts.hostname, port


def following(url: str, told: str) -> str:
    """The address that a server sends on to. Raises ConfigurationError for one that is none of the web's."""
    try:
        target = urljoin(url, told)
        origin(target)
    except (ValueError, ConfigurationError):
        # A key may stand behind the question mark, and a password before the @.
        named = told.partition("?")[0].rpartition("@")[2][:200]
        raise ConfigurationError(
            f"{shown(url)} sends on to {named!r}, which is no address of the web. Have the server mended, or name "
            "the address that it should send on to.",
            code="redirect_unreadable",
            evidence={"url": shown(url), "told": named},
        ) from None
    return target


def _followed(url: str, location: str) -> str:
    target = following(url, location)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise ConfigurationError(
            f"{shown(url)} sends on to an address without encryption. Name the address that holds the file.",
            code="redirect_unsafe",
            evidence={"url": shown(url)},
        )
    return target


class _Checked(httpcore.SyncBackend):
    """Connects to addresses that were checked, and to no other, however often a name changes what it means."""

    def __init__(self, client: Http, allowed: tuple[str, ...]) -> None:
        self._client = client
        self._allowed = allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception | None = None
        for address in resolve_public(host, port, self._allowed):
            try:
                stream = super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            return _Timed(stream, self._client)
        raise failure or httpcore.ConnectError("no address")


class _Timed(httpcore.NetworkStream):
    """A connection that also heeds the client's deadline: a server that sends a byte now and then gets no further."""

    def __init__(self, stream: httpcore.NetworkStream, client: Http) -> None:
        self._stream = stream
        self._client = client

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, self._left(timeout)), self._client)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None) -> float | None:
        if self._client.deadline is None:
            return timeout
        left = self._client.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return left if timeout is None else min(timeout, left)


@contextmanager
def _in_our_words(url: str) -> Iterator[None]:
    try:
        yield
    except httpcore.ConnectTimeout:
        raise _later(url, "connection_timeout", "took too long to accept a connection") from None
    except httpcore.ConnectError as error:
        raise _refused(url, error) from None
    except httpcore.TimeoutException:
        raise _later(url, "answer_timeout", "stopped answering") from None
    except (httpcore.NetworkError, httpcore.RemoteProtocolError):
        raise _later(url, "connection_lost", "broke off, or answered with what is no HTTP") from None
    except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol, UnicodeError):
        raise ConfigurationError(
            f"{shown(url)} cannot be asked: its address or a header holds characters that HTTP does not take.",
            code="url",
            evidence={"url": shown(url)},
        ) from None


def _refused(url: str, error: Exception) -> ManifoldError:
    text = str(error)
    # Releases of OpenSSL and of Python's ssl say it in three ways; the word is in each.
    if "EOF" in text:
        return _later(url, "connection_lost", "broke off")
    if "CERTIFICATE" in text or "SSL" in text or "TLS" in text:
        return ConfigurationError(
            f"{shown(url)} does not prove who it is: its certificate is not valid for this name ({text[:200]}). "
            "Correct the address, have the server's certificate mended, or name who signed it in SSL_CERT_FILE.",
            code="encryption",
            evidence={"url": shown(url)},
        )
    return _later(url, "connection_refused", "does not accept connections")


def _later(url: str, code: str, what: str) -> TransientError:
    return TransientError(
        f"{shown(url)} {what}. If it stays so, look at the server.",
        code=code,
        evidence={"url": shown(url)},
    )
