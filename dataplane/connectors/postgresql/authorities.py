"""Whom a PostgreSQL's certificate has to be signed by, where it is checked."""

from __future__ import annotations

import os
import ssl

import certifi

_LIBPQS = "~/.postgresql/root.crt"


def trusted() -> str:
    """The file of the authorities: libpq's own if there is one, else this machine's, else that of the web.

    What libpq itself calls the system's is a folder of the machine that its wheel was built on.
    """
    named = os.environ.get("PGSSLROOTCERT", "")
    if named not in ("", "system"):
        return named
    own = os.path.expanduser(_LIBPQS)
    if os.path.isfile(own):
        return own
    return ssl.get_default_verify_paths().cafile or certifi.where()
