"""Files that are downloaded over HTTP: one or several addresses, each a file that may be there in a new version."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, ClassVar, Literal
from urllib.parse import unquote, urlsplit

import xxhash
from pydantic import Field, StringConstraints, field_validator

from dataplane.connectors import web
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said, secret_field
from dataplane.connectors.files.found import Found, gone, size_told
from dataplane.connectors.files.place import Work
from dataplane.connectors.files.remote import SAMPLE, Remote, by_lines, changed, resuming, sound, too_large
from dataplane.connectors.files.settings import format_of
from dataplane.connectors.files.spooled import Spooled
from dataplane.connectors.files.store import web_time
from dataplane.connectors.windows import FileRef
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from dataplane.http import Answer, Http, origin, shown, with_parameters
from dataplane.net import resolve_public

_LOOK_SECONDS = 60
_SAMPLE_SECONDS = 30
_GONE = (404, 410)
_OURS = "xxh3:"

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class HttpFilesParams(Stated):
    """What is downloaded, and how one is let in."""

    urls: tuple[Line, ...] = Field(
        min_length=1,
        max_length=200,
        title="Addresses",
        description="One a line, such as https://data.example.org/orders.csv. Where one does not end in the name of a "
        "file, write the name before it: orders.csv https://data.example.org/export?id=7",
        examples=["https://data.example.org/orders.csv"],
    )
    auth: Literal["none", "basic", "bearer", "header", "parameter"] = Field(
        "none",
        title="Sign in with",
        json_schema_extra=said(
            "Sign in",
            labels={
                "none": "nothing: everybody may read it",
                "basic": "user and password (Basic)",
                "bearer": "a token (Bearer)",
                "header": "a key in a header",
                "parameter": "a key in the address (parameter)",
            },
        ),
    )
    user: str | None = Field(
        None, title="User", json_schema_extra=said("Sign in", only={"auth": ["basic"]}, needed=True)
    )
    password: str | None = secret_field("Password", only={"auth": ["basic"]}, needed=True)
    header: str | None = Field(
        None,
        title="Header",
        description="Its name, such as X-Api-Key.",
        pattern="^[A-Za-z0-9-]+$",
        examples=["X-Api-Key"],
        json_schema_extra=said("Sign in", only={"auth": ["header"]}, needed=True),
    )
    parameter: str | None = Field(
        None,
        title="Parameter",
        description="Its name, which is added to each address, such as rlkey.",
        pattern="^[A-Za-z0-9_.-]+$",
        examples=["rlkey"],
        json_schema_extra=said("Sign in", only={"auth": ["parameter"]}, needed=True),
    )
    token: str | None = secret_field(
        "Token",
        "Or the value of the header or parameter.",
        only={"auth": ["bearer", "header", "parameter"]},
        needed=True,
    )
    when_changed: Literal["warn", "read_again"] = Field(
        "warn",
        title="When a file has changed",
        description="An incremental read says so, or reads it again: then merge or replace, or rows come twice.",
        json_schema_extra=said("Reading", labels={"warn": "say so", "read_again": "read it again"}),
    )
    largest_mb: int = Field(10_240, ge=1, title="Largest file, in MB", json_schema_extra=said("Limits"))
    most_seconds: int = Field(
        3_600, ge=1, le=86_400, title="Longest download, in seconds", json_schema_extra=said("Limits")
    )

    @field_validator("urls")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        named(value)
        return value


class Downloads(Remote):
    """The addresses of one source."""

    def __init__(
        self, params: HttpFilesParams, networks: Sequence[str], known: Sequence[FileRef], *, sample: bool
    ) -> None:
        self._params = params
        self._largest = params.largest_mb * 1_000_000
        self._sample = sample
        self._networks = networks
        self._known = {each.path: each for each in known}
        self._urls = named(params.urls)
        self._http = Http(networks)
        self._secret = _credentials(params)
        self._query = {str(params.parameter): str(params.token)} if params.auth == "parameter" else {}
        self._first = 0

    def steps(self) -> Sequence[Work]:
        return [("resolve", self._resolve), ("connect", self._connect), ("authenticate", self._authenticate)]

    def open(self) -> None:
        """Every download makes a connection of its own."""

    def files(self) -> tuple[list[Found], list[str]]:
        found, warnings = [], []
        for path in self._urls:
            try:
                found.append(self.stat(path))
            except ManifoldError as error:
                if error.code != "files_missing":
                    raise
                warnings.append(f"{path} is not there: {shown(self._urls[path])} answered that it has none.")
        return found, warnings

    def stat(self, path: str) -> Found:
        url, known = self._urls.get(path), self._known.get(path)
        if url is None:
            raise gone(path)
        asked = {"If-None-Match": known.version} if known and known.version and not _own(known.version) else {}
        self._http.deadline = time.monotonic() + _LOOK_SECONDS
        with self._asked(url, asked) as answer:
            if answer.status == 304 and known is not None:
                return Found(path, "", known.size, _nanoseconds(known.modified), known.version)
            _good(path, answer.status, answer.headers)
            told = _told(path, answer)
            return told if told is not None else self._counted(path, answer)

    @property
    def _patience(self) -> float:
        """Seconds that a download may take: not long where somebody waits to see what it looks like."""
        return _SAMPLE_SECONDS if self._sample else self._params.most_seconds

    def read(self, found: Found) -> Iterator[bytes]:
        """The bytes of this version. A download that breaks off goes on where it was, if the server can do that."""
        self._http.deadline = time.monotonic() + self._patience
        size, digest = 0, xxhash.xxh3_128()
        for chunk in resuming(lambda done: self._from(found, done)):
            size += len(chunk)
            digest.update(chunk)
            yield chunk
        # Without a length a connection that is cut ends like any other: what is too short counts as cut.
        if size >= found.size and _own(found.version) and found.version != _OURS + digest.hexdigest():
            raise changed(found.path, "since the run was planned")

    def close(self) -> None:
        self._http.close()

    def _from(self, found: Found, done: int) -> Iterator[bytes]:
        with self._asked(self._urls[found.path], _rest(found, done)) as answer:
            _same(found, answer, done)
            yield from answer.chunks()

    def _asked(self, url: str, headers: Mapping[str, str] | None = None) -> AbstractContextManager[Answer]:
        return self._http.get(with_parameters(url, self._query), headers, self._secret)

    def _resolve(self) -> str:
        hosts = sorted({origin(url)[1:] for url in self._urls.values()})
        found = {host: resolve_public(host, port, self._networks) for host, port in hosts}
        return "; ".join(f"{host} is {', '.join(addresses)}" for host, addresses in found.items()) + "."

    def _connect(self) -> str:
        url = next(iter(self._urls.values()))
        self._http.deadline = time.monotonic() + _LOOK_SECONDS
        with self._asked(url) as answer:
            self._first = answer.status
        return f"{shown(url)} answers."

    def _authenticate(self) -> str:
        path = next(iter(self._urls))
        if self._first not in _GONE:
            _good(path, self._first, {})
        return "No sign-in is asked for." if self._params.auth == "none" else "The sign-in is accepted."

    def _counted(self, path: str, answer: Answer) -> Found:
        """A file whose server says too little of it is downloaded to see which version it is.

        For a sample the beginning of a file of lines will do: that it is at least so large is all that is asked.
        """
        self._http.deadline = time.monotonic() + self._patience
        size, digest = 0, xxhash.xxh3_128()
        for chunk in answer.chunks():
            size += len(chunk)
            if self._sample and size > SAMPLE and by_lines(path):
                return Found(path, "", SAMPLE + 1, _modified(answer.headers), _version(answer))
            if size > self._largest:
                raise too_large(path, self._largest)
            digest.update(chunk)
        return Found(path, "", size, _modified(answer.headers), _version(answer) or _OURS + digest.hexdigest())


class HttpFiles(Spooled):
    """Downloads, read like the files of a folder."""

    key = "http_files"
    title = "Downloads (HTTP)"
    summary = "Files at web addresses, read whole, or only when they are new: unchanged ones are not downloaded again."
    tested_with = "a web server on loopback"
    Params: ClassVar[type[HttpFilesParams]] = HttpFilesParams
    params: HttpFilesParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return web.download(clue)

    @property
    def _reads_changed(self) -> bool:
        return self.params.when_changed == "read_again"

    def _remote(self, *, sample: bool, known: Sequence[FileRef]) -> Remote:
        return Downloads(self.params, self.networks, known, sample=sample)


def named(lines: Sequence[str]) -> dict[str, str]:
    """The addresses by the names of their files. Raises ValueError for a line that is none."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, url = line.rpartition(" ")
        try:
            origin(url)
        except ConfigurationError as error:
            raise ValueError(error.message) from None
        name = name.strip() or unquote(urlsplit(url).path.rpartition("/")[2])
        if not sound(name) or format_of(name) is None:
            raise ValueError(
                f"{shown(url)} does not end in the name of a file of a known format. Write one before it, such as "
                f"orders.csv {shown(url)}"
            )
        if name in found:
            raise ValueError(f"Two files would be called {name}. Write another name before one of the addresses.")
        found[name] = url
    return found


