"""What planning asks of a server about one stream (see `databases.planning`); values are compared by DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataplane.connectors.databases import cursors
from dataplane.connectors.databases.questions import Asked
from dataplane.connectors.warehouses.reading import Cursor, Prepared
from dataplane.connectors.warehouses.session import Session
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance
from dataplane.failures import duckdb_errors

_MEMORY = 64 << 20


@dataclass(frozen=True)
class Asking(Asked[Cursor]):
    """Questions on one session."""

    prepared: Prepared
    session: Session

    def newest(self) -> str | None:
        """The largest value as DuckDB writes it, in the type in which the cursor arrives."""
        arrival = self._cursor.arrival
        value = self._one(self._last() if self._cursor.bytewise else self._largest())
        if value is None:
            return None
        if arrival.type == "VARCHAR":
            return str(value)
        return str(self._here(f"SELECT CAST({arrival.local('$1')} AS VARCHAR)", value))

    def _largest(self) -> str:
        arrival, column = self._cursor.arrival, self._cursor.sql
        # Of no rows at all the largest value is 0 to ClickHouse, and not NULL.
        return (
            f"SELECT {arrival.server(f'max({column})')} FROM {self.prepared.origin}{self.prepared.where(None)} "
            f"HAVING count({column}) > 0"
        )

    def _last(self) -> str:
        """The same where the value is not what is compared."""
        dialect, cursor = self.prepared.dialect, self._cursor
        column, filtered = dialect.quoted(cursor.name), self.prepared.where(None) or " WHERE 1 = 1"
        rest = f"FROM {self.prepared.origin}{filtered} AND {column} IS NOT NULL ORDER BY {cursor.sql} DESC"
        return dialect.limited(cursor.arrival.server(column), rest, 1)

    def without_cursor(self) -> int:
        if not self._cursor.column.nullable:
            return 0
        filtered = self.prepared.where(None) or " WHERE 1 = 1"
        column = self.prepared.dialect.quoted(self._cursor.name)
        found = self._one(f"SELECT count(*) FROM {self.prepared.origin}{filtered} AND {column} IS NULL")
        return min(1001, int(found or 0))

    def start(self, mark: Mark) -> str:
        with connector_instance(memory=_MEMORY, threads=1) as duck:
            return cursors.start(duck, self._cursor.here, mark, self.prepared.stream.lookback)

    def later(self, one: str, other: str) -> bool:
        here = self._cursor.here
        return bool(self._here(f"SELECT {here.value(one)} > {here.value(other)}"))

    def estimate(self, window: Window | None) -> tuple[int | None, int | None]:
        """Servers of this kind are paid by what they look at, so nobody asks them twice."""
        return None, None

    def _here(self, sql: str, *given: Any) -> Any:
        with connector_instance(memory=_MEMORY, threads=1) as duck, duckdb_errors():
            row = duck.execute(sql, list(given) or None).fetchone()
        return row[0] if row else None

    def _one(self, sql: str) -> Any:
        return self.session.one(sql, self.stream)
