"""The authorization code flow with PKCE, state and nonce: where the browser is sent, and what comes back with it."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode

import jwt
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import constant_time_compare

from apps.accounts.oidc.issuer import ALGORITHMS, document, key_of
from apps.accounts.oidc.outbound import ask
from apps.audit.refusals import Conflict
from dataplane import oauth

_KEPT = "oidc"
_SECONDS = 600
# Clocks of two machines differ.
_LEEWAY = 60


@dataclass(frozen=True)
class Claims:
    """What the issuer says of whoever came back.

    email: empty unless the issuer has verified it. groups: None where the issuer has more of them than it tells.
    """

    issuer: str
    subject: str
    email: str
    username: str
    groups: frozenset[str] | None


@dataclass(frozen=True)
class Began:
    """What was noted when the browser was sent away: where it goes on, and for whom a link is made, if for anybody."""

    onward: str
    link: str


def begin(request: HttpRequest, *, onward: str, link: str = "") -> str:
    """Where to send the browser. The session keeps what has to come back; an earlier attempt in it is over."""
    state, nonce, verifier = (oauth.new_verifier() for _ in range(3))
    there = document()["authorization_endpoint"]
    request.session[_KEPT] = {
        "state": state,
        "nonce": nonce,
        "verifier": verifier,
        "onward": onward,
        "link": link,
        "at": int(time.time()),
    }
    if not request.user.is_authenticated:
        # Sign-ins that nobody finishes are not kept for long.
        request.session.set_expiry(_SECONDS)
    asked = {
        "response_type": "code",
        "client_id": settings.OIDC_CLIENT_ID,
        "redirect_uri": _callback(request),
        "scope": " ".join(settings.OIDC_SCOPES),
        "state": state,
        "nonce": nonce,
        "code_challenge": oauth.challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{there}{'&' if '?' in there else '?'}{urlencode(asked)}"


def finish(request: HttpRequest) -> tuple[Claims, Began]:
    """Who came back. Raises Conflict for an answer that is not to this browser's question or does not hold."""
    kept = request.session.pop(_KEPT, None)
    if not isinstance(kept, dict) or time.time() - kept["at"] > _SECONDS:
        raise Conflict("That sign-in took too long, or was begun in another browser. Begin again.", code="oidc_state")
    if not constant_time_compare(request.GET.get("state", ""), kept["state"]):
        raise Conflict("That answer is not to the sign-in begun last in this browser. Begin again.", code="oidc_state")
    _refuse_errors(request)
    answer = _exchanged(request, kept["verifier"])
    claims = _verified(str(answer.get("id_token", "")), kept["nonce"])
    wanted = _of_address()
    if settings.OIDC_GROUPS:
        wanted.add(settings.OIDC_GROUPS_CLAIM)
    if not wanted <= claims.keys():
        claims = _told(answer, claims)
    return _as_claims(claims), Began(kept["onward"], kept["link"])


def end_session_url(request: HttpRequest) -> str:
    """Where one signs out of the issuer, too; empty where it has no such page."""
    there = document().get("end_session_endpoint")
    if not isinstance(there, str) or not there.startswith(("https:", "http:")):
        return ""
    back = request.build_absolute_uri(reverse("console:sign-in"))
    asked = {"client_id": settings.OIDC_CLIENT_ID, "post_logout_redirect_uri": back}
    return f"{there}{'&' if '?' in there else '?'}{urlencode(asked)}"


def _refuse_errors(request: HttpRequest) -> None:
    error = request.GET.get("error", "")
    if error == "access_denied":
        raise Conflict(f"{settings.OIDC_TITLE} did not let you in, or you cancelled.", code="oidc_denied")
    if error or not request.GET.get("code"):
        told = request.GET.get("error_description") or error or "no code came back"
        raise Conflict(f"{settings.OIDC_TITLE} refused the sign-in: {told[:200]}.", code="oidc_refused")
    # RFC 9207: an answer of another issuer must not be taken for one of this.
    if request.GET.get("iss", document()["issuer"]) != document()["issuer"]:
        raise Conflict("That answer comes from another issuer. Begin again.", code="oidc_issuer")


