"""What the driver raises, in our words."""

from __future__ import annotations

from dataplane.connectors.mongodb.params import MongoParams
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError

_WRONG_FILTER = (2, 9, 17287, 5626500)
_AUTHENTICATION = (11, 18)


def told(params: MongoParams, error: Exception, what: str) -> ManifoldError:
    """The error for what the driver raised while `what` was asked about."""
    from bson.errors import BSONError
    from pymongo import errors

    said = scrubbed(params, str(error))[:500]
    evidence = {"what": what, "said": said}
    if isinstance(error, errors.OperationFailure):
        return _refused(params, error.code or 0, said, what)
    if isinstance(error, (errors.ConfigurationError, ValueError)) and not isinstance(error, BSONError):
        return ConfigurationError(
            f"The driver for MongoDB does not take the source's parameters: {said}. Correct them.",
            code="parameters",
            evidence=evidence,
        )
    if isinstance(error, (BSONError, errors.DocumentTooLarge)):
        return DataError(
            f"The server's answer about {what} holds a document that cannot be read: {said}. Have it mended, or leave "
            "it out with a filter.",
            code="document_unreadable",
            evidence=evidence,
        )
    if "SSL" in said or "certificate" in said or "TLS" in said:
        return ConfigurationError(
            f"No encrypted connection comes about: {said}. Choose another *Encryption* of the source, or mend the "
            "server's certificate.",
            code="encryption",
            evidence=evidence,
        )
    return TransientError(
        f"The server does not answer about {what}, or the connection was lost. If it stays so, look "
        "at the server, and whether it wants encryption.",
        code="connection_lost",
        evidence=evidence,
    )


def _refused(params: MongoParams, code: int, said: str, what: str) -> ManifoldError:
    evidence = {"what": what, "code": code, "said": said}
    if code in _AUTHENTICATION:
        return ConfigurationError(
            f"The server does not accept the user {params.user} of {params.auth_database}. Correct user, password or "
            "the database of the user.",
            code="authentication",
            evidence=evidence,
        )
    if code == 13:
        who = params.user or "Somebody who has not signed in"
        return ConfigurationError(
            f"{who} may not read {what}. Grant the role: db.grantRolesToUser({params.user or 'user'!r}, "
            f"[{{role: 'read', db: {params.database!r}}}])",
            code="missing_grant",
            evidence=evidence,
        )
    if code == 50:
        return TransientError(
            f"The server took too long about {what}. Read less at a time, or index what it is filtered by.",
            code="statement_timeout",
            evidence=evidence,
        )
    if code in _WRONG_FILTER:
        return ConfigurationError(
            f"The server does not understand the filter of {what}: {said}. Correct it.",
            code="filter_refused",
            evidence=evidence,
        )
    return TransientError(f"The server refuses to answer about {what}: {said}.", code="server_error", evidence=evidence)


def scrubbed(params: MongoParams, said: str) -> str:
    """A text without the password."""
    return said.replace(params.password, "***") if params.password else said
