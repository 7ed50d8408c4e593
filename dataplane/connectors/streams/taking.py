"""How far a read of messages has come, where it ends, and what its window was in the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dataplane.connectors.streams.extents import SEED, Extent, Written
from dataplane.connectors.streams.messages import Batch
from dataplane.connectors.windows import Span, Window
from dataplane.errors import DataError

_ALL = 1 << 62


@dataclass
class Taking:
    """The spans of a window, and what was taken of them. whole_read: nothing is left of any span."""

    window: Window
    written: Written
    last: dict[str, int] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    whole_read: bool = False

    @classmethod
    def whole(cls, extents: Iterable[Extent], written: Written) -> Taking:
        """Everything that is there now."""
        spans = tuple(
            Span(each.partition, written.text(each.before), written.text(each.newest), each.given_before, each.given)
            for each in extents
            if each.newest > each.before
        )
        return cls(Window("offsets", spans=spans), written)

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        number = self.written.number
        return {each.partition: (number(each.lower), number(each.upper)) for each in self.window.spans}

    @property
    def most(self) -> int:
        """So many messages are taken at most."""
        return self.window.limits.messages if self.window.limits else _ALL

    @property
    def messages(self) -> int:
        return sum(self.counted.values())

    def took(self, batch: Batch) -> None:
        """A batch has been read to its end."""
        self.last |= batch.last
        for partition, count in batch.counts.items():
            self.counted[partition] = self.counted.get(partition, 0) + count
        self.bytes += batch.bytes

    def full(self, seconds: float) -> bool:
        """Whether a limit is reached."""
        limits = self.window.limits
        if limits is None:
            return False
        return self.messages >= limits.messages or self.bytes >= limits.bytes or seconds >= limits.seconds

    def settled(self) -> Window:
        """The window as it was read: without limits, its spans as far as they were taken."""
        if self.window.limits is None:
            return replace(self.window, messages=self.window.messages or self.messages)
        if self.whole_read:
            return replace(self.window, limits=None, messages=self.messages)
        cut = {each: self._cut(each) for each in self.window.spans}
        behind = sum(self._behind(before, after) for before, after in cut.items())
        return replace(self.window, limits=None, spans=tuple(cut.values()), messages=self.messages, behind=behind)

    def differs(self, stream: str, *, go_on: bool) -> list[str]:
        """A warning where a window that was read before has another number of messages now.

        Raises DataError for it, unless one may `go_on`.
        """
        before = self.window.messages
        if self.window.limits is not None or before is None or before == self.messages:
            return []
        said = f"{before:,} messages of {stream} were read at first, and {self.messages:,} are there now."
        if go_on:
            return [f"{said} The others are left out."]
        raise DataError(
            f"{said} Read everything that is there with mode seed, or let the source go on without them (when_gone).",
            code="messages_gone",
            evidence={"stream": stream, "messages_before": before, "messages_now": self.messages},
            suggestions=[SEED],
        )

    def _cut(self, span: Span) -> Span:
        """A span as far as it was taken."""
        upper = self.last.get(span.partition)
        count = None if span.count_lower is None else span.count_lower + self.counted.get(span.partition, 0)
        if upper is None:
            return replace(span, upper=span.lower, count_upper=count)
        whole = self.written.text(upper) == span.upper
        return replace(span, upper=self.written.text(upper), count_upper=span.count_upper if whole else count)

    def _behind(self, span: Span, cut: Span) -> int:
        if span.count_upper is not None and cut.count_upper is not None:
            return span.count_upper - cut.count_upper
        return self.written.number(span.upper) - self.written.number(cut.upper)
