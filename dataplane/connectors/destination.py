"""What a destination is: a connector that takes rows into a table of its own, exactly once, whatever dies on the way.

The rows are a SELECT on a DuckDB instance; they never pass through Python objects. A load is one transaction of the
destination: the rows, and beside them a row of the ledger (`_manifold_loads`) that names the load. A load that is
repeated finds that row and changes nothing, so it does not matter at which point an earlier attempt died.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import duckdb

from dataplane.errors import ConfigurationError, DataError, Suggestion
from dataplane.steps.base import ColumnType

LEDGER = "_manifold_loads"
"""The ledger's table; it lies where the target lies, so that one grant serves both."""

Mode = Literal["append", "replace", "merge"]
Policy = Literal["evolve", "freeze"]
Status = Literal["loaded", "already_done", "overtaken"]


@dataclass(frozen=True)
class Load:
    """One load as the ledger knows it.

    pipeline, step, table and key together are one load for ever. run: an id of the execution that does it now; it grows
    from each execution of the step to the next, so one that was thought dead does not touch a table that a later one
    has loaded (the ids of runs will not do: they may be executed in another order than they were created). by: the
    columns that tell rows apart in a merge. delete_missing: a merge removes what did not arrive. complete: the rows are
    all that the sources hold, so a table that has vanished may be made anew. settled: of the keys of earlier loads of
    this step, those that are known to be done without the ledger, for ever.
    """

    pipeline: uuid.UUID
    step: str
    table: str
    key: str
    run: uuid.UUID
    mode: Mode
    by: tuple[str, ...] = ()
    delete_missing: bool = False
    policy: Policy = "evolve"
    complete: bool = False
    settled: Callable[[Sequence[str]], Collection[str]] = lambda keys: ()


@dataclass(frozen=True)
class Rows:
    """The rows on offer: one SELECT on `connection`, an instance that has loaded the connector's `extensions`.

    No column is named twice, whatever its capital letters. The values of `Load.by` are known to be there, and each to
    stand once.
    """

    connection: duckdb.DuckDBPyConnection
    query: str
    columns: tuple[ColumnType, ...]
    count: int


@dataclass
class Watch:
    """How a load is watched while it goes on.

    passed: called at `begun` (the ledger's row is taken, nothing written), `copied` (rows are there, uncommitted),
    `settled` (all is there, uncommitted) and `kept` (committed); the fault tests strike there. waits: one sentence
    about what it waits for, which may be said again; passing a place ends the wait. wrote: rows that have gone over so
    far. on_cancel: a callable that interrupts it, called from another thread.
    """

    passed: Callable[[str], None] = lambda place: None
    waits: Callable[[str], None] = lambda sentence: None
    wrote: Callable[[int], None] = lambda rows: None
    on_cancel: Callable[[Callable[[], object]], None] = lambda interrupt: None


@dataclass(frozen=True)
class Loaded:
    """What became of the rows; of a load that was done before, what became of them then.

    skipped: rows of a merge that were there already, exactly as they are. overtaken: a later run has loaded since.
    added: new columns of the table; widened: columns that were made wider, each with both types.
    """

    status: Status
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    skipped: int = 0
    created: bool = False
    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()


class Destination(ABC):
    """The second half of a connector whose `capabilities.writable` is true."""

    @abstractmethod
    def load(self, load: Load, rows: Rows, watch: Watch) -> Loaded:
        """Take the rows in, or find that this was done before. All or nothing. Raises ManifoldError, CancelledError.

        append adds the rows. replace puts them in the place of all that is there, merge changes and adds rows by key;
        whoever reads meanwhile sees the table as it was before or as it is afterwards. A table that is not there is
        made, unless the ledger says that it once was and the rows are not `complete` (raise `vanished`).
        """


@dataclass(frozen=True)
class TableColumn:
    """A column of the table as it is. needed: NOT NULL, and nothing fills it by itself. generated: always computed."""

    name: str
    type: str
    needed: bool = False
    generated: bool = False


@dataclass(frozen=True)
class Arrangement:
    """How arriving columns go into a table: (arriving column, name in the table), and the columns to be added first."""

    pairs: tuple[tuple[ColumnType, str], ...]
    added: tuple[ColumnType, ...] = field(default=())

    def name_of(self, arriving: str) -> str:
        """The table's name for a column that arrives; capital letters make no difference."""
        return next(name for column, name in self.pairs if column.name.lower() == arriving.lower())


