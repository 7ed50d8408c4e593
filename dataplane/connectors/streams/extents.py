"""Which messages a partition holds, which are new, and which are gone. Offsets are plain integers here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dataplane.connectors.windows import Limits, Planned, Span, Window
from dataplane.errors import DataError, Suggestion

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
SEED = Suggestion("seed", "Read everything again", "Replaces the datasets with what the stream holds now.", True)


@dataclass(frozen=True)
class Extent:
    """What a partition holds now: the offset before its oldest message, and that of the newest it was ever given.

    given, kept: how many messages it was ever given and how many of them are there, where offsets have gaps of their
    own, so that a difference of two of them counts nothing. at_least: there may be more than `kept`. made: what its
    source calls this stream and no other of its name, before it or after it: when it was made, or an id.
    """

    partition: str
    before: int
    newest: int
    given: int | None = None
    kept: int | None = None
    at_least: bool = False
    made: str = ""

    @property
    def given_before(self) -> int | None:
        """How many messages it was given before its oldest one."""
        return None if self.given is None or self.kept is None else self.given - self.kept

    def restarted(self, lower: int, count: int | None, made: str) -> bool:
        """Whether it is another one of the same name: it was made anew, or given less than was read."""
        if made and self.made and made != self.made:
            return True
        return self.newest < lower or (self.given is not None and count is not None and self.given < count)

    def missing(self, lower: int, count: int | None) -> int:
        """How many messages behind an offset are no longer there; `count` were given up to it."""
        if self.before <= lower:
            return 0
        if self.given_before is None or count is None:
            return self.before - lower
        return max(0, self.given_before - count)

    def waiting(self, lower: int, count: int | None) -> int:
        """How many messages behind an offset are there."""
        if self.kept is not None and self.before >= lower:
            return self.kept
        if self.given is not None and count is not None:
            return max(0, self.given - count)
        return max(0, self.newest - max(lower, self.before))

    def behind(self, lower: int, kept: int | None = None, *, at_least: bool = False) -> Extent:
        """The same as if nothing up to an offset were there; `kept` messages are behind it, where that is counted."""
        return replace(self, before=max(self.before, min(lower, self.newest)), kept=kept, at_least=at_least)


def milliseconds(at: datetime) -> int:
    """The first whole millisecond since 1970 that is not before a moment."""
    return -((_FIRST - at) // timedelta(milliseconds=1))


@dataclass(frozen=True)
class Written:
    """How a source writes its offsets, and back."""

    text: Callable[[int], str] = str
    number: Callable[[str], int] = int


@dataclass(frozen=True)
class Gap:
    """Messages of a partition that are gone: how many, and the offset from which on messages are there again."""

    partition: str
    messages: int
    restarted: bool
    before: int


def gap_of(extent: Extent, lower: int, count: int | None, made: str) -> Gap | None:
    """What is gone behind an offset, if anything; `made`: when the stream had come to be in which it is one."""
    if extent.restarted(lower, count, made):
        return Gap(extent.partition, 0, True, extent.before)
    missing = extent.missing(lower, count)
    return Gap(extent.partition, missing, False, extent.before) if missing else None


def planned(
    stream: str,
    extents: Sequence[Extent],
    marks: Iterable[Span],
    written: Written,
    limits: Limits,
    *,
    go_on: bool,
    newest: bool = False,
    since: datetime | None = None,
) -> Planned:
    """What is new since the marks. Raises DataError for messages that are gone, unless one may `go_on` without.

    newest: where nothing was read before, it begins behind what is there, with a window that has no message. since:
    the extents are those from this moment on.
    """
    read = {each.partition: each for each in marks}
    if newest and not read:
        return _behind_all(stream, extents, written, limits)
    # A partition with nothing new has its span, too: the newest window alone says how far all of them are read.
    ahead = [_ahead(extent, read.get(extent.partition), written) for extent in extents]
    spans = [span for span, _, _ in ahead]
    gaps = [gap for _, gap, _ in ahead if gap is not None]
    waiting = [many for _, _, many in ahead if many is not None]
    # A partition that its broker does not name now goes on where it was when it is named again.
    left = (mark for partition, mark in read.items() if partition not in {each.partition for each in extents})
    spans += [replace(each, lower=each.upper, count_lower=each.count_upper, begins=False) for each in left]
    warnings = said(stream, gaps, written, go_on=go_on)
    window = Window("offsets", spans=tuple(spans), limits=limits, gone=sum(each.messages for each in gaps))
    if not waiting:
        which = f"message from {since.isoformat()} on yet" if since else "new message"
        return Planned(None, f"{stream} has no {which}.", 0, 0, warnings, empty=window)
    first = f"First read, from {since.isoformat()} on: " if since else "" if read else "First read: "
    rows = sum(waiting)
    many = f"1 message of {stream} waits" if rows == 1 else f"{rows:,} messages of {stream} wait"
    many = f"at least {many}" if any(each.at_least for each in extents) else many
    ends = f", of which a run reads {limits.messages:,} at most" if rows > limits.messages else ""
    reason = f"{first}{many}{ends}."
    return Planned(window, reason, min(rows, limits.messages), None, warnings)


def _ahead(extent: Extent, mark: Span | None, written: Written) -> tuple[Span, Gap | None, int | None]:
    """A partition's next span, what is gone there, and how many messages wait; None where none is new."""
    lower = written.number(mark.upper) if mark else extent.before
    count = mark.count_upper if mark else extent.given_before
    gap = gap_of(extent, lower, count, mark.made) if mark else None
    if gap is not None:
        lower, count = extent.before, extent.given_before
    begins = mark is None or gap is not None
    upper = written.text(extent.newest)
    # A source that does not say it now is held to what it said before.
    made = extent.made or (mark.made if mark is not None and gap is None else "")
    span = Span(extent.partition, written.text(lower), upper, count, extent.given, begins, made)
    return span, gap, extent.waiting(lower, count) if extent.newest > lower else None


