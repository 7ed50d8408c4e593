"""Where events wait that others have sent; whoever runs the data plane keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Received:
    """An event: its position from 1 on, the sender's id of it, when it came, and its body as it was sent."""

    position: int
    message_id: str
    at: datetime
    body: bytes


@dataclass(frozen=True)
class Standing:
    """What an inbox holds: the position before its oldest event, that of the newest it was ever given."""

    before: int
    newest: int


class Inbox(Protocol):
    """Events of one source. `standing` is how it was when the connector was made; the methods look again."""

    @property
    def standing(self) -> Standing: ...

    def look(self) -> Standing: ...

    def since(self, at: datetime) -> int:
        """The position before the first event that came at a moment or later."""

    def events(self, lower: int, upper: int, most: int) -> Sequence[Received]:
        """The oldest of the events in (lower, upper], `most` of them; fewer where they are large, but at least one."""
