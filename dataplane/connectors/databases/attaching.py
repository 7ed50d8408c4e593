"""A server's database in DuckDB, attached so that its connection string shows nowhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

import duckdb

from dataplane.relations import literal

CATALOG = "source"
"""The name under which DuckDB knows the attached database."""

_SEVERITY = re.compile(r": \w+:  (.*)")


def attach(duck: duckdb.DuckDBPyConnection, kind: str, given: Mapping[str, object], shown: str = "") -> None:
    """Attach a database as `source`, read-only, by a temporary secret that is dropped at once. Raises duckdb.Error.

    kind: DuckDB's word for the kind of server. given: what its secret holds; None is left out. shown: options that a
    secret cannot hold, for everybody to see.
    """
    parts = ", ".join(f"{name} {literal(str(value))}" for name, value in given.items() if value is not None)
    duck.execute(f"CREATE OR REPLACE TEMPORARY SECRET manifold_source (TYPE {kind}, {parts})")
    try:
        duck.execute(f"ATTACH {literal(shown)} AS {CATALOG} (TYPE {kind}, READ_ONLY, SECRET manifold_source)")
    finally:
        duck.execute("DROP SECRET manifold_source")


def detach(duck: duckdb.DuckDBPyConnection, catalog: str = CATALOG) -> None:
    """Let go of a database, attached or not, whatever state the transaction is in: what went wrong before counts."""
    for each in ("ROLLBACK", f"DETACH DATABASE IF EXISTS {catalog}"):
        # A connection that broke cannot be rolled back, nor does an interrupt spare what cleans up.
        with suppress(duckdb.Error):
            duck.execute(each)


def answered(said: str) -> str:
    """What the server or its library said, of what DuckDB's reader tells: it begins with the statement in quotes."""
    return own_words(said) or said.rpartition('": ')[2].strip().partition("\n")[0]


def own_words(said: str) -> str:
    """What a PostgreSQL said itself, of what its library tells; empty where the library speaks, as of a lost net.

    It stands behind how bad it is, a word in the server's language, and two spaces; anything may be in it.
    """
    found = _SEVERITY.search(said)
    return found[1].strip() if found else ""
