"""What PostgreSQL refuses, in our words: each refusal its own code, sentence and remedy.

Statements fail with an SQLSTATE, and that decides. A connection that is refused has none in libpq, so there, and only
there, the text decides; a text in another language still says in which stage it happened and what the server said.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg

from dataplane.connectors.files.server import another_protocol
from dataplane.connectors.postgresql.params import PostgreSQLParams
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError

ANOTHER_PROTOCOL = ("expected authentication request", "invalid response to SSL negotiation")
"""What libpq says of a server that is none of PostgreSQL's."""
MARK = "manifold found "
"""Begins the text by which a guard (`types`) makes the server name a value that a column cannot hold."""

_COMPUTED = (
    "division by zero",
    "out of range",
    "invalid input syntax",
    "invalid byte sequence",
    "more than one row returned by a subquery",
)
_OF_A_REPLICA = "due to conflict with recovery"
_SAID = re.compile(r"ERROR:\s*(.*)")
_MARKED = re.compile(re.escape(MARK) + r'(?P<value>\S+) in (?P<column>.*)"')
_PASSING_STATES = frozenset({"57P01", "57P02", "57P03", "53300", "40001", "40P01", "55P03"})


def refused_connection(params: PostgreSQLParams, error: psycopg.Error) -> ManifoldError:
    """Why a server that listens did not let us in."""
    # A short password may stand within any word, so what it was is told before it is hidden.
    plain, said = str(error), server_text(params, error)
    where = {"host": params.host, "port": params.port, "database": params.database, "user": params.user}
    if any(each in plain for each in ANOTHER_PROTOCOL):
        return another_protocol(params.host, params.port, "PostgreSQL")
    for needles, code, sentence in _REFUSALS:
        if any(each in plain for each in needles):
            message = sentence.format(**where, sslmode=params.sslmode)
            return ConfigurationError(message, code=code, evidence={**where, "server": said})
    for needles, code, sentence in _PASSING:
        if any(each in plain for each in needles):
            return TransientError(sentence.format(**where), code=code, evidence={**where, "server": said})
    return ConfigurationError(
        f"{params.host}:{params.port} refused the connection: {said}. Check user, password, database and encryption.",
        code="connection_refused_by_server",
        evidence={**where, "server": said},
    )


_REFUSALS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("password authentication failed", "no password supplied", "authentication failed"),
        "authentication",
        "{host} does not accept the password of user {user}. Enter the right user and password in the source.",
    ),
    (
        ("server does not support SSL", "certificate", "SSL error", "SSL is required", "no encryption"),
        "encryption",
        "Encryption {sslmode} is not possible with {host}: the server offers none, or its certificate is not trusted. "
        "Switch encryption on at the server, name the file of the authority that signed its certificate in "
        "SSL_CERT_FILE where Manifold runs, or choose another encryption in the source.",
    ),
    (
        ("no pg_hba.conf entry", "pg_hba.conf rejects"),
        "not_admitted",
        "{host} admits no connection of user {user} to database {database} from this machine. Ask for "
        "an entry in pg_hba.conf, or choose another encryption.",
    ),
    (
        ("permission denied for database", "User does not have CONNECT privilege"),
        "missing_grant",
        "User {user} may not connect to database {database}. Its owner can allow it: GRANT CONNECT ON DATABASE.",
    ),
    (
        ("is not permitted to log in",),
        "authentication",
        "User {user} may not sign in. Its administrator can allow it: ALTER ROLE … LOGIN.",
    ),
)
_MISSING_DATABASE = re.compile(r'database ".*" does not exist')
_PASSING: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("too many clients", "too many connections", "remaining connection slots"),
        "too_many_connections",
        "{host} has no free connection now. If it stays, raise max_connections or the role's limit.",
    ),
    (
        ("starting up", "shutting down", "recovery mode", "not yet accepting"),
        "server_starting",
        "{host} is starting or stopping. If it stays so, look at its log.",
    ),
    (
        ("timeout expired", "timed out"),
        "connection_timeout",
        "{host}:{port} took too long to answer. Check that it is up and that no firewall is in between.",
    ),
    (
        (
            "server closed the connection",
            "Connection reset",
            "could not receive data",
            "connection is lost",
            "terminating connection",
        ),
        "connection_lost",
        "{host}:{port} closed the connection. If it stays, ask whether a PostgreSQL listens there.",
    ),
)


def missing_database(params: PostgreSQLParams, said: str) -> ManifoldError | None:
    if not _MISSING_DATABASE.search(said):
        return None
    return ConfigurationError(
        f"{params.host} has no database {params.database}. Check its spelling in the source.",
        code="database_missing",
        evidence={"host": params.host, "database": params.database, "server": said},
    )