def arranged(
    load: Load,
    arriving: Sequence[ColumnType],
    there: Sequence[TableColumn],
    fits: Callable[[ColumnType, TableColumn], bool],
) -> Arrangement:
    """Compare what arrives with what is there, under the load's policy.

    evolve: columns that are new are added, and those that do not arrive stay (NULL, or their default, in new rows).
    freeze: both have the same columns. No type is changed here: `fits` says whether every value of a column arrives
    unchanged, or is refused by the server. Raises ManifoldError with every column at fault.
    """
    known = {each.name.lower(): each for each in there}
    pairs = tuple((each, known[each.name.lower()].name) for each in arriving if each.name.lower() in known)
    new = tuple(each for each in arriving if each.name.lower() not in known)
    names = {each.name.lower() for each in arriving}
    absent = [each for each in there if each.name.lower() not in names and not each.generated]
    _refuse_generated(load, [known[name.lower()].name for _, name in pairs if known[name.lower()].generated])
    wrong = [(each, known[name.lower()]) for each, name in pairs if not fits(each, known[name.lower()])]
    if wrong:
        raise _misfits(load, wrong)
    if load.policy == "freeze" and (new or absent):
        raise _frozen(load, [each.name for each in new], [each.name for each in absent])
    needed = [each.name for each in absent if each.needed]
    if needed:
        raise DataError(
            f"{load.table} needs a value in {listed(needed)}, which does not arrive. Add it in a sql step before the "
            "load, or give the column a default.",
            code="column_missing",
            evidence={"table": load.table, "missing": needed},
        )
    without = [each for each in load.by if each.lower() not in known]
    if without:
        raise ConfigurationError(
            f"{load.table} has no column {listed(without)}, so nobody can say which of its rows the key of the merge "
            "means. Choose a key that it has.",
            code="key_missing",
            evidence={"table": load.table, "key": list(load.by), "columns": [each.name for each in there]},
        )
    return Arrangement((*pairs, *((each, each.name) for each in new)), new)


def vanished(load: Load) -> ConfigurationError:
    """The table that earlier loads have filled is not there any more."""
    return ConfigurationError(
        f"The table {load.table} has vanished: earlier loads of the step `{load.step}` had filled it. Bring it back, "
        "or start a run with mode seed, which makes it anew from everything that the sources hold.",
        code="table_missing",
        evidence={"table": load.table, "step": load.step},
        suggestions=[
            Suggestion("seed", "Start a run with mode seed", "The table is made anew from all that the sources hold.")
        ],
    )


def key_twice(load: Load, found: Sequence[tuple[str, object]], rows: int) -> DataError:
    """The table holds several rows with one key (`found`: its columns with their values)."""
    said = ", ".join(f"{name} = {value}" for name, value in found)
    return DataError(
        f"{load.table} holds {rows} rows with {said}, so nobody can say which one the merge means. Remove all but one, "
        "or name more columns in the key.",
        code="key_twice_in_table",
        evidence={"table": load.table, "key": list(load.by), "sample": said},
    )


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in names)


def _refuse_generated(load: Load, names: list[str]) -> None:
    if names:
        raise ConfigurationError(
            f"{load.table} computes {listed(names)} by itself, so nothing can be loaded into it. Leave the column out "
            "with a sql step before the load.",
            code="column_generated",
            evidence={"table": load.table, "columns": names},
        )


def _misfits(load: Load, wrong: Sequence[tuple[ColumnType, TableColumn]]) -> DataError:
    said = "; ".join(f"`{there.name}` is {there.type} and arrives as {each.type}" for each, there in wrong)
    return DataError(
        f"The columns of {load.table} cannot hold every value that arrives unchanged: {said}. Cast in a sql step "
        "before the load, or change the column's type in the table.",
        code="type_mismatch",
        evidence={
            "table": load.table,
            "columns": [{"column": there.name, "there": there.type, "arrives": each.type} for each, there in wrong],
        },
    )


def _frozen(load: Load, new: list[str], absent: list[str]) -> DataError:
    said = [f"{listed(new)} would be new"] if new else []
    said += [f"{listed(absent)} does not arrive"] if absent else []
    return DataError(
        f"The schema of {load.table} is frozen, and what arrives differs: {'; '.join(said)}. Change the input with a "
        "sql step, change the table, or write `schema: evolve`.",
        code="schema_frozen",
        evidence={"table": load.table, "new": new, "missing": absent},
    )
