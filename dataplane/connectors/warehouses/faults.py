"""What servers refuse, in our words. Each driver tells by its own codes which of these it was."""

from __future__ import annotations

from typing import Any

from dataplane.errors import ConfigurationError, ManifoldError, TransientError

SIGN_IN = "the session"
"""What is asked for when somebody signs in."""
_CONFIGURATION = {
    "authentication": "{host} does not accept the sign-in of {user}: {said}. Enter the right user and password in the "
    "source.",
    "database_missing": "{host} has no {database} that {user} may use: {said}. Check its spelling in the source.",
    "encryption": "{host} cannot be reached with this encryption: {said}. Choose another one in the source, or mend "
    "the server's certificate.",
    "table_missing": "There is no table or view {what} any more, or {user} may not read it: {said}. Discover the "
    "source again, or grant SELECT on it.",
    "column_missing": "{what} has no such column: {said}. Discover the source again, or mend the stream.",
    "missing_grant": "{user} may not read {what}: {said}. Its owner can allow it: GRANT SELECT ON it.",
    "query_syntax": "The query or filter of {what} is not one valid SELECT: {said}. Mend it in the stream.",
    "query_writes": "The query of {what} tries to change data: {said}. A source is only read: write a plain SELECT.",
    "session_settings": "{host} lets {user} change no setting of a session, which reading needs: {said}. Allow it "
    "(ClickHouse: readonly = 2), or use another user.",
    "driver_libraries": "The driver for {host} does not start on this machine: {said}. SQL Server's needs libraries of "
    "the system: apt-get install libltdl7 libkrb5-3 libgssapi-krb5-2.",
    "answer_too_large": "{host} answers with more of {what} at once than is taken: {said}. Select fewer columns in the "
    "stream, or have the server send smaller pages.",
    "statement_refused": "{host} refused to read {what}: {said}. Mend the query or the filter of the stream.",
}
_TRANSIENT = {
    "statement_timeout": "Reading {what} took longer than the time limit: {said}. Read less at a time.",
    "connection_timeout": "{host} took too long to let {user} in: {said}. Check that it is up and that no firewall is "
    "in between.",
    "connection_lost": "{host} broke off reading {what}: {said}. If it stays so, look at the network and the server.",
    "server_busy": "{host} has no room for {what} now: {said}. If it stays so, run less at a time, or enlarge it.",
}


def refused(code: str, said: str, what: str, about: dict[str, Any]) -> ManifoldError:
    """The error of this code. about: host, user, database, and `secrets`, which are taken out of what was said."""
    first = " ".join(scrubbed(said, about.get("secrets", ())).split())[:500]
    told = {**about, "said": first, "what": what}
    evidence = {"stream": what, "server": first}
    if code == "statement_timeout" and what == SIGN_IN:
        code = "connection_timeout"
    if code in _TRANSIENT:
        return TransientError(_TRANSIENT[code].format(**told), code=code, evidence=evidence)
    known = code if code in _CONFIGURATION else "statement_refused"
    return ConfigurationError(_CONFIGURATION[known].format(**told), code=known, evidence=evidence)


def scrubbed(said: str, secrets: tuple[str | None, ...]) -> str:
    for each in secrets:
        if each:
            said = said.replace(each, "********")
    return said
