"""What planning asks of the server about one stream (see `databases.planning`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import ER
from pymysql.cursors import DictCursor

from dataplane.connectors.databases.questions import Asked
from dataplane.connectors.mysql import session
from dataplane.connectors.mysql.reading import Cursor, Prepared
from dataplane.connectors.mysql.types import quoted
from dataplane.connectors.windows import Mark, Window

_TIMES = frozenset({"date", "datetime", "timestamp"})


@dataclass(frozen=True)
class Asking(Asked[Cursor]):
    """Questions on one connection."""

    prepared: Prepared
    connection: Connection

    def newest(self) -> str | None:
        """An index on the cursor answers it at once. A date of zeros is none: it comes before every other."""
        cursor = self._cursor
        dated = f" AND {cursor.sql} > 0" if cursor.column.base in _TIMES else ""
        found = self._one(
            f"SELECT {cursor.shown} FROM {self._kept()} AND {cursor.sql} IS NOT NULL{dated} "
            f"ORDER BY {cursor.sql} DESC LIMIT 1"
        )
        return None if found is None else str(found)

    def without_cursor(self) -> int:
        if not self._cursor.column.nullable:
            return 0
        inner = f"SELECT 1 FROM {self._kept()} AND {quoted(self._cursor.name)} IS NULL LIMIT 1001"
        return int(self._one(f"SELECT count(*) FROM ({inner}) AS s") or 0)

    def start(self, mark: Mark) -> str:
        amount, upper = self.prepared.stream.lookback, mark.upper or ""
        if not amount:
            return upper
        earlier = self._cursor.earlier(upper, amount)
        if mark.seen_from is not None:
            earlier = f"greatest({earlier}, {self._cursor.value(mark.seen_from)})"
        return str(self._one(f"SELECT CAST({earlier} AS CHAR)"))

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

    def _one(self, sql: str) -> Any:
        return session.one(self.connection, sql)
