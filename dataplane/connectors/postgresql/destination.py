"""Rows into a table of PostgreSQL: one transaction with a row of the ledger in it, whatever the mode.

A replace deletes and inserts within that transaction instead of swapping tables: whoever reads meanwhile sees the old
rows until the commit, in old snapshots too (a renamed or truncated table is empty to them), and grants, indexes, views
and foreign keys stay as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import duckdb
import psycopg

from dataplane.connectors.databases import ledger
from dataplane.connectors.databases.merging import Merge
from dataplane.connectors.databases.widening import needed
from dataplane.connectors.destination import Load, Loaded, Rows, Watch, vanished
from dataplane.connectors.postgresql import copying, refusals, session, tables
from dataplane.connectors.postgresql.catalog import Connection
from dataplane.connectors.postgresql.params import PostgreSQLParams
from dataplane.connectors.postgresql.tables import Found, Into
from dataplane.errors import CancelledError, DataError
from dataplane.failures import translated

WRITE_SECONDS = 6 * 3600.0
"""Limit of one statement of a load; the step's own timeout usually ends it earlier."""

_SENT = "pg_temp._manifold_rows"
_LEDGER = """
CREATE TABLE IF NOT EXISTS {ledger} (
  pipeline uuid NOT NULL, step text NOT NULL, target text NOT NULL, load_key text NOT NULL, run uuid NOT NULL,
  mode text NOT NULL, inserted bigint NOT NULL, updated bigint NOT NULL, deleted bigint NOT NULL,
  skipped bigint NOT NULL, loaded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (pipeline, step, target, load_key))
"""


def load(params: PostgreSQLParams, load: Load, rows: Rows, watch: Watch) -> Loaded:
    """See `Destination.load`."""
    stopped = threading.Event()
    with session.writing(params, WRITE_SECONDS) as connection:

        def stop() -> None:
            stopped.set()
            with suppress(psycopg.Error):
                connection.cancel()

        watch.on_cancel(stop)
        try:
            done = _Loading(connection, load, rows, watch).run()
            if stopped.is_set():
                raise CancelledError
            connection.commit()
        except psycopg.Error as error:
            if stopped.is_set():
                raise CancelledError from None
            raise refusals.refused(params, error, load.table) from None
        except duckdb.Error as error:
            raise _unsendable(error, load) from error
    watch.passed("kept")
    return done


