"""Merging rows into a dataset by key: which of its files hold rows that change, and what takes their place.

Only files with a changed or a deleted row are written again; all others stay, so what a merge costs beside reading the
keys is what it changes. Everything is SQL over Parquet: no row passes through Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from dataplane.engine import write_parquet
from dataplane.errors import BugError
from dataplane.relations import identifier, relation_sql
from dataplane.steps.base import ColumnType, StagedFile, StepContext, Table
from dataplane.steps.keys import refuse_bad_keys, refuse_doubled, resolved
from dataplane.steps.operating import operating


@dataclass(frozen=True)
class Counts:
    """What became of the rows. skipped: rows of the input that were there already, exactly as they are."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Merged:
    """The files that the next snapshot adds, the paths of those that it removes, and the counts."""

    files: tuple[StagedFile, ...]
    removed: tuple[str, ...] = ()
    counts: Counts = Counts()


@dataclass(frozen=True)
class Merge:
    """One merge: the columns of the next snapshot, those of them that arrive, and the key by their names."""

    context: StepContext
    connection: duckdb.DuckDBPyConnection
    columns: tuple[ColumnType, ...]
    arriving: frozenset[str]
    key: tuple[str, ...]
    delete_missing: bool

    @property
    def matching(self) -> str:
        return " AND ".join(f"o.{identifier(each)} = i.{identifier(each)}" for each in self.key)

    @property
    def differing(self) -> str:
        others = [each for each in self.columns if each.name in self.arriving and each.name not in self.key]
        found = (f"o.{identifier(each.name)} IS DISTINCT FROM i.{identifier(each.name)}" for each in others)
        return " OR ".join(found) or "false"


def merge(
    context: StepContext, columns: tuple[ColumnType, ...], key: Sequence[str], *, delete_missing: bool, dataset: str
) -> Merged:
    """Merge `context.inputs["input"]` into `inputs["parent"]`, the files of the head (none: everything is new).

    A row whose key is there takes the place of the old one, but a column that does not arrive keeps its value. Raises
    ManifoldError where the input holds no such column, a NULL in its key or a key twice, or the dataset one twice.
    """
    table, parent = context.inputs["input"], context.inputs.get("parent")
    key = resolved(key, table.columns, parent.columns if parent else None, dataset)
    own = {each.name.lower() for each in table.columns}
    arriving = tuple(each for each in columns if each.name.lower() in own)
    key = tuple(each.name for name in key for each in columns if each.name.lower() == name.lower())
    with operating(context) as (connection, share):
        share.next(0.2)
        incoming = Table(arriving, table.files, origins=table.origins)
        refuse_bad_keys(connection, context.storage, incoming, key)
        if parent is None or not parent.files:
            return Merged(table.files, counts=Counts(inserted=table.rows))
        connection.execute(
            f"CREATE TEMP VIEW incoming AS SELECT *, true AS __there FROM ({relation_sql(incoming, context.storage)})"
        )
        old = relation_sql(Table(columns, parent.files), context.storage, positions=True)
        connection.execute(f"CREATE TEMP VIEW kept AS {old}")
        share.next(0.4)
        names = frozenset(each.name for each in arriving)
        merging = Merge(context, connection, columns, names, key, delete_missing)
        return _merged(merging, table, parent, dataset)


def _merged(merge: Merge, table: Table, parent: Table, dataset: str) -> Merged:
    found = _survey(merge)
    matched = sum(each[0] for each in found.values())
    updated = sum(each[1] for each in found.values())
    files = _inserted(merge) if matched else table.files
    inserted = sum(each.rows for each in files)
    if matched + inserted != table.rows:
        raise refuse_doubled(merge.connection, merge.key, dataset)
    touched, deleted = [], 0
    for each in parent.files:
        there, changed = found.get(merge.context.storage.absolute(each.path), (0, 0))
        gone = each.rows - there if merge.delete_missing else 0
        deleted += gone
        if changed or gone:
            touched.append(each)
    files = _rewritten(merge, touched, deleted) + files
    removed = tuple(each.path for each in touched)
    return Merged(files, removed, Counts(inserted, updated, deleted, matched - updated))


def _survey(merge: Merge) -> dict[str, tuple[int, int]]:
    """By the absolute path of a file: how many of its rows arrive again, and how many of those differ."""
    rows = merge.connection.execute(
        f"SELECT o.__file, count(*), count(*) FILTER (WHERE {merge.differing}) "
        f"FROM kept o JOIN incoming i ON {merge.matching} GROUP BY o.__file"
    ).fetchall()
    return {path: (matched, changed) for path, matched, changed in rows}


def _inserted(merge: Merge) -> tuple[StagedFile, ...]:
    items = ", ".join(
        name if each.name in merge.arriving else f"CAST(NULL AS {each.type}) AS {name}"
        for each in merge.columns
        for name in [identifier(each.name)]
    )
    return write_parquet(
        merge.connection,
        f"SELECT {items} FROM incoming i ANTI JOIN kept o ON {merge.matching}",
        storage=merge.context.storage,
        folder=f"{merge.context.output}/merged",
        name="inserted",
    )


def _rewritten(merge: Merge, touched: list[StagedFile], deleted: int) -> tuple[StagedFile, ...]:
    """The rows of these files as they are after the merge."""
    if not touched:
        return ()
    storage = merge.context.storage
    items = ", ".join(
        f"CASE WHEN i.__there THEN i.{name} ELSE o.{name} END AS {name}" if each.name in merge.arriving else f"o.{name}"
        for each in merge.columns
        for name in [identifier(each.name)]
    )
    files = write_parquet(
        merge.connection,
        f"SELECT {items} FROM ({relation_sql(Table(merge.columns, tuple(touched)), storage)}) o "
        f"{'' if merge.delete_missing else 'LEFT'} JOIN incoming i ON {merge.matching}",
        storage=storage,
        folder=f"{merge.context.output}/merged",
        name="rewritten",
    )
    wanted = sum(each.rows for each in touched) - deleted
    written = sum(each.rows for each in files)
    if written != wanted:
        raise BugError(
            f"A merge would have kept {written} of {wanted} rows; nothing was changed.",
            code="merge_rows",
            evidence={"files": [each.path for each in touched][:20], "wanted": wanted, "written": written},
        )
    return files
