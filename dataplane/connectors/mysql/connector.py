"""The connector: tests, discovers, plans and reads one MySQL or MariaDB database, always read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from time import monotonic
from typing import ClassVar

import duckdb
import pyarrow as pa
import pymysql
from pymysql.connections import Connection

from dataplane.connectors.base import Capabilities, Finding
from dataplane.connectors.databases.attaching import detach
from dataplane.connectors.databases.server import ASK_SECONDS, PREVIEW_MEMORY, READ_SECONDS, Answer, DatabaseServer
from dataplane.connectors.destination import Destination, Load, Loaded, Rows, Watch
from dataplane.connectors.mysql import catalog, destination, faults, preflight, reading, session
from dataplane.connectors.mysql.params import MySQLParams
from dataplane.connectors.mysql.questions import Asking
from dataplane.connectors.mysql.reading import Prepared
from dataplane.connectors.reading import Reading
from dataplane.connectors.schema import StreamConfig, StreamInfo
from dataplane.connectors.windows import Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError

# Whoever holds one of these may read files of the server's machine.
_POWERS = "SELECT count(*) FROM information_schema.user_privileges WHERE privilege_type IN ('FILE', 'SUPER')"

# When no other stream is searched for dates of zeros, of many that somebody waits for.
_ZEROS_SECONDS = 10.0


class MySQL(DatabaseServer[Connection, Prepared], Destination):
    """MySQL 5.7 and later, MariaDB 10.4 and later: tables, views and queries."""

    key = "mysql"
    title = "MySQL and MariaDB"
    summary = "Tables, views and queries of a MySQL or MariaDB database, whole or by a cursor column."
    tested_with = "MariaDB 10.11; no MySQL was at hand"
    capabilities = Capabilities(
        full=True, incremental=True, query=True, schema_inference=True, resumable=True, writable=True
    )
    Params: ClassVar[type[MySQLParams]] = MySQLParams
    extensions = ("mysql_scanner",)
    params: MySQLParams
    server = "the server"
    schemes = ("mysql", "mariadb", "mysqlx")
    services = ("mysql.database.azure.com", "psdb.cloud", "mariadb.com")

    def _sign_in(self, address: str) -> Connection:
        return session.sign_in(self.params, address, ASK_SECONDS)

    def _introduced(self, connection: Connection) -> str:
        version = session.one(connection, "SELECT version()")
        cipher = session.ask(connection, "SHOW STATUS LIKE 'Ssl_cipher'")
        product = "" if session.is_mariadb(connection) else "MySQL "
        detail = f"{product}{version}, {'encrypted' if cipher and cipher[0][1] else 'not encrypted'}"
        if session.one(connection, _POWERS):
            detail += (
                f". Warning: {self.params.user} may read files of the database server, and so could a stream's query. "
                "Use a user who may only read the tables."
            )
        return detail

    def _connected(self, seconds: float) -> AbstractContextManager[Connection]:
        return session.connected(self.params, seconds)

    def _catalogue(self, connection: Connection) -> list[StreamInfo]:
        return catalog.discover(connection, self.params.database)

    def _nothing(self) -> ConfigurationError:
        return ConfigurationError(
            f"User {self.params.user} sees no table or view in {self.params.database}. Grant SELECT on its tables: "
            f"GRANT SELECT ON {self.params.database}.* TO {self.params.user}.",
            code="nothing_to_read",
            evidence={"user": self.params.user, "database": self.params.database},
        )

    def _prepare(self, connection: Connection, stream: StreamConfig) -> Prepared:
        return reading.prepare(connection, self.params, stream)

    def _run(self, connection: Connection, prepared: Prepared, rows: int) -> None:
        session.ask(connection, prepared.select(None, rows))

    def _asking(self, connection: Connection, prepared: Prepared) -> Asking:
        return Asking(prepared, connection)

    def _withheld(self, connection: Connection, stream: StreamConfig, names: Sequence[str]) -> list[str]:
        return catalog.withheld(connection, stream, names)

    def _grant(self, connection: Connection, stream: StreamConfig) -> str:
        return preflight.grant(connection, self.params.database, stream)

    def _findings(self, connection: Connection, stream: StreamConfig) -> list[Finding]:
        return preflight.findings(connection, self.params.database, stream)

    def preflight(self, streams: Sequence[StreamConfig]) -> list[Finding]:
        """As of every server, and then which columns hold dates of zeros, as far as there is time to look."""
        found = super().preflight(streams)
        ends = monotonic() + _ZEROS_SECONDS
        with self._connected(ASK_SECONDS) as connection:
            for each in streams:
                if monotonic() < ends:
                    found += self._zero_dates(connection, each)
        return found

    def _zero_dates(self, connection: Connection, stream: StreamConfig) -> list[Finding]:
        with suppress(ConfigurationError, DataError):
            # One that cannot be read as it is declared has been told of; where a view cannot be computed, a run tells.
            prepared = self._prepared(connection, stream)
            try:
                return self._asked(lambda: preflight.zero_dates(connection, prepared), stream.name)
            except TransientError as error:
                if error.code != "statement_timeout":
                    raise
        return []

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        """A window is one SELECT, so it sees one moment of the source."""
        with self._attached(stream, connection, window) as (prepared, total):
            query = prepared.queried(window, READ_SECONDS)
            yield Reading(query, prepared.columns, total_rows=total, warnings=list(prepared.warnings))

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        with (
            connector_instance(extensions=self.extensions, memory=PREVIEW_MEMORY, threads=1) as duck,
            self._attached(stream, duck, None) as (prepared, _),
        ):
            return duck.execute(prepared.queried(None, ASK_SECONDS, limit)).to_arrow_table()

    def load(self, load: Load, rows: Rows, watch: Watch) -> Loaded:
        return destination.load(self.params, load, rows, watch)

    @contextmanager
    def _attached(
        self, stream: StreamConfig, duck: duckdb.DuckDBPyConnection, window: Window | None
    ) -> Iterator[tuple[Prepared, int | None]]:
        with session.connected(self.params, ASK_SECONDS) as connection:
            prepared = self._prepared(connection, stream)
            total, _ = self._asked(lambda: Asking(prepared, connection).estimate(window), stream.name)
        session.attach(duck, self.params, connection.host)
        try:
            with self._explained(stream):
                yield prepared, total
        finally:
            detach(duck)

    def _broken_off(self, stream: StreamConfig, said: str) -> ManifoldError | None:
        if "MySQL" not in said:
            return None
        return self._asked_again(stream) or TransientError(
            f"The server broke off reading {stream.name}: the connection was lost, the statement took longer than its "
            "limit, or a row of a view or query cannot be computed. If it stays, run the view or "
            "query at the server, which tells why.",
            code="connection_lost",
            evidence={"stream": stream.name, "said": said[:1000]},
        )

    def _asked(self, ask: Callable[[], Answer], what: str) -> Answer:
        try:
            return ask()
        except pymysql.err.MySQLError as error:
            raise faults.refused_statement(self.params, error, what) from None
