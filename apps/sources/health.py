"""What the tests of a source say about it: one word, and the reason in a sentence where it is not well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

from apps.sources.models import ConnectionCheck, Drift, Grant, Health, Source
from dataplane.connectors.rest.params import GRANTED

LAST = 60
"""So many tests are looked at."""
_RECENT = 10
_TURNS = 3
_SLOW = 3
_ENOUGH = 5
_TIMES = 3.0
_NOTICED = 1.0
_TOO_LONG = 10.0
_AHEAD = timedelta(days=14)
_NAMED = 3


@dataclass(frozen=True)
class Verdict:
    """A source's health and why it is so; a healthy one needs no reason."""

    health: Health
    reason: str = ""


def judged(source: Source, checks: Sequence[ConnectionCheck], now: datetime) -> Verdict:
    """What these tests of a source, the newest first, what lets it in, and the changes of its columns say.

    There is at least one test, unless what let it in is refused. error: that, or the newest test failed. warning: it
    works, and came and went in its last ten tests, or has become slow, or its secrets or what lets it in end within two
    weeks, or the columns of a stream have changed and nobody has seen it yet, or whoever was registered with
    `also_look` says so.
    """
    if refused := grant_refused(source):
        return Verdict(Health.ERROR, refused)
    newest = checks[0]
    if not newest.ok:
        return Verdict(Health.ERROR, _failure(newest))
    reason = _unsteady(checks[:_RECENT]) or _slow(checks) or _expiring(source, now)
    reason = reason or _grant_ending(source, now) or _reshaped(source)
    reason = reason or next((said for look in _others if (said := look(source))), "")
    return Verdict(Health.WARNING, reason) if reason else Verdict(Health.HEALTHY)


_others: list[Callable[[Source], str]] = []


def also_look(look: Callable[[Source], str]) -> None:
    """Let what stands upstairs warn, too: `look` answers why, or nothing. `judge_again` is called when that changes."""
    if look not in _others:
        _others.append(look)


def _failure(check: ConnectionCheck) -> str:
    """The first stage that failed, in its own words."""
    stage = next(each for each in check.stages if not each["ok"])
    error = stage["error"]
    return f"{stage['name'].capitalize()}: {error['message'] if error else stage['detail']}"


def _unsteady(checks: Sequence[ConnectionCheck]) -> str:
    """Whether it failed in two stretches: one that ended is history."""
    turns = sum(one.ok != other.ok for one, other in pairwise(checks))
    failed = sum(not each.ok for each in checks)
    return f"It comes and goes: {failed} of its last {len(checks)} tests failed." if turns >= _TURNS else ""


def _slow(checks: Sequence[ConnectionCheck]) -> str:
    """Whether its last tests took long, or three times what is usual; a single slow one says nothing."""
    passed = [each.seconds for each in checks if each.ok]
    if len(passed) < _SLOW:
        return ""
    now, before = median(passed[:_SLOW]), passed[_SLOW:]
    if now > _TOO_LONG:
        return f"It is slow: a test takes {now:.1f} s."
    if len(before) < _ENOUGH or now < _NOTICED or now < _TIMES * (usual := median(before)):
        return ""
    return f"It has become slow: a test takes {now:.1f} s, {usual:.2g} s is usual."


def _expiring(source: Source, now: datetime) -> str:
    """Whether the secrets are said to end soon, or to have ended."""
    last = source.credential.expires_on if source.credential else None
    if last is None or last > (now + _AHEAD).date():
        return ""
    verb = "expire" if last >= now.date() else "expired"
    return f"Its secrets {verb} on {last.day} {last:%B %Y}: enter new ones."


def grant_refused(source: Source) -> str:
    """Why nobody lets the source in where somebody has to consent; empty where nothing says so."""
    if source.params.get("auth") not in GRANTED:
        return ""
    grant = _grant(source)
    if grant is None:
        return f"Nobody has connected it. Press *Connect* on its page, or run `manifold sources connect {source.slug}`."
    return grant.refused


def _grant_ending(source: Source, now: datetime) -> str:
    """Whether what somebody has consented to ends soon, and is not renewed by itself."""
    grant = _grant(source)
    if grant is None or grant.ends_at is None or grant.ends_at > now + _AHEAD:
        return ""
    verb = "ends" if grant.ends_at > now else "ended"
    at = f"{grant.ends_at.astimezone(UTC):%d %B %Y, %H:%M} UTC".lstrip("0")
    return f"What lets it in {verb} on {at}, and nothing renews it: connect it again."


def _grant(source: Source) -> Grant | None:
    """What somebody has consented to; a query only for sources where somebody has to."""
    return Grant.objects.filter(source=source).first() if source.params.get("auth") in GRANTED else None


def _reshaped(source: Source) -> str:
    """Whether the columns of a stream have changed and nobody has seen it yet."""
    news = Drift.objects.filter(stream__source=source, seen_at__isnull=True).order_by("stream__name")
    names = list(news.values_list("stream__name", flat=True).distinct())
    if not names:
        return ""
    if len(names) == 1:
        return f"The columns of {names[0]} have changed. Look at the change on the stream's page."
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"The columns of {', '.join(names[:_NAMED])}{more} have changed. Look at the changes on the streams' pages."
