"""What is said of every source of messages: how they are understood, and where a run ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said
from dataplane.connectors.windows import Limits

# Between these, brokers count milliseconds and nanoseconds from 1970 on.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class MessageParams(Stated):
    """What every source of messages is told beside how it is reached."""

    format: Literal["json", "raw"] = Field(
        "json",
        title="Messages are",
        description="JSON objects, whose keys become columns; or raw: one column, value.",
        json_schema_extra=said(
            "Reading", labels={"json": "JSON: its keys become columns", "raw": "anything else: one column, value"}
        ),
    )
    most_messages: int = Field(
        1_000_000,
        ge=1,
        le=1_000_000_000,
        title="Messages of a run",
        description="Then it ends; the next one goes on.",
        json_schema_extra=said("Limits"),
    )
    most_mb: int = Field(1_024, ge=1, le=1_000_000, title="Size of a run, in MB", json_schema_extra=said("Limits"))
    most_seconds: int = Field(600, ge=1, le=86_400, title="Time of a run, in seconds", json_schema_extra=said("Limits"))
    begin: Literal["oldest", "newest", "time"] = Field(
        "oldest",
        title="Begin with",
        description="What a pipeline takes that has read nothing yet: all that is there, what comes from then on, or "
        "what came from a time on.",
        json_schema_extra=said(
            "Reading",
            labels={
                "oldest": "all that is there",
                "newest": "what comes from now on",
                "time": "what came since a time",
            },
        ),
    )
    begin_at: datetime | None = Field(
        None,
        title="That time",
        description="Such as 2026-01-31T08:00:00+01:00; without its zone it is UTC.",
        examples=["2026-01-31T08:00:00+01:00"],
        json_schema_extra=said("Reading", only={"begin": ["time"]}, needed=True),
    )
    when_gone: Literal["stop", "go on"] = Field(
        "stop",
        title="If messages are gone",
        description="Before they were read: stop the run, or go on with those that are left, and tell how many went.",
        json_schema_extra=said("Reading"),
    )

    @field_validator("begin_at", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> datetime | None:
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(str(value).strip())
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise ValueError("It is no time. Write it like 2026-01-31T08:00:00+01:00.") from None
        if not _FIRST <= moment < _LAST:
            raise ValueError("Enter a time from 1970 to 2199.")
        return moment

    @model_validator(mode="after")
    def _begins(self) -> MessageParams:
        if self.begin != "time" and self.begin_at is not None:
            raise ValueError("A time to begin with is filled in. Choose to begin with `time`, or empty it.")
        return self

    @property
    def since(self) -> datetime | None:
        """From when on messages are read by who has read nothing yet; None: from one of the ends."""
        return self.begin_at if self.begin == "time" else None

    @property
    def goes_on(self) -> bool:
        return self.when_gone == "go on"

    @property
    def limits(self) -> Limits:
        return Limits(self.most_messages, self.most_mb * 1_000_000, self.most_seconds)