def refused_statement(params: PostgreSQLParams, error: psycopg.Error, what: str, sql: str = "") -> ManifoldError:
    """Why a statement failed, by its SQLSTATE. `what` is what was read: a stream's name, "the row filter"."""
    said = server_text(params, error)
    state = error.sqlstate or ""
    evidence: dict[str, Any] = {"stream": what, "sqlstate": state, "server": said}
    if sql:
        evidence["statement"] = sql[:2000]
    if state in _STATEMENTS:
        code, sentence = _STATEMENTS[state]
        message = sentence.format(what=what, user=params.user, said=first_line(said))
        return ConfigurationError(message, code=code, evidence=evidence)
    if conflict := replica_conflict(params, what, said):
        return conflict
    if state == "57014":
        return TransientError(
            f"Reading {what} took longer than the time limit. Read less at a time, or index what it is filtered by.",
            code="statement_timeout",
            evidence=evidence,
        )
    if state == "" or state.startswith("08") or state in _PASSING_STATES:
        return TransientError(
            f"The connection to {params.host} broke while reading {what}: {first_line(said)}. If it stays so, look "
            "at the server's log.",
            code="connection_lost",
            evidence=evidence,
        )
    if state.startswith("22"):
        return unreadable_value(what, said) or _no_value(what, first_line(said), evidence)
    return ConfigurationError(
        f"{params.host} refused to read {what}: {first_line(said)}. Mend the query or the filter of the stream.",
        code="statement_refused",
        evidence=evidence,
    )


_STATEMENTS: dict[str, tuple[str, str]] = {
    "42P01": (
        "table_missing",
        "There is no table or view {what} any more. Discover the source again, or mend the stream.",
    ),
    "3F000": ("table_missing", "The schema of {what} is not there any more. Discover the source again."),
    "42703": ("column_missing", "{what} has no such column: {said}. Discover the source again, or mend the stream."),
    "42501": (
        "missing_grant",
        "User {user} may not read {what}. Its owner can allow it: GRANT SELECT ON the table, and USAGE ON its schema, "
        "TO {user}.",
    ),
    "42601": ("query_syntax", "The query or filter of {what} is not one valid SELECT: {said}. Mend it in the stream."),
    "25006": ("query_writes", "The query of {what} tries to change data. A source is only read: write a plain SELECT."),
    "42883": ("query_syntax", "The query or filter of {what} uses an unknown function or operator: {said}."),
    "42804": (
        "query_syntax",
        "The filter of {what} has the wrong type: {said}. A filter is true or false for each row.",
    ),
}


def replica_conflict(params: PostgreSQLParams, what: str, said: str) -> TransientError | None:
    """What a replica says that had no more time for a reader; None for anything else."""
    if _OF_A_REPLICA not in said:
        return None
    return TransientError(
        f"{params.host} is a replica, and gave up reading {what} for changes of its primary that could not wait. If it "
        "stays so, switch hot_standby_feedback on there, raise its max_standby_streaming_delay, or read from the "
        "primary.",
        code="replica_conflict",
        evidence={"stream": what, "server": first_line(said)},
    )


def replica_behind(params: PostgreSQLParams, what: str, column: str, upper: str) -> TransientError:
    """A replica would miss rows of a window that another server has told of."""
    return TransientError(
        f"{params.host} is a replica, and its {what} does not reach {column} {upper} yet, up to which is to be read. "
        "If it stays so, look at how far it is behind, or read from the primary.",
        code="replica_behind",
        evidence={"stream": what, "upper": upper},
    )


def unreadable_value(what: str, said: str) -> DataError | None:
    """The value that a guard found, or None when no guard spoke."""
    found = _MARKED.search(said)
    if found is None:
        return None
    return cannot_hold(what, found["column"], found["value"])


def uncomputable(what: str, said: str) -> DataError | None:
    """The value that the server failed to make, as DuckDB's reader tells it: without its SQLSTATE, so the text decides.

    None for anything else, and for a text in another language: that is tried again.
    """
    found = _SAID.search(said)
    if found is None or not any(each in found[1] for each in _COMPUTED):
        return None
    return _no_value(what, found[1].strip(), {"stream": what, "said": said[:1000]})


def _no_value(what: str, said: str, evidence: dict[str, Any]) -> DataError:
    return DataError(
        f"The server cannot compute a value of {what}: {said}. Mend the view or query, or leave out with a filter the "
        "rows that it fails on.",
        code="value",
        evidence=evidence,
    )


def cannot_hold(what: str, column: str, value: str) -> DataError:
    """A number that the column's declared type would change silently, so it is not read at all."""
    return DataError(
        f"Column {column} of {what} holds {value}, which its declared type cannot hold exactly. "
        f"Declare {column} as VARCHAR to keep every value as it is, or as DOUBLE to accept rounding.",
        code="number_out_of_range",
        evidence={"stream": what, "column": column, "value": value},
    )


def too_late(what: str, column: str) -> DataError:
    """A time that would arrive as another one, so nothing is kept of what was read."""
    return DataError(
        f"Column {column} of {what} holds a time after 294247-01-10 04:00:54, the last one that arrives as it is. "
        f"Declare {column} as VARCHAR to keep every value, or leave such rows out with a filter.",
        code="value",
        evidence={"stream": what, "column": column},
    )


def server_text(params: PostgreSQLParams, error: psycopg.Error) -> str:
    """What the server or libpq said, without the password and without libpq's address prefix."""
    text = (error.diag.message_primary or str(error)).strip()
    text = re.sub(r"^connection failed: ", "", text)
    text = re.sub(r'^connection to server at "[^"]*"(, port \d+| \([^)]*\), port \d+)? failed: ', "", text)
    text = text.removeprefix("FATAL:").removeprefix("ERROR:").strip()
    return params.scrubbed(text)


def first_line(text: str) -> str:
    return text.partition("\n")[0]
