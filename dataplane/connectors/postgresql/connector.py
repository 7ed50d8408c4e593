"""The connector: tests, discovers, plans and reads one PostgreSQL database, always read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import ClassVar

import duckdb
import psycopg
import pyarrow as pa

from dataplane.connectors.base import Capabilities, Finding
from dataplane.connectors.databases.attaching import answered, detach
from dataplane.connectors.databases.server import ASK_SECONDS, PREVIEW_MEMORY, READ_SECONDS, Answer, DatabaseServer
from dataplane.connectors.destination import Destination, Load, Loaded, Rows, Watch
from dataplane.connectors.postgresql import catalog, destination, faults, preflight, reading, session, writers
from dataplane.connectors.postgresql.catalog import Connection
from dataplane.connectors.postgresql.params import PostgreSQLParams
from dataplane.connectors.postgresql.questions import Asking
from dataplane.connectors.postgresql.reading import Prepared
from dataplane.connectors.postgresql.types import quoted
from dataplane.connectors.reading import Reading
from dataplane.connectors.schema import StreamConfig, StreamInfo
from dataplane.connectors.windows import Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError

_MOMENTS = ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
# What the scanner's own errors hold, and DuckDB's about our SQL do not.
_FROM_SERVER = ("ostgres", "ERROR:", "COPY", "Failed to execute query")


class PostgreSQL(DatabaseServer[Connection, Prepared], Destination):
    """PostgreSQL 12 and later: tables, views, materialised views, partitioned and foreign tables, and queries."""

    key = "postgresql"
    title = "PostgreSQL"
    summary = "Tables, views and queries of a PostgreSQL database, whole or by a cursor column."
    tested_with = "PostgreSQL 17"
    capabilities = Capabilities(
        full=True, incremental=True, query=True, schema_inference=True, parallel=True, resumable=True, writable=True
    )
    Params: ClassVar[type[PostgreSQLParams]] = PostgreSQLParams
    extensions = ("postgres_scanner",)
    params: PostgreSQLParams
    server = "PostgreSQL"
    schemes = ("postgres", "postgresql", "pgsql")
    services = ("neon.tech", "supabase.co", "supabase.com", "postgres.database.azure.com")

    def _sign_in(self, address: str) -> Connection:
        return session.sign_in(self.params, address, ASK_SECONDS)

    def _introduced(self, connection: Connection) -> str:
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

    def _connected(self, seconds: float) -> AbstractContextManager[Connection]:
        return session.connected(self.params, seconds)

    def _catalogue(self, connection: Connection) -> list[StreamInfo]:
        return catalog.discover(connection, self.params)

    def _nothing(self) -> ConfigurationError:
        return ConfigurationError(
            f"User {self.params.user} sees no table or view in {', '.join(self.params.schemas) or 'any schema'}. Grant "
            "it USAGE on a schema and SELECT on its tables, or mend the list of schemas.",
            code="nothing_to_read",
            evidence={"user": self.params.user, "schemas": list(self.params.schemas)},
        )

    def _prepare(self, connection: Connection, stream: StreamConfig) -> Prepared:
        return reading.prepare(connection, self.params, stream)

    def _run(self, connection: Connection, prepared: Prepared, rows: int) -> None:
        connection.execute(prepared.select(None, rows))

    def _asking(self, connection: Connection, prepared: Prepared) -> Asking:
        return Asking(prepared, connection)

    def _withheld(self, connection: Connection, stream: StreamConfig, names: Sequence[str]) -> list[str]:
        return catalog.withheld(connection, stream, names)

    def _grant(self, connection: Connection, stream: StreamConfig) -> str:
        return preflight.grant(stream, self.params.user)

    def _findings(self, connection: Connection, stream: StreamConfig) -> list[Finding]:
        return preflight.findings(connection, self.params.user, stream)

    def _described(self, connection: Connection, prepared: Prepared) -> StreamInfo:
        asking = self._asking(connection, prepared)
        rows, size = self._asked(lambda: asking.estimate(None), prepared.stream.name)
        return replace(super()._described(connection, prepared), rows=rows, bytes=size)

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        """Everything read on `connection` until the context ends sees one snapshot of the source."""
        with self._attached(stream, connection, READ_SECONDS, window) as (prepared, total):
            warnings = [*prepared.warnings, *self._lacking(prepared, window, connection)]
            scannable = prepared.scannable(window)

            def check(rows: str) -> None:
                _refuse_late_times(prepared, connection, rows)
                if scannable:
                    _refuse_nan(prepared, window, connection, rows)

            query = prepared.scanned(window) if scannable else prepared.queried(window)
            yield Reading(query, prepared.columns, total_rows=total, warnings=warnings, check=check)

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        with (
            connector_instance(extensions=self.extensions, memory=PREVIEW_MEMORY, threads=1) as duck,
            self._attached(stream, duck, ASK_SECONDS, None) as (prepared, _),
        ):
            return duck.execute(prepared.queried(None, limit)).to_arrow_table()

    def load(self, load: Load, rows: Rows, watch: Watch) -> Loaded:
        return destination.load(self.params, load, rows, watch)

    @contextmanager
    def _attached(
        self, stream: StreamConfig, duck: duckdb.DuckDBPyConnection, seconds: float, window: Window | None
    ) -> Iterator[tuple[Prepared, int | None]]:
        with session.connected(self.params, ASK_SECONDS) as connection:
            prepared = self._awaited(connection, self._prepared(connection, stream), window)
            total, _ = self._asked(lambda: Asking(prepared, connection).estimate(window), stream.name)
            address = connection.info.hostaddr
            checks = self._asked(lambda: session.checks_clients(connection), "its settings")
        session.attach(duck, self.params, address, seconds, checks=checks)
        try:
            with self._explained(stream):
                duck.execute("BEGIN TRANSACTION")
                yield prepared, total
        finally:
            detach(duck)

    def _awaited(self, connection: Connection, prepared: Prepared, window: Window | None) -> Prepared:
        """The stream, with a warning where rows that come late may be missed; a lookback reads those."""
        stream = prepared.stream
        if window is None or window.kind != "cursor" or stream.lookback or not prepared.relation.oid:
            return prepared
        many = self._asked(lambda: writers.outlasting(connection, prepared.relation.oid), stream.name)
        if not many:
            return prepared
        who = "A transaction" if many == 1 else f"{many} transactions"
        warning = (
            f"{who} that had written into {stream.name} stayed open while it was read. Rows from there with "
            f"{window.column} up to {window.upper} are read by no later run: give the stream a lookback that is longer "
            "than they last, or run a repair."
        )
        return replace(prepared, warnings=(*prepared.warnings, warning))

    def _lacking(self, prepared: Prepared, window: Window, duck: duckdb.DuckDBPyConnection) -> list[str]:
        """A warning where a replica has no row at the end of the window, asked on the snapshot that is read.

        Another replica may have planned it. Raises TransientError where this one has yet to replay what it was sent.
        """
        cursor = prepared.cursor
        if window.kind != "cursor" or window.upper is None or cursor is None:
            return []
        found = duck.execute(reading.behind(prepared, cursor, window.upper)).fetchone()
        if found is None:
            return []
        if found[0]:
            raise faults.replica_behind(self.params, prepared.stream.name, cursor.name, window.upper)
        return [
            f"{self.params.host} is a replica without a row of {prepared.stream.name} at {cursor.name} {window.upper}, "
            "up to which was read, or behind it. If nobody has removed that row, this replica was behind the one that "
            "the run was planned with, and a repair reads what was missing."
        ]

    def _broken_off(self, stream: StreamConfig, said: str) -> ManifoldError | None:
        if not any(each in said for each in _FROM_SERVER):
            return None
        if conflict := faults.replica_conflict(self.params, stream.name, said):
            return conflict
        return self._asked_again(stream) or TransientError(
            f"{self.params.host} broke off reading {stream.name}: {answered(said)}. If it stays so, look at the "
            "server's log.",
            code="statement_timeout" if "statement timeout" in said else "connection_lost",
            evidence={"stream": stream.name, "said": said[:1000]},
        )

    def _unreadable(self, stream: str, said: str) -> DataError | None:
        named = faults.unreadable_value(stream, said) or super()._unreadable(stream, said)
        return named or faults.uncomputable(stream, said)

    def _asked(self, ask: Callable[[], Answer], what: str) -> Answer:
        try:
            return ask()
        except psycopg.Error as error:
            raise faults.refused_statement(self.params, error, what) from None


def _refuse_late_times(prepared: Prepared, duck: duckdb.DuckDBPyConnection, rows: str) -> None:
    """A time later than DuckDB's last one becomes one before PostgreSQL's first, which the files' statistics tell."""
    for each in prepared.columns:
        if each.type in _MOMENTS and duck.execute(reading.before_the_first(each.name, rows)).fetchone():
            raise faults.too_late(prepared.stream.name, each.name)


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