class _Loading:
    """One load within its transaction."""

    def __init__(self, connection: Connection, load: Load, rows: Rows, watch: Watch) -> None:
        self.connection, self.load, self.rows, self.watch = connection, load, rows, watch
        self.name = tables.named(load)

    def run(self) -> Loaded:
        for each in self.rows.columns:
            tables.sending(each)
        self._wait_for_others()
        known = self._done_before()
        if known is not None:
            return known
        self.watch.passed("begun")
        found, created = self._target()
        widened: tuple[str, ...] = ()
        if wider := needed(self.load, self.rows, found.shape, found.fits, tables.LETTERS):
            widened = tables.widen(self.connection, self.load, self.name, wider)
            found = tables.find(self.connection, self.name) or found
        arrangement = tables.arrange(self.connection, self.load, self.name, found, self.rows.columns)
        if arrangement.added:
            found = tables.find(self.connection, self.name) or found
        into = tuple(Into(each, tables.sending(each), found.columns[name]) for each, name in arrangement.pairs)
        modes: dict[str, Callable[[Found, tuple[Into, ...]], Loaded]]
        modes = {"append": self._append, "replace": self._replace, "merge": self._merge}
        done = modes[self.load.mode](found, into)
        done = replace(done, created=created, added=tuple(each.name for each in arrangement.added), widened=widened)
        self._note(done)
        if self._asked("SELECT 1 WHERE has_table_privilege(%s, 'DELETE')", [self.name.ledger]):
            ledger.prune(self._asked, self.name.ledger, self.name.text, self.load)
        self.watch.passed("settled")
        return done

    def _wait_for_others(self) -> None:
        """One load at a time into a table; the lock goes with the transaction, or with a worker that dies."""
        lock = "(hashtextextended(%s, 0))"
        what = [f"manifold load {self.name.text}"]
        row = self.connection.execute(f"SELECT pg_try_advisory_xact_lock{lock}", what).fetchone()
        if row is not None and row[0]:
            return
        self.watch.waits(f"Waits until another load into {self.name.text} is over.")
        self.connection.execute("SET LOCAL lock_timeout = 0")
        self.connection.execute(f"SELECT pg_advisory_xact_lock{lock}", what)
        self.connection.execute("SET LOCAL lock_timeout = '60s'")

    def _done_before(self) -> Loaded | None:
        """What the ledger says of this load, or of a later run's; the ledger is made when it is not there."""
        if not self._has_ledger():
            # Loads into other tables may make the same ledger at this moment.
            what = [f"manifold ledger {self.name.schema}"]
            self.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", what)
            self.connection.execute(_LEDGER.format(ledger=self.name.ledger))
            return None
        mine = [self.load.pipeline, self.load.step, self.name.text]
        where = f"FROM {self.name.ledger} WHERE pipeline = %s AND step = %s AND target = %s"
        counts = f"SELECT inserted, updated, deleted, skipped {where} AND load_key = %s"
        row = self.connection.execute(counts, [*mine, self.load.key]).fetchone()
        if row is not None:
            return Loaded("already_done", *row)
        later = self.connection.execute(f"SELECT 1 {where} AND run > %s LIMIT 1", [*mine, self.load.run]).fetchone()
        return Loaded("overtaken") if later else None

    def _has_ledger(self) -> bool:
        row = self.connection.execute("SELECT to_regclass(%s) IS NOT NULL", [self.name.ledger]).fetchone()
        return row is not None and bool(row[0])

    def _target(self) -> tuple[Found, bool]:
        """The table, made if it may be; whether it was."""
        found = tables.find(self.connection, self.name)
        if found is not None:
            return found, False
        mine = [self.load.pipeline, self.load.step, self.name.text]
        where = f"FROM {self.name.ledger} WHERE pipeline = %s AND step = %s AND target = %s"
        loaded = self.connection.execute(f"SELECT 1 {where} LIMIT 1", mine).fetchone()
        if loaded and not self.load.complete:
            raise vanished(self.load)
        tables.make(self.connection, self.load, self.name, self.rows.columns)
        made = tables.find(self.connection, self.name)
        assert made is not None
        return made, True

    def _append(self, found: Found, into: tuple[Into, ...]) -> Loaded:
        if found.secured or not all(each.direct for each in into):
            self._send(into)
            return Loaded("loaded", inserted=self._changed(self._merging(into).insert))
        inserted = self._copy(self.name.sql, into)
        self.watch.passed("copied")
        return Loaded("loaded", inserted=inserted)

    def _replace(self, found: Found, into: tuple[Into, ...]) -> Loaded:
        self.connection.execute(f"LOCK TABLE {self.name.sql} IN SHARE ROW EXCLUSIVE MODE")
        deleted = self.connection.execute(f"DELETE FROM {self.name.sql}").rowcount
        return Loaded("loaded", inserted=self._append(found, into).inserted, deleted=deleted)

    def _merge(self, found: Found, into: tuple[Into, ...]) -> Loaded:
        self._send(into)
        merge = self._merging(into)
        self.connection.execute(f"LOCK TABLE {self.name.sql} IN SHARE ROW EXCLUSIVE MODE")
        if not tables.unique(self.connection, found, [each.there.name for each in merge.by]):
            merge.refuse_doubled(lambda sql: self.connection.execute(sql).fetchall())
        return merge.run(self._changed, self.rows.count)

    def _merging(self, into: tuple[Into, ...]) -> Merge[Into]:
        return Merge(self.load, self.name.sql, _SENT, into, " OVERRIDING SYSTEM VALUE", "{}::text")

    def _asked(self, statement: str, given: Sequence[object]) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement, given)
        return cursor.fetchall() if cursor.description else []

    def _changed(self, statement: str) -> int:
        return self.connection.execute(statement).rowcount

    def _send(self, into: tuple[Into, ...]) -> None:
        """The rows as they are sent, in a table of this transaction alone."""
        items = ", ".join(f"{each.name} {each.sent.type}" for each in into)
        self.connection.execute(f"CREATE TEMP TABLE _manifold_rows ({items}) ON COMMIT DROP")
        self._copy(_SENT, into)
        self.connection.execute(f"ANALYZE {_SENT}")
        self.watch.passed("copied")

    def _copy(self, target: str, into: tuple[Into, ...]) -> int:
        items = ", ".join(f"{each.sent.local} AS {each.name}" for each in into)
        query = f"SELECT {items} FROM ({self.rows.query})"
        sent = copying.copy(self.connection, target, [each.name for each in into], self.rows.connection, query)
        self.watch.wrote(sent)
        return sent

    def _note(self, done: Loaded) -> None:
        mine = [self.load.pipeline, self.load.step, self.name.text, self.load.key, self.load.run, self.load.mode]
        self.connection.execute(
            f"INSERT INTO {self.name.ledger} (pipeline, step, target, load_key, run, mode, inserted, updated, deleted, "
            "skipped) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [*mine, done.inserted, done.updated, done.deleted, done.skipped],
        )


def _unsendable(error: duckdb.Error, load: Load) -> Exception:
    if "NULL-byte" in str(error):
        return DataError(
            f"A text that arrives for {load.table} holds a NUL character, which PostgreSQL cannot keep. Take it out in "
            "a sql step before the load: replace(column, chr(0), '').",
            code="value",
            evidence={"table": load.table},
        )
    return translated(error)
