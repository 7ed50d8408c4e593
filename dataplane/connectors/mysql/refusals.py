"""What MySQL and MariaDB refuse when rows are written, in our words, by the server's number."""

from __future__ import annotations

from typing import Any

import pymysql

from dataplane.connectors.mysql import faults
from dataplane.connectors.mysql.params import MySQLParams
from dataplane.errors import ConfigurationError, DataError, InfrastructureError, ManifoldError, TransientError

_GRANTS = (
    "missing_grant",
    "User {user} may not do what the load into {table} needs: {said}. Its administrator can allow it: GRANT SELECT, "
    "INSERT, UPDATE, DELETE ON the table; to let Manifold make and widen tables, its ledger among them, GRANT CREATE, "
    "ALTER ON the database; to merge, GRANT CREATE TEMPORARY TABLES ON it.",
)
_READ_ONLY = (
    "destination_read_only",
    "{host} takes no changes: {said}. Perhaps it is a replica; name the primary server in the source.",
)
_CONFIGURATION: dict[int, tuple[str, str]] = {
    1044: _GRANTS,
    1142: _GRANTS,
    1143: _GRANTS,
    1227: _GRANTS,
    1370: _GRANTS,
    1049: ("schema_missing", "There is no database for {table}: {said}. Create it, or name another in `table`."),
    1146: ("table_missing", "{table} has vanished while it was loaded: {said}. Start the run again."),
    1290: _READ_ONLY,
    1836: _READ_ONLY,
    faults.FILE_ASKED_FOR: ("file_asked_for", faults.NO_HONEST_SERVER),
}
_FOREIGN = (
    "foreign_key_violation",
    "A foreign key is broken: {said}. Load the table that {table} refers to first; rows that others refer to cannot be "
    "replaced, so merge them instead.",
)
_CHECK = (
    "check_violation",
    "A row that arrives breaks a constraint of {table}: {said}. Mend or leave out such rows.",
)
_NULL = (
    "not_null_violation",
    "{table} needs a value where a row that arrives has none: {said}. Leave such rows out with a check, or fill them "
    "in a sql step before the load.",
)
_DATA: dict[int, tuple[str, str]] = {
    1062: (
        "unique_violation",
        "A row that arrives has values that {table} holds already and may hold only once: {said}. Merge by those "
        "columns (`mode: merge`), or leave out the rows that are there.",
    ),
    1048: _NULL,
    1364: _NULL,
    1216: _FOREIGN,
    1217: _FOREIGN,
    1451: _FOREIGN,
    1452: _FOREIGN,
    4025: _CHECK,
    3819: _CHECK,
    1153: (
        "row_too_large",
        "A row that arrives for {table} is larger than the server takes at once: {said}. Leave it out, or raise "
        "max_allowed_packet on the server.",
    ),
}
_VALUES = frozenset({1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 3140, 3156, 4078})
_FULL = frozenset({1021, 1037, 1038, 1041, 1114, 1206})


def refused(params: MySQLParams, error: pymysql.err.MySQLError, table: str) -> ManifoldError:
    """Why a load failed; nothing of it is there."""
    number, said = faults.told(params, error)
    about = {"table": table, "user": params.user, "host": params.host, "said": said}
    evidence: dict[str, Any] = {"table": table, "number": number, "server": said}
    if number in _CONFIGURATION:
        code, sentence = _CONFIGURATION[number]
        return ConfigurationError(sentence.format(**about), code=code, evidence=evidence)
    if number in _DATA:
        code, sentence = _DATA[number]
        return DataError(sentence.format(**about), code=code, evidence=evidence)
    if number in _VALUES:
        return DataError(
            f"{table} does not take a value that arrives: {said}. Mend it in a sql step before the load, or change the "
            "column in the table.",
            code="value",
            evidence=evidence,
        )
    return _by_class(params, number, about, evidence)


def _by_class(params: MySQLParams, number: int, about: dict[str, str], evidence: dict[str, Any]) -> ManifoldError:
    table, said = about["table"], about["said"]
    if number == 1205:
        return TransientError(
            f"Another session holds rows of {table}, and did not let go in time. Look for sessions "
            "that are idle in a transaction.",
            code="table_locked",
            evidence=evidence,
        )
    if number in faults.TIMED_OUT:
        return TransientError(
            f"Loading into {table} took longer than the time limit. Load less at a time, or index the key.",
            code="statement_timeout",
            evidence=evidence,
        )
    if number in faults.LOST or number in faults.PASSING:
        return TransientError(
            f"{params.host} broke off the load into {table}: {said}. A load that had arrived "
            "finds itself done when it is run again.",
            code="connection_lost",
            evidence=evidence,
        )
    if number in _FULL:
        return InfrastructureError(
            f"{params.host} has run out of something while {table} was loaded: {said}. Make room on that server.",
            code="destination_full",
            evidence=evidence,
        )
    return ConfigurationError(
        f"{params.host} refused the load into {table}: {said}. Change the step or the table.",
        code="statement_refused",
        evidence=evidence,
    )
