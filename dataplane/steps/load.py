"""The load step: staged files become the files of a dataset's next snapshot.

Nothing is reshaped: a dataset is read by name and in the types of its schema (`relations.relation_sql`), so files with
another order of columns, narrower types or fewer columns stay as they are. What is decided here is the schema. Only a
merge writes files of its own (`merging`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from dataplane.errors import DataError, Suggestion
from dataplane.steps import outside
from dataplane.steps.adopting import adopt
from dataplane.steps.base import ColumnType, Spec, StepContext, StepKind, StepResult, Table
from dataplane.steps.merging import Merged, merge
from dataplane.types import widest

Mode = Literal["append", "replace", "merge"]
KeyColumn = Annotated[str, StringConstraints(min_length=1)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=63)]


class LoadSpec(Spec):
    """Which step's rows go into which dataset, and whether they join the rows that are there or take their place.

    Or, instead of a dataset, into the `table` of a `destination`: a source that is marked writable. key: the columns by
    which a merge knows a row again. delete_missing: a merge removes the rows that do not arrive. schema: whether the
    columns of the dataset or table may change with what arrives.
    """

    input: Annotated[str, StringConstraints(min_length=1)]
    dataset: Slug | None = None
    destination: Slug | None = None
    table: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    mode: Mode = "append"
    key: Annotated[tuple[KeyColumn, ...] | None, Field(validate_default=True)] = None
    delete_missing: bool = False
    schema_: Annotated[Literal["evolve", "freeze"], Field(alias="schema")] = "evolve"

    @field_validator("key")
    @classmethod
    def _key_of_a_merge(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        mode = info.data.get("mode")
        if mode == "merge" and not value:
            raise ValueError("A merge needs a key. List the columns that tell rows apart, such as `key: [id]`.")
        if mode in ("append", "replace") and value is not None:
            raise ValueError(f"The mode `{mode}` has no key. Remove it, or write `mode: merge`.")
        if value is not None and len({each.lower() for each in value}) < len(value):
            raise ValueError("The key names a column twice. Remove one of them.")
        return value

    @field_validator("delete_missing")
    @classmethod
    def _of_a_merge(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("mode") in ("append", "replace"):
            raise ValueError("Only a merge deletes by key what does not arrive. Remove it, or write `mode: merge`.")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> LoadSpec:
        if (self.dataset is None) == (self.destination is None) or (self.destination is None) != (self.table is None):
            raise ValueError(
                "A load has one place to go. Write `dataset: name`, or `destination: source` and `table: name`."
            )
        return self


class LoadStep(StepKind):
    """Makes the input's files the dataset's own; the snapshot itself is a row, written with the commit of the step.

    extras: `columns`, the dataset's columns where the new ones have to agree with them (none: the input's own are the
    schema). The input `parent` is the head that a merge changes. Returns the schema of the next snapshot with the files
    it adds, each under a name of this step's alone and with its SHA-256; of a merge the facts `removed` (paths) and
    `counts`. Raises DataError `schema_changed` for a column whose old and new values no type holds without loss, and
    `schema_frozen` where the schema may not change. For a table of a destination see `outside`.
    """

    kind = "load"
    Spec = LoadSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return {"input": spec.input}

    @classmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        if spec.destination is not None:
            return outside.load(context)
        table = context.inputs["input"]
        settle = frozen if spec.schema_ == "freeze" else merged
        columns = settle(context.extras.get("columns", ()), table.columns, spec.dataset)
        if spec.mode != "merge":
            return _adopted(context, Merged(table.files, ()), columns)
        key, missing = spec.key or (), spec.delete_missing
        found = merge(context, columns, key, delete_missing=missing, dataset=spec.dataset)
        result = _adopted(context, found, columns)
        result.facts |= {"removed": found.removed, "counts": asdict(found.counts)}
        result.rows_out = found.counts.inserted + found.counts.updated
        return result


def _adopted(context: StepContext, found: Merged, columns: tuple[ColumnType, ...]) -> StepResult:
    table = context.inputs["input"]
    adopted = adopt(context, [*found.files, *table.rejected])
    split = len(found.files)
    return StepResult(table=Table(columns, adopted[:split], adopted[split:]), rows_in=table.rows)


def frozen(old: Sequence[ColumnType], new: Sequence[ColumnType], dataset: str) -> tuple[ColumnType, ...]:
    """The schema of a dataset that may not change: what arrives has its columns, in types that they hold.

    Raises DataError `schema_frozen` with every column that differs. The first load settles the schema.
    """
    if not old:
        return tuple(new)
    arriving = {each.name.lower(): each for each in new}
    known = {each.name.lower() for each in old}
    found = [f"`{each.name}` ({each.type}) is new" for each in new if each.name.lower() not in known]
    for before in old:
        after = arriving.get(before.name.lower())
        if after is None:
            found.append(f"`{before.name}` is missing")
        elif widest(before.type, after.type) != before.type:
            found.append(f"`{before.name}` is {before.type} and arrives as {after.type}")
    if found:
        raise DataError(
            f"The schema of the dataset `{dataset}` is frozen, and what arrives differs: {'; '.join(found)}. Change "
            "the input, or write `schema: evolve`.",
            code="schema_frozen",
            evidence={"dataset": dataset, "differences": found},
        )
    return tuple(old)


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
                "seed",
                "Start a run with mode seed",
                "Everything is read again and takes the place of what is there.",
                applicable=True,
            ),
        ],
    )
