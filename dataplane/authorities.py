"""Who has to have signed a server's certificate: the one answer for whatever is reached over TLS."""

from __future__ import annotations

import os
import ssl

import certifi

from dataplane.errors import ConfigurationError

_SYSTEMS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
"""Where systems keep their lists: Debian and Ubuntu, Fedora and Red Hat, SUSE. Not every Python knows its own."""


def trusted() -> str:
    """The file of the authorities: that of SSL_CERT_FILE, else this machine's list, else that of the web.

    Raises ConfigurationError where SSL_CERT_FILE names none: another in its place could trust whom nobody meant.
    """
    given = os.environ.get("SSL_CERT_FILE", "")
    if given and not os.path.isfile(given):
        raise _unusable(given, "which is not there", "authorities_missing")
    systems = (each for each in _SYSTEMS if os.path.isfile(each))
    return ssl.get_default_verify_paths().cafile or next(systems, certifi.where())


def context(issuer: str | None = None) -> ssl.SSLContext:
    """What checks a server's certificate and its name. issuer: whom alone to trust, as PEM.

    Raises ConfigurationError where the authorities cannot be read.
    """
    if issuer:
        return ssl.create_default_context(cadata=issuer)
    file = trusted()
    try:
        return ssl.create_default_context(cafile=file)
    except OSError:
        raise _unusable(file, "in which no certificate can be read", "authorities_unreadable") from None


def _unusable(file: str, why: str, code: str) -> ConfigurationError:
    return ConfigurationError(
        f"Who signs certificates is to stand in {file}, {why}. Name a file of authorities (PEM) as SSL_CERT_FILE in "
        "the environment of Manifold, or unset it.",
        code=code,
        evidence={"file": file},
    )