def _credentials(params: HttpFilesParams) -> dict[str, str]:
    if params.auth == "basic":
        pair = f"{params.user}:{params.password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    if params.auth == "bearer":
        return {"Authorization": f"Bearer {params.token}"}
    return {str(params.header): str(params.token)} if params.auth == "header" else {}


def _good(path: str, status: int, headers: Mapping[str, str]) -> None:
    """Raises the error of a status that is none of a file's."""
    if status in (200, 206):
        return
    if status in _GONE:
        raise gone(path)
    evidence = {"file": path, "status": status}
    if status in (401, 403, 407):
        raise ConfigurationError(
            f"The server does not let us have {path} ({status}). Correct how the source signs in.",
            code="authentication",
            evidence=evidence,
        )
    if status == 429:
        wait = headers.get("retry-after", "")
        raise TransientError(
            f"The server has been asked for too much and refuses {path} for now. If it stays so, run less often.",
            code="rate_limited",
            evidence={**evidence, **({"retry_after": wait} if wait.isdecimal() else {})},
        )
    if status >= 500 or status in (408, 425):
        raise TransientError(
            f"The server cannot give {path} now ({status}). If it stays so, look at the server.",
            code="server_error",
            evidence=evidence,
        )
    raise ConfigurationError(
        f"The server answers {status} instead of {path}. Open the address in a browser, and correct it.",
        code="http_status",
        evidence=evidence,
    )


