"""`schedule:` of a document: when a pipeline starts by itself. What may stand there, and nothing about any clock."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import holidays
from cronsim import CronSim, CronSimError
from holidays.registry import COUNTRIES
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from dataplane.steps.base import Spec

Preset = Literal["hourly", "daily", "weekly", "monthly"]
Missed = Literal["none", "last", "all"]
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SHORTEST = 60
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]([01]\d|2[0-3]):[0-5]\d)?")
_COUNTRY = re.compile(r"[A-Z]{2}(-[A-Za-z0-9]{1,6})?")
# A year in which every day of the calendar comes within the eight that follow.
_SOME_DAY = datetime(2024, 1, 1)


def _known_zone(given: str) -> str:
    if zone(given) is None:
        raise ValueError(f"There is no time zone {given!r}. Write one such as UTC or America/New_York")
    return given


Zone = Annotated[str, AfterValidator(_known_zone)]


class Pause(Spec):
    """Days on which nothing starts; what would have started is not made up for."""

    weekends: bool = False
    holidays: str | None = Field(None, description="A country, or a part of it: DE, US, DE-BY.")

    @field_validator("holidays")
    @classmethod
    def _known_country(cls, given: str | None) -> str | None:
        if given is None:
            return None
        country, _, part = given.partition("-")
        parts = _countries().get(country) if _COUNTRY.fullmatch(given) else None
        if parts is None:
            raise ValueError(f"{given!r} is no country whose holidays are known. Write its two letters: DE, US, DE-BY")
        if part and part not in parts:
            choice = f"Write one of {', '.join(sorted(parts))} behind it" if parts else "Write the country alone"
            raise ValueError(f"{country} has no part `{part}` whose holidays are known. {choice}")
        return given


class Schedule(Spec):
    """When a pipeline starts: exactly one of `preset`, `cron` and `interval`, in a time zone."""

    preset: Preset | None = None
    at: int | str | None = Field(None, description="The minute for hourly, the time of day for the other presets.")
    on: int | str | None = Field(None, description="The weekday for weekly, a day from 1 to 28 or last for monthly.")
    cron: Annotated[str, Field(max_length=200)] | None = None
    interval: Annotated[int, Field(ge=SHORTEST, le=366 * 86400)] | None = None
    new_files: bool = False
    timezone: Zone = "UTC"
    start: str | None = None
    end: str | None = None
    pause: Pause = Pause()
    if_running: Literal["queue", "skip"] | None = None
    missed: Missed = "last"
    missed_at_most: Annotated[int, Field(ge=1, le=1000)] = 24
    start_within: Annotated[int, Field(ge=1, le=7 * 86400)] | None = None

    @field_validator("cron")
    @classmethod
    def _fires(cls, given: str | None) -> str | None:
        if given is None:
            return None
        if len(given.split()) != 5:
            raise ValueError(
                "A cron expression has five fields. Write minute, hour, day, month and weekday, such as `0 6 * * *`"
            )
        try:
            next(CronSim(given, _SOME_DAY))
        except CronSimError as error:
            raise ValueError(f"{given!r} is no cron expression: {str(error).lower()}. Such as `0 6 * * *`") from None
        except StopIteration:
            raise ValueError(f"{given!r} names a day that never comes. Choose a day that its months have") from None
        return given

    @field_validator("start", "end")
    @classmethod
    def _a_moment(cls, given: str | None) -> str | None:
        try:
            if given is not None and _MOMENT.fullmatch(given):
                datetime.fromisoformat(given)
            elif given is not None:
                raise ValueError
        except ValueError:
            raise ValueError(f"{given!r} is no date. Write 2026-01-31, or 2026-01-31T06:00") from None
        return given

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, value: Any) -> Any:
        if isinstance(value, dict):
            given = [each for each in ("preset", "cron", "interval") if value.get(each) is not None]
            if len(given) > 1:
                said = " and ".join(f"`{each}`" for each in given)
                raise ValueError(f"A schedule says once when it fires, this one has {said}. Keep one of them")
            if not given and set(value) <= set(cls.model_fields):
                raise ValueError("The schedule does not say when. Add one of `preset`, `cron` and `interval`")
        return value

    @field_validator("at", "on")
    @classmethod
    def _of_the_preset(cls, given: int | str | None, info: ValidationInfo) -> int | str | None:
        """`at` and `on` say more about a preset, and about nothing else."""
        preset = info.data.get("preset")
        if given is not None and preset is None:
            raise ValueError(f"`{info.field_name}` belongs to a preset. Remove it")
        if given is not None and preset is not None:
            (_time_fields if info.field_name == "at" else _day_fields)(preset, given)
        return given

    @model_validator(mode="after")
    def _in_order(self) -> Schedule:
        first, last = self.first(), self.last()
        if first is not None and last is not None and last <= first:
            raise ValueError("The schedule ends before it starts. Change `start` or `end`")
        return self

    @property
    def zone(self) -> ZoneInfo:
        found = zone(self.timezone)
        assert found is not None
        return found

    @property
    def expression(self) -> str | None:
        """The cron expression, also of a preset; None for an interval."""
        if self.preset is not None:
            return f"{_time_fields(self.preset, self.at)} {_day_fields(self.preset, self.on)}"
        return self.cron

    def first(self) -> datetime | None:
        """The moment from which on it fires."""
        return None if self.start is None else self._moment(datetime.fromisoformat(self.start))

    def last(self) -> datetime | None:
        """The moment from which on it fires no more: behind the day that `end` names, or behind its minute."""
        if self.end is None:
            return None
        length = timedelta(days=1) if len(self.end) == len("2026-01-31") else timedelta(minutes=1)
        return self._moment(datetime.fromisoformat(self.end) + length)

    def _moment(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=self.zone).astimezone(UTC)

    def pauses_on(self, day: date) -> bool:
        """Whether nothing starts on a day of its zone."""
        if self.pause.weekends and day.weekday() >= 5:
            return True
        return self.pause.holidays is not None and day in _holidays(self.pause.holidays)


@lru_cache(maxsize=512)
def zone(name: str) -> ZoneInfo | None:
    """A time zone by its name; None for one that is not known."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return None


