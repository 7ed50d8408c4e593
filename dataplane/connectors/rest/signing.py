"""How requests are let in: what is told to the API's own server, and tokens that are asked for and renewed."""

from __future__ import annotations

import time

from dataplane import oauth
from dataplane.connectors.fields import secret_names
from dataplane.connectors.rest.params import GRANTED, Session
from dataplane.errors import ConfigurationError, ManifoldError
from dataplane.http import Http
from dataplane.oauth import Grant, Token

# A token is renewed so many seconds before it ends.
EARLY = 30
_LASTS = 3600.0
_RENEWED = ("client_credentials", *GRANTED)


class SignIn:
    """The sign-in of one session."""

    def __init__(self, params: Session, http: Http, grant: Grant | None = None) -> None:
        self._params = params
        self._http = http
        self._grant = grant
        self._token = ""
        self._refused = ""
        self._ends = 0.0

    def renews_after(self, error: ManifoldError) -> bool:
        """Whether another token may help. What somebody has consented to is not given up where it merely does not
        reach for something."""
        if self._params.auth in GRANTED and (error.evidence.get("status") == 403 or error.evidence.get("forbidden")):
            return False
        return error.code == "authentication" and self._params.auth in _RENEWED

    def forget(self) -> None:
        """The token is not taken any more; the next request asks for another."""
        self._token, self._refused = "", self._token

    def headers(self) -> dict[str, str]:
        """Headers for the API's server alone. Raises ManifoldError when no token is to be had."""
        params = self._params
        if params.auth == "basic":
            return {"Authorization": oauth.basic(str(params.user), str(params.password))}
        if params.auth == "bearer":
            return {"Authorization": f"Bearer {params.token}"}
        if params.auth == "api_key" and params.key_in == "header":
            return {str(params.key_name): str(params.token)}
        if params.auth in _RENEWED:
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
        whole = oauth.basic(str(params.user), str(params.password)) if params.auth == "basic" else ""
        told = (whole.removeprefix("Basic "), self._token, self._refused)
        for each in (*told, *(getattr(params, name) for name in secret_names(type(params)))):
            text = text.replace(each, "…") if each else text
        return text

    def _renew(self) -> None:
        token = self._granted() if self._params.auth in GRANTED else self._client_token()
        lasts = _LASTS if token.lasts is None else token.lasts
        self._token, self._ends = token.text, time.monotonic() + max(lasts - EARLY, 1)

    def _granted(self) -> Token:
        if self._grant is None:
            raise not_connected()
        return self._grant.token(self._refused)

    def _client_token(self) -> Token:
        self._http.deadline = time.monotonic() + self._params.most_seconds
        found = oauth.by_client(self._http, self._params.app)
        return Token(found.access, found.lasts)


def not_connected(slug: str = "") -> ConfigurationError:
    """Nobody has consented yet that the source is let in; without a slug it is one that is not stored yet."""
    how = "Save it, then press *Connect* on its page, or run `manifold sources connect`."
    if slug:
        how = f"Press *Connect* on the page of `{slug}`, or run `manifold sources connect {slug}`."
    return ConfigurationError(
        f"Nobody has connected {slug or 'this source'} yet, so the API lets nobody in. {how}", code="not_connected"
    )
