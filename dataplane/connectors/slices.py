"""Slices of time: the part of a stream that a backfill reads at once.

A file belongs to the slice in which its date lies, a row to the one in which its cursor lies. Slices that follow each
other share no file and no row, and leave none out between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dataplane.connectors.base import Connector
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import FileRef, Mark, Planned, Window

_TIMES = ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE")


@dataclass(frozen=True)
class Slice:
    """Everything from `lower` on and before `upper`, both in UTC. Dates without a time begin at midnight of `zone`."""

    lower: datetime
    upper: datetime
    zone: str

    def holds(self, file: FileRef) -> bool:
        """Whether the date in a file's name lies in it; a file without one lies in no slice."""
        return file.file_date is not None and self.lower <= self._moment(file.file_date) < self.upper

    def bounds(self, type_: str) -> tuple[str, str]:
        """Both ends as values of a cursor's type. A time without a zone is one of UTC; a day begins in `zone`."""
        return self._value(self.lower, type_), self._value(self.upper, type_)

    def _moment(self, local: str) -> datetime:
        """A date or a time on the clocks of the zone; where it comes twice, the first."""
        return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def _value(self, moment: datetime, type_: str) -> str:
        if type_ == "DATE":
            return self._first_day(moment).isoformat()
        text = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        return f"{text}+00" if type_ == "TIMESTAMP WITH TIME ZONE" else text

    def _first_day(self, moment: datetime) -> date:
        """The first day that does not begin before a moment."""
        day = moment.astimezone(ZoneInfo(self.zone)).date()
        begins = datetime.combine(day, time(), tzinfo=ZoneInfo(self.zone))
        return day if begins.astimezone(UTC) >= moment else day + timedelta(days=1)


def cannot(connector: Connector, stream: StreamConfig) -> str | None:
    """Why a stream has no slices of time, with the remedy; None where it has."""
    if connector.family == "file":
        patterns = stream.settings.get("pattern") or ()
        if any("{YYYY}" in each for each in ([patterns] if isinstance(patterns, str) else patterns)):
            return None
        return f"The files of {stream.name} have no date. Write {{YYYY}}, {{MM}} and {{DD}} into its pattern."
    if connector.family == "stream":
        return f"Messages of {stream.name} are read as they come, so they have no slices of time. Read them with a run."
    if _type_of(stream) is not None:
        return None
    if not stream.cursor:
        return f"{stream.name} has no cursor. Choose a column with a time or a date as its cursor."
    return (
        f"The cursor {stream.cursor} of {stream.name} is no time. Choose a column with a time or a date as its cursor."
    )


def window(stream: StreamConfig, part: Slice) -> Window:
    """The rows of a slice, by the cursor of a stream that has slices."""
    lower, upper = part.bounds(_type_of(stream) or "TIMESTAMP")
    return Window("slice", column=stream.cursor, lower=lower, upper=upper)


def plan(connector: Connector, stream: StreamConfig, part: Slice, mark: Mark) -> Planned:
    """What a slice would read now: its files that `mark` does not have, or its rows. Raises ManifoldError."""
    if connector.family == "file":
        return cut(connector.plan(stream, "incremental", mark), part)
    wanted = window(stream, part)
    said = f"{wanted.column} from {wanted.lower} on, before {wanted.upper}"
    rows = 0 if wanted.lower == wanted.upper else connector.count(stream, wanted)
    if rows == 0:
        return Planned(None, f"{stream.name} has no row with {said}.", 0)
    return Planned(wanted, f"Rows of {stream.name} with {said}.", rows)


def cut(planned: Planned, part: Slice) -> Planned:
    """Of the new files those of a slice."""
    found = planned.window.files if planned.window else ()
    chosen = tuple(each for each in found if part.holds(each))
    return _of(planned, chosen, f"{len(chosen)} new files lie in the slice." if chosen else "No new file lies in it.")


def without(planned: Planned, reserved: Sequence[Slice]) -> Planned:
    """What is left when the files of some slices are not to be read."""
    if planned.window is None or planned.window.kind != "files":
        return planned
    files = planned.window.files
    left = tuple(each for each in files if not any(part.holds(each) for part in reserved))
    if len(left) == len(files):
        return planned
    waiting = f"{len(files) - len(left)} new files are left for a backfill."
    return _of(planned, left, f"{len(left)} others are new; {waiting}" if left else waiting)


def only(planned: Planned, wanted: Callable[[FileRef], bool]) -> Planned:
    """Of the new files those that are wanted."""
    found = planned.window.files if planned.window else ()
    chosen = tuple(each for each in found if wanted(each))
    if not chosen:
        return _of(planned, (), "None of the files that were picked waits to be read.")
    return _of(planned, chosen, f"{len(chosen)} of {len(found)} files to read were picked.")


def _of(planned: Planned, files: tuple[FileRef, ...], reason: str) -> Planned:
    """A plan with fewer of its files; how many rows they hold is taken from their share of the bytes."""
    size = sum(each.size for each in files)
    known = planned.rows is not None and planned.bytes
    rows = round((planned.rows or 0) * size / (planned.bytes or 1)) if known else None
    return replace(
        planned, window=Window("files", files=files) if files else None, reason=reason, rows=rows, bytes=size
    )


def _type_of(stream: StreamConfig) -> str | None:
    """The type of the stream's cursor if it is one of time."""
    found = next((each.type for each in stream.columns if each.name == stream.cursor), None)
    return found if found in _TIMES or found == "DATE" else None