def _told(path: str, answer: Answer) -> Found | None:
    """The file as its headers describe it; None where they do not tell its size and its version."""
    length, version, modified = answer.headers.get("content-length", ""), _version(answer), _modified(answer.headers)
    if not length.isdecimal() or not (version or modified):
        return None
    return Found(path, "", size_told(length), modified, version)


def _same(found: Found, answer: Answer, done: int) -> None:
    """Raises DataError when this is another version, TransientError when the rest of a file is not what comes."""
    _good(found.path, answer.status, answer.headers)
    if not _own(found.version) and (_version(answer), _modified(answer.headers)) != (found.version, found.changed):
        raise changed(found.path, "since the run was planned")
    begins = answer.headers.get("content-range", "").startswith(f"bytes {done}-")
    if done and not (answer.status == 206 and begins):
        raise TransientError(
            f"The download of {found.path} broke off after {done:,} of {found.size:,} bytes, and the server cannot go "
            "on there: it has to be read from the beginning.",
            code="connection_lost",
            evidence={"file": found.path, "bytes": done, "promised": found.size},
        )


def _rest(found: Found, done: int) -> dict[str, str]:
    """The headers that ask for what is missing of this very version; none where it cannot be named."""
    if not done or _own(found.version) or found.version.startswith("W/"):
        return {}
    version = found.version or format_datetime(datetime.fromtimestamp(found.changed / 1e9, UTC), usegmt=True)
    return {"Range": f"bytes={done}-", "If-Range": version}


def _version(answer: Answer) -> str:
    return answer.headers.get("etag", "")[:200]


def _own(version: str) -> bool:
    """Whether a version is a digest of ours, because the server has no word for it."""
    return version.startswith(_OURS)


def _modified(headers: Mapping[str, str]) -> int:
    """When the file was changed, in nanoseconds; 0 where the server does not say."""
    return web_time(headers.get("last-modified", ""))


def _nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
