"""Sessions of ADBC drivers, which are shared libraries of their own and hand over Arrow."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from dataplane.connectors.databases.drivers import driver
from dataplane.connectors.warehouses import faults
from dataplane.connectors.warehouses.params import WarehouseParams
from dataplane.connectors.warehouses.session import Session
from dataplane.connectors.warehouses.types import Native
from dataplane.errors import ManifoldError

_STATUS = {
    "UNAUTHENTICATED": "authentication",
    "UNAUTHORIZED": "missing_grant",
    "NOT_FOUND": "table_missing",
    "TIMEOUT": "statement_timeout",
    "CANCELLED": "statement_timeout",
    "IO": "connection_lost",
}


class AdbcSession(Session):
    """A session of one driver's. states: what an SQLSTATE, or the beginning of one, means to it."""

    module: str
    extra: str
    product: str
    states: Mapping[str, str]

    def __init__(self, params: WarehouseParams) -> None:
        """Raises ManifoldError, for a driver that is not installed too."""
        self._params = params
        self._driver = driver(f"{self.module}.dbapi", self.extra, self.product)
        self._connection: Any = None
        with self.opening():
            whom = (params.host, params.port, params.database, params.user)
            self._connection = self.signed_in(self.connected, self.extra, *whom)

    @abstractmethod
    def connected(self) -> Any:
        """A connection of the driver's, ready to be asked; kept before it is set up, lest a failure leaves it open."""

    @abstractmethod
    def native(self, field: pa.Field) -> str:
        """The type of a column of a query, in the server's words, by what the driver hands over."""

    def rows(self, sql: str) -> pa.RecordBatchReader:
        cursor = self._connection.cursor()
        cursor.execute(sql)
        return cursor.fetch_record_batch()

    def columns(self, query: str, what: str) -> list[Native]:
        with self.told(what):
            schema = self.rows(f"SELECT * FROM (\n{query}\n) AS stream WHERE 1 = 0").schema
        return [Native(each.name, self.native(each)) for each in schema]

    def explained(self, error: Exception, what: str) -> ManifoldError | None:
        status = getattr(error, "status_code", None)
        if status is None:
            return None
        state = getattr(error, "sqlstate", None) or ""
        known = next((self.states[state[:size]] for size in (5, 2) if state[:size] in self.states), None)
        code = known or _STATUS.get(status.name, "statement_refused")
        return faults.refused(code, self.said(error), what, self._params.about)

    def said(self, error: Exception) -> str:
        """What the server said, without what the driver has put around it."""
        return str(error)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
