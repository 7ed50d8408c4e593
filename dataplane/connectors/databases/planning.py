"""What is new in a table of a server: windows by a cursor column, all of it asked of the server and its indexes."""

from __future__ import annotations

from typing import Protocol

from dataplane.connectors.databases.cursors import nothing_after
from dataplane.connectors.databases.declared import no_cursor
from dataplane.connectors.windows import Mark, Planned, ReadMode, Window


class Questions(Protocol):
    """One stream as it would be read now, and what its server answers about it."""

    @property
    def stream(self) -> str:
        """The stream's name."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be told whatever is read."""

    @property
    def cursor(self) -> str | None:
        """The column that it is read by."""

    def newest(self) -> str | None:
        """The largest cursor value, as text."""

    def without_cursor(self) -> int:
        """How many rows have no cursor value, counted up to 1,001."""

    def start(self, mark: Mark) -> str:
        """Where reading begins again: the mark less the lookback, and never before what is remembered."""

    def later(self, one: str, other: str) -> bool:
        """Whether a cursor value is larger than another."""

    def counted(self, window: Window) -> int:
        """The rows that a window reads, those before its `lower` too."""

    def estimate(self, window: Window | None) -> tuple[int | None, int | None]:
        """Rows and bytes that the server expects; None where it has no idea."""


def planned(ask: Questions, mode: ReadMode, mark: Mark) -> Planned:
    """What would be read now. Raises ConfigurationError for an incremental read without a cursor."""
    if mode == "full_refresh":
        rows, size = ask.estimate(None)
        return Planned(Window("full"), f"All of {ask.stream} is read.", rows, size, ask.warnings)
    if ask.cursor is None:
        raise no_cursor(ask.stream)
    return _by_cursor(ask, ask.cursor, mark)


def _by_cursor(ask: Questions, cursor: str, mark: Mark) -> Planned:
    upper = ask.newest()
    warnings = ask.warnings + _null_cursors(ask, cursor)
    if upper is None:
        return Planned(None, f"{ask.stream} has no row with a {cursor}.", 0, 0, warnings)
    if mark.upper is None:
        window = Window("cursor", column=cursor, upper=upper)
        rows, size = ask.estimate(window)
        return Planned(window, f"First read of {ask.stream}, up to {cursor} {upper}.", rows, size, warnings)
    window = Window("cursor", column=cursor, lower=mark.upper, upper=upper, reread_from=ask.start(mark))
    if not ask.later(upper, mark.upper):
        return _late_rows(ask, window, mark, warnings)
    rows, size = ask.estimate(window)
    reason = f"Rows of {ask.stream} with {cursor} after {mark.upper}, up to {upper}."
    return Planned(window, reason, rows, size, warnings)


def _late_rows(ask: Questions, window: Window, mark: Mark, warnings: tuple[str, ...]) -> Planned:
    """The newest cursor has not moved: rows may still have come at it, or within the lookback."""
    nothing = Planned(None, nothing_after(ask.stream, window), 0, 0, warnings)
    if mark.boundary_rows is None:
        return nothing
    again = Window(
        "cursor", column=window.column, lower=window.lower, upper=window.lower, reread_from=window.reread_from
    )
    there = ask.counted(again)
    if there <= mark.boundary_rows:
        return nothing
    late = there - mark.boundary_rows
    reason = f"{late} rows of {ask.stream} arrived late, at or before {window.column} {window.lower}."
    return Planned(again, reason, there, None, warnings)


def _null_cursors(ask: Questions, cursor: str) -> tuple[str, ...]:
    found = ask.without_cursor()
    if not found:
        return ()
    many = "more than 1,000" if found > 1000 else str(found)
    return (f"{many} rows of {ask.stream} have no {cursor} and are not read incrementally.",)
