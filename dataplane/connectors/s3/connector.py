"""A bucket as a place of files: listed page by page, each object read in the version that was listed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar
from urllib.parse import quote, unquote_plus, urlsplit
from xml.etree import ElementTree

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dataplane.connectors import web
from dataplane.connectors.base import Capabilities, FileRef, secret_field
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.files.found import Found, gone, size_told
from dataplane.connectors.files.place import Place, Work
from dataplane.connectors.files.remote import Remote, Spool, bounded, changed, resuming
from dataplane.connectors.files.server import fit
from dataplane.connectors.s3.signing import Keys, query, signed
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from dataplane.http import Answer, Http, origin, shown
from dataplane.net import resolve_public

_LOOK_SECONDS = 60
_READ_SECONDS = 6 * 3600
_LARGEST_ANSWER = 16 << 20
_MOST_PAGES = 10_000
_BAD_KEYS = (
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidToken",
)


class S3Params(BaseModel):
    """Which bucket, where it is, and whose keys open it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(min_length=3, max_length=63, title="Bucket", pattern="^[a-z0-9][a-z0-9.-]*[a-z0-9]$")
    prefix: str = Field("", title="Folder", description="Only what is below it; empty: the whole bucket.")
    region: str = Field("us-east-1", min_length=1, title="Region", pattern="^[a-z0-9-]+$")
    endpoint: str | None = Field(
        None,
        title="Endpoint",
        description="Of a store that is not Amazon's, such as https://minio.example.org:9000.",
    )
    path_style: bool = Field(True, title="The bucket stands in the path, not in the host's name")
    access_key_id: str | None = Field(None, title="Access key", description="Empty: a bucket that everybody may read.")
    secret_access_key: str | None = secret_field("Secret key")
    session_token: str | None = secret_field("Session token", "Of temporary keys.")
    largest_mb: int = Field(10_240, ge=1, title="Largest file", description="In MB.")

    @property
    def largest(self) -> int:
        return self.largest_mb * 1_000_000

    @field_validator("endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                origin(value)
            except ConfigurationError:
                raise ValueError("Write it as https://minio.example.org:9000.") from None
            if urlsplit(value).query or urlsplit(value).fragment:
                raise ValueError("Write it without a query.")
        return value.rstrip("/") if value else None

    @model_validator(mode="after")
    def _complete(self) -> S3Params:
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValueError("Enter the access key together with its secret key, or neither.")
        return self

    @property
    def base(self) -> str:
        """The address of the bucket."""
        endpoint = self.endpoint or f"https://s3.{self.region}.amazonaws.com"
        if self.path_style:
            return f"{endpoint}/{self.bucket}"
        parts = urlsplit(endpoint)
        return f"{parts.scheme}://{self.bucket}.{parts.netloc}{parts.path}"


class Bucket(Remote):
    """What lies below the prefix of a bucket."""

    def __init__(self, params: S3Params, networks: Sequence[str]) -> None:
        self._params = params
        self._networks = networks
        self._http = Http(networks)
        self._folder = f"{params.prefix.strip('/')}/" if params.prefix.strip("/") else ""
        keys = params.access_key_id, params.secret_access_key
        self._keys = Keys(keys[0], keys[1], params.session_token) if keys[0] and keys[1] else None

    def steps(self) -> Sequence[Work]:
        return [("resolve", self._resolve), ("connect", self._connect), ("authenticate", self._authenticate)]

    def open(self) -> None:
        """Every request stands for itself."""

    def files(self) -> tuple[list[Found], list[str]]:
        found: list[Found] = []
        warnings: list[str] = []
        for page in self._pages():
            for each in page.iter("Contents"):
                path = unquote_plus(_text(each, "Key")).removeprefix(self._folder)
                # What ends in a slash is what consoles show as an empty folder.
                if path and not path.endswith("/") and fit(path, warnings):
                    changed_at = _seconds(_text(each, "LastModified"))
                    found.append(Found(path, "", size_told(_text(each, "Size")), changed_at, _text(each, "ETag")))
            bounded(found, self._params.prefix or self._params.bucket)
        return found, warnings

    def stat(self, path: str) -> Found:
        with self._got(self._object(path)) as answer:
            self._good(path, answer)
            return _of_headers(path, answer.headers)

    def read(self, found: Found) -> Iterator[bytes]:
        return resuming(lambda done: self._from(found, done))

    def close(self) -> None:
        self._http.close()

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
                    f"The reading of {found.path} broke off after {done:,} bytes, and the store cannot go on there. "
                    "It is tried again from the beginning.",
                    code="connection_lost",
                    evidence={"file": found.path, "bytes": done},
                )
            yield from answer.chunks()

    def _resolve(self) -> str:
        _, host, port = origin(self._params.base)
        return f"{host} is {', '.join(resolve_public(host, port, self._networks))}."

    def _connect(self) -> str:
        self._http.deadline = time.monotonic() + _LOOK_SECONDS
        with self._http.get(self._params.base) as answer:
            return f"The store answers ({answer.status})."

    def _authenticate(self) -> str:
        next(self._pages(most=1))
        return "Everybody may list the bucket." if self._keys is None else "The keys may list the bucket."

    def _pages(self, most: int = 1000) -> Iterator[ElementTree.Element]:
        """The pages of the listing."""
        asked = {"list-type": "2", "encoding-type": "url", "max-keys": str(most), "prefix": self._folder}
        for _ in range(_MOST_PAGES):
            with self._got(f"{self._params.base}/?{query(asked)}") as answer:
                self._good("", answer)
                page = _parsed(answer)
            yield page
            token = _text(page, "NextContinuationToken")
            if _text(page, "IsTruncated") != "true":
                return
            if not token or asked.get("continuation-token") == token:
                break
            asked["continuation-token"] = token
        raise ConfigurationError(
            f"The listing of {self._params.bucket} does not come to an end: the store says that there is more, and not "
            "where. Name a *Folder* of the source, or have the store mended.",
            code="pages_repeat",
            evidence={"bucket": self._params.bucket, "most_pages": _MOST_PAGES},
        )

    @contextmanager
    def _got(
        self, url: str, headers: Mapping[str, str] | None = None, *, seconds: int = _LOOK_SECONDS
    ) -> Iterator[Answer]:
        self._http.deadline = time.monotonic() + seconds
        secret = signed(url, self._keys, self._params.region, datetime.now(UTC)) if self._keys else {}
        with self._http.get(url, headers, secret) as answer:
            yield answer

    def _object(self, path: str) -> str:
        return f"{self._params.base}/{quote(self._folder + path, safe='/-_.~')}"

    def _good(self, path: str, answer: Answer) -> None:
        """Raises the error of an answer that is a refusal."""
        if answer.status in (200, 206):
            return
        code = ""
        if answer.headers.get("content-type", "").endswith("xml"):
            # What stands before a store may answer with a page of its own: then the status has to do.
            with suppress(ConfigurationError):
                code = _text(_parsed(answer), "Code")
        raise _refusal(self._params, path, answer, code)


