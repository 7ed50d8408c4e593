"""Requests to the issuer, under the rules for all that leads outside.

Each name is resolved here, refused where it leads to a metadata or link-local address, and the connection goes to the
very address that was looked at. No redirects, no proxies from the environment, a bound on time and size. Private
addresses are allowed: the issuer is named by whoever runs the platform, and is often a neighbour.
"""

from __future__ import annotations

import json
import ssl
import time
from functools import cache
from typing import Any

import httpx

from dataplane import authorities, net
from dataplane.errors import TransientError

_SECONDS = 8.0
_MOST_BYTES = 1024 * 1024


class IssuerSilent(TransientError):
    """The issuer cannot be reached, or answers with something else than was asked for."""


def ask(method: str, url: str, **sent: Any) -> dict[str, Any]:
    """The JSON object that answers. Raises IssuerSilent, or what `net.resolve` raises for where the address leads."""
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _silent(url[:200], f"that is no address ({error})") from error
    port = target.port or (443 if target.scheme == "https" else 80)
    headers = {**sent.pop("headers", {}), "Host": target.netloc.decode(), "Accept": "application/json"}
    with httpx.Client(trust_env=False, verify=_certificates(), timeout=_SECONDS) as client:
        failure: Exception | None = None
        for address in net.resolve(target.host, port):
            request = client.build_request(
                method,
                target.copy_with(host=address),
                headers=headers,
                extensions={"sni_hostname": target.host},
                **sent,
            )
            try:
                return _read(client, request, target.host)
            except httpx.ConnectError as error:
                failure = error
            except httpx.HTTPError as error:
                raise _silent(target.host, str(error) or type(error).__name__) from error
        raise _silent(target.host, str(failure)) from failure


def _read(client: httpx.Client, request: httpx.Request, host: str) -> dict[str, Any]:
    until = time.monotonic() + _SECONDS
    answer = client.send(request, stream=True)
    try:
        body = b""
        for part in answer.iter_bytes():
            body += part
            if time.monotonic() > until:
                raise _silent(host, "its answer takes too long")
            if len(body) > _MOST_BYTES:
                raise _silent(host, "it answers with more than 1 MB")
    finally:
        answer.close()
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if answer.status_code != 200 or not isinstance(found, dict):
        told = found.get("error_description") or found.get("error") if isinstance(found, dict) else None
        raise _silent(host, f"it answers {answer.status_code}" + (f": {str(told)[:200]}" if told else ""))
    return found


def _silent(host: str, why: str) -> IssuerSilent:
    return IssuerSilent(
        f"{host} does not let anybody sign in now: {why}. Try again; if it stays, tell whoever runs Manifold.",
        code="issuer_silent",
        evidence={"host": host},
    )


@cache
def _certificates() -> ssl.SSLContext:
    return authorities.context()
