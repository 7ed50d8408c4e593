"""What is said of every source of messages: how they are understood, and where a run ends."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dataplane.connectors.base import Limits


class MessageParams(BaseModel):
    """What every source of messages is told beside how it is reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["json", "raw"] = Field(
        "json",
        title="Messages are",
        description="JSON objects, whose keys become columns; or raw: one column, value.",
    )
    most_messages: int = Field(
        1_000_000, ge=1, le=1_000_000_000, title="Messages of a run", description="Then it ends; the next one goes on."
    )
    most_mb: int = Field(1_024, ge=1, le=1_000_000, title="Size of a run", description="In MB of messages.")
    most_seconds: int = Field(600, ge=1, le=86_400, title="Time of a run", description="In seconds of reading.")
    begin: Literal["oldest", "newest"] = Field(
        "oldest",
        title="Begin with",
        description="What a pipeline takes that has read nothing yet: all that is there, or what comes from then on.",
    )
    when_gone: Literal["stop", "go on"] = Field(
        "stop",
        title="If messages are gone",
        description="Before they were read: stop the run, or go on with those that are left, and tell how many went.",
    )

    @property
    def goes_on(self) -> bool:
        return self.when_gone == "go on"

    @property
    def limits(self) -> Limits:
        return Limits(self.most_messages, self.most_mb * 1_000_000, self.most_seconds)
