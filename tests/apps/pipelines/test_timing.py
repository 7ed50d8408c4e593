"""When schedules fire: across ten zones and two years, after a break, and when the clocks change. No database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.pipelines import timing
from apps.pipelines.document import load, parse
from apps.pipelines.schedule import Schedule

# Half hours, quarters, a jump of thirty minutes, jumps at midnight, none at all, the far south and the date line.
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "America/Santiago",
    "Atlantic/Azores",
    "Pacific/Chatham",
]
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
TWO_YEARS = timedelta(days=731)
moments = st.integers(0, int(TWO_YEARS.total_seconds())).map(lambda each: FIRST + timedelta(seconds=each))
numbers = st.integers(0, 59)
WHEN = st.one_of(
    st.builds(lambda minute: {"preset": "hourly", "at": minute}, numbers),
    st.builds(lambda hour, minute: {"preset": "daily", "at": f"{hour:02}:{minute:02}"}, st.integers(0, 23), numbers),
    st.sampled_from([{"preset": "weekly", "on": "sunday", "at": "02:30"}, {"preset": "monthly", "on": "last"}]),
    st.sampled_from(
        ["*/15 * * * *", "30 2 * * *", "0,30 0-3 * * *", "15 */2 * * *", "0 0 * * 0", "30 1 1,15 * 1#2"]
    ).map(lambda cron: {"cron": cron}),
    st.sampled_from([60 * 45, 3600 * 7, 86400, 86400 * 3]).map(lambda seconds: {"interval": seconds}),
)
PAUSES = st.sampled_from([{}, {}, {"weekends": True}, {"holidays": "US"}, {"weekends": True, "holidays": "DE-BY"}])
SCHEDULES = st.builds(
    lambda when, zone, pause: Schedule(**when, timezone=zone, pause=pause), WHEN, st.sampled_from(ZONES), PAUSES
)


@given(SCHEDULES, moments, st.lists(st.integers(1, 40 * 3600), min_size=1, max_size=60))
@settings(deadline=None, max_examples=300)
def test_the_preview_is_what_ticks_fire(schedule: Schedule, begin: datetime, steps: list[int]) -> None:
    """Whenever the ticks come, what they find together is what was shown before the first of them."""
    at, fired = begin, []
    for step in steps:
        fired += list(timing.between(schedule, at, at + timedelta(seconds=step)))
        at += timedelta(seconds=step)
    shown = timing.upcoming(schedule, begin, len(fired) + 1)
    assert shown[: len(fired)] == fired
    assert all(each > at for each in shown[len(fired) :])
    assert all(one < other for one, other in pairwise(shown))


@given(SCHEDULES, moments)
@settings(deadline=None, max_examples=300)
def test_every_moment_is_one_that_the_schedule_means(schedule: Schedule, begin: datetime) -> None:
    for moment in timing.upcoming(schedule, begin, 5):
        wall = moment.astimezone(schedule.zone)
        jumped = (moment - timedelta(seconds=1)).astimezone(schedule.zone).utcoffset() != wall.utcoffset()
        assert jumped or not schedule.pauses_on(wall.date())
        if schedule.preset in ("daily", "weekly", "monthly") and not jumped:
            assert f"{wall:%H:%M}" == (schedule.at or "00:00")


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_of_a_daily_schedule_comes_once(zone: str) -> None:
    for at in ("00:00", "00:30", "01:45", "02:30", "03:00"):
        schedule = Schedule(preset="daily", at=at, timezone=zone)
        fired = list(timing.between(schedule, FIRST, FIRST + TWO_YEARS))
        days = [each.astimezone(ZoneInfo(zone)).date() for each in fired]
        assert all(other - one == timedelta(days=1) for one, other in pairwise(days)), at
        assert len(days) in (730, 731, 732)


@pytest.mark.parametrize("zone", ZONES)
def test_a_quarter_of_an_hour_stays_one(zone: str) -> None:
    """From two days before to two days after each change of the clocks: cron with a `*` counts real time."""
    schedule = Schedule(cron="*/15 * * * *", timezone=zone)
    days = [FIRST + timedelta(days=number) for number in range(TWO_YEARS.days)]
    offsets = [day.astimezone(schedule.zone).utcoffset() for day in days]
    changes = [day for day, (one, other) in zip(days, pairwise(offsets), strict=False) if one != other]
    assert len(changes) in (0, 4)
    for day in changes or [FIRST]:
        fired = list(timing.between(schedule, day - timedelta(days=2), day + timedelta(days=3)))
        assert len(fired) == 5 * 96
        assert {other - one for one, other in pairwise(fired)} == {timedelta(minutes=15)}


def local(schedule: Schedule, after: str, count: int) -> list[str]:
    moment = datetime.fromisoformat(after).replace(tzinfo=schedule.zone)
    return [f"{each.astimezone(schedule.zone):%d %H:%M %Z}" for each in timing.upcoming(schedule, moment, count)]


def test_a_time_that_is_jumped_over_fires_when_the_clocks_have_jumped() -> None:
    schedule = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    assert local(schedule, "2026-03-28T12:00", 2) == ["29 03:00 CEST", "30 02:30 CEST"]


def test_a_time_that_comes_twice_fires_once_and_with_a_star_twice() -> None:
    once = Schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    assert local(once, "2026-10-24T12:00", 2) == ["25 02:30 CEST", "26 02:30 CET"]
    twice = Schedule(preset="hourly", at=30, timezone="Europe/Berlin")
    assert local(twice, "2026-10-25T01:45", 3) == ["25 02:30 CEST", "25 02:30 CET", "25 03:30 CET"]


def test_start_and_end_are_days_of_its_zone() -> None:
    schedule = Schedule(preset="daily", at="23:30", timezone="America/New_York", start="2026-02-01", end="2026-02-02")
    assert local(schedule, "2026-01-01T00:00", 5) == ["01 23:30 EST", "02 23:30 EST"]
    every = Schedule(interval=3600, timezone="Asia/Kolkata", start="2026-02-01T00:10", end="2026-02-01T02:10")
    assert local(every, "2026-01-01T00:00", 5) == ["01 00:10 IST", "01 01:10 IST", "01 02:10 IST"]


def test_it_pauses_on_weekends_and_holidays() -> None:
    schedule = Schedule(preset="daily", at="06:00", pause={"weekends": True, "holidays": "US"})
    # Thursday is the first of January; Saturday and Sunday follow.
    assert local(schedule, "2025-12-31T00:00", 3) == ["31 06:00 UTC", "02 06:00 UTC", "05 06:00 UTC"]


def test_a_schedule_that_never_fires_again_says_so() -> None:
    never = Schedule(cron="0 6 * * 6", pause={"weekends": True})
    assert timing.following(never, FIRST) is None
    assert timing.upcoming(Schedule(preset="daily", end="2025-12-31"), FIRST) == []


NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DOWN = [
    # Policy, how long nobody ticked in minutes and seconds: what starts, in minutes before, and what is left out.
    ({"missed": "none"}, 3, 5, [0], 2),
    ({"missed": "last"}, 3, 5, [0], 2),
    ({"missed": "all"}, 3, 5, [2, 1, 0], 0),
    ({"missed": "all", "missed_at_most": 1}, 5, 5, [1, 0], 3),
    ({"missed": "all", "new_files": True}, 5, 5, [0], 4),
]


@pytest.mark.parametrize(("policy", "minutes", "seconds", "start", "left_out"), DOWN)
def test_after_a_break_each_policy_makes_up_for_what_it_says(
    policy: dict[str, Any], minutes: int, seconds: int, start: list[int], left_out: int
) -> None:
    schedule = Schedule(cron="* * * * *", **policy)
    found = timing.due(schedule, NOON - timedelta(minutes=minutes), NOON + timedelta(seconds=seconds))
    assert [(NOON - each).total_seconds() / 60 for each in found.start] == start
    assert found.left_out == left_out


@pytest.mark.parametrize(("missed", "starts"), [("none", 0), ("last", 1), ("all", 3)])
def test_after_a_break_that_has_just_ended_nothing_is_on_time(missed: str, starts: int) -> None:
    schedule = Schedule(preset="hourly", missed=missed)
    found = timing.due(schedule, NOON - timedelta(hours=3), NOON + timedelta(minutes=20))
    assert (len(found.start), found.left_out) == (starts, 3 - starts)


def test_a_clock_that_was_set_back_fires_nothing_again() -> None:
    schedule = Schedule(cron="* * * * *")
    assert timing.due(schedule, NOON, NOON - timedelta(minutes=30)) == timing.Due()


HEAD = "manifold: 1\npipeline: a\nsteps:\n  a: {extract: {source: s, stream: t, mode: full_refresh}}\n"
WRONG = [
    ("{cron: 61 * * * *}", "schedule.cron"),
    ("{cron: 0 6 * *}", "schedule.cron"),
    ("{cron: 0 0 30 2 *}", "schedule.cron"),
    ("{cron: 0 6 * * *, interval: 60}", "schedule"),
    ("{timezone: UTC}", "schedule"),
    ("{preset: yearly}", "schedule.preset"),
    ("{preset: daily, at: 25:00}", "schedule.at"),
    ("{preset: hourly, at: 06:00}", "schedule.at"),
    ("{preset: daily, on: monday}", "schedule.on"),
    ("{preset: weekly, on: someday}", "schedule.on"),
    ("{preset: monthly, on: 31}", "schedule.on"),
    ("{interval: 300, at: 5}", "schedule.at"),
    ("{interval: 30}", "schedule.interval"),
    ("{interval: 300, timezone: Europa/Berlin}", "schedule.timezone"),
    ("{interval: 300, timezone: ../etc}", "schedule.timezone"),
    ("{interval: 300, pause: {holidays: XX}}", "schedule.pause.holidays"),
    ("{interval: 300, pause: {holidays: DE-XX}}", "schedule.pause.holidays"),
    ("{interval: 300, start: 2026-02-30}", "schedule.start"),
    ("{interval: 300, start: 2026-02-02, end: 2026-02-01}", "schedule"),
    ("{interval: 300, new_files: true}", "schedule.new_files"),
    ("{interval: 300, misssed: all}", "schedule.misssed"),
]


@pytest.mark.parametrize(("written", "place"), WRONG)
def test_a_wrong_schedule_is_refused_with_its_place_and_a_remedy(written: str, place: str) -> None:
    document, (problem,) = parse(f"{HEAD}schedule: {written}\n")
    assert document is None
    assert (problem.path, problem.line) == (place, 5)
    assert problem.remedy


@given(SCHEDULES)
@settings(deadline=None, max_examples=50)
def test_a_stored_document_says_the_same_schedule(schedule: Schedule) -> None:
    document, problems = parse(HEAD)
    assert document is not None, problems
    stored = document.as_json() | {"schedule": schedule.model_dump(mode="json")}
    again = load(stored)
    assert again.header.schedule == schedule
    assert timing.words(schedule).endswith(f"({schedule.timezone})")
