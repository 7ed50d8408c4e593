"""The connector to servers that speak SQL through a driver for Arrow: it tests, discovers, plans and reads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, TypeVar

import duckdb
import pyarrow as pa

from dataplane.connectors import recognising
from dataplane.connectors.base import Capabilities, Finding
from dataplane.connectors.databases.server import ASK_SECONDS, PREVIEW_MEMORY, READ_SECONDS, DatabaseServer
from dataplane.connectors.databases.stages import reachable
from dataplane.connectors.reading import Reading
from dataplane.connectors.schema import StreamConfig, StreamInfo
from dataplane.connectors.warehouses import catalog, reading
from dataplane.connectors.warehouses.dialect import Dialect
from dataplane.connectors.warehouses.params import WarehouseParams
from dataplane.connectors.warehouses.questions import Asking
from dataplane.connectors.warehouses.reading import Prepared
from dataplane.connectors.warehouses.session import Flow, Session
from dataplane.connectors.windows import Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, ManifoldError

_GIVEN = "given_by_the_server"

Answer = TypeVar("Answer")


class Warehouse(DatabaseServer[Session, Prepared]):
    """Base of one connector for many products. A subclass has a dialect, and opens a session of its driver's."""

    capabilities = Capabilities(full=True, incremental=True, query=True, schema_inference=True, resumable=True)
    dialect: ClassVar[Dialect]
    params: WarehouseParams
    unsure = recognising.POSSIBLE

    @abstractmethod
    def opened(self, address: str, seconds: float) -> Session:
        """A session at this address, no statement of which lasts longer than `seconds`. Raises ManifoldError."""

    @abstractmethod
    def version(self, session: Session) -> str:
        """What the server says it is."""

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        """A window is one SELECT, whose rows are fetched while they are written.

        So it sees one moment of the source where the server lets a statement do so. SQL Server does with
        READ_COMMITTED_SNAPSHOT on, Trino where the system behind its catalogue does.
        """
        with self._connected(READ_SECONDS) as session:
            prepared = self._prepared(session, stream)
            with self._flowing(session, prepared, prepared.select(window), connection) as query:
                yield Reading(query, prepared.columns, warnings=list(prepared.warnings))

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        with self._connected(ASK_SECONDS) as session, connector_instance(memory=PREVIEW_MEMORY, threads=1) as duck:
            prepared = self._prepared(session, stream)
            with self._flowing(session, prepared, prepared.select(None, limit), duck) as query:
                return duck.execute(query).to_arrow_table()

    @contextmanager
    def _flowing(
        self, session: Session, prepared: Prepared, sql: str, duck: duckdb.DuckDBPyConnection
    ) -> Iterator[str]:
        """DuckDB's SELECT over the rows of a statement, which can run once."""
        flow = Flow(session, sql, prepared.stream.name)
        duck.register(_GIVEN, flow.reader)
        try:
            with self._explained(prepared.stream):
                yield prepared.queried(_GIVEN, flow.reader.schema.names)
        except (duckdb.Error, ManifoldError) as error:
            if flow.failure is None:
                raise
            raise flow.failure from error
        finally:
            duck.unregister(_GIVEN)

    def _sign_in(self, address: str) -> Session:
        return self.opened(address, ASK_SECONDS)

    def _introduced(self, connection: Session) -> str:
        return self.version(connection)

    @contextmanager
    def _connected(self, seconds: float) -> Iterator[Session]:
        session = self.opened(reachable(self.params.host, self.params.port, self.server), seconds)
        try:
            yield session
        finally:
            session.close()

    def _catalogue(self, connection: Session) -> list[StreamInfo]:
        return catalog.discover(connection, self.dialect, self.params.schemas)

    def _prepare(self, connection: Session, stream: StreamConfig) -> Prepared:
        return reading.prepare(connection, self.dialect, stream)

    def _run(self, connection: Session, prepared: Prepared, rows: int) -> None:
        connection.ask(prepared.select(None, rows), prepared.stream.name)

    def _asking(self, connection: Session, prepared: Prepared) -> Asking:
        return Asking(prepared, connection)

    def _findings(self, connection: Session, stream: StreamConfig) -> list[Finding]:
        return catalog.findings(connection, self.dialect, self.params.user, stream)

    def _withheld(self, connection: Session, stream: StreamConfig, names: Sequence[str]) -> list[str]:
        return catalog.withheld(connection, self.dialect, stream, names)

    def _grant(self, connection: Session, stream: StreamConfig) -> str:
        return self.dialect.grant(self.dialect.table(*reading.parts(stream)), self.params.user)

    def _nothing(self) -> ConfigurationError:
        where = ", ".join(self.params.schemas) or "any schema"
        return ConfigurationError(
            f"{self.params.user} sees no table or view in {where} of {self.params.database}. Grant it SELECT on the "
            "tables, or mend the list of schemas.",
            code="nothing_to_read",
            evidence={"user": self.params.user, "schemas": list(self.params.schemas)},
        )

    def _asked(self, ask: Callable[[], Answer], what: str) -> Answer:
        """A session tells of failures in our words already."""
        return ask()
