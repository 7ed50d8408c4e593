"""Rows into a table of a database file: one transaction with a row of the ledger in it, by DuckDB's own SQL.

Such a file has one writer at a time. Whoever comes second waits here, and says so.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import duckdb

from dataplane.connectors.databases import ledger, tables
from dataplane.connectors.databases.attaching import detach
from dataplane.connectors.databases.merging import Merge
from dataplane.connectors.databases.names import Name
from dataplane.connectors.databases.tables import CATALOG, Into, Target
from dataplane.connectors.databases.widening import cannot, needed
from dataplane.connectors.destination import Load, Loaded, Rows, TableColumn, Watch, arranged, vanished
from dataplane.errors import CancelledError, ConfigurationError, DataError, ManifoldError, TransientError
from dataplane.failures import translated
from dataplane.relations import identifier
from dataplane.steps.base import ColumnType

WAIT_SECONDS = 600.0
"""How long a load waits for another writer before it gives up; the step's retries go on from there."""
_LOOK_AGAIN = 0.25
_ROWS = "_manifold_rows"


class Dialect(ABC):
    """What one kind of file does differently. widens: the type of a column can be changed."""

    widens = False

    def __init__(self, shown: str, path: str) -> None:
        """shown: the path as people gave it. path: the real one."""
        self.shown, self.path = shown, path
        if not os.access(path, os.W_OK):
            raise ConfigurationError(
                f"Manifold may read {shown} but not write it. Give the account that runs it the right to write the "
                "file and into its folder.",
                code="permission_denied",
                evidence={"file": shown},
            )

    @abstractmethod
    def attach(self, duck: duckdb.DuckDBPyConnection) -> None:
        """The file as the catalogue `destination`. Raises duckdb.Error."""

    @abstractmethod
    def locked(self, said: str) -> bool:
        """Whether this error means that somebody else writes at this moment."""

    @abstractmethod
    def named(self, load: Load) -> Name:
        """The target of a load. Raises ConfigurationError."""

    @abstractmethod
    def new_type(self, column: ColumnType) -> str:
        """The type of a new column for these values. Raises ManifoldError for one that cannot be kept."""

    @abstractmethod
    def fits(self, column: ColumnType, there: TableColumn) -> bool:
        """Whether every value arrives unchanged, or is refused."""

    def sent(self, column: ColumnType, value: str) -> str:
        """A value (an expression) as it is sent."""
        return value


def load(dialect: Dialect, load: Load, rows: Rows, watch: Watch) -> Loaded:
    """See `Destination.load`."""
    stopped = threading.Event()
    watch.on_cancel(stopped.set)
    duck = rows.connection
    try:
        return _patiently(dialect, duck, _Writing(dialect, load, rows, watch).whole, watch, stopped)
    except duckdb.Error as error:
        if stopped.is_set():
            raise CancelledError from None
        raise _refused(dialect, load, error) from error
    finally:
        detach(duck, CATALOG)


def _patiently(
    dialect: Dialect,
    duck: duckdb.DuckDBPyConnection,
    work: Callable[[], Loaded],
    watch: Watch,
    stopped: threading.Event,
) -> Loaded:
    """Open the file and do the work in one transaction, again from its beginning while others are in the way.

    Somebody else may be writing the file, or reading it at the moment of the commit.
    """
    began = time.monotonic()
    while True:
        try:
            dialect.attach(duck)
            duck.execute("BEGIN TRANSACTION")
            return work()
        except duckdb.Error as error:
            if not dialect.locked(str(error)):
                raise
            detach(duck, CATALOG)
        seconds = time.monotonic() - began
        if seconds > WAIT_SECONDS:
            raise busy(dialect.shown, seconds)
        watch.waits(f"Waits until nobody else writes {dialect.shown}.")
        if stopped.wait(_LOOK_AGAIN):
            raise CancelledError


