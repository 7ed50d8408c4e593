"""From where a request comes."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def address_of(request: HttpRequest) -> str:
    """The address of whoever asks: the peer's, or what the outermost of our own proxies has seen.

    Each proxy adds what it saw to the end of `X-Forwarded-For`; whatever stands before that anybody may have written.
    """
    peer = str(request.META.get("REMOTE_ADDR") or "")
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    ours = settings.TRUSTED_PROXIES
    told = seen[-ours] if 0 < ours <= len(seen) else peer
    try:
        return str(ipaddress.ip_address(told))
    except ValueError:
        return peer
