"""Sealing covers what is older than every open transaction of the cluster, and tests beside this one have some open."""

from __future__ import annotations

import time

from django.db import connection

from apps.audit import sealing

# As long as the longest test that lives in one transaction, on a machine that has other things to do.
SECONDS = 300


def settle() -> None:
    """Wait until no transaction is open any more that began before now."""
    until = time.monotonic() + SECONDS
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::numeric")
        (now,) = cursor.fetchone() or (0,)
        while time.monotonic() < until:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::numeric > %s", [now])
            if cursor.fetchone() == (True,):
                return
            time.sleep(0.05)
    raise AssertionError(f"a transaction has been open for {SECONDS} s")


def seal(**options: int) -> int:
    """Seal everything that has happened so far."""
    settle()
    return sealing.seal(**options)
