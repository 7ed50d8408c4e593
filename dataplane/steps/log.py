"""What an execution says of itself: lines that are kept with the run and shown while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Level = Literal["info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("info", "warning", "error")
# More would tell nobody anything, and a step that says something of each row must not fill the database.
MOST = 500


@dataclass(frozen=True)
class Line:
    """One line. `fields` are its figures and names, for programs."""

    text: str
    level: Level = "info"
    fields: dict[str, Any] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Log:
    """The lines of one execution, in their order; lines are only ever added, so another thread may read them."""

    lines: list[Line] = field(default_factory=list)

    def say(self, text: str, level: Level = "info", **fields: Any) -> None:
        """Add a line. After the most that are kept one says that the rest is left out."""
        if len(self.lines) < MOST:
            self.lines.append(Line(text, level, fields))
        elif len(self.lines) == MOST:
            self.lines.append(Line(f"It had more to say than {MOST} lines; the rest is left out.", "warning"))
