"""What planning asks of the server about one stream (see `databases.planning`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import ER
from pymysql.cursors import DictCursor

from dataplane.connectors.base import Mark, Window
from dataplane.connectors.mysql import session
from dataplane.connectors.mysql.reading import Cursor, Prepared
from dataplane.connectors.mysql.types import quoted

_TIMES = frozenset({"date", "datetime", "timestamp"})


@dataclass(frozen=True)
class Asking:
    """Questions on one connection. Each may raise pymysql's errors."""

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
        """An index on the cursor answers it at once. A date of zeros is none: it comes before every other."""
        cursor, filtered = self._cursor, self.prepared.where(None) or " WHERE true"
        dated = f" AND {cursor.sql} > 0" if cursor.column.base in _TIMES else ""
        found = self._one(
            f"SELECT {cursor.shown} FROM {self.prepared.origin}{filtered} AND {cursor.sql} IS NOT NULL{dated} "
            f"ORDER BY {cursor.sql} DESC LIMIT 1"
        )
        return None if found is None else str(found)

    def without_cursor(self) -> int:
        if not self._cursor.column.nullable:
            return 0
        filtered = self.prepared.where(None) or " WHERE true"
        inner = f"SELECT 1 FROM {self.prepared.origin}{filtered} AND {quoted(self._cursor.name)} IS NULL LIMIT 1001"
        return int(self._one(f"SELECT count(*) FROM ({inner}) AS s") or 0)

    def start(self, mark: Mark) -> str:
        amount, upper = self.prepared.stream.lookback, mark.upper or ""
        if not amount:
            return upper
        earlier = self._cursor.earlier(upper, amount)
        if mark.seen_from is not None:
            earlier = f"greatest({earlier}, {self._cursor.value(mark.seen_from)})"
        return str(self._one(f"SELECT CAST({earlier} AS CHAR)"))

    def later(self, one: str, other: str) -> bool:
        return bool(self._one(f"SELECT {self._cursor.value(one)} > {self._cursor.value(other)}"))

    def counted(self, window: Window) -> int:
        return self._counted(window)

    def counted_alone(self, window: Window) -> int:
        """The rows that belong to a window alone, without those before its `lower`."""
        if window.kind != "cursor" or window.lower is None:
            return self._counted(window)
        return self._counted(window, f" AND {self._cursor.sql} > {self._cursor.value(window.lower)}")

    def estimate(self, window: Window | None) -> tuple[int | None, int | None]:
        """What the server's planner expects of a table; of a query it says too little."""
        if self.prepared.stream.query:
            return None, None
        with self.connection.cursor(DictCursor) as cursor:
            try:
                cursor.execute(f"EXPLAIN {self.prepared.select(window)}")
            except pymysql.err.MySQLError as error:
                if error.args[0] != ER.VIEW_NO_EXPLAIN:
                    raise
                return None, None
            rows = (cursor.fetchone() or {}).get("rows")
        return (None if rows is None else int(rows)), None

    @property
    def _cursor(self) -> Cursor:
        assert self.prepared.cursor is not None
        return self.prepared.cursor

    def _counted(self, window: Window, tail: str = "") -> int:
        return int(self._one(f"SELECT count(*) FROM {self.prepared.origin}{self.prepared.where(window)}{tail}") or 0)

    def _one(self, sql: str) -> Any:
        return session.one(self.connection, sql)
