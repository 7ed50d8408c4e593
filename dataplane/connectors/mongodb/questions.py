"""What planning asks of a collection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dataplane.connectors.databases.declared import no_cursor
from dataplane.connectors.mongodb.reading import Cursor, Prepared, exact
from dataplane.connectors.windows import Mark, Window

if TYPE_CHECKING:
    from dataplane.connectors.mongodb.reading import Documents

_COUNTED = 1_001


@dataclass(frozen=True)
class Asking:
    """A collection that is about to be read. May raise the driver's errors."""

    prepared: Prepared
    documents: Documents

    @property
    def stream(self) -> str:
        return self.prepared.stream.name

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.prepared.warnings

    @property
    def cursor(self) -> str | None:
        return self.prepared.cursor.name if self.prepared.cursor else None

    def newest(self) -> str | None:
        cursor = self._by
        query = {"$and": [self.prepared.query(None), cursor.there]}
        found = self.documents.with_options(codec_options=exact()).find_one(
            query, {cursor.name: 1}, sort=[(cursor.name, -1)]
        )
        return None if found is None else cursor.written(found[cursor.name])

    def without_cursor(self) -> int:
        query = {"$and": [self.prepared.query(None), {"$nor": [self._by.there]}]}
        return self.documents.count_documents(query, limit=_COUNTED)

    def start(self, mark: Mark) -> str:
        upper, lookback = mark.upper or "", self.prepared.stream.lookback
        if not lookback:
            return upper
        begin = self._by.earlier(upper, lookback)
        return mark.seen_from if mark.seen_from is not None and self.later(mark.seen_from, begin) else begin

    def later(self, one: str, other: str) -> bool:
        return self._by.later(one, other)

    def reached(self, window: Window) -> bool:
        """Whether there is a document at the end of a window or behind it: one was there when it was planned.

        Whatever the stream's filter says of it by now: that it has come here is all that is asked.
        """
        behind = replace(window, lower=window.upper, reread_from=None, upper=None)
        everything = replace(self.prepared, filter={})
        return self.documents.count_documents(everything.query(behind), limit=1) > 0

    def counted(self, window: Window) -> int:
        return self.documents.count_documents(self.prepared.query(window))

    def counted_alone(self, window: Window) -> int:
        """The documents that belong to a window alone, without those at or before its `lower`."""
        query: dict[str, Any] = self.prepared.query(window)
        if window.kind == "cursor" and window.lower is not None:
            cursor = self._by
            query = {"$and": [query, {cursor.name: {"$gt": cursor.value(window.lower)}}]}
        return self.documents.count_documents(query)

    def estimate(self, window: Window | None) -> tuple[int | None, int | None]:
        if window is not None or self.prepared.filter or not self.prepared.ordered:
            return None, None
        return self.documents.estimated_document_count(), None

    @property
    def _by(self) -> Cursor:
        if self.prepared.cursor is None:
            raise no_cursor(self.stream)
        return self.prepared.cursor
