"""What a MySQL or MariaDB server refuses, in our words: each refusal its own code, sentence and remedy.

Every refusal carries the server's number, and that decides.
"""

from __future__ import annotations

import ssl
from typing import Any

import pymysql

from dataplane.connectors.mysql.params import MySQLParams
from dataplane.errors import ConfigurationError, ManifoldError, TransientError

LOST = frozenset({0, 1053, 1077, 1078, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2006, 2013, 2014, 2055})
"""The connection broke, or the server is going down."""
TIMED_OUT = frozenset({1907, 1969, 3024})
PASSING = frozenset({1020, 1040, 1203, 1205, 1213, 1226, 1412, 1615})
"""It may work in a moment: locks, deadlocks, too many connections, a table that changes just now."""

FILE_ASKED_FOR = 2068
"""The number by which MySQL's own clients refuse to send a file that a server asks for."""
NO_HONEST_SERVER = (
    "{host} asked for a file of Manifold's machine, which no honest server does. Nothing was sent. Check host and port "
    "in the source, and who runs that server."
)
_ENCRYPTION = 2026
_CONFIGURATION: dict[int, tuple[str, str]] = {
    1045: (
        "authentication",
        "{host} does not accept the password of user {user}. Enter the right user and password in the source; the "
        "server also asks from which machine a user comes.",
    ),
    1698: (
        "authentication",
        "User {user} of {host} signs in without a password from the server's own machine only. Use a user with a "
        "password.",
    ),
    1044: (
        "missing_grant",
        "User {user} may not use database {database}. Its administrator can allow it: GRANT SELECT ON {database}.* "
        "TO {user}.",
    ),
    1049: ("database_missing", "{host} has no database {database}. Check its spelling in the source."),
    1130: (
        "not_admitted",
        "{host} admits no connection from this machine. Ask for a user who may come from here: CREATE USER name@host.",
    ),
    1129: (
        "not_admitted",
        "{host} has shut this machine out after too many failed connections. Its administrator can let it in again: "
        "FLUSH HOSTS.",
    ),
    1251: ("authentication", "{host} signs user {user} in by a method that is not known here: {said}."),
    1862: (
        "authentication",
        "The password of {user} has expired at {host}. Set a new one there and in the source.",
    ),
    _ENCRYPTION: (
        "encryption",
        "Encryption {sslmode} is not possible with {host}: the server offers none, or its certificate is not trusted. "
        "Switch encryption on at the server, name who signed its certificate in SSL_CERT_FILE, or choose another "
        "encryption in the source.",
    ),
    FILE_ASKED_FOR: ("file_asked_for", NO_HONEST_SERVER),
    3159: ("encryption", "{host} wants an encrypted connection. Choose the encryption require in the source."),
}
_STATEMENTS: dict[int, tuple[str, str]] = {
    1146: (
        "table_missing",
        "There is no table or view {what} any more. Discover the source again, or mend the stream.",
    ),
    1356: (
        "table_missing",
        "The view {what} refers to something that is gone, or that it may not read. Mend the view.",
    ),
    1054: ("column_missing", "{what} has no such column: {said}. Discover the source again, or mend the stream."),
    1142: ("missing_grant", "User {user} may not read {what}: {said}. Its owner can allow it: GRANT SELECT ON it."),
    1143: (
        "missing_grant",
        "User {user} may not read all of {what}: {said}. Its owner can allow it: GRANT SELECT ON it.",
    ),
    1370: ("missing_grant", "User {user} may not call what {what} needs: {said}. Its owner can GRANT EXECUTE ON it."),
    1227: ("missing_grant", "User {user} may not do what {what} needs: {said}."),
    1064: ("query_syntax", "The query or filter of {what} is not one valid SELECT: {said}. Mend it in the stream."),
    1305: ("query_syntax", "The query or filter of {what} calls an unknown function: {said}. Mend it in the stream."),
    1060: ("query_columns", "The query of {what} has several columns of one name: {said}. Name each column with AS."),
    FILE_ASKED_FOR: ("file_asked_for", NO_HONEST_SERVER),
    1792: ("query_writes", "The query of {what} tries to change data. A source is only read: write a plain SELECT."),
}


def refused_connection(params: MySQLParams, error: Exception) -> ManifoldError:
    """Why a server that listens did not let us in."""
    number, said = told(params, error)
    if isinstance(getattr(error, "original_exception", None), ssl.SSLCertVerificationError):
        # PyMySQL gives it the number of a server that does not answer.
        number = _ENCRYPTION
    where = {"host": params.host, "port": params.port, "database": params.database, "user": params.user}
    evidence = {**where, "server": said, "number": number}
    if number in _CONFIGURATION:
        code, sentence = _CONFIGURATION[number]
        message = sentence.format(**where, sslmode=params.sslmode, said=said)
        return ConfigurationError(message, code=code, evidence=evidence)
    if number in (1040, 1203, 1226):
        return TransientError(
            f"{params.host} has no free connection now. If it stays, raise max_connections or the user's limit.",
            code="too_many_connections",
            evidence=evidence,
        )
    if number in LOST or number == 2003:
        return TransientError(
            f"{params.host}:{params.port} closed the connection or did not answer in time. If it "
            "stays, ask whether a MySQL or MariaDB listens there.",
            code="connection_lost",
            evidence=evidence,
        )
    return ConfigurationError(
        f"{params.host}:{params.port} refused the connection: {said}. Check user, password, database and encryption.",
        code="connection_refused_by_server",
        evidence=evidence,
    )


def refused_statement(params: MySQLParams, error: pymysql.err.MySQLError, what: str) -> ManifoldError:
    """Why a statement failed. `what` is what was read: a stream's name, "the catalogue"."""
    number, said = told(params, error)
    evidence: dict[str, Any] = {"stream": what, "number": number, "server": said}
    if number in _STATEMENTS:
        code, sentence = _STATEMENTS[number]
        message = sentence.format(what=what, host=params.host, user=params.user, said=said)
        return ConfigurationError(message, code=code, evidence=evidence)
    if number in TIMED_OUT or "timed out" in said:
        return TransientError(
            f"Reading {what} took longer than the time limit. Read less at a time, or index what it is filtered by.",
            code="statement_timeout",
            evidence=evidence,
        )
    if number in LOST or number in PASSING:
        return TransientError(
            f"{params.host} broke off reading {what}: {said}. If it stays so, look at the server's log.",
            code="connection_lost",
            evidence=evidence,
        )
    return ConfigurationError(
        f"{params.host} refused to read {what}: {said}. Mend the query or the filter of the stream.",
        code="statement_refused",
        evidence=evidence,
    )


def told(params: MySQLParams, error: Exception) -> tuple[int, str]:
    """The number of an error (0: none) and what was said, without the password."""
    given = error.args
    number = given[0] if given and isinstance(given[0], int) else 0
    said = str(given[1]) if len(given) > 1 else str(error)
    return number, params.scrubbed(said.partition("\n")[0])
