"""What is expected of a dataset or stream: by when it has to be loaded again. No clock is read and no row."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from apps.pipelines import timing
from apps.pipelines.schedule import Pause, Schedule, Zone, midnight
from dataplane.steps.base import Spec

_DAY = 86_400
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
Seconds = Annotated[int, Field(ge=60, le=366 * _DAY)]


class Expected(Spec):
    """When a dataset or stream has to be loaded: `by` a time of day, or never older than `max_age` seconds.

    window: only what is loaded so many seconds before `by`, or later, counts; unless given, what is loaded on that day.
    grace: after so many more seconds late becomes stale; unless given a day, or `max_age` once more.
    """

    by: str | None = None
    timezone: Zone = "UTC"
    business_days: bool = False
    holidays: str | None = None
    window: Seconds | None = None
    max_age: Seconds | None = None
    grace: Seconds | None = None

    @field_validator("by")
    @classmethod
    def _a_time(cls, given: str | None) -> str | None:
        if given is not None and not _CLOCK.fullmatch(given):
            raise ValueError(f"{given!r} is no time of a day. Write it as 09:00")
        return given

    @field_validator("holidays")
    @classmethod
    def _known_country(cls, given: str | None) -> str | None:
        return Pause(holidays=given).holidays

    @model_validator(mode="after")
    def _one_way(self) -> Expected:
        if (self.by is None) == (self.max_age is None):
            raise ValueError(
                "Say when it has to be loaded: either `by` a time of day, or at most `max_age` seconds old"
            )
        if self.by is None and (self.business_days or self.holidays or self.window is not None):
            raise ValueError("`business_days`, `holidays` and `window` belong to `by`. Remove them")
        return self

    @property
    def deadlines(self) -> Schedule:
        """The moments by which it has to be loaded, where it says `by`."""
        pause = Pause(weekends=self.business_days, holidays=self.holidays)
        return Schedule(preset="daily", at=self.by, timezone=self.timezone, pause=pause)

    def due(self, loaded: datetime) -> datetime | None:
        """When the next load is due, if the last came then; None where no deadline follows any more."""
        if self.max_age is not None:
            return loaded + timedelta(seconds=self.max_age)
        schedule = self.deadlines
        moment = timing.following(schedule, loaded)
        while moment is not None and self._begins(schedule, moment) <= loaded:
            moment = timing.following(schedule, moment)
        return moment

    def _begins(self, schedule: Schedule, deadline: datetime) -> datetime:
        if self.window is not None:
            return deadline - timedelta(seconds=self.window)
        return midnight(deadline.astimezone(schedule.zone).date(), schedule.zone)

    def late_for(self) -> timedelta:
        """How long it may be late before it is stale."""
        return timedelta(seconds=self.grace or self.max_age or _DAY)

    def says(self) -> str:
        """What is expected, in a sentence."""
        if self.max_age is not None:
            long = timing.length(self.max_age)
            return f"Never older than {long if long[0].isdigit() else f'one {long}'}"
        days = " on weekdays" if self.business_days else " every day"
        days += f", but not on holidays of {self.holidays}" if self.holidays else ""
        return f"By {self.by}{days} ({self.timezone})"