class S3(FileConnector):
    """A bucket whose objects are read like the files of a folder."""

    key = "s3"
    title = "S3 and compatible stores"
    summary = "Files in a bucket of Amazon S3, MinIO, Ceph, R2 and the like, by name pattern, whole or only new ones."
    tested_with = "moto; no bucket of Amazon, MinIO or Ceph was at hand"
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, resumable=True)
    Params: ClassVar[type[S3Params]] = S3Params
    params: S3Params

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return web.bucket(clue)

    def _place(self, *, sample: bool, within: str | None, known: Sequence[FileRef]) -> Place:
        remote = Bucket(self.params, self.networks)
        return Spool(remote, sample=sample, within=within, largest=self.params.largest)


def _refusal(params: S3Params, path: str, answer: Answer, code: str) -> ManifoldError:
    """The error for a status and, where the store tells it, S3's own code."""
    evidence = {"bucket": params.bucket, "status": answer.status, **({"code": code} if code else {})}
    region = answer.headers.get("x-amz-bucket-region", "")
    if code == "NoSuchBucket" or (answer.status == 404 and not path):
        return ConfigurationError(
            f"There is no bucket {params.bucket} at {shown(params.base)}. Correct bucket, region or endpoint.",
            code="bucket_missing",
            evidence=evidence,
        )
    if answer.status == 404:
        return gone(path)
    if answer.status in (301, 307, 400) and region and region != params.region:
        return ConfigurationError(
            f"The bucket {params.bucket} is in the region {region}. Correct the region of the source.",
            code="region",
            evidence={**evidence, "region": region},
        )
    if code in _BAD_KEYS:
        return ConfigurationError(
            f"The store does not accept the keys ({code}). Correct the access key and the secret key.",
            code="authentication",
            evidence=evidence,
        )
    if answer.status in (401, 403):
        return ConfigurationError(
            f"The keys may not read {path or f'the bucket {params.bucket}'}. Grant s3:ListBucket and s3:GetObject.",
            code="permission_denied",
            evidence=evidence,
        )
    if answer.status == 429 or code == "SlowDown":
        return TransientError(
            "The store has been asked for too much and refuses more for now. It is tried again.",
            code="rate_limited",
            evidence=evidence,
        )
    if answer.status >= 500:
        return TransientError(
            f"The store cannot answer now ({answer.status}). It is tried again; if it stays so, look at the store.",
            code="server_error",
            evidence=evidence,
        )
    return ConfigurationError(
        f"{shown(params.base)} answers {answer.status} {code}, as no S3 store does. Correct the endpoint.",
        code="http_status",
        evidence=evidence,
    )


def _parsed(answer: Answer) -> ElementTree.Element:
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
            f"{shown(answer.url)} does not answer as an S3 store does. Correct the endpoint.", code="http_status"
        ) from None
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]
    return root


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _of_headers(path: str, headers: Mapping[str, str]) -> Found:
    try:
        changed_at = int(parsedate_to_datetime(headers.get("last-modified", "")).timestamp()) * 1_000_000_000
    except (ValueError, TypeError, OverflowError):
        changed_at = 0
    return Found(path, "", size_told(headers.get("content-length", "")), changed_at, headers.get("etag", ""))


def _seconds(text: str) -> int:
    """Nanoseconds of a listed time, to the second: an object's own headers tell no more."""
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return 0
