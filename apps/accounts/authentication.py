"""Who sends a request to the API: `Authorization: Bearer mf_…`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from drf_spectacular import authentication as documented
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied, Throttled
from rest_framework.request import Request

from apps.accounts import guesses, tokens
from apps.accounts.addresses import address_of, network_of
from apps.accounts.models import ApiToken, User
from apps.accounts.services.lockout import NOBODY
from apps.audit.services import record

_NOTE_USE_EVERY = timedelta(minutes=1)


class TokenAuthentication(BaseAuthentication):
    """The user of a token, narrowed to it: `user.token` limits the projects and the role for the whole request."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"bearer":
            return None
        if len(parts) != 2:
            raise AuthenticationFailed("Write the header as `Authorization: Bearer <token>`.")
        token = self._find(request, parts[1].decode("latin-1"))
        _note_use(token)
        token.user.token = token
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """What makes a missing or wrong token 401 instead of 403."""
        return 'Bearer realm="manifold"'

    def _find(self, request: Request, text: str) -> ApiToken:
        token = ApiToken.objects.select_related("user").filter(digest=tokens.digest(text)).first()
        if token is None:
            _slow_down(request)
            raise AuthenticationFailed(
                "This token is not known. Issue a new one, in the console or with `manifold tokens`."
            )
        if token.revoked_at is not None:
            raise AuthenticationFailed("This token was revoked. Issue a new one.")
        if token.expires_at is not None and token.expires_at <= timezone.now():
            raise AuthenticationFailed("This token has expired. Issue a new one.")
        if not token.user.is_active:
            raise AuthenticationFailed("The user of this token is deactivated.")
        return token


class ConsoleSession(SessionAuthentication):
    """The session of the console, for its own pages. What it writes carries the token of its forms."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            raise PermissionDenied(
                "A session that writes has to send the header X-CSRFToken with the value of the cookie "
                f"{settings.CSRF_COOKIE_NAME}, from a page of ours: load the page again. A program sends a token "
                "instead: Authorization: Bearer mf_…"
            ) from error


class TokenScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document tells of it."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "mf_…"}


class SessionScheme(documented.SessionScheme):
    """The same, in the OpenAPI document."""

    target_class = "apps.accounts.authentication.ConsoleSession"
    priority = 0


def _slow_down(request: Request) -> None:
    """Raises Throttled for whoever sends one unknown token after the other; the log has one event a minute of it.

    A good token is let in all the same: those who share an address with a guesser must not suffer.
    """
    count, left = guesses.note(network_of(request._request))
    if count == settings.TOKEN_GUESSES + 1:
        data = {"address": address_of(request._request)}
        record("tokens guessed", object_type="token", object_id="", data=data, actor=NOBODY)
    if count > settings.TOKEN_GUESSES:
        raise Throttled(wait=left, detail="Too many unknown tokens from your address.")


def _note_use(token: ApiToken) -> None:
    """Once a minute is enough to tell a token that is used from one that is not."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - _NOTE_USE_EVERY:
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - _NOTE_USE_EVERY)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
