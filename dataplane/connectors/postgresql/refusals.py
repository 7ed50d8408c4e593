"""What PostgreSQL refuses when rows are written, in our words, by its SQLSTATE."""

from __future__ import annotations

from typing import Any

import psycopg

from dataplane.connectors.postgresql import faults
from dataplane.connectors.postgresql.params import PostgreSQLParams
from dataplane.errors import ConfigurationError, DataError, InfrastructureError, ManifoldError, TransientError

_PASSING = frozenset({"57P01", "57P02", "57P03", "53300", "40001", "40P01"})

_CONFIGURATION: dict[str, tuple[str, str]] = {
    "42501": (
        "missing_grant",
        "User {user} may not do what the load into {table} needs: {said}. Its owner can allow it: GRANT SELECT, "
        "INSERT, UPDATE, DELETE ON the table TO {user}; to let Manifold make tables, its ledger among them, GRANT "
        "USAGE, CREATE ON the schema; to merge, GRANT TEMPORARY ON the database.",
    ),
    "3F000": ("schema_missing", "There is no schema for {table}: {said}. Create it, or name another in `table`."),
    "42P01": ("table_missing", "{table} has vanished while it was loaded: {said}. Start the run again."),
    "25006": (
        "destination_read_only",
        "{host} takes no changes: {said}. Perhaps it is a standby; name the primary server in the source.",
    ),
    "428C9": (
        "column_generated",
        "A column of {table} is always computed by the server: {said}. Leave it out with a sql step before the load.",
    ),
}
_DATA: dict[str, tuple[str, str]] = {
    "23505": (
        "unique_violation",
        "A row that arrives has values that {table} holds already and may hold only once: {said}. Merge by those "
        "columns (`mode: merge`), or leave out the rows that are there.",
    ),
    "23502": (
        "not_null_violation",
        "{table} needs a value where a row that arrives has none: {said}. Leave such rows out with a check, or "
        "fill them in a sql step before the load.",
    ),
    "23503": (
        "foreign_key_violation",
        "A foreign key is broken: {said}. Load the table that {table} refers to first; rows that others refer to "
        "cannot be replaced, so merge them instead.",
    ),
    "23514": (
        "check_violation",
        "A row that arrives breaks a constraint of {table}: {said}. Mend or leave out such rows.",
    ),
    "23P01": (
        "check_violation",
        "A row that arrives breaks a constraint of {table}: {said}. Mend or leave out such rows.",
    ),
}


def refused(params: PostgreSQLParams, error: psycopg.Error, table: str) -> ManifoldError:
    """Why a load failed; nothing of it is there."""
    said = faults.first_line(faults.server_text(params, error))
    state = error.sqlstate or ""
    evidence: dict[str, Any] = {"table": table, "sqlstate": state, "server": said}
    for name in ("column_name", "constraint_name", "message_detail"):
        if value := getattr(error.diag, name):
            evidence[name] = params.scrubbed(str(value))[:500]
    about = {"table": table, "user": params.user, "host": params.host, "said": said}
    if state in _CONFIGURATION:
        code, sentence = _CONFIGURATION[state]
        return ConfigurationError(sentence.format(**about), code=code, evidence=evidence)
    if state in _DATA:
        code, sentence = _DATA[state]
        return DataError(sentence.format(**about), code=code, evidence=evidence)
    return _by_class(params, state, about, evidence)


def _by_class(params: PostgreSQLParams, state: str, about: dict[str, str], evidence: dict[str, Any]) -> ManifoldError:
    table, said = about["table"], about["said"]
    if state == "55P03":
        return TransientError(
            f"Another session holds {table}, and did not let go within a minute. Look for sessions "
            "that are idle in a transaction.",
            code="table_locked",
            evidence=evidence,
        )
    if state == "57014":
        return TransientError(
            f"Loading into {table} took longer than the time limit. Load less at a time, or index the key.",
            code="statement_timeout",
            evidence=evidence,
        )
    if state == "" or state.startswith("08") or state in _PASSING:
        return TransientError(
            f"The connection to {params.host} broke while {table} was loaded: {said}. A load "
            "that had arrived finds itself done when it is run again.",
            code="connection_lost",
            evidence=evidence,
        )
    if state.startswith("53"):
        return InfrastructureError(
            f"{params.host} has run out of something while {table} was loaded: {said}. Make room on that server.",
            code="destination_full",
            evidence=evidence,
        )
    if state.startswith("22"):
        where = evidence.get("column_name")
        return DataError(
            f"{table} does not take a value that arrives{f' in `{where}`' if where else ''}: {said}. Mend it in a sql "
            "step before the load, or change the column in the table.",
            code="value",
            evidence=evidence,
        )
    return ConfigurationError(
        f"{params.host} refused the load into {table}: {said}. Change the step or the table.",
        code="statement_refused",
        evidence=evidence,
    )
