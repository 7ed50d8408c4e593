"""AWS Signature Version 4 for requests without a body, as S3 wants it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlsplit

_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Keys:
    """An access key, and the token of a session where it has one."""

    access: str
    secret: str
    token: str | None = None


def keys_of(access: str | None, secret: str | None, token: str | None = None) -> Keys | None:
    """The keys, where both halves are there."""
    return Keys(access, secret, token) if access and secret else None


def query(values: Mapping[str, str]) -> str:
    """A query in the order and with the escapes that are signed."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(values.items()))


def signed(url: str, keys: Keys, region: str, now: datetime) -> dict[str, str]:
    """The headers that make a GET of this address one of the keys' owner. now: in UTC.

    The address has to be escaped already, its query by `query`.
    """
    parts = urlsplit(url)
    stamp = f"{now:%Y%m%dT%H%M%SZ}"
    headers = {"x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    named = {"host": parts.netloc, **headers}
    names = ";".join(sorted(named))
    lines = "".join(f"{name}:{named[name].strip()}\n" for name in sorted(named))
    request = "\n".join(["GET", parts.path or "/", parts.query, lines, names, _EMPTY])
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "Authorization": credential}
