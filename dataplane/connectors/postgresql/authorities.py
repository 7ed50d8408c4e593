"""Whom a PostgreSQL's certificate has to be signed by, where it is checked."""

from __future__ import annotations

import os
import ssl

import certifi

from dataplane.errors import ConfigurationError

_LIBPQS = "~/.postgresql/root.crt"
_SYSTEMS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
"""Where systems keep their lists: Debian and Ubuntu, Fedora and Red Hat, SUSE. Not every Python knows its own."""


def trusted() -> str:
    """The file of the authorities: libpq's own if there is one, else this machine's, else that of the web.

    What libpq itself calls the system's is a folder of the machine that its wheel was built on. Raises
    ConfigurationError where SSL_CERT_FILE names none: another in its place could trust whom nobody meant.
    """
    named = os.environ.get("PGSSLROOTCERT", "")
    if named not in ("", "system"):
        return named
    own = os.path.expanduser(_LIBPQS)
    if os.path.isfile(own):
        return own
    given = os.environ.get("SSL_CERT_FILE", "")
    if given and not os.path.isfile(given):
        raise ConfigurationError(
            f"SSL_CERT_FILE names {given}, which is not there. Name a file of authorities that is, or none, in the "
            "environment of Manifold.",
            code="authorities_missing",
        )
    systems = (each for each in _SYSTEMS if os.path.isfile(each))
    return ssl.get_default_verify_paths().cafile or next(systems, certifi.where())
