"""A server of OAuth 2.0 on loopback: consent, tokens that rotate, codes for devices. PKCE is verified here."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.dataplane.connectors.remotes.web import Request, Web

CLIENT, SECRET = "manifold", "s3cret of the client"


@dataclass
class Authority:
    """lasts: seconds of an access token; None is not told. rotates: a refresh token holds once. says: by the kind of
    grant, what is answered instead (status and body). enters: whether the code of a device has been entered: the error
    that is told until then, or nothing. loses: tokens are given, and the answer is lost on its way. asked: the forms
    that came. reused: refresh tokens that came twice."""

    web: Web
    lasts: float | None = 3600
    rotates: bool = True
    refreshes: bool = True
    secret_in: str = "header"
    denies: str = ""
    loses: bool = False
    enters: str = "authorization_pending"
    interval: float = 1
    says: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    before_token: Callable[[], object] = lambda: None
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _refresh: dict[str, bool] = field(default_factory=dict)
    _made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def params(self, auth: str = "authorization_code") -> dict[str, Any]:
        own = {"authorization_code": {"authorize_url": self.web.url("/authorize?prompt=consent")}}
        own["device_code"] = {"device_url": self.web.url("/device")}
        common = {"token_url": self.web.url("/token"), "client_id": CLIENT, "client_secret": SECRET}
        return {"auth": auth, **common, **own[auth], "client_in": self.secret_in, "scope": "orders.read"}

    def admits(self, headers: Mapping[str, str], query: Mapping[str, str] | None = None) -> bool:
        return headers.get("authorization", "").removeprefix("Bearer ") in self.valid

    def admits_once(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """As `admits`; each request ends the token that it came with."""
        admitted = self.admits(headers)
        self.forget_access()
        return admitted

    def forget_access(self) -> None:
        """No access token holds any more."""
        self.valid.clear()

    def forget_all(self) -> None:
        self.valid.clear()
        self._refresh.clear()

    def authorize(self, request: Request) -> None:
        told = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        assert told["response_type"] == "code" and told["code_challenge_method"] == "S256", told
        assert told["client_id"] == CLIENT and told["prompt"] == "consent", told
        back = {"state": told["state"]}
        if self.denies:
            back |= {"error": self.denies}
        else:
            code = f"code-{len(self._codes) + 1}"
            self._codes[code] = told
            back |= {"code": code}
        request.answer(302, b"", {"Location": f"{told['redirect_uri']}?{urlencode(back)}"})

    def device(self, request: Request) -> None:
        self._form(request)
        address = self.web.url("/enter")
        told = {"device_code": "device-secret", "user_code": "WDJB-MJHT", "verification_uri": address}
        told |= {"verification_uri_complete": f"{address}?user_code=WDJB-MJHT"}
        self.say(request, 200, {**told, "expires_in": 900, "interval": self.interval})

    def token(self, request: Request) -> None:
        form = self._form(request)
        self.before_token()
        kind = form["grant_type"].rpartition(":")[2]
        if kind in self.says:
            status, body = self.says[kind]
            request.answer(status, body, {"Location": "http://169.254.169.254/latest/"} if status == 302 else None)
        elif (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            self.say(request, 401, {"error": "invalid_client"})
        elif error := self._refused(kind, form):
            self.say(request, 400, {"error": error, "error_description": f"It is {error}: {form}"})
        else:
            told = self.give()
            request.answer(502, b"") if self.loses else self.say(request, 200, told)

    def _form(self, request: Request) -> dict[str, str]:
        """The form; its client is taken from where it has to be."""
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        header = request.headers.get("Authorization", "")
        if self.secret_in == "header" and header:
            user, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            form |= {"client_id": unquote(user), "client_secret": unquote(password)}
        self.asked.append(form)
        return form

    def _refused(self, kind: str, form: Mapping[str, str]) -> str:
        """The error of a grant that does not hold."""
        if kind == "authorization_code":
            told = self._codes.pop(form["code"], None)
            given = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
            held = told and told["code_challenge"] == given.decode() and told["redirect_uri"] == form["redirect_uri"]
            return "" if held else "invalid_grant"
        if kind == "refresh_token":
            return self._refresh_refused(form["refresh_token"])
        return (
            "" if kind == "device_code" and form["device_code"] == "device-secret" and not self.enters else self.enters
        )

    def _refresh_refused(self, token: str) -> str:
        with self._lock:
            held = self._refresh.get(token)
            if held is False:
                self.reused.append(token)
            if held and self.rotates:
                self._refresh[token] = False
            return "" if held else "invalid_grant"

    def give(self) -> dict[str, Any]:
        """New tokens; the access token before holds no longer."""
        with self._lock:
            self._made += 1
            access, refresh = f"access-{self._made}", f"refresh-{self._made}"
            self.valid = {access}
            told: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "scope": "orders.read"}
            if self.lasts is not None:
                told["expires_in"] = self.lasts
            if self.refreshes and (self.rotates or not self._refresh):
                self._refresh[refresh] = True
                told["refresh_token"] = refresh
            return told

    def say(self, request: Request, status: int, told: Mapping[str, Any]) -> None:
        request.answer(status, json.dumps(told).encode())


@contextmanager
def authority_on(web: Web) -> Iterator[Authority]:
    """The server beside whatever else `web` serves."""
    authority = Authority(web)
    web.bad |= {"/authorize": authority.authorize, "/token": authority.token, "/device": authority.device}
    yield authority
