"""What planning asks of PostgreSQL about one stream (see `databases.planning`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dataplane.connectors.base import Mark, Window
from dataplane.connectors.postgresql import reading
from dataplane.connectors.postgresql.catalog import Connection
from dataplane.connectors.postgresql.reading import Cursor, Prepared


@dataclass(frozen=True)
class Asking:
    """Questions on one connection. Each may raise psycopg.Error."""

    connection: Connection
    prepared: Prepared

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
        found = self._one(reading.newest(self.prepared, self._cursor))
        return None if found is None else str(found)

    def without_cursor(self) -> int:
        if not self._cursor.column.nullable:
            return 0
        return int(self._one(reading.nulls(self.prepared, self._cursor)) or 0)

    def start(self, mark: Mark) -> str:
        return str(self._one(reading.lookback(self._cursor, mark, self.prepared.stream.lookback)))

    def later(self, one: str, other: str) -> bool:
        return bool(self._one(f"SELECT {self._cursor.value(one)} > {self._cursor.value(other)}"))

    def counted(self, window: Window) -> int:
        return int(self._one(reading.counted(self.prepared, window)) or 0)

    def counted_alone(self, window: Window) -> int:
        """The rows that belong to a window alone, without those before its `lower`."""
        return int(self._one(reading.counted(self.prepared, window, alone=True)) or 0)

    def estimate(self, window: Window | None) -> tuple[int | None, int | None]:
        """What PostgreSQL's planner expects; it knows of nothing but its statistics."""
        found = self._one(f"EXPLAIN (FORMAT JSON) {self.prepared.select(window)}")
        explained = found if isinstance(found, list) else json.loads(found)
        node = explained[0]["Plan"]
        return int(node["Plan Rows"]), int(node["Plan Rows"]) * int(node["Plan Width"])

    @property
    def _cursor(self) -> Cursor:
        assert self.prepared.cursor is not None
        return self.prepared.cursor

    def _one(self, sql: str) -> Any:
        row = self.connection.execute(sql).fetchone()
        return None if row is None else row[0]