class _Writing:
    """One load within its transaction."""

    def __init__(self, dialect: Dialect, load: Load, rows: Rows, watch: Watch) -> None:
        self.dialect, self.load, self.rows, self.watch = dialect, load, rows, watch
        self.duck = rows.connection
        self.name = dialect.named(load)
        self.places: set[str] = set()
        for each in rows.columns:
            dialect.new_type(each)
        self.duck.execute(f"CREATE OR REPLACE TEMP VIEW {_ROWS} AS {rows.query}")

    def whole(self) -> Loaded:
        """Take the ledger's row and load; or what that row says of this load, or of a later run's, if that was done."""
        known = tables.claim(self.duck, self.name, self.load)
        if known is not None:
            return known
        done = self._run()
        self.duck.execute("COMMIT")
        self._pass("kept")
        return done

    def _pass(self, place: str) -> None:
        """Each place once, however often the work is begun anew: until it comes further, others are in the way."""
        if place not in self.places:
            self.places.add(place)
            self.watch.passed(place)

    def _run(self) -> Loaded:
        self._pass("begun")
        found, created = self._target()
        found, widened = self._widened(found)
        arrangement = arranged(self.load, self.rows.columns, found.shape, self.dialect.fits)
        if arrangement.added:
            tables.add(self.duck, self.name, [(each, self.dialect.new_type(each)) for each in arrangement.added])
            found = tables.find(self.duck, self.name) or found
        into = [
            Into(column, found.columns[name], self._value(column, found.columns[name]))
            for column, name in arrangement.pairs
        ]
        modes = {"append": self._append, "replace": self._replace, "merge": self._merge}
        done = modes[self.load.mode](into)
        done = replace(done, created=created, added=tuple(each.name for each in arrangement.added), widened=widened)
        tables.note(self.duck, self.name, self.load, done)
        ledger.prune(self._asked, self.name.ledger, self.name.text, self.load, "?")
        self._pass("settled")
        return done

    def _asked(self, statement: str, given: Sequence[object]) -> list[tuple[object, ...]]:
        return self.duck.execute(statement, list(given)).fetchall()

    def _value(self, column: ColumnType, there: TableColumn) -> str:
        return f"CAST({self.dialect.sent(column, f'r.{identifier(column.name)}')} AS {there.type})"

    def _target(self) -> tuple[Target, bool]:
        """The table, made if it may be; whether it was."""
        found = tables.find(self.duck, self.name)
        if found is not None:
            return found, False
        if not self.load.complete and tables.was_loaded(self.duck, self.name, self.load):
            raise vanished(self.load)
        columns = [(each, self.dialect.new_type(each)) for each in self.rows.columns]
        tables.make(self.duck, self.name, columns, self.load.by)
        made = tables.find(self.duck, self.name)
        assert made is not None
        return made, True

    def _widened(self, found: Target) -> tuple[Target, tuple[str, ...]]:
        """The table with columns that are wide enough, where the file lets them be changed; and which were."""
        if not self.dialect.widens:
            return found, ()
        wider = needed(self.load, self.rows, found.shape, self.dialect.fits, longest=0)
        for each in wider:
            try:
                column = identifier(each.name)
                self.duck.execute(f"ALTER TABLE {self.name.sql} ALTER COLUMN {column} TYPE {each.number}")
            except duckdb.Error as error:
                raise cannot(self.load, each, each.number, str(error).partition("\n")[0]) from None
        return tables.find(self.duck, self.name) or found, tuple(each.said(each.number) for each in wider)

    def _append(self, into: list[Into]) -> Loaded:
        inserted = self._changed(Merge(self.load, self.name.sql, _ROWS, tuple(into)).insert)
        self.watch.wrote(inserted)
        self._pass("copied")
        return Loaded("loaded", inserted=inserted)

    def _replace(self, into: list[Into]) -> Loaded:
        deleted = self._changed(f"DELETE FROM {self.name.sql}")
        return replace(self._append(into), deleted=deleted)

    def _merge(self, into: list[Into]) -> Loaded:
        merge = Merge(self.load, self.name.sql, _ROWS, tuple(into), shown="CAST({} AS VARCHAR)")
        merge.refuse_doubled(lambda sql: self.duck.execute(sql).fetchall())
        done = merge.run(self._changed, self.rows.count)
        self.watch.wrote(done.inserted)
        self._pass("copied")
        return done

    def _changed(self, statement: str) -> int:
        row = self.duck.execute(statement).fetchone()
        return int(row[0]) if row else 0


def busy(shown: str, seconds: float) -> TransientError:
    """Somebody else has written for longer than a load waits."""
    return TransientError(
        f"{shown} was being written by another program for {seconds:.0f} s, and such a file has one writer at a time. "
        "Close it there.",
        code="file_locked",
        evidence={"file": shown, "waited_s": round(seconds, 1)},
    )


def _refused(dialect: Dialect, load: Load, error: duckdb.Error) -> ManifoldError | CancelledError:
    """An error of the file or of its table, in our words."""
    said = str(error).replace(dialect.path, dialect.shown)
    first = said.partition("\n")[0]
    if dialect.locked(said):
        return TransientError(
            f"{dialect.shown} was being read or written by another program when the load was to be kept; nothing has "
            "changed. Close it there.",
            code="file_locked",
            evidence={"file": dialect.shown, "said": said[:500]},
        )
    if isinstance(error, duckdb.ConstraintException) or "constraint failed" in said:
        return DataError(
            f"{load.table} refuses a row: {first}. Check for it before the load, or change the table.",
            code="constraint",
            evidence={"table": load.table, "said": said[:1000]},
        )
    if isinstance(error, duckdb.IOException) and "space" not in said:
        return ConfigurationError(
            f"{dialect.shown} cannot be written: {first}. Name another file, or mend this one.",
            code="file_format",
            evidence={"file": dialect.shown, "said": said[:500]},
        )
    return translated(error)
