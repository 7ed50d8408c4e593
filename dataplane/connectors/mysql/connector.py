"""The connector: tests, discovers, plans and reads one MySQL or MariaDB database, always read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, TypeVar

import duckdb
import pyarrow as pa
import pymysql
from pymysql.connections import Connection

from dataplane import net
from dataplane.connectors import recognising
from dataplane.connectors.base import (
    Capabilities,
    Column,
    Connector,
    FileRef,
    Finding,
    Mark,
    Planned,
    Reading,
    ReadMode,
    Stage,
    StreamConfig,
    StreamInfo,
    Window,
)
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.databases import planning
from dataplane.connectors.databases.guards import unreadable_value
from dataplane.connectors.databases.stages import reachable, staged
from dataplane.connectors.destination import Destination, Load, Loaded, Rows, Watch
from dataplane.connectors.mysql import catalog, destination, faults, preflight, reading, session
from dataplane.connectors.mysql.params import MySQLParams
from dataplane.connectors.mysql.questions import Asking
from dataplane.connectors.mysql.reading import Prepared
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError

ASK_SECONDS = 20.0
"""Limit of a statement that somebody waits for."""
READ_SECONDS = 6 * 3600.0
"""Limit of a statement that reads for a run; the step's own timeout usually ends it earlier."""
_PREVIEW_MEMORY = 256 * 2**20
_SCHEMES = ("mysql", "mariadb", "mysqlx")
_SERVICES = ("mysql.database.azure.com", "psdb.cloud", "mariadb.com")
# Whoever holds one of these may read files of the server's machine.
_POWERS = "SELECT count(*) FROM information_schema.user_privileges WHERE privilege_type IN ('FILE', 'SUPER')"

Answer = TypeVar("Answer")


