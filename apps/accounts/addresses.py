"""From where a request comes, and whom a limit by address counts as one."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest

# Whoever has one address of IPv6 has all of a network of this size.
_NETWORK_BITS = 64


def address_of(request: HttpRequest) -> str:
    """The address of whoever asks: the peer's, or what the outermost of our own proxies has seen.

    Each proxy adds what it saw to the end of `X-Forwarded-For`; whatever stands before that anybody may have written.
    """
    peer = str(request.META.get("REMOTE_ADDR") or "")
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    ours = settings.TRUSTED_PROXIES
    told = seen[-ours] if 0 < ours <= len(seen) else peer
    return _plain(told) or _plain(peer) or peer


def network_of(request: HttpRequest) -> str:
    """What every limit by address counts: an address of IPv4, the first one of the network of an IPv6 address."""
    address = address_of(request)
    if ":" not in address:
        return address
    number = int(ipaddress.IPv6Address(address.partition("%")[0]))
    return str(ipaddress.IPv6Address(number >> _NETWORK_BITS << _NETWORK_BITS))


def shown(network: str) -> str:
    """What `network_of` counted, as a person writes it."""
    return f"{network}/{_NETWORK_BITS}" if ":" in network else network


def _plain(text: str) -> str:
    """An address in the one way it is written here; empty for what is none. One of IPv4 is no other within IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
