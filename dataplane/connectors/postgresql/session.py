"""Two ways into a database: psycopg for questions about it, DuckDB for its rows; both read-only and with limits.

No connection string is ever shown: DuckDB gets the address and the password in a temporary secret that is dropped as
soon as the database is attached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import psycopg
from psycopg import pq

from dataplane.connectors.databases import attaching
from dataplane.connectors.databases.stages import CONNECT_SECONDS, reachable
from dataplane.connectors.postgresql import authorities, faults
from dataplane.connectors.postgresql.params import PostgreSQLParams
from dataplane.errors import TransientError

_ALWAYS = {
    "default_transaction_read_only": "on",
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "idle_in_transaction_session_timeout": "0",
}


# A session that writes holds locks: it gives up on a lock of others, and is ended when its client has vanished.
_WRITING = {
    "default_transaction_read_only": "off",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "15min",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


def settings(seconds: float, version: int, *, writes: bool = False) -> str:
    """Settings of a session that ends by itself: a statement has a limit, and one whose client is gone stops."""
    chosen = _ALWAYS | (_WRITING if writes else {}) | {"statement_timeout": f"{int(seconds * 1000)}"}
    if version >= 140000:
        chosen["client_connection_check_interval"] = "5s"
    return " ".join(f"-c {name}={value}" for name, value in chosen.items())


@contextmanager
def connected(params: PostgreSQLParams, seconds: float = 20.0) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A read-only session in one snapshot; no statement in it lasts longer than `seconds`. Raises ManifoldError."""
    connection = sign_in(params, reachable(params.host, params.port, "PostgreSQL"), seconds)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def writing(params: PostgreSQLParams, seconds: float) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session that may write, in one transaction at a time; what is not committed is gone. Raises ManifoldError."""
    connection = sign_in(params, reachable(params.host, params.port, "PostgreSQL"), seconds, writes=True)
    try:
        yield connection
    finally:
        connection.close()


def sign_in(
    params: PostgreSQLParams, address: str, seconds: float, *, writes: bool = False
) -> psycopg.Connection[tuple[object, ...]]:
    """Open a session at an address that `reachable` has found. Raises ManifoldError."""
    try:
        connection = psycopg.connect(**_arguments(params, address), options=settings(seconds, 0, writes=writes))
        if connection.info.server_version >= 140000:
            _stop_without_client(connection)
    except psycopg.Error as error:
        said = faults.server_text(params, error)
        raise faults.missing_database(params, said) or faults.refused_connection(params, error) from None
    connection.read_only = not writes
    levels = psycopg.IsolationLevel
    connection.isolation_level = levels.READ_COMMITTED if writes else levels.REPEATABLE_READ
    return connection


def _arguments(params: PostgreSQLParams, address: str) -> dict[str, Any]:
    return {
        "host": params.host,
        "hostaddr": address,
        "port": params.port,
        "dbname": params.database,
        "user": params.user,
        "password": params.password or "",
        "sslmode": params.sslmode,
        "sslrootcert": _authorities(params),
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "manifold",
        "client_encoding": "utf8",
    }


def _authorities(params: PostgreSQLParams) -> str | None:
    return authorities.trusted() if params.sslmode in ("verify-ca", "verify-full") else None


def _stop_without_client(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Not every platform of a server can look whether its client is still there; one that cannot says so."""
    try:
        connection.execute("SET client_connection_check_interval = '5s'")
        connection.commit()
    except psycopg.Error:
        connection.rollback()


def checks_clients(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether this server stops the statements of a client that is gone."""
    row = connection.execute("SELECT current_setting('client_connection_check_interval', true)").fetchone()
    return row is not None and row[0] not in (None, "", "0")


def attach(
    duck: duckdb.DuckDBPyConnection, params: PostgreSQLParams, address: str, seconds: float, *, checks: bool
) -> None:
    """Attach the database as `source`, read-only. Raises ManifoldError."""
    given = {
        "HOST": params.host,
        "HOSTADDR": address,
        "PORT": params.port,
        "DATABASE": params.database,
        "USER": params.user,
        "PASSWORD": params.password or "",
        "SSLMODE": params.sslmode,
        "SSLROOTCERT": _authorities(params),
        "CONNECT_TIMEOUT": CONNECT_SECONDS,
        "APPLICATION_NAME": "manifold",
        "OPTIONS": settings(seconds, 140000 if checks else 0),
    }
    try:
        attaching.attach(duck, "postgres", given)
    except duckdb.Error as error:
        raise TransientError(
            f"{params.host}:{params.port} closed the door while it was opened for reading. If it stays so, look "
            "at the server's log.",
            code="connection_lost",
            evidence={"host": params.host, "server": params.scrubbed(str(error))[:500]},
        ) from None


def described(
    connection: psycopg.Connection[tuple[object, ...]], params: PostgreSQLParams, sql: str, what: str
) -> list[tuple[str, int, int]]:
    """Name, type and modifier of each column that a statement would return; nothing is executed.

    The server parses it as exactly one statement: several are refused, so it is safe to put in brackets afterwards.
    """
    raw = connection.pgconn
    if raw.transaction_status == pq.TransactionStatus.IDLE:
        connection.execute("SELECT 1")
    parsed = raw.prepare(b"", sql.encode())
    if parsed.status != pq.ExecStatus.COMMAND_OK:
        state = (parsed.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        said = (parsed.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or parsed.error_message).decode(
            "utf8", "replace"
        )
        connection.rollback()
        error = psycopg.errors.lookup(state)(said) if state else psycopg.OperationalError(said)
        raise faults.refused_statement(params, error, what, sql)
    columns = raw.describe_prepared(b"")
    return [((columns.fname(i) or b"").decode(), columns.ftype(i), columns.fmod(i)) for i in range(columns.nfields)]
