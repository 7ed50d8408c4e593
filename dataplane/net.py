"""Where an outside address leads, before anybody connects to it.

Databases and file servers may live in private networks, so only what is never one of them is refused: the metadata
services of clouds and link-local addresses, which would hand the machine's own credentials to whoever names them as a
host. HTTP reaches public addresses only, and those private networks that an administrator has allowed.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from dataplane.errors import ConfigurationError, TransientError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Metadata services that are not link-local: AWS over IPv6, Alibaba, Oracle's older one, Azure's platform address.
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
# Where networks of only IPv6 reach IPv4: the one of everybody, and those that somebody has chosen (RFC 8215).
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_OWN = ipaddress.ip_network("64:ff9b:1::/48")
_TEMPORARY = frozenset({socket.EAI_AGAIN})


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order to try them, each allowed to a connector that may reach private networks.

    Raises ConfigurationError (`host_unknown`, `address_refused`) or TransientError (`name_service`).
    """
    if not host.strip() or any(each in host for each in "/, \t\n\0"):
        raise ConfigurationError(
            f"{host!r} is no host name. Write one name or address, such as db.example.org or 10.0.0.5.",
            code="host_unknown",
            evidence={"host": host},
        )
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if isinstance(error, socket.gaierror) and error.errno in _TEMPORARY:
            raise TransientError(
                f"This machine's name service did not answer for {host}. If it stays, mend it.",
                code="name_service",
                evidence={"host": host},
            ) from None
        raise ConfigurationError(
            f"No machine is known as {host}. Check the host's spelling, and that this machine's DNS knows it.",
            code="host_unknown",
            evidence={"host": host},
        ) from None
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for address in addresses:
        _refuse_metadata(host, address)
    return addresses


def resolve_public(host: str, port: int, allowed: Sequence[str]) -> list[str]:
    """The addresses of a host, each public or in one of the allowed networks (MANIFOLD_NET_ALLOW).

    Raises what `resolve` raises; a private address is `address_private`, a network that is none `net_allow`.
    """
    networks = [_network(each) for each in allowed]
    addresses = resolve(host, port)
    for text in addresses:
        address = _unmapped(ipaddress.ip_address(text.partition("%")[0]))
        if not address.is_global and not any(address in each for each in networks):
            raise ConfigurationError(
                f"{host} leads to {text}, an address of a private network. If it shall be reached, an administrator "
                "of this installation adds its network to MANIFOLD_NET_ALLOW.",
                code="address_private",
                evidence={"host": host, "address": text},
            )
    return addresses


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ConfigurationError(
            f"MANIFOLD_NET_ALLOW names {text!r}, which is no network. Write it as 10.1.0.0/16.", code="net_allow"
        ) from None


def _refuse_metadata(host: str, text: str) -> None:
    address = _unmapped(ipaddress.ip_address(text.partition("%")[0]))
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA:
        raise ConfigurationError(
            f"{host} leads to {text}, a link-local, metadata or otherwise special address, which no source may reach. "
            "Name the server's own address.",
            code="address_refused",
            evidence={"host": host, "address": text},
        )


def _unmapped(address: Address) -> Address:
    """The IPv4 address inside a mapped, 6to4 or NAT64 IPv6 address: the same machine by another name."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or address in _NAT64_OWN:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