def _time_fields(preset: Preset, at: int | str | None) -> str:
    """Minute and hour of a preset as cron says them. Raises ValueError where `at` does not fit it."""
    if preset == "hourly":
        minute = 0 if at is None else at
        if not isinstance(minute, int) or not 0 <= minute <= 59:
            raise ValueError(f"`at: {at}` is no minute of an hour. Write a number from 0 to 59")
        return f"{minute} *"
    clock = _CLOCK.fullmatch("0:00" if at is None else str(at))
    if clock is None:
        raise ValueError(f"`at: {at}` is no time of a day. Write it as 06:30")
    return f"{int(clock[2])} {int(clock[1])}"


def _day_fields(preset: Preset, on: int | str | None) -> str:
    """Day, month and weekday of a preset as cron says them. Raises ValueError where `on` does not fit it."""
    if preset in ("hourly", "daily"):
        if on is not None:
            raise ValueError(f"A schedule that is {preset} has no `on`. Remove it, or write `preset: weekly`")
        return "* * *"
    if preset == "weekly":
        day = DAYS[0] if on is None else str(on).lower()
        if day not in DAYS:
            raise ValueError(f"`on: {on}` is no weekday. Write one of {', '.join(DAYS)}")
        return f"* * {(DAYS.index(day) + 1) % 7}"
    if on == "last":
        return "L * *"
    number = 1 if on is None else on
    if not isinstance(number, int) or not 1 <= number <= 28:
        raise ValueError(f"`on: {on}` is no day that every month has. Write a number from 1 to 28, or last")
    return f"{number} * *"


def midnight(day: date, of: ZoneInfo) -> datetime:
    """The first moment of a day in a zone."""
    return datetime.combine(day, time(), tzinfo=of).astimezone(UTC)


@lru_cache(maxsize=1)
def countries() -> dict[str, str]:
    """The countries whose holidays are known: their names by their two letters, in the order of the names."""
    named = sorted((key.replace("_", " ").title(), code) for key, (_, code, *_) in COUNTRIES.items())
    return {code: name for name, code in named if code in _countries()}


@lru_cache(maxsize=1)
def _countries() -> dict[str, list[str]]:
    return holidays.list_supported_countries()


@lru_cache(maxsize=64)
def _holidays(place: str) -> holidays.HolidayBase:
    country, _, part = place.partition("-")
    return holidays.country_holidays(country, subdiv=part or None)
