"""The last part of every sign-in: whoever has a second factor shows a code of it before a session is theirs."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth import login
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import constant_time_compare

from apps.accounts.models import User
from apps.accounts.services.factors import factor_of

# What a session holds between password and code.
_HALF = "half_signed_in"
# How the second factor was shown in a session: `code`, `recovery code`, `issuer`.
SHOWN = "second_factor"
# What a session was opened through, where that was no password.
BY = "signed_in_by"
_SECONDS = 300
# Where somebody was going who had to set up a second factor first.
ONWARD = "after_second_factor"
# For so many seconds after signing in nobody is asked who they are again.
_RECENT = 600
_BACKEND = "apps.accounts.passwords.PasswordBackend"


def enter(request: HttpRequest, user: User, *, onward: str, by: str = "", shown: str = "") -> str:
    """Sign somebody in who has proved who they are; returns where to go: `onward`, or first where a code is asked for.

    `by` names what they came through, where it was no password; `shown`, how a second factor was shown there already.
    """
    factor = None if shown else factor_of(user)
    if factor is None or factor.confirmed_at is None:
        complete(request, user, by=by, shown=shown)
        return onward
    request.session.flush()
    request.session.set_expiry(_SECONDS)
    request.session[_HALF] = {
        "user": str(user.pk),
        "hash": user.get_session_auth_hash(),
        "onward": onward,
        "by": by,
        "at": int(time.time()),
    }
    return reverse("console:sign-in-code")


def half_signed_in(request: HttpRequest) -> tuple[User, dict[str, Any]] | None:
    """Whose code is waited for; None for nobody, or when it took too long or the password has changed meanwhile."""
    half = request.session.get(_HALF)
    if not isinstance(half, dict) or time.time() - half["at"] > _SECONDS:
        return None
    user = User.objects.filter(pk=half["user"], is_active=True).first()
    if user is None or not constant_time_compare(half["hash"], user.get_session_auth_hash()):
        return None
    return user, half


def complete(request: HttpRequest, user: User, *, by: str = "", shown: str = "") -> None:
    """Make the session theirs, with a new key."""
    request.session.pop(_HALF, None)
    # It lasts as long as every other from now on.
    request.session.set_expiry(None)
    told = {"by": by, "second_factor": shown}
    setattr(request, "entered", {name: text for name, text in told.items() if text})  # noqa: B010
    login(request, user, backend=_BACKEND)
    if by:
        request.session[BY] = by
    if shown:
        request.session[SHOWN] = shown


def is_recent(request: HttpRequest, what: str = "began_at") -> bool:
    """Whether the sign-in, or something else that the session notes the time of, has just been."""
    return time.time() - request.session.get(what, 0) < _RECENT
