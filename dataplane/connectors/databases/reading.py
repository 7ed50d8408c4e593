"""A stream of a server as it is read now: from where, and under which condition, in the server's SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from dataplane.connectors.databases.cursors import Ordered, bounds
from dataplane.connectors.databases.declared import bare, cursor_changed
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Window

Cursor = TypeVar("Cursor", bound=Ordered)


@dataclass(frozen=True, kw_only=True)
class Prepared(ABC, Generic[Cursor]):
    """A stream as it will be read now: where from, which columns in which order, under which condition."""

    stream: StreamConfig
    columns: tuple[Column, ...]
    cursor: Cursor | None
    warnings: tuple[str, ...] = ()

    @property
    @abstractmethod
    def table(self) -> str:
        """The table or view, as SQL."""

    @property
    def origin(self) -> str:
        """What follows FROM: the table, or the operator's query in brackets."""
        if self.stream.query:
            # The line break ends a comment in the query's last line.
            return f"(\n{bare(self.stream.query)}\n) AS stream"
        return self.table

    def where(self, window: Window | None) -> str:
        conditions = [f"(\n{self.stream.row_filter}\n)"] if self.stream.row_filter else []
        if window is not None and window.by_cursor:
            conditions.append(bounds(self._cursor_of(window), window))
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def _cursor_of(self, window: Window) -> Cursor:
        if self.cursor is None or self.cursor.name != window.column:
            raise cursor_changed(self.stream, window)
        return self.cursor
