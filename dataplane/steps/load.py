"""The load step: staged files become the files of a dataset's next snapshot.

Nothing is reshaped: a dataset is read by name and in the types of its schema (`relations.relation_sql`), so files with
another order of columns, narrower types or fewer columns stay as they are. What is decided here is the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from dataplane.engine import disk_error
from dataplane.errors import CancelledError, DataError, Suggestion
from dataplane.steps.base import ColumnType, Spec, StagedFile, StepContext, StepKind, StepResult, Table
from dataplane.storage import Storage
from dataplane.types import widest


class LoadSpec(Spec):
    """Which step's rows go into which dataset, and whether they join the rows that are there or take their place."""

    input: Annotated[str, StringConstraints(min_length=1)]
    dataset: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=63)]
    mode: Literal["append", "replace"] = "append"


class LoadStep(StepKind):
    """Makes the input's files the dataset's own; the snapshot itself is a row, written with the commit of the step.

    extras: `columns`, the dataset's columns when rows are added to others (none: the input's own are the schema).
    Returns the schema of the next snapshot with the files it adds, each under a name of this step's alone and with its
    SHA-256. Raises DataError `schema_changed` for a column whose old and new values no type holds without loss.
    """

    kind = "load"
    Spec = LoadSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return {"input": spec.input}

    @classmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        table = context.inputs["input"]
        columns = merged(context.extras.get("columns", ()), table.columns, spec.dataset)
        adopted = _Adoption(context).all([*table.files, *table.rejected])
        split = len(table.files)
        return StepResult(table=Table(columns, adopted[:split], adopted[split:]), rows_in=table.rows)


def merged(old: Sequence[ColumnType], new: Sequence[ColumnType], dataset: str) -> tuple[ColumnType, ...]:
    """The schema after an append: old columns in their order, then new ones, which are NULL in old rows.

    A column that no longer arrives stays, and is NULL in new rows. A type may grow on either side as long as nothing is
    lost. Names are compared as SQL does, without regard to capital letters.
    """
    if not old:
        return tuple(new)
    arriving = {each.name.lower(): each for each in new}
    columns = []
    for before in old:
        after = arriving.pop(before.name.lower(), None)
        if after is None:
            columns.append(replace(before, nullable=True))
            continue
        type_ = widest(before.type, after.type)
        # Everything can be written as text, but whoever reads numbers would not thank us for it.
        if type_ is None or (type_ == "VARCHAR" and before.type != "VARCHAR"):
            raise _changed(before, after, dataset)
        columns.append(ColumnType(before.name, type_, before.nullable or after.nullable))
    columns += [replace(each, nullable=True) for each in arriving.values()]
    return tuple(columns)


def _changed(before: ColumnType, after: ColumnType, dataset: str) -> DataError:
    return DataError(
        f"The column `{before.name}` of the dataset `{dataset}` is {before.type} and now arrives as {after.type}; one "
        "cannot hold the other's values. Cast it before the load, or load everything anew with a seed run.",
        code="schema_changed",
        evidence={"dataset": dataset, "column": before.name, "before": before.type, "after": after.type},
        suggestions=[
            Suggestion(
                "cast", f"Cast `{before.name}` to {before.type} in a sql step", "New rows join the ones that are there."
            ),
            Suggestion(
                "seed", "Start a run with mode seed", "Everything is read again and takes the place of what is there."
            ),
        ],
    )


class _Adoption:
    """Gives files a name of this step's own and hashes those that nobody has hashed yet, two at a time."""

    def __init__(self, context: StepContext) -> None:
        self.context = context
        self.stopped = False
        context.on_cancel(self.stop)

    def stop(self) -> None:
        self.stopped = True

    def all(self, files: Sequence[StagedFile]) -> tuple[StagedFile, ...]:
        with ThreadPoolExecutor(max_workers=max(1, min(2, self.context.threads))) as pool:
            return tuple(pool.map(self._one, range(len(files)), files))

    def _one(self, position: int, file: StagedFile) -> StagedFile:
        if self.stopped:
            raise CancelledError
        storage: Storage = self.context.storage
        target = f"{self.context.output}/{position:05d}.parquet"
        try:
            storage.link(file.path, target)
            storage.flush(target)
            digest = file.sha256 or storage.sha256(target)
        except OSError as error:
            raise disk_error(error) from error
        progress = self.context.progress
        progress.rows += file.rows
        progress.bytes += file.bytes
        return replace(file, path=target, sha256=digest)
