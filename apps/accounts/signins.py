"""Sign-ins, sign-outs and refused sign-ins, in the audit log."""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from apps.accounts.actors import actor_of
from apps.accounts.addresses import address_of
from apps.accounts.models import User
from apps.accounts.passwords import REFUSED
from apps.accounts.services.lockout import NOBODY, note_locks
from apps.accounts.services.sessions import forget_expired
from apps.audit.services import record


def connect() -> None:
    """Listen to Django's own signals, so that every door is covered: the console, the test client, a shell."""
    user_logged_in.connect(_signed_in, dispatch_uid="manifold.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="manifold.signed_out")
    user_login_failed.connect(_refused, dispatch_uid="manifold.sign_in_refused")
    note_locks()


def _signed_in(sender: Any, user: User, request: HttpRequest, **_: Any) -> None:
    address = address_of(request)
    request.session["address"] = address
    request.session["agent"] = request.headers.get("User-Agent", "")[:300]
    request.session["began_at"] = int(time.time())
    forget_expired(user)
    record(
        "signed in",
        object_type="user",
        object_id=user.pk,
        object_name=user.username,
        data={"address": address} | getattr(request, "entered", {}),
        actor=actor_of(user),
    )


def _signed_out(sender: Any, user: User | None, **_: Any) -> None:
    if user is not None:
        record("signed out", object_type="user", object_id=user.pk, object_name=user.username, actor=actor_of(user))


def _refused(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Names only somebody who exists: what else is typed into that field may well be a password."""
    if getattr(request, "axes_locked_out", False):
        return  # The lock is in the log already; whoever goes on guessing must not fill it.
    user = User.objects.filter(username=str(credentials.get("username", "")).replace("\0", "")).first()
    data = {} if request is None else {"address": address_of(request)}
    why = getattr(request, REFUSED, "")
    record(
        "sign-in refused",
        object_type="user",
        object_id=user.pk if user else "",
        object_name=user.username if user else "",
        data=data | ({"why": why} if why else {}),
        actor=NOBODY,
    )
