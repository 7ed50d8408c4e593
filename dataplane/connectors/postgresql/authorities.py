"""Whom a PostgreSQL's certificate has to be signed by, where it is checked."""

from __future__ import annotations

import os

from dataplane import authorities

_LIBPQS = "~/.postgresql/root.crt"


def trusted() -> str:
    """The file of the authorities: libpq's own if there is one, else the one that goes for every server.

    What libpq itself calls the system's is a folder of the machine that its wheel was built on. Raises
    ConfigurationError as `authorities.trusted` does.
    """
    named = os.environ.get("PGSSLROOTCERT", "")
    if named not in ("", "system"):
        return named
    own = os.path.expanduser(_LIBPQS)
    return own if os.path.isfile(own) else authorities.trusted()
