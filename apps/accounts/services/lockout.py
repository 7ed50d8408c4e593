"""Too many wrong passwords: who is locked out for how long, and how they are let in again.

django-axes counts, for a name together with an address: somebody who guesses from elsewhere locks nobody out. Names are
kept as keyed digests, since people type passwords into the wrong field.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from axes.models import AccessAttempt
from axes.signals import user_locked_out
from axes.utils import reset
from django.conf import settings
from django.db.models import Max, Q, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from apps.accounts.addresses import shown
from apps.accounts.models import SecondFactor, User
from apps.audit.context import Actor, acting
from apps.audit.services import record

NOBODY = Actor("anonymous", None, "nobody")


@dataclass(frozen=True)
class Lock:
    """A name that is not let in from an address or network (everywhere, for an empty one) until a moment."""

    user: User
    address: str
    until: datetime


def key_of(username: str) -> str:
    """What stands for a name in the counters."""
    return salted_hmac("manifold.accounts.lockout", username.casefold(), algorithm="sha256").hexdigest()


def name_of_attempt(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """django-axes asks for the name that is being tried."""
    given = credentials if credentials else request.POST
    return key_of(str(given.get("username") or ""))


def locks(users: Collection[User]) -> list[Lock]:
    """Which of these people are locked out at the moment, from where and until when; two queries.

    Wrong passwords lock an address out, wrong codes the person, wherever they are: no address then.
    """
    by_key = {key_of(each.username): each for each in users}
    recent = AccessAttempt.objects.filter(
        username__in=by_key, attempt_time__gte=timezone.now() - settings.AXES_COOLOFF_TIME
    )
    counted = recent.values("username", "ip_address").annotate(
        failures=Sum("failures_since_start"), last=Max("attempt_time")
    )
    factors = SecondFactor.objects.filter(user__in=users, locked_until__gt=timezone.now()).order_by("user__username")
    without = [Lock(each.user, "", each.locked_until) for each in factors.select_related("user") if each.locked_until]
    return without + [
        Lock(by_key[each["username"]], shown(each["ip_address"] or ""), each["last"] + settings.AXES_COOLOFF_TIME)
        for each in counted.order_by("username", "ip_address")
        if each["failures"] >= settings.AXES_FAILURE_LIMIT
    ]


def seconds_left(request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
    """How long the name that is being tried stays locked out from the address of this request."""
    last = AccessAttempt.objects.filter(
        username=name_of_attempt(request, credentials), ip_address=getattr(request, "axes_ip_address", None)
    ).aggregate(last=Max("attempt_time"))["last"]
    until = (last or timezone.now()) + settings.AXES_COOLOFF_TIME
    return max(1, math.ceil((until - timezone.now()).total_seconds()))


def unlock(user: User, *, actor: Actor) -> bool:
    """Forget the wrong passwords and codes that were tried for a user; False where there were none."""
    with acting(actor):
        found = bool(reset(username=key_of(user.username)))
        wrong = SecondFactor.objects.filter(Q(failures__gt=0) | Q(locked_until__gt=timezone.now()), user=user)
        found = bool(wrong.update(failures=0, locked_until=None)) or found
        if found:
            record("sign-in unlocked", object_type="user", object_id=user.pk, object_name=user.username)
        return found


def note_locks() -> None:
    """Write an event for every lock; called once, when the applications are ready."""
    user_locked_out.connect(_locked, dispatch_uid="manifold.locked_out")


def _locked(sender: Any, request: HttpRequest, ip_address: str | None, **_: Any) -> None:
    # Attempts while somebody is locked out count nothing, and would only fill the log.
    if getattr(request, "axes_failures_since_start", None) is None:
        return
    tried = str(getattr(request, "axes_credentials", {}).get("username", "")).replace("\0", "")
    user = User.objects.filter(username=tried).first()
    record(
        "sign-in locked",
        object_type="user",
        object_id=user.pk if user else "",
        object_name=user.username if user else "",
        data={"address": shown(ip_address or ""), "minutes": int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)},
        actor=NOBODY,
    )
