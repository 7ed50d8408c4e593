"""A source's health is told by its tests and schemas, with the reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from apps.audit.context import SYSTEM
from apps.sources import queries, services
from apps.sources.health import judged
from apps.sources.models import ConnectionCheck, Drift, Source, Stream

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REFUSED = {
    "name": "connect",
    "ok": False,
    "seconds": 0.1,
    "detail": "",
    "error": {"message": "Nobody listens on 127.0.0.1:1."},
}


def history(source: Source, outcomes: str, seconds: Sequence[float] = ()) -> list[ConnectionCheck]:
    """One test for each letter, the newest first: `+` passed, `-` failed; in so many seconds each, else 0.1."""
    return [
        ConnectionCheck(
            source=source,
            at=NOW - timedelta(minutes=place),
            ok=each == "+",
            seconds=seconds[place] if seconds else 0.1,
            stages=[] if each == "+" else [REFUSED],
        )
        for place, each in enumerate(outcomes)
    ]


def test_it_works(unreachable: Source) -> None:
    verdict = judged(unreachable, history(unreachable, "+"), NOW)
    assert (verdict.health, verdict.reason) == ("healthy", "")


def test_the_reason_of_an_error_is_the_stage_that_failed(unreachable: Source) -> None:
    verdict = judged(unreachable, history(unreachable, "-++++"), NOW)
    assert (verdict.health, verdict.reason) == ("error", "Connect: Nobody listens on 127.0.0.1:1.")


@pytest.mark.parametrize(
    ("outcomes", "says"),
    [
        ("+-----++++", "healthy"),  # One outage that is over.
        ("+--+-+++++", "warning"),
        ("+-+-", "warning"),
        ("+" * 10 + "-+-+-+", "healthy"),  # Long ago.
    ],
)
def test_a_source_that_comes_and_goes_is_warned_of(unreachable: Source, outcomes: str, says: str) -> None:
    verdict = judged(unreachable, history(unreachable, outcomes), NOW)
    assert verdict.health == says
    assert verdict.reason.startswith("It comes and goes: ") is (says == "warning")


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        ([3.0, 3.1, 2.9, *[0.5] * 5], "It has become slow: a test takes 3.0 s, 0.5 s is usual."),
        ([3.0, 0.5, 0.5, *[0.5] * 5], ""),  # One slow test says nothing.
        ([0.9, 0.9, 0.9, *[0.01] * 5], ""),  # Nobody notices.
        ([3.0, 3.1, 2.9, 0.5], ""),  # Nobody knows yet what is usual.
        ([11.0, 12.0, 11.5], "It is slow: a test takes 11.5 s."),
        ([11.0, 11.0], ""),
    ],
)
def test_a_source_that_is_slow_is_warned_of(unreachable: Source, seconds: list[float], reason: str) -> None:
    verdict = judged(unreachable, history(unreachable, "+" * len(seconds), seconds), NOW)
    assert verdict.reason == reason
    assert verdict.health == ("warning" if reason else "healthy")


def test_a_source_whose_columns_have_changed_is_warned_of_until_somebody_has_seen_it(unreachable: Source) -> None:
    stream = Stream.objects.create(source=unreachable, name="public.flights")
    Drift.objects.create(stream=stream, now=[], changes=[], state="followed")
    verdict = judged(unreachable, history(unreachable, "+"), NOW + timedelta(days=99))
    assert (verdict.health, verdict.reason) == (
        "warning",
        "The columns of public.flights have changed. Look at the change on the stream's page.",
    )
    for name in ("a", "b", "c"):
        other = Stream.objects.create(source=unreachable, name=name)
        Drift.objects.create(stream=other, now=[], changes=[], state="stopped")
        Drift.objects.create(stream=other, now=[], changes=[], state="followed")
    reason = judged(unreachable, history(unreachable, "+"), NOW).reason
    assert reason == "The columns of a, b, c and 1 more have changed. Look at the changes on the streams' pages."
    for each in unreachable.streams.all():
        services.mark_seen(each, actor=SYSTEM)
    assert judged(unreachable, history(unreachable, "+"), NOW).health == "healthy"


def test_the_figures_count_the_days_that_are_asked_for(unreachable: Source) -> None:
    for check in history(unreachable, "+++-", [1.0, 2.0, 3.0, 9.0]):
        at = check.at
        check.save()
        ConnectionCheck.objects.filter(pk=check.pk).update(at=at)
    old = ConnectionCheck.objects.create(source=unreachable, ok=False, seconds=5.0, stages=[REFUSED])
    ConnectionCheck.objects.filter(pk=old.pk).update(at=NOW - timedelta(days=9))
    found = queries.connection_of(unreachable, NOW, days=7)
    assert (found.tests, found.failed, found.success_rate) == (4, 1, 0.75)
    assert (found.latency_p50_s, found.latency_p95_s) == (2.0, pytest.approx(2.9))
    assert queries.connection_of(unreachable, NOW, days=10).failed == 2


def test_a_source_without_tests_has_no_figures(unreachable: Source) -> None:
    found = queries.connection_of(unreachable, NOW, days=7)
    assert (found.tests, found.success_rate, found.latency_p50_s, found.latency_p95_s) == (0, None, None, None)


def test_tests_from_before_a_change_count_no_more(unreachable: Source) -> None:
    services.test_source(unreachable, actor=SYSTEM)
    changed = services.update_source(unreachable, params={"port": 2}, actor=SYSTEM)
    assert (changed.health, changed.health_reason, changed.next_check_at) == ("unknown", "", None)


def test_secrets_that_end_are_warned_of_two_weeks_ahead_and_until_they_are_replaced(unreachable: Source) -> None:
    assert unreachable.credential is not None
    told = {}
    for days in (15, 14, -1):
        day = (NOW + timedelta(days=days)).date()
        unreachable.credential = services.set_expiry(unreachable.credential, expires_on=day, actor=SYSTEM)
        told[days] = judged(unreachable, history(unreachable, "+"), NOW).reason
    assert told == {
        15: "",
        14: "Its secrets expire on 15 March 2026: enter new ones.",
        -1: "Its secrets expired on 28 February 2026: enter new ones.",
    }
    unreachable.credential = services.set_secrets(unreachable.credential, secrets={"password": "new"}, actor=SYSTEM)
    assert judged(unreachable, history(unreachable, "+"), NOW).health == "healthy"
