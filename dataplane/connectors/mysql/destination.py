"""Rows into a table of MySQL or MariaDB: one transaction with a row of the ledger in it, whatever the mode.

A replace deletes and inserts within that transaction: whoever reads meanwhile sees the old rows until the commit, and
grants, indexes and foreign keys stay as they are.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import duckdb
import pymysql
from pymysql.connections import Connection

from dataplane.connectors.databases import ledger
from dataplane.connectors.databases.guards import marked
from dataplane.connectors.databases.merging import Merge
from dataplane.connectors.databases.widening import needed
from dataplane.connectors.destination import Load, Loaded, Rows, Watch, arranged
from dataplane.connectors.mysql import refusals, sending, session, tables, wire
from dataplane.connectors.mysql.params import MySQLParams
from dataplane.connectors.mysql.types import quoted
from dataplane.connectors.mysql.wire import There
from dataplane.errors import CancelledError, DataError, ManifoldError
from dataplane.failures import translated
from dataplane.steps.base import ColumnType

WRITE_SECONDS = 6 * 3600.0
"""Limit of one statement of a load; the step's own timeout usually ends it earlier."""
_MODE = (
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
    "NO_AUTO_VALUE_ON_ZERO"
)
_SENT = "_manifold_rows"
_NO_GRANT = 1142
"""A statement that is refused with this number has no effect on its transaction."""


def load(params: MySQLParams, load: Load, rows: Rows, watch: Watch) -> Loaded:
    """See `Destination.load`."""
    stopped = threading.Event()
    with session.writing(params, WRITE_SECONDS) as connection:

        def stop() -> None:
            stopped.set()
            rows.connection.interrupt()
            with suppress(ManifoldError, pymysql.err.MySQLError), session.writing(params, 20.0) as other:
                session.ask(other, f"KILL QUERY {connection.thread_id()}")

        watch.on_cancel(stop)
        try:
            done = _Loading(connection, load, rows, watch, database=params.database, stopped=stopped).run()
            if stopped.is_set():
                raise CancelledError
            connection.commit()
        except pymysql.err.MySQLError as error:
            if stopped.is_set():
                raise CancelledError from None
            raise refusals.refused(params, error, load.table) from None
        except duckdb.Error as error:
            if stopped.is_set():
                raise CancelledError from None
            raise _unsendable(error, load) from error
    watch.passed("kept")
    return done


@dataclass(frozen=True)
class _Into:
    """One column of a load, and the table's column that takes it."""

    column: ColumnType
    there: There

    @property
    def name(self) -> str:
        return quoted(self.there.name)

    @property
    def value(self) -> str:
        return f"r.{self.name}"

    @property
    def differs(self) -> str:
        """Texts are compared byte by byte."""
        one, other = f"t.{self.name}", self.value
        if self.there.collation:
            return f"NOT (CAST({one} AS BINARY) <=> CAST({other} AS BINARY))"
        return f"NOT ({one} <=> {other})"


class _Merge(Merge[_Into]):
    """Where MySQL says it in another way."""

    @property
    def delete(self) -> str:
        return f"DELETE t FROM {self.table} t WHERE {self.missing}"

    @property
    def update(self) -> str:
        sets = ", ".join(f"t.{each.name} = {each.value}" for each in self.others)
        return f"UPDATE {self.table} t JOIN {self.sent} r ON {self.same} SET {sets} WHERE {self.differs}"


