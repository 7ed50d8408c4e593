"""OAuth 2.0 as whoever asks for tokens sees it: by itself, by a code (PKCE), by a device's code, and again (RFC 6749,
7636, 8628).

A server of tokens is asked over `Http`, which follows it nowhere. What it answers is taken for hostile: bounded, and
told without the secrets that it was sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from dataplane.errors import ConfigurationError, TransientError
from dataplane.http import Http, shown, with_parameters

_LARGEST = 1 << 20
_LONGEST_TOKEN = 20_000
_MOST_WORDS = 200
_MOST_SECONDS = 20 * 365 * 86400.0
_DEVICE_SECONDS, _MOST_DEVICE_SECONDS = 900.0, 3600.0
_INTERVAL, _MOST_INTERVAL = 5, 60
# A token whose end nobody tells is taken to hold so long; each is renewed so many seconds before its end.
_LASTS, _EARLY = 3600.0, 120.0
_WORD = re.compile(r"[a-z_]{1,60}")
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# Beside invalid_grant, what GitHub and Slack say of a code or a token that does not hold.
_NOT_HELD = frozenset(
    {"invalid_grant", "bad_verification_code", "bad_refresh_token", "invalid_code", "code_expired"}
    | {"invalid_refresh_token", "token_revoked", "token_expired"}
)


@dataclass(frozen=True)
class App:
    """What a server of tokens knows this installation as. in_body: the secret goes into the form, not into a header."""

    token_url: str
    client_id: str
    client_secret: str = ""
    in_body: bool = False
    scope: str = ""


@dataclass(frozen=True)
class Tokens:
    """What was given. lasts, refresh_lasts: seconds, None where nobody said; refresh is empty where there is none."""

    access: str
    refresh: str = ""
    lasts: float | None = None
    refresh_lasts: float | None = None
    scope: str = ""


@dataclass(frozen=True)
class Device:
    """A code that somebody enters at an address, and how often (in seconds) may be asked whether they have."""

    device_code: str
    user_code: str
    address: str
    address_with_code: str
    lasts: float
    interval: int


@dataclass(frozen=True)
class Token:
    """A token for requests to an API, and the seconds for which it still holds; None where nobody said."""

    text: str
    lasts: float | None = None


class Grant(Protocol):
    """What somebody has let this source do; whoever runs the data plane keeps it, and renews it."""

    def token(self, refused: str = "") -> Token:
        """A token that holds, and another than the one that the API has refused. Raises ManifoldError."""


class Renewed:
    """A token that is asked for once it is needed, and again before it ends. ask: gives a new one."""

    def __init__(self, ask: Callable[[], Tokens]) -> None:
        self._ask = ask
        self._token = ""
        self._ends = 0.0

    @property
    def text(self) -> str:
        """One that holds. Raises ManifoldError."""
        if time.monotonic() >= self._ends:
            found = self._ask()
            self._token, self._ends = found.access, time.monotonic() + (found.lasts or _LASTS) - _EARLY
        return self._token


class TokensRefused(ConfigurationError):
    """A server of tokens says no. said: its word for why, such as `invalid_grant`; empty where it has none."""

    said = ""

    @property
    def not_held(self) -> bool:
        """Whether the code or token that was sent does not hold (any more), so that somebody has to consent anew."""
        return self.said in _NOT_HELD


def new_verifier() -> str:
    """A secret that only whoever has begun knows (RFC 7636); it serves as a state, too."""
    return secrets.token_urlsafe(32)


def challenge(verifier: str) -> str:
    """What is told of a verifier beforehand, by S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_address(url: str, app: App, *, redirect: str, state: str, verifier: str) -> str:
    """Where a browser is sent, so that somebody consents. What stands in the address already is kept."""
    asked = {
        "response_type": "code",
        "client_id": app.client_id,
        "redirect_uri": redirect,
        **({"scope": app.scope} if app.scope else {}),
        "state": state,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    return with_parameters(url, asked)


def by_client(http: Http, app: App) -> Tokens:
    """Tokens for the client itself. Raises ManifoldError, as all that ask do."""
    return _tokens(http, app, {"grant_type": "client_credentials", **_scope(app)})


def by_code(http: Http, app: App, *, code: str, redirect: str, verifier: str) -> Tokens:
    """Tokens for the code that a browser came back with."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
    return _tokens(http, app, form)


def by_refresh(http: Http, app: App, refresh: str) -> Tokens:
    """New tokens for a refresh token, which may not hold any more afterwards."""
    return _tokens(http, app, {"grant_type": "refresh_token", "refresh_token": refresh})


def begin_device(http: Http, app: App, url: str) -> Device:
    """A code for somebody to enter."""
    found = _asked(http, url, app, _scope(app))
    address = found.get("verification_uri") or found.get("verification_url")
    device, user = found.get("device_code"), found.get("user_code")
    whole = found.get("verification_uri_complete") or ""
    texts = (device, user, address, whole)
    if not all(isinstance(each, str) and _plain(each) for each in texts) or not (device and user and address):
        raise _no_tokens(url, 200, "it answers with no code to enter")
    return Device(
        str(device),
        str(user)[:100],
        _web(url, str(address)),
        _web(url, str(whole)) if whole else "",
        min(_seconds(found.get("expires_in")) or _DEVICE_SECONDS, _MOST_DEVICE_SECONDS),
        min(max(int(_seconds(found.get("interval")) or _INTERVAL), 1), _MOST_INTERVAL),
    )


def by_device(http: Http, app: App, device_code: str) -> Tokens:
    """Tokens, once somebody has entered the code; until then TokensRefused says `authorization_pending`."""
    return _tokens(http, app, {"grant_type": _DEVICE_GRANT, "device_code": device_code})


def by_assertion(http: Http, token_url: str, assertion: str) -> Tokens:
    """Tokens for whoever has signed the assertion (RFC 7523), which says who that is, and what is wanted."""
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    return _tokens(http, App(token_url, ""), form)


def basic(user: str, password: str) -> str:
    """The value of the header Authorization."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _scope(app: App) -> dict[str, str]:
    return {"scope": app.scope} if app.scope else {}


def _tokens(http: Http, app: App, form: Mapping[str, str]) -> Tokens:
    found = _asked(http, app.token_url, app, form)
    access, refresh = found.get("access_token"), found.get("refresh_token") or ""
    if not isinstance(access, str) or not isinstance(refresh, str) or not (access and _plain(access + refresh)):
        raise _no_tokens(app.token_url, 200, "it answers with no token that a header can hold")
    return Tokens(
        access,
        refresh,
        _seconds(found.get("expires_in")),
        _seconds(found.get("refresh_token_expires_in")),
        str(found.get("scope") or "")[:1000],
    )


def _asked(http: Http, url: str, app: App, form: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object that answers a form. Raises TransientError, or TokensRefused."""
    headers = {"Accept": "application/json"}
    form = dict(form)
    if app.client_secret and not app.in_body:
        # RFC 6749, 2.3.1: both parts are escaped before they are put together.
        headers["Authorization"] = basic(quote(app.client_id, safe=""), quote(app.client_secret, safe=""))
    else:
        form |= {"client_id": app.client_id} if app.client_id else {}
        form |= {"client_secret": app.client_secret} if app.client_secret else {}
    with http.post(url, form, headers) as answer:
        status, body = answer.status, b""
        for chunk in answer.chunks():
            body += chunk
            if len(body) > _LARGEST:
                break
    if status >= 500 or status in (408, 425, 429):
        raise TransientError(
            f"{shown(url)} gives no token now ({status}). If it stays so, look there.",
            code="rate_limited" if status == 429 else "server_error",
            evidence={"url": shown(url), "status": status},
        )
    try:
        found = json.loads(body) if len(body) <= _LARGEST else None
    except (ValueError, RecursionError):
        found = None
    error = found.get("error") if isinstance(found, dict) else None
    if isinstance(found, dict) and 200 <= status < 300 and not error:
        return found
    hidden = {text for name, text in form.items() if name not in ("grant_type", "scope", "client_id")}
    raise _refusal(url, status, found if isinstance(found, dict) else {}, hidden | {app.client_secret})


def _refusal(url: str, status: int, found: Mapping[str, Any], hidden: set[str]) -> TokensRefused:
    told = str(found.get("error") or "")
    words = _masked(" ".join(str(found.get("error_description") or told).split()), hidden)
    # What is no word may be a sentence that repeats what was sent.
    said = told if _WORD.fullmatch(_masked(told, hidden)) else ""
    words = "".join(each if each.isprintable() else " " for each in words)[:_MOST_WORDS]
    return _no_tokens(url, status, f"it says “{words}”" if words else f"it answers {status}", said)


def _masked(text: str, hidden: set[str]) -> str:
    for each in sorted(hidden - {""}, key=len, reverse=True):
        text = text.replace(each, "…")
    return text


def _no_tokens(url: str, status: int, why: str, said: str = "") -> TokensRefused:
    error = TokensRefused(
        f"{shown(url)} gives no token for this client: {why}. {_REMEDIES.get(said, _REMEDY)}",
        code="authentication",
        evidence={"url": shown(url), "status": status, "said": said},
    )
    error.said = said
    return error


_REMEDY = "Correct the address of the token, the client, its secret and the scope."
_CONSENT = "Connect the source again."
_REMEDIES = {
    "invalid_client": "Correct the client and its secret, and how the secret is sent.",
    "incorrect_client_credentials": "Correct the client and its secret.",
    "unauthorized_client": "Allow this client that way of signing in there, or choose another one here.",
    "unsupported_grant_type": "Choose another way of signing in.",
    "invalid_scope": "Correct the scope.",
    "redirect_uri_mismatch": "Register the address that it comes back to (…/oauth/callback) with the client there.",
    **dict.fromkeys(_NOT_HELD, _CONSENT),
}


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= _LONGEST_TOKEN


def _web(url: str, address: str) -> str:
    """An address that a page may link to."""
    if not address.startswith(("https://", "http://")) or len(address) > 2000:
        raise _no_tokens(url, 200, "the address where its code is entered is none of the web's")
    return address


def _seconds(told: Any) -> float | None:
    """A time that was told; None for what is none, or for ever."""
    try:
        seconds = float(told)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(seconds, _MOST_SECONDS) if math.isfinite(seconds) and seconds > 0 else None
