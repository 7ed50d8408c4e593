"""The connector: tests, discovers, plans and reads one PostgreSQL database, always read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, TypeVar

import duckdb
import psycopg
import pyarrow as pa

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
from dataplane.connectors.databases.stages import reachable, staged
from dataplane.connectors.destination import Destination, Load, Loaded, Rows, Watch
from dataplane.connectors.postgresql import catalog, destination, faults, preflight, reading, session
from dataplane.connectors.postgresql.catalog import Connection
from dataplane.connectors.postgresql.params import PostgreSQLParams
from dataplane.connectors.postgresql.questions import Asking
from dataplane.connectors.postgresql.reading import Prepared
from dataplane.connectors.postgresql.types import quoted
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError

ASK_SECONDS = 20.0
"""Limit of a statement that somebody waits for."""
READ_SECONDS = 6 * 3600.0
"""Limit of a statement that reads for a run; the step's own timeout usually ends it earlier."""
_PREVIEW_MEMORY = 256 * 2**20
_SCHEMES = ("postgres", "postgresql", "pgsql")
_SERVICES = ("neon.tech", "supabase.co", "supabase.com", "postgres.database.azure.com")

# What the scanner's own errors hold, and DuckDB's about our SQL do not.
_FROM_SERVER = ("ostgres", "ERROR:", "COPY", "Failed to execute query")

Answer = TypeVar("Answer")


