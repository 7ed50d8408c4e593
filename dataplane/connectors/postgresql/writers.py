"""Those who write into a table that is about to be read: what they commit afterwards may lie behind the mark.

A sequence, or `now()`, gives its value before the transaction that asks for it is committed.
"""

from __future__ import annotations

from time import monotonic, sleep

from dataplane.connectors.postgresql.catalog import Connection

WAIT_SECONDS = 5.0
_PAUSE_SECONDS = 0.05
_OPEN = """
SELECT l.virtualtransaction FROM pg_locks l
WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted AND l.relation = %s
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND l.pid IS DISTINCT FROM pg_backend_pid()
"""


def outlasting(connection: Connection, oid: int) -> int:
    """Wait a little for the transactions that have written into a table, so that what they wrote is there to be read.

    How many of them are open still. One that has its value, but writes only now, is not seen: a lookback reads its row.
    """
    ends, open_ = monotonic() + WAIT_SECONDS, _open(connection, oid)
    while open_ and monotonic() < ends:
        sleep(_PAUSE_SECONDS)
        open_ &= _open(connection, oid)
    return len(open_)


def _open(connection: Connection, oid: int) -> set[str]:
    return {str(name) for (name,) in connection.execute(_OPEN, [oid]).fetchall()}