def _behind_all(stream: str, extents: Sequence[Extent], written: Written, limits: Limits) -> Planned:
    """The window that remembers where later ones begin."""
    ends = [(each, written.text(each.newest)) for each in extents]
    spans = tuple(Span(each.partition, end, end, each.given, each.given, made=each.made) for each, end in ends)
    there = sum(each.waiting(each.before, each.given_before) for each in extents)
    reason = f"First read: it begins with the newest, so {there:,} messages of {stream} are left out."
    return Planned(Window("offsets", spans=spans, limits=limits), reason, 0)


def moved(span: Span, extent: Extent, written: Written) -> Span:
    """A span that begins with the oldest message that is there, and ends no later than it would have."""
    upper, count = written.number(span.upper), span.count_upper
    if extent.newest < upper:
        upper, count = extent.newest, extent.given
    lower = written.text(min(extent.before, upper))
    before, made = extent.given_before, extent.made
    return replace(span, lower=lower, upper=written.text(upper), count_lower=before, count_upper=count, made=made)


def said(stream: str, gaps: Sequence[Gap], written: Written, *, go_on: bool) -> tuple[str, ...]:
    """A warning for each gap. Raises DataError for the first, unless one may `go_on`."""
    if gaps and not go_on:
        raise _gone(stream, gaps[0], written)
    return tuple(f"{_told(stream, each, written)} They are left out." for each in gaps)


def _told(stream: str, gap: Gap, written: Written) -> str:
    where = f"{stream}, partition {gap.partition}," if gap.partition else stream
    if gap.restarted:
        return f"{where} was made anew since it was read, so its messages are others."
    first = written.text(gap.before + 1)
    return f"{gap.messages:,} messages of {where} are gone before they were read; those from {first} on are there."


def _gone(stream: str, gap: Gap, written: Written) -> DataError:
    return DataError(
        f"{_told(stream, gap, written)} Read everything that is there with mode seed, or let the source go on without "
        "them (when_gone), and have the broker keep messages for longer.",
        code="stream_restarted" if gap.restarted else "messages_gone",
        evidence={
            "stream": stream,
            "partition": gap.partition,
            "messages": gap.messages,
            "there_from": written.text(gap.before + 1),
        },
        suggestions=[SEED],
    )
