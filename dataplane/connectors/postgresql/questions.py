"""What planning asks of PostgreSQL about one stream (see `databases.planning`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dataplane.connectors.databases.questions import Asked
from dataplane.connectors.postgresql import reading
from dataplane.connectors.postgresql.catalog import Connection
from dataplane.connectors.postgresql.reading import Cursor, Prepared
from dataplane.connectors.postgresql.types import quoted
from dataplane.connectors.windows import Mark, Window

# Tables and materialised views; others are counted by those below them.
_HAS_STATISTICS = frozenset("rm")


@dataclass(frozen=True)
class Asking(Asked[Cursor]):
    """Questions on one connection."""

    prepared: Prepared
    connection: Connection

    def newest(self) -> str | None:
        found = self._one(reading.newest(self.prepared, self._cursor))
        return None if found is None else str(found)

    def without_cursor(self) -> int:
        if not self._cursor.column.nullable:
            return 0
        inner = f"SELECT 1 FROM {self._kept()} AND {quoted(self._cursor.name)} IS NULL LIMIT 1001"
        return int(self._one(f"SELECT count(*) FROM ({inner}) s") or 0)

    def start(self, mark: Mark) -> str:
        return str(self._one(reading.lookback(self._cursor, mark, self.prepared.stream.lookback)))

    def estimate(self, window: Window | None) -> tuple[int | None, int | None]:
        """What PostgreSQL's planner expects; it knows of nothing but its statistics, and of a table without them it
        only guesses."""
        found = self._one(f"EXPLAIN (FORMAT JSON) {self.prepared.select(window)}")
        relation = self.prepared.relation
        if relation.kind in _HAS_STATISTICS and relation.rows is None:
            return None, None
        explained = found if isinstance(found, list) else json.loads(found)
        node = explained[0]["Plan"]
        return int(node["Plan Rows"]), int(node["Plan Rows"]) * int(node["Plan Width"])

    def _one(self, sql: str) -> Any:
        row = self.connection.execute(sql).fetchone()
        return None if row is None else row[0]
