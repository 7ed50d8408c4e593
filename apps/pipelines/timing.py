"""When a schedule fires. One pure function of the schedule and a moment, which the tick, the page, the API and the
command all ask; no clock is read and no row.

Wall time is what counts. A time that the clocks jump over fires when they have jumped; a time that comes twice fires
the first time, and where minute or hour begin with `*` both times, so that every quarter of an hour stays one. The
answer depends on the moment that was asked about and on nothing before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cron_descriptor import ExpressionDescriptor, Options
from cron_descriptor.Exception import FormatException, MissingFieldException, WrongArgumentException
from cronsim import CronSim

from apps.pipelines.schedule import Schedule, midnight

# A schedule that does not fire within this time does not fire any more, for anybody who asks.
HORIZON = timedelta(days=8 * 366)
# What fires later than this was missed. Ticks come every five seconds.
LATE = timedelta(seconds=60)
_DAY = timedelta(days=1)
_EPOCH = datetime(2000, 1, 1)


def following(schedule: Schedule, after: datetime) -> datetime | None:
    """The first moment after this one at which it fires, in UTC; None when it does not any more."""
    after = after.astimezone(UTC)
    first, last = schedule.first(), schedule.last()
    if first is not None and after < first:
        after = first - timedelta(microseconds=1)
    found = _by_interval(schedule, after) if schedule.expression is None else _by_cron(schedule, after)
    return None if found is None or (last is not None and found >= last) else found


def upcoming(schedule: Schedule, after: datetime, count: int = 5) -> list[datetime]:
    """The next moments at which it fires, in UTC; fewer when it ends."""
    found: list[datetime] = []
    while len(found) < count and (moment := following(schedule, found[-1] if found else after)) is not None:
        found.append(moment)
    return found


def between(schedule: Schedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every moment at which it fires after one moment and not after another."""
    moment = following(schedule, after)
    while moment is not None and moment <= until:
        yield moment
        moment = following(schedule, moment)


@dataclass(frozen=True)
class Due:
    """What has to start now, the oldest first, and how many moments are left out for good."""

    start: tuple[datetime, ...] = ()
    left_out: int = 0


def due(schedule: Schedule, after: datetime, now: datetime) -> Due:
    """What a tick has to start when everything up to `after` has been decided before.

    A moment that is over for more than a minute was missed: `none` leaves it out, `last` starts the newest one unless
    another is on time, `all` starts the newest `missed_at_most`. A look for new files is not made up for.
    """
    on_time: list[datetime] = []
    at_most = schedule.missed_at_most if schedule.missed == "all" and not schedule.new_files else 1
    missed: deque[datetime] = deque(maxlen=at_most)
    count = 0
    for moment in between(schedule, after, now):
        if now - moment <= LATE:
            on_time.append(moment)
        else:
            missed.append(moment)
        count += 1
    if schedule.missed == "none" or (on_time and (schedule.missed == "last" or schedule.new_files)):
        missed.clear()
    start = (*missed, *on_time)
    return Due(start, count - len(start))


def words(schedule: Schedule) -> str:
    """What a schedule says, in a sentence."""
    if schedule.interval is not None:
        said = f"Every {length(schedule.interval)}"
    else:
        said = _described(str(schedule.expression))
    if schedule.pause.weekends:
        said += ", not on weekends"
    if schedule.pause.holidays:
        said += f", not on holidays of {schedule.pause.holidays}"
    if schedule.start:
        said += f", from {schedule.start.replace('T', ' ')}"
    if schedule.end:
        said += f", until {schedule.end.replace('T', ' ')}"
    return f"{said} ({schedule.timezone})" + (", when there are new files" if schedule.new_files else "")


def _described(expression: str) -> str:
    options = Options()
    options.use_24hour_time_format = True
    try:
        return str(ExpressionDescriptor(expression, options).get_description())
    except (FormatException, MissingFieldException, WrongArgumentException, IndexError, ValueError):
        return f"Cron {expression}"


def length(seconds: int) -> str:
    """Seconds in the largest unit that holds them whole: hour, 90 minutes, 2 days."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0:
            number = seconds // size
            return name if number == 1 else f"{number} {name}s"
    return f"{seconds} seconds"


def _by_interval(schedule: Schedule, after: datetime) -> datetime | None:
    """The next of a row of moments that are equally far apart, counted from `start` or else from the year 2000."""
    assert schedule.interval is not None
    anchor = schedule.first() or _EPOCH.replace(tzinfo=schedule.zone).astimezone(UTC)
    step = timedelta(seconds=schedule.interval)
    end = after + HORIZON
    while after < end:
        moment = anchor + ((after - anchor) // step + 1) * step
        day = moment.astimezone(schedule.zone).date()
        if not schedule.pauses_on(day):
            return moment
        after = midnight(day + _DAY, schedule.zone) - timedelta(microseconds=1)
    return None


def _by_cron(schedule: Schedule, after: datetime) -> datetime | None:
    """The first moment of two days that follow each other, since clocks may be set back at midnight."""
    expression = str(schedule.expression)
    day = after.astimezone(schedule.zone).date() - _DAY
    end = day + HORIZON
    while day < end:
        found = _next_day(expression, day)
        if found is None:
            return None
        day = found
        later = [_after(_on(schedule, each), after) for each in (day, day + _DAY)]
        moments = [each for each in later if each is not None]
        if moments:
            return min(moments)
        day += _DAY
    return None


def _on(schedule: Schedule, day: date) -> tuple[datetime, ...]:
    """The moments that a day's wall times mean; none on a day on which it pauses."""
    return () if schedule.pauses_on(day) else _moments(str(schedule.expression), schedule.timezone, day)


def _after(moments: tuple[datetime, ...], after: datetime) -> datetime | None:
    """The first of these sorted moments that is later."""
    place = bisect_right(moments, after)
    return moments[place] if place < len(moments) else None


@lru_cache(maxsize=4096)
def _next_day(expression: str, day: date) -> date | None:
    """The first day from this one on that has a time at all."""
    try:
        return next(CronSim(expression, datetime.combine(day, time()) - timedelta(seconds=1))).date()
    except StopIteration:
        return None


@lru_cache(maxsize=1024)
def _moments(expression: str, timezone: str, day: date) -> tuple[datetime, ...]:
    minute, hour = expression.split()[:2]
    both = minute.startswith("*") or hour.startswith("*")
    found: set[datetime] = set()
    for wall in CronSim(expression, datetime.combine(day, time()) - timedelta(seconds=1)):
        if wall.date() != day:
            break
        found |= _instants(wall, ZoneInfo(timezone), both=both)
    return tuple(sorted(found))


def _instants(wall: datetime, zone: ZoneInfo, *, both: bool) -> set[datetime]:
    """When it is this time in a zone: once, twice, or, where the clocks jump over it, when they have jumped."""
    early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early == late:
        return {early}
    if early < late:
        return {early, late} if both else {early}
    # In a gap the two folds name moments on its two sides; the jump is the later of what they are on the clock.
    return {_jump(late, early, zone)}


def _jump(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment between two at which a zone's clocks jump."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
