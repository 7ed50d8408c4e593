"""Two ways into a database: PyMySQL for questions about it, DuckDB for its rows; both read-only and with limits.

No connection string is ever shown: DuckDB gets the address and the password in a temporary secret that is dropped as
soon as the database is attached.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import duckdb
import pymysql
from pymysql.connections import Connection

from dataplane import authorities
from dataplane.connectors.databases import attaching
from dataplane.connectors.databases.stages import CONNECT_SECONDS, reachable
from dataplane.connectors.files.server import another_protocol
from dataplane.connectors.mysql import faults
from dataplane.connectors.mysql.params import MySQLParams
from dataplane.errors import ConfigurationError, TransientError

_SCANNER = {"disable": "disabled", "prefer": "preferred", "require": "required", "verify-full": "verify_identity"}
_SETTINGS = (
    "SET mysql_session_time_zone = '+00:00'",
    "SET mysql_tinyint1_as_boolean = false",
    "SET mysql_bit1_as_boolean = false",
)
# Packing rows costs the server several times what reading them does, and comes to less than 50 MB a second.
_UNPACKED = "compress=0"
# How the scanner's client tells of a net that broke, or of a server without a free place; it gives no number.
_BROKE = re.compile("Can't connect to |Lost connection to |server has gone away|Too many connections")


class _Connection(Connection):
    """Ends when its server asks for a file of this machine, with a number: PyMySQL takes that for a mistake of ours."""

    def _read_query_result(self, unbuffered: bool = False) -> int:
        try:
            return int(super()._read_query_result(unbuffered))
        except RuntimeError:
            self._force_close()
            raise pymysql.err.OperationalError(faults.FILE_ASKED_FOR, "asked for a local file") from None


@contextmanager
def connected(params: MySQLParams, seconds: float) -> Iterator[Connection]:
    """A read-only session in one snapshot; no statement in it lasts longer than `seconds`. Raises ManifoldError."""
    connection = sign_in(params, reachable(params.host, params.port, "the server"), seconds)
    try:
        yield connection
    finally:
        _close(connection)


@contextmanager
def writing(params: MySQLParams, seconds: float) -> Iterator[Connection]:
    """A session that may write, every statement by itself until a transaction begins. Raises ManifoldError."""
    connection = sign_in(params, reachable(params.host, params.port, "the server"), seconds, writes=True)
    try:
        yield connection
    finally:
        _close(connection)


def _close(connection: Connection) -> None:
    with suppress(pymysql.err.Error):
        connection.close()


def sign_in(params: MySQLParams, address: str, seconds: float, *, writes: bool = False) -> Connection:
    """Open a session at an address that `reachable` has found. Raises ManifoldError."""
    arguments = _arguments(params, address)
    try:
        connection = _Connection(**arguments)
    except (pymysql.err.MySQLError, OSError, RuntimeError) as error:
        raise faults.refused_connection(params, error) from None
    except Exception:
        # PyMySQL takes apart what it is sent without looking, and may stumble over anything in it.
        raise another_protocol(params.host, params.port, "MySQL or MariaDB") from None
    # The server's own limit comes first; this one is for a server that has gone. A greeting does not take as long.
    connection._read_timeout = connection._write_timeout = seconds + 2 * CONNECT_SECONDS
    try:
        for statement in _prepared(is_mariadb(connection), seconds, writes=writes):
            ask(connection, statement)
    except pymysql.err.MySQLError as error:
        _close(connection)
        raise faults.refused_statement(params, error, "the settings of the session") from None
    return connection


def ask(connection: Connection, sql: str, *given: Any) -> list[tuple[Any, ...]]:
    """The rows that a statement answers; `given` stands for each %s. Raises pymysql's errors."""
    with connection.cursor() as cursor:
        cursor.execute(sql, given or None)
        return list(cursor.fetchall())


def one(connection: Connection, sql: str, *given: Any) -> Any:
    """The first value of the first row; None where there is none."""
    rows = ask(connection, sql, *given)
    return rows[0][0] if rows else None


def is_mariadb(connection: Connection) -> bool:
    return "mariadb" in connection.get_server_info().lower()


def limited(select: str, seconds: float, *, mariadb: bool) -> str:
    """A SELECT (it begins with this word) that ends by itself, and on MariaDB cannot write, whatever it calls."""
    if mariadb:
        limits = f"max_statement_time = {int(seconds)}, net_write_timeout = {int(seconds)}, tx_read_only = 1"
        return f"SET STATEMENT {limits} FOR {select}"
    return select.replace("SELECT", f"SELECT /*+ MAX_EXECUTION_TIME({int(seconds * 1000)}) */", 1)


def attach(duck: duckdb.DuckDBPyConnection, params: MySQLParams, address: str) -> None:
    """Attach the database as `source`, read-only, at the address of a session before. Raises ManifoldError."""
    given = {
        "HOST": address,
        "PORT": params.port,
        "DATABASE": params.database,
        "USER": params.user,
        "PASSWORD": params.password or "",
        "SSL_MODE": _SCANNER[params.sslmode],
        "SSL_CA": authorities.trusted() if params.sslmode == "verify-full" else None,
    }
    for setting in _SETTINGS:
        duck.execute(setting)
    try:
        attaching.attach(duck, "mysql", given, _UNPACKED)
    except duckdb.Error:
        # The scanner's errors have no number. What is wrong for everybody, a session of ours is told with one.
        sign_in(params, address, CONNECT_SECONDS).close()
        _attach_again(duck, params, given)


def _attach_again(duck: duckdb.DuckDBPyConnection, params: MySQLParams, given: Mapping[str, object]) -> None:
    try:
        attaching.attach(duck, "mysql", given, _UNPACKED)
    except duckdb.Error as error:
        said = params.scrubbed(str(error)).partition("\n")[0]
        if _BROKE.search(said):
            raise TransientError(
                f"{params.host}:{params.port} broke off the connection of DuckDB's reader: {attaching.answered(said)}. "
                "If it stays, choose another encryption in the source.",
                code="connection_lost",
                evidence={"host": params.host, "server": said[:500]},
            ) from None
        raise ConfigurationError(
            f"{params.host}:{params.port} lets {params.user} in, but not DuckDB's reader: {said}. "
            "Choose another encryption in the source, or a user who signs in with an ordinary password.",
            code="reader_not_admitted",
            evidence={"host": params.host, "server": said[:500]},
        ) from None


def _arguments(params: MySQLParams, address: str) -> dict[str, Any]:
    given: dict[str, Any] = {
        # Under verify-full the certificate is compared with the name, so a name that leads elsewhere gets nowhere.
        "host": params.host if params.sslmode == "verify-full" else address,
        "port": params.port,
        "database": params.database,
        "user": params.user,
        "password": (params.password or "").encode(),
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": CONNECT_SECONDS,
        "write_timeout": CONNECT_SECONDS,
        "program_name": "manifold",
    }
    if params.sslmode == "disable":
        given["ssl_disabled"] = True
    elif params.sslmode == "require":
        given["ssl"] = _unverified()
    elif params.sslmode == "verify-full":
        given["ssl"] = authorities.context()
    return given


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _prepared(mariadb: bool, seconds: float, *, writes: bool) -> list[str]:
    statements = ["SET SESSION time_zone = '+00:00'"]
    if mariadb:
        statements.append(f"SET SESSION max_statement_time = {float(seconds)}")
    else:
        statements.append(f"SET SESSION max_execution_time = {int(seconds * 1000)}")
    if not writes:
        statements.append("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    return statements