def _exchanged(request: HttpRequest, verifier: str) -> dict[str, Any]:
    found = document()
    form = {
        "grant_type": "authorization_code",
        "code": request.GET["code"],
        "redirect_uri": _callback(request),
        "code_verifier": verifier,
        "client_id": settings.OIDC_CLIENT_ID,
    }
    secret = settings.OIDC_CLIENT_SECRET
    if secret and "client_secret_basic" in found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
        # RFC 6749, 2.3.1: both are encoded like a form before they become a header.
        pair = f"{quote_plus(settings.OIDC_CLIENT_ID)}:{quote_plus(secret)}"
        basic = base64.b64encode(pair.encode()).decode()
        return ask("POST", found["token_endpoint"], data=form, headers={"Authorization": f"Basic {basic}"})
    return ask("POST", found["token_endpoint"], data=form | ({"client_secret": secret} if secret else {}))


def _verified(token: str, nonce: str) -> dict[str, Any]:
    """The claims of an ID token (OpenID Connect Core 1.0, 3.1.3.7); its signature is always checked."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key_of(token),
            algorithms=ALGORITHMS,
            audience=settings.OIDC_CLIENT_ID,
            issuer=document()["issuer"],
            leeway=_LEEWAY,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except jwt.PyJWTError as error:
        raise _unsound(str(error)) from error
    if not constant_time_compare(str(claims.get("nonce", "")), nonce):
        raise _unsound("it answers another question (nonce)")
    if claims.get("azp", settings.OIDC_CLIENT_ID) != settings.OIDC_CLIENT_ID:
        raise _unsound("it is meant for another program (azp)")
    return claims


def _told(answer: dict[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
    """The claims, with what the issuer tells when it is asked for more."""
    there = document().get("userinfo_endpoint")
    if not isinstance(there, str):
        return claims
    more = ask("GET", there, headers={"Authorization": f"Bearer {answer.get('access_token', '')}"})
    if more.get("sub") != claims["sub"]:
        raise _unsound("it is about somebody else than what the issuer tells of them")
    # An address and whether it is verified must be told together.
    pair = _of_address()
    own = claims if pair <= claims.keys() else {key: value for key, value in claims.items() if key not in pair}
    return {**more, **own}


def _of_address() -> set[str]:
    """The claim with the address, and the one that says whether that very address is verified, where there is one."""
    return {settings.OIDC_EMAIL_CLAIM, settings.OIDC_EMAIL_VERIFIED_CLAIM} - {""}


def _as_claims(claims: dict[str, Any]) -> Claims:
    email = str(claims.get(settings.OIDC_EMAIL_CLAIM) or "").strip()
    # Some issuers write the truth of it as a text.
    verified = claims.get(settings.OIDC_EMAIL_VERIFIED_CLAIM)
    if len(str(claims["sub"])) > 255 or "\0" in f"{claims['sub']}{email}{claims.get('preferred_username')}":
        raise _unsound("its subject is longer than 255 characters, or it holds a character that nobody can store")
    return Claims(
        issuer=str(claims["iss"]),
        subject=str(claims["sub"]),
        email=email if verified is True or verified == "true" else "",
        username=str(claims.get("preferred_username") or email),
        groups=_groups(claims),
    )


def _groups(claims: dict[str, Any]) -> frozenset[str] | None:
    told = claims.get(settings.OIDC_GROUPS_CLAIM)
    elsewhere = claims.get("_claim_names")
    if told is None and isinstance(elsewhere, dict) and settings.OIDC_GROUPS_CLAIM in elsewhere:
        return None
    if isinstance(told, str):
        return frozenset([told])
    return frozenset(map(str, told)) if isinstance(told, list) else frozenset()


def _unsound(why: str) -> Conflict:
    return Conflict(
        f"What {settings.OIDC_TITLE} sent does not hold: {why}. Begin again; if it stays, tell whoever runs Manifold.",
        code="oidc_unsound",
    )


def _callback(request: HttpRequest) -> str:
    return request.build_absolute_uri(reverse("console:oidc-callback"))