class MySQL(Connector, Destination):
    """MySQL 5.7 and later, MariaDB 10.4 and later: tables, views and queries."""

    key = "mysql"
    title = "MySQL and MariaDB"
    family = "database"
    summary = "Tables, views and queries of a MySQL or MariaDB database, whole or by a cursor column."
    tested_with = "MariaDB 10.11; no MySQL was at hand"
    capabilities = Capabilities(
        full=True, incremental=True, query=True, schema_inference=True, resumable=True, writable=True
    )
    Params: ClassVar[type[MySQLParams]] = MySQLParams
    extensions = ("mysql_scanner",)
    params: MySQLParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.database_server(clue, product=cls.title, schemes=_SCHEMES, port=3306, services=_SERVICES)

    def test(self) -> Iterator[Stage]:
        opened: list[Connection] = []
        found: dict[str, Any] = {}
        stages: list[tuple[str, Callable[[], str]]] = [
            ("resolve", lambda: ", ".join(net.resolve(self.params.host, self.params.port))),
            ("connect", lambda: self._connect(found)),
            ("authenticate", lambda: self._authenticate(found, opened)),
            ("list", lambda: self._list(found, opened[0])),
            ("read a row", lambda: self._read_row(found, opened[0])),
        ]
        try:
            yield from staged(stages)
        finally:
            for connection in opened:
                connection.close()

    def _connect(self, found: dict[str, Any]) -> str:
        found["address"] = reachable(self.params.host, self.params.port, "the server")
        return f"{found['address']}:{self.params.port}"

    def _authenticate(self, found: dict[str, Any], opened: list[Connection]) -> str:
        connection = session.sign_in(self.params, found["address"], ASK_SECONDS)
        opened.append(connection)
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

    def _list(self, found: dict[str, Any], connection: Connection) -> str:
        found["streams"] = self._discovered(connection)
        count = len(found["streams"])
        if not count:
            raise ConfigurationError(
                f"User {self.params.user} sees no table or view in {self.params.database}. Grant SELECT on its tables: "
                f"GRANT SELECT ON {self.params.database}.* TO {self.params.user}.",
                code="nothing_to_read",
                evidence={"user": self.params.user, "database": self.params.database},
            )
        return f"{count} {'table or view' if count == 1 else 'tables and views'}"

    def _read_row(self, found: dict[str, Any], connection: Connection) -> str:
        first: StreamInfo = found["streams"][0]
        stream = StreamConfig(first.name, settings=first.settings)
        prepared = self._prepared(connection, stream)
        self._asked(lambda: session.ask(connection, prepared.select(None, 1)), first.name)
        return first.name

    def discover(self) -> list[StreamInfo]:
        with session.connected(self.params, ASK_SECONDS) as connection:
            return self._discovered(connection)

    def _discovered(self, connection: Connection) -> list[StreamInfo]:
        return self._asked(lambda: catalog.discover(connection, self.params.database), "the catalogue")

    def describe(self, stream: StreamConfig) -> StreamInfo:
        """A stream's columns as they would arrive; for an operator's query, whose columns nobody discovered."""
        with session.connected(self.params, ASK_SECONDS) as connection:
            prepared = self._prepared(connection, stream)
        warnings = tuple(f"{each.name}: {each.warning}" for each in prepared.columns if each.warning)
        return StreamInfo(stream.name, prepared.columns, warnings=warnings)

    def columns_now(self, stream: StreamConfig, files: Sequence[FileRef]) -> tuple[Column, ...]:
        return self.describe(StreamConfig(stream.name, settings=stream.settings, query=stream.query)).columns

    def preflight(self, streams: Sequence[StreamConfig]) -> list[Finding]:
        with session.connected(self.params, ASK_SECONDS) as connection:

            def look() -> list[Finding]:
                database = self.params.database
                return [found for each in streams for found in preflight.findings(connection, database, each)]

            return self._asked(look, "the catalogue")

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        with session.connected(self.params, READ_SECONDS) as connection:
            asking = Asking(self._prepared(connection, stream), connection)
            return self._asked(lambda: planning.planned(asking, mode, mark), stream.name)

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        """A window is one SELECT, so it sees one moment of the source."""
        with self._attached(stream, connection, window) as (prepared, total):
            query = prepared.queried(window, READ_SECONDS)
            yield Reading(query, prepared.columns, total_rows=total, warnings=list(prepared.warnings))

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        with (
            connector_instance(extensions=self.extensions, memory=_PREVIEW_MEMORY, threads=1) as duck,
            self._attached(stream, duck, None) as (prepared, _),
        ):
            return duck.execute(prepared.queried(None, ASK_SECONDS, limit)).to_arrow_table()

    def load(self, load: Load, rows: Rows, watch: Watch) -> Loaded:
        return destination.load(self.params, load, rows, watch)

    def count(self, stream: StreamConfig, window: Window) -> int | None:
        """Rows that belong to the window alone: after `lower`, up to `upper`."""
        with session.connected(self.params, READ_SECONDS) as connection:
            asking = Asking(self._prepared(connection, stream), connection)
            return self._asked(lambda: asking.counted_alone(window), stream.name)

    @contextmanager
    def _attached(
        self, stream: StreamConfig, duck: duckdb.DuckDBPyConnection, window: Window | None
    ) -> Iterator[tuple[Prepared, int | None]]:
        with session.connected(self.params, ASK_SECONDS) as connection:
            prepared = self._prepared(connection, stream)
            total, _ = self._asked(lambda: Asking(prepared, connection).estimate(window), stream.name)
        session.attach(duck, self.params, connection.host)
        try:
            yield prepared, total
        except (duckdb.Error, ManifoldError) as error:
            raise self._explained(error, prepared) from error
        finally:
            with suppress(duckdb.Error):
                duck.execute(f"DETACH DATABASE IF EXISTS {session.CATALOG}")

    def _explained(self, error: duckdb.Error | ManifoldError, prepared: Prepared) -> Exception:
        """An error of DuckDB's that came from the source, in our words; one that did not is handed on as it is."""
        raised = error if isinstance(error, duckdb.Error) else error.__cause__
        if not isinstance(raised, duckdb.Error) or isinstance(raised, duckdb.InterruptException):
            return error
        said, name = faults.scrubbed(self.params, str(raised)), prepared.stream.name
        marked = unreadable_value(name, said)
        if marked is not None:
            return marked
        if isinstance(raised, duckdb.ConversionException):
            return DataError(
                f"A value of {name} does not fit its declared type: {said.partition(chr(10))[0]}. "
                "Declare the column as VARCHAR to keep every value as it is.",
                code="value",
                evidence={"stream": name, "said": said[:1000]},
            )
        if "MySQL" not in said:
            return error
        return self._asked_again(prepared.stream) or TransientError(
            f"The server broke off reading {name}: the connection was lost, or the statement took longer than its "
            "limit. It is tried again.",
            code="connection_lost",
            evidence={"stream": name, "said": said[:1000]},
        )

    def _asked_again(self, stream: StreamConfig) -> ManifoldError | None:
        """Whether the source is still there as it was: if not, that is the reason, and it has a number."""
        try:
            with session.connected(self.params, ASK_SECONDS) as connection:
                prepared = self._prepared(connection, stream)
                self._asked(lambda: session.ask(connection, prepared.select(None, 0)), stream.name)
        except ManifoldError as error:
            return error
        return None

    def _prepared(self, connection: Connection, stream: StreamConfig) -> Prepared:
        return self._asked(lambda: reading.prepare(connection, self.params, stream), stream.name)

    def _asked(self, ask: Callable[[], Answer], what: str) -> Answer:
        try:
            return ask()
        except pymysql.err.MySQLError as error:
            raise faults.refused_statement(self.params, error, what) from None