class PostgreSQL(Connector, Destination):
    """PostgreSQL 12 and later: tables, views, materialised views, partitioned and foreign tables, and queries."""

    key = "postgresql"
    title = "PostgreSQL"
    family = "database"
    summary = "Tables, views and queries of a PostgreSQL database, whole or by a cursor column."
    tested_with = "PostgreSQL 17"
    capabilities = Capabilities(
        full=True, incremental=True, query=True, schema_inference=True, parallel=True, resumable=True, writable=True
    )
    Params: ClassVar[type[PostgreSQLParams]] = PostgreSQLParams
    extensions = ("postgres_scanner",)
    params: PostgreSQLParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.database_server(clue, product=cls.title, schemes=_SCHEMES, port=5432, services=_SERVICES)

    def test(self) -> Iterator[Stage]:
        opened: list[Connection] = []
        found: dict[str, Any] = {}
        stages: list[tuple[str, Callable[[], str]]] = [
            ("resolve", lambda: self._resolve(found)),
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

    def _resolve(self, found: dict[str, Any]) -> str:
        found["addresses"] = net.resolve(self.params.host, self.params.port)
        return ", ".join(found["addresses"])

    def _connect(self, found: dict[str, Any]) -> str:
        found["address"] = reachable(self.params.host, self.params.port, "PostgreSQL")
        return f"{found['address']}:{self.params.port}"

    def _authenticate(self, found: dict[str, Any], opened: list[Connection]) -> str:
        connection = session.sign_in(self.params, found["address"], ASK_SECONDS)
        opened.append(connection)
        row = connection.execute(
            "SELECT current_setting('server_version'), current_setting('is_superuser') = 'on',"
            " (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())"
        ).fetchone()
        assert row is not None
        version, superuser, encrypted = row
        detail = f"PostgreSQL {version}, {'encrypted' if encrypted else 'not encrypted'}"
        if superuser:
            detail += (
                f". Warning: {self.params.user} is a superuser, so a stream's query could read files of the database "
                "server. Use a role that may only read the tables."
            )
        return detail

    def _list(self, found: dict[str, Any], connection: Connection) -> str:
        found["streams"] = self._asked(lambda: catalog.discover(connection, self.params), "the catalogue")
        count = len(found["streams"])
        if not count:
            raise ConfigurationError(
                f"User {self.params.user} sees no table or view in "
                f"{', '.join(self.params.schemas) or 'any schema'}. Grant it USAGE on a schema and SELECT on its "
                "tables, or mend the list of schemas.",
                code="nothing_to_read",
                evidence={"user": self.params.user, "schemas": list(self.params.schemas)},
            )
        return f"{count} {'table or view' if count == 1 else 'tables and views'}"

    def _read_row(self, found: dict[str, Any], connection: Connection) -> str:
        first: StreamInfo = found["streams"][0]
        stream = StreamConfig(first.name, settings=first.settings)
        self._asked(
            lambda: connection.execute(reading.prepare(connection, self.params, stream).select(None, 1)).fetchall(),
            first.name,
        )
        return first.name

    def discover(self) -> list[StreamInfo]:
        with session.connected(self.params, ASK_SECONDS) as connection:
            return self._asked(lambda: catalog.discover(connection, self.params), "the catalogue")

    def describe(self, stream: StreamConfig) -> StreamInfo:
        """A stream's columns as they would arrive; for an operator's query, whose columns nobody discovered."""
        with session.connected(self.params, ASK_SECONDS) as connection:
            prepared = self._asked(lambda: reading.prepare(connection, self.params, stream), stream.name)
            rows, size = self._asked(lambda: Asking(prepared, connection).estimate(None), stream.name)
        warnings = tuple(f"{each.name}: {each.warning}" for each in prepared.columns if each.warning)
        return StreamInfo(stream.name, prepared.columns, rows=rows, bytes=size, warnings=warnings)

    def columns_now(self, stream: StreamConfig, files: Sequence[FileRef]) -> tuple[Column, ...]:
        """Of the catalogue alone: who has locked a table keeps nobody from its columns."""
        bare = StreamConfig(stream.name, settings=stream.settings, query=stream.query)
        with session.connected(self.params, ASK_SECONDS) as connection:
            return self._asked(lambda: reading.prepare(connection, self.params, bare), stream.name).columns

    def preflight(self, streams: Sequence[StreamConfig]) -> list[Finding]:
        with session.connected(self.params, ASK_SECONDS) as connection:

            def look() -> list[Finding]:
                return [found for each in streams for found in preflight.findings(connection, self.params.user, each)]

            return self._asked(look, "the catalogue")

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        with session.connected(self.params, READ_SECONDS) as connection:
            prepared = self._asked(lambda: reading.prepare(connection, self.params, stream), stream.name)
            asking = Asking(prepared, connection)
            return self._asked(lambda: planning.planned(asking, mode, mark), stream.name)

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        """Everything read on `connection` until the context ends sees one snapshot of the source."""
        with self._attached(stream, connection, READ_SECONDS, window) as (prepared, total):
            warnings = list(prepared.warnings)
            if not prepared.scannable(window):
                yield Reading(prepared.queried(window), prepared.columns, total_rows=total, warnings=warnings)
                return

            def check(rows: str) -> None:
                _refuse_nan(prepared, window, connection, rows)

            query = prepared.scanned(window)
            yield Reading(query, prepared.columns, total_rows=total, warnings=warnings, check=check)

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        with (
            connector_instance(extensions=self.extensions, memory=_PREVIEW_MEMORY, threads=1) as duck,
            self._attached(stream, duck, ASK_SECONDS, None) as (prepared, _),
        ):
            return duck.execute(prepared.queried(None, limit)).to_arrow_table()

    def load(self, load: Load, rows: Rows, watch: Watch) -> Loaded:
        return destination.load(self.params, load, rows, watch)

    def count(self, stream: StreamConfig, window: Window) -> int | None:
        """Rows that belong to the window alone: after `lower`, up to `upper`."""
        with session.connected(self.params, READ_SECONDS) as connection:
            prepared = self._asked(lambda: reading.prepare(connection, self.params, stream), stream.name)
            return self._asked(lambda: Asking(prepared, connection).counted_alone(window), stream.name)

    @contextmanager
    def _attached(
        self, stream: StreamConfig, duck: duckdb.DuckDBPyConnection, seconds: float, window: Window | None
    ) -> Iterator[tuple[Prepared, int | None]]:
        with session.connected(self.params, ASK_SECONDS) as connection:
            prepared = self._asked(lambda: reading.prepare(connection, self.params, stream), stream.name)
            total, _ = self._asked(lambda: Asking(prepared, connection).estimate(window), stream.name)
            address = connection.info.hostaddr
            checks = self._asked(lambda: session.checks_clients(connection), "its settings")
        session.attach(duck, self.params, address, seconds, checks=checks)
        try:
            duck.execute("BEGIN TRANSACTION")
            try:
                yield prepared, total
            finally:
                # A connection that broke cannot be rolled back; what broke it is the error that counts.
                with suppress(duckdb.Error):
                    duck.execute("ROLLBACK")
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
        marked = faults.unreadable_value(name, said)
        if marked is not None:
            return marked
        if isinstance(raised, duckdb.ConversionException | duckdb.InvalidInputException):
            return DataError(
                f"A value of {name} does not fit its declared type: {said.partition(chr(10))[0]}. "
                "Declare the column as VARCHAR to keep every value as it is.",
                code="value",
                evidence={"stream": name, "said": said[:1000]},
            )
        if not any(each in said for each in _FROM_SERVER):
            return error
        return self._asked_again(prepared.stream) or TransientError(
            f"Reading {name} broke off: {said.partition(chr(10))[0]}. It is tried again.",
            code="statement_timeout" if "statement timeout" in said else "connection_lost",
            evidence={"stream": name, "said": said[:1000]},
        )

    def _asked_again(self, stream: StreamConfig) -> ManifoldError | None:
        """Whether the source is still there as it was: if not, that is the reason, and it has an SQLSTATE."""
        try:
            with session.connected(self.params, ASK_SECONDS) as connection:
                prepared = self._asked(lambda: reading.prepare(connection, self.params, stream), stream.name)
                self._asked(lambda: connection.execute(prepared.select(None, 0)), stream.name)
        except ManifoldError as error:
            return error
        return None

    def _asked(self, ask: Callable[[], Answer], what: str) -> Answer:
        try:
            return ask()
        except psycopg.Error as error:
            raise faults.refused_statement(self.params, error, what) from None


def _refuse_nan(prepared: Prepared, window: Window, duck: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Tell a NaN, which the scanner reads as 0, from a 0; the source is asked only where there is one.

    Asked on the same snapshot as read: the transaction on `duck` is still open.
    """
    may_be = [each.name for each in prepared.arrivals if each.may_be_nan]
    names = [name for name in may_be if duck.execute(reading.zeros(name, rows)).fetchone()]
    if not names:
        return
    within = "true"
    if prepared.whole is not None:
        # Where zeros are rare the server has few rows to look at, and without an index less of each.
        low, high, unknown = duck.execute(reading.around(names, prepared.whole, rows)).fetchone() or (None, None, True)
        within = "true" if unknown else f"{quoted(prepared.whole)} BETWEEN {low} AND {high}"
    found = duck.execute(reading.nans(names, prepared, window, within)).fetchone() or ()
    for name, holds in zip(names, found, strict=True):
        if holds:
            raise faults.cannot_hold(prepared.stream.name, name, "NaN")