class _Loading:
    """One load: the definitions first, then everything else within its transaction."""

    def __init__(
        self, connection: Connection, load: Load, rows: Rows, watch: Watch, *, database: str, stopped: threading.Event
    ) -> None:
        self.connection, self.load, self.rows, self.watch, self.stopped = connection, load, rows, watch, stopped
        self.name = tables.named(load, database)

    def run(self) -> Loaded:
        self._ask(f"SET SESSION sql_mode = '{_MODE}'")
        self._wait_for_others()
        known = tables.ledger(self.connection, self.load, self.name)
        if known is not None:
            return known
        into, changed = self._target()
        if self.load.mode == "merge":
            self._stage(into)
        self._ask("START TRANSACTION")
        tables.claim(self.connection, self.load, self.name)
        self.watch.passed("begun")
        modes: dict[str, Callable[[tuple[_Into, ...]], Loaded]]
        modes = {"append": self._append, "replace": self._replace, "merge": self._merge}
        done = modes[self.load.mode](into)
        done = replace(done, created=changed.created, added=changed.added, widened=changed.widened)
        tables.note(self.connection, self.load, self.name, done)
        self._forget()
        self.watch.passed("settled")
        return done

    def _forget(self) -> None:
        """Remove older rows of the ledger; whoever may not delete there keeps them all."""
        try:
            ledger.prune(self._asked, self.name.ledger, self.name.text, self.load)
        except pymysql.err.MySQLError as error:
            if error.args[0] != _NO_GRANT:
                raise

    def _wait_for_others(self) -> None:
        """One load at a time into a table; the lock goes with the session, or with a worker that dies."""
        lock = f"manifold {hashlib.sha256(self.name.text.encode()).hexdigest()[:40]}"
        if session.one(self.connection, "SELECT GET_LOCK(%s, 0)", lock):
            return
        self.watch.waits(f"Waits until another load into {self.name.text} is over.")
        while not session.one(self.connection, "SELECT GET_LOCK(%s, 1)", lock):
            if self.stopped.is_set():
                raise CancelledError

    def _target(self) -> tuple[tuple[_Into, ...], Loaded]:
        """Which column goes where, in a table that is made, widened and given columns where it may be; and how."""
        found = tables.find(self.connection, self.name)
        created = not found
        if created:
            tables.refuse_vanished(self.connection, self.load, self.name)
            tables.make(self.connection, self.load, self.name, self.rows.columns)
            found = tables.find(self.connection, self.name)
        widened: tuple[str, ...] = ()
        if wider := needed(self.load, self.rows, tables.shape(found), tables.fitting(found), tables.LETTERS):
            widened = tables.widen(self.connection, self.load, self.name, wider)
            found = tables.find(self.connection, self.name)
        there = {each.name: each for each in found}
        arrangement = arranged(self.load, self.rows.columns, tables.shape(found), tables.fitting(found))
        if arrangement.added:
            tables.add(self.connection, self.name, arrangement.added)
            there = {each.name: each for each in tables.find(self.connection, self.name)}
        into = tuple(_Into(column, there[name]) for column, name in arrangement.pairs)
        added = tuple(each.name for each in arrangement.added)
        return into, Loaded("loaded", created=created, added=added, widened=widened)

    def _append(self, into: tuple[_Into, ...]) -> Loaded:
        inserted = self._send(self.name.sql, into)
        self.watch.passed("copied")
        return Loaded("loaded", inserted=inserted)

    def _replace(self, into: tuple[_Into, ...]) -> Loaded:
        deleted = self._changed(f"DELETE FROM {self.name.sql}")
        return replace(self._append(into), deleted=deleted)

    def _merge(self, into: tuple[_Into, ...]) -> Loaded:
        merge = _Merge(self.load, self.name.sql, _SENT, into)
        self._send(_SENT, into)
        self._refuse_alike(merge.by)
        if not tables.unique(self.connection, self.name, [each.there.name for each in merge.by]):
            merge.refuse_doubled(self._ask)
        done = merge.run(self._changed, self.rows.count)
        self.watch.passed("copied")
        return done

    def _stage(self, into: tuple[_Into, ...]) -> None:
        """A table of this session alone, each column as the target's."""
        items = [f"{each.name} {each.there.definition}" for each in into]
        by = _Merge(self.load, self.name.sql, _SENT, into).by
        if sum(each.there.room for each in by) <= wire.KEY_BYTES:
            items.append(f"KEY ({', '.join(each.name for each in by)})")
        self._ask(f"CREATE TEMPORARY TABLE {_SENT} ({', '.join(items)}) ENGINE = InnoDB")

    def _send(self, table: str, into: tuple[_Into, ...]) -> int:
        texts = ", ',', ".join(wire.constant(each.column, each.there) for each in into)
        query = f"SELECT concat('(', {texts}, '),') FROM ({self.rows.query})"
        names = ", ".join(each.name for each in into)
        return sending.send(self.connection, f"{table} ({names})", self.rows.connection, query, wrote=self.watch.wrote)

    def _refuse_alike(self, by: list[_Into]) -> None:
        """Keys that differ in what arrives may be the same to the table's collation."""
        names = ", ".join(each.name for each in by)
        for row in self._ask(f"SELECT {names}, count(*) FROM {_SENT} GROUP BY {names} HAVING count(*) > 1 LIMIT 1"):
            said = ", ".join(f"{each.there.name} = {value}" for each, value in zip(by, row, strict=False))
            raise DataError(
                f"{row[-1]} rows arrive for {self.load.table} with {said}, or what is the same under the table's "
                "collation. Remove all but one with a check, or change the collation of the table's key.",
                code="key_twice",
                evidence={"table": self.load.table, "key": list(self.load.by), "sample": said},
            )

    def _ask(self, statement: str) -> list[tuple[object, ...]]:
        return session.ask(self.connection, statement)

    def _asked(self, statement: str, given: Sequence[object]) -> list[tuple[object, ...]]:
        return session.ask(self.connection, statement, *given)

    def _changed(self, statement: str) -> int:
        return int(self.connection.query(statement))


def _unsendable(error: duckdb.Error, load: Load) -> Exception:
    value = marked(str(error))
    if value is None:
        return translated(error)
    return DataError(
        f"The column `{value[0]}` holds {value[1]}, which {load.table} cannot keep. Change or leave out such rows in a "
        "sql step before the load.",
        code="value",
        evidence={"table": load.table, "column": value[0], "value": value[1]},
    )
