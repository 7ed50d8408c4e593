"""Sign-ins to the console: which there are, and how one ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from apps.accounts.models import Session, User
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.audit.services import record

_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class SignedIn:
    """A session as its owner sees it. `current` is the one that asks."""

    id: str
    device: str
    address: str
    began_at: datetime | None
    seen_at: datetime | None
    current: bool


def name_of(session_key: str) -> str:
    """What a session is called where its key must not be seen."""
    return salted_hmac("manifold.accounts.sessions", session_key, algorithm="sha256").hexdigest()[:32]


def device(agent: str) -> str:
    """What a person calls the program of a `User-Agent`: Firefox on Linux."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or agent.partition(" ")[0][:60] or "unknown"


def sessions_of(user: User, current: str | None) -> list[SignedIn]:
    """Where a user is signed in, the last used first; `current` is the key of the session that asks, if one does."""
    found = _of(user).order_by(F("seen_at").desc(nulls_last=True), "pk")
    return [
        SignedIn(
            name_of(each.pk), device(each.agent), each.address, each.began_at, each.seen_at, each.session_key == current
        )
        for each in found
    ]


def end_session(user: User, name: str, *, actor: Actor) -> None:
    """Sign a user out somewhere. Raises Conflict where that session is over already."""
    with acting(actor):
        found = next((each for each in _of(user) if name_of(each.pk) == name), None)
        if found is None:
            raise Conflict("That session is over already.", code="session_over")
        _end(user, [found])


def end_other_sessions(user: User, current: str | None, *, actor: Actor) -> int:
    """Sign a user out everywhere but in the session of this key; returns in how many places."""
    with acting(actor):
        others = list(_of(user).exclude(pk=current or ""))
        _end(user, others)
    return len(others)


def forget_expired(user: User) -> None:
    """Remove what is left of sessions that ended by themselves: theirs, and sign-ins that nobody finished."""
    Session.objects.filter(Q(user=user) | Q(user=None), expire_date__lte=timezone.now()).delete()


def _of(user: User) -> QuerySet[Session]:
    return Session.objects.visible_to(user).filter(expire_date__gt=timezone.now())


def _end(user: User, sessions: list[Session]) -> None:
    Session.objects.filter(pk__in=[each.pk for each in sessions]).delete()
    for each in sessions:
        data = {"address": each.address, "device": device(each.agent)}
        record("session ended", object_type="user", object_id=user.pk, object_name=user.username, data=data)
