"""Signing in with a password, by whoever may."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

# Where a request keeps why a right password opened nothing, for the audit log alone.
REFUSED = "password_refused"


class PasswordBackend(ModelBackend):
    """Django's own, but for passwords that are not to be used where people come through the issuer.

    A right one is then answered, counted and recorded like a wrong one: nobody learns here what it is.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **given: Any
    ) -> Any:
        user: Any = super().authenticate(request, username=username, password=password, **given)
        if user is None or user.is_superuser or not settings.OIDC_ONLY:
            return user
        if request is not None:
            setattr(request, REFUSED, "oidc_only")
        return None
