"""Whether the master key opens what is stored under it. Asked of the rows themselves: `doctor` needs no server."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from apps.accounts.crypto import Keys, unseal
from dataplane.errors import ConfigurationError
from manifold import environment, probes
from manifold.probes import Unwell

# What holds secrets, each with the columns id, secrets and key_version.
TABLES = (
    "sources_credential",
    "sources_grant",
    "sources_connecting",
    "accounts_secondfactor",
    "pipelines_hooksecret",
)


def opens() -> str:
    """The newest row of each version of the key, in each table, is opened; nothing of it is shown."""
    opened = 0
    with probes.connect() as connection:
        for table in TABLES:
            there: Any = connection.execute("SELECT to_regclass(%s)", [table]).fetchone()
            if there[0] is None:
                continue
            newest = sql.SQL(
                "SELECT DISTINCT ON (key_version) id, secrets, key_version FROM {} WHERE secrets <> '{{}}'"
            )
            rows: Any = connection.execute(
                sql.SQL(" ").join([newest.format(sql.Identifier(table)), sql.SQL("ORDER BY key_version, id DESC")])
            )
            for row in rows.fetchall():
                _open(table, *row)
                opened += 1
    return "opened" if opened else "nothing is stored yet"


def _open(table: str, row: Any, secrets: dict[str, str], version: int) -> None:
    try:
        unseal(row, secrets, version, Keys(environment.MASTER_KEY.read()), table)
    except ConfigurationError as error:
        raise Unwell(
            f"The master key does not open what {table} holds under its version {version}.",
            "Put back the key it was encrypted with, in MANIFOLD_MASTER_KEY or its file (a backup holds it); without "
            "it, enter those credentials again, and take away the second factors.",
        ) from error
