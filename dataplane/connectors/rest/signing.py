"""How requests are let in: what is told to the API's own server, and tokens that are asked for and renewed."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

from dataplane.connectors.base import secret_names
from dataplane.connectors.rest.params import Session
from dataplane.errors import ConfigurationError, TransientError
from dataplane.http import Answer, Http, shown

# A token is renewed so many seconds before it ends.
_EARLY = 30
_LARGEST = 1 << 20


class SignIn:
    """The sign-in of one session."""

    def __init__(self, params: Session, http: Http) -> None:
        self._params = params
        self._http = http
        self._token = ""
        self._ends = 0.0

    @property
    def renews(self) -> bool:
        """Whether there is a new token to be had."""
        return self._params.auth == "client_credentials"

    def forget(self) -> None:
        """The token is not taken any more; the next request asks for another."""
        self._token = ""

    def headers(self) -> dict[str, str]:
        """Headers for the API's server alone. Raises ManifoldError when no token is to be had."""
        params = self._params
        if params.auth == "basic":
            return {"Authorization": _basic(str(params.user), str(params.password))}
        if params.auth == "bearer":
            return {"Authorization": f"Bearer {params.token}"}
        if params.auth == "api_key" and params.key_in == "header":
            return {str(params.key_name): str(params.token)}
        if self.renews:
            if not self._token or time.monotonic() >= self._ends:
                self._renew()
            return {"Authorization": f"Bearer {self._token}"}
        return {}

    def query(self) -> dict[str, str]:
        """Parameters of an address for the API's server alone."""
        params = self._params
        inside = params.auth == "api_key" and params.key_in == "query"
        return {str(params.key_name): str(params.token)} if inside else {}

    def hide(self, text: str) -> str:
        """A text of the server's without what it was told in confidence."""
        params = self._params
        pair = _basic(str(params.user), str(params.password)).removeprefix("Basic ") if params.auth == "basic" else ""
        for each in (pair, self._token, *(getattr(params, name) for name in secret_names(type(params)))):
            text = text.replace(each, "…") if each else text
        return text

    def _renew(self) -> None:
        params, url = self._params, str(self._params.token_url)
        form = {"grant_type": "client_credentials", **({"scope": params.scope} if params.scope else {})}
        # RFC 6749, 2.3.1: both parts are escaped before they are put together.
        pair = _basic(quote(str(params.client_id), safe=""), quote(str(params.client_secret), safe=""))
        self._http.deadline = time.monotonic() + params.most_seconds
        with self._http.post(url, form, {"Authorization": pair, "Accept": "application/json"}) as answer:
            body = b""
            for chunk in answer.chunks():
                body += chunk
                if len(body) > _LARGEST:
                    break
        self._token, lasts = _token(url, answer, body)
        self._ends = time.monotonic() + max(lasts - _EARLY, 1)


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _token(url: str, answer: Answer, body: bytes) -> tuple[str, float]:
    """The token and the seconds that it lasts."""
    evidence = {"url": shown(url), "status": answer.status}
    if answer.status >= 500 or answer.status in (408, 425, 429):
        raise TransientError(
            f"{shown(url)} gives no token now ({answer.status}). It is tried again; if it stays so, look there.",
            code="rate_limited" if answer.status == 429 else "server_error",
            evidence=evidence,
        )
    try:
        found = json.loads(body)
        token, lasts = str(found["access_token"]), float(found.get("expires_in") or 3600)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        token, lasts = "", 0.0
    if answer.status != 200 or not token.isascii() or not token.isprintable() or not token:
        raise ConfigurationError(
            f"{shown(url)} gives no token for this client ({answer.status}). Correct the address of the token, the "
            "client, its secret and the scope.",
            code="authentication",
            evidence=evidence,
        )
    return token, lasts
