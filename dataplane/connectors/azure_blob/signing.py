"""The signature of a storage account (Shared Key) for requests without a body, as Azure wants it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

VERSION = "2021-12-02"
# What a signature covers, in its order; of these a GET of ours has no other than If-Match and Range.
_SIGNED = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"),
    *("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)


def signed(url: str, headers: Mapping[str, str], account: str, key: bytes, now: datetime) -> dict[str, str]:
    """The headers that make a GET of this address, with these headers, one of the account's owner. now: in UTC."""
    parts = urlsplit(url)
    told = {name.lower(): value for name, value in headers.items()}
    ours = {"x-ms-date": format_datetime(now, usegmt=True), "x-ms-version": VERSION}
    asked = sorted((name.lower(), value) for name, value in parse_qsl(parts.query, keep_blank_values=True))
    lines = [
        "GET",
        *(told.get(each, "") for each in _SIGNED),
        *(f"{name}:{value}" for name, value in ours.items()),
        f"/{account}{parts.path}",
        *(f"{name}:{value}" for name, value in asked),
    ]
    signature = base64.b64encode(hmac.digest(key, "\n".join(lines).encode(), hashlib.sha256)).decode()
    return {**ours, "Authorization": f"SharedKey {account}:{signature}"}
