"""Reads of datasets and snapshots that more than one door needs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import OuterRef, Q, QuerySet, Subquery

from apps.snapshots.models import DataFile, Dataset, Snapshot
from dataplane import sandbox
from dataplane.errors import ConfigurationError
from dataplane.sandbox import QueryResult
from dataplane.steps.base import ColumnType, StagedFile, Table
from dataplane.storage import Storage

_AT = re.compile(r"@(\d{1,9})")


def storage() -> Storage:
    """The storage root of this installation."""
    return Storage(settings.STORAGE_URL)


def with_head(datasets: QuerySet[Dataset]) -> QuerySet[Dataset]:
    """Datasets with the rows, bytes and time of their head snapshot, in one query."""
    heads = Snapshot.objects.filter(dataset=OuterRef("pk"), number=OuterRef("head"))
    return datasets.annotate(
        rows=Subquery(heads.values("rows")),
        bytes=Subquery(heads.values("bytes")),
        loaded_at=Subquery(heads.values("created_at")),
        loaded_by=Subquery(heads.values("run")),
    )


def snapshot(dataset: Dataset, number: int) -> Snapshot:
    """One snapshot. Raises ConfigurationError for a number that is not there."""
    found = dataset.snapshots.filter(number=number).first()
    if found is None:
        there = f"Its newest is {dataset.head}." if dataset.head else "Nothing has been loaded into it yet."
        raise ConfigurationError(
            f"The dataset `{dataset.slug}` has no snapshot {number}. {there}", code="snapshot_missing"
        )
    return found


def files_of(snapshot: Snapshot) -> QuerySet[DataFile]:
    """The files that a snapshot holds, in the order in which they were added."""
    number = snapshot.number
    alive = Q(removed_in__isnull=True) | Q(removed_in__gt=number)
    return DataFile.objects.filter(alive, dataset_id=snapshot.dataset_id, added_in__lte=number)


def table_of(snapshot: Snapshot) -> Table:
    """A snapshot as what steps, queries and exports read."""
    return Table(
        columns=tuple(ColumnType(**each) for each in snapshot.schema),
        files=tuple(StagedFile(each.path, each.rows, each.bytes, each.sha256) for each in files_of(snapshot)),
    )


def input_table(project_id: uuid.UUID, slug: str, number: int | None = None) -> Table:
    """A dataset as an input: one of its snapshots, else its head. Raises ConfigurationError where there is none."""
    dataset = Dataset.objects.filter(project_id=project_id, slug=slug).first()
    if dataset is None or not dataset.head:
        raise ConfigurationError(
            f"Nothing has been loaded into the dataset `{slug}` yet. Run the pipeline that loads it first.",
            code="dataset_empty",
            evidence={"dataset": slug},
        )
    return table_of(snapshot(dataset, number or dataset.head))


def named_in(sql: str, datasets: QuerySet[Dataset]) -> dict[str, Table]:
    """The tables that a query may mean: every dataset whose name stands in it, and every `name@number`."""
    text = sql.lower()
    tables: dict[str, Table] = {}
    for dataset in datasets:
        slug = dataset.slug
        if slug not in text:
            continue
        numbers = {int(each) for each in re.findall(re.escape(slug) + _AT.pattern, text)}
        for number in numbers:
            tables[f"{slug}@{number}"] = table_of(snapshot(dataset, number))
        if dataset.head:
            tables[slug] = table_of(snapshot(dataset, dataset.head))
    return tables


def ask(sql: str, tables: dict[str, Table], *, rows: int | None = None) -> QueryResult:
    """One SELECT over these tables in a confined process."""
    return sandbox.run_query(
        sql, tables, storage(), memory=settings.SQL_MEMORY, **({} if rows is None else {"limit_rows": rows})
    )


def preview(snapshot: Snapshot, rows: int = 50) -> QueryResult:
    """The first rows of a snapshot."""
    return ask(f'SELECT * FROM "snapshot" LIMIT {int(rows)}', {"snapshot": table_of(snapshot)}, rows=rows)


def named_paths(paths: Iterable[str]) -> set[str]:
    """Those of these storage paths that belong to a dataset, in whichever snapshot."""
    return set(DataFile.objects.filter(path__in=list(paths)).values_list("path", flat=True))


def dataset_json(dataset: Dataset) -> dict[str, Any]:
    """A row of `with_head` as every door shows it."""
    row: Any = dataset
    return {
        "slug": dataset.slug,
        "title": dataset.title,
        "hidden": dataset.hidden,
        "head": dataset.head,
        "rows": row.rows,
        "bytes": row.bytes,
        "loaded_at": row.loaded_at,
        "loaded_by_run": row.loaded_by,
        "owner_step": dataset.owner_step,
        "created_at": dataset.created_at,
    }


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """The shape `snapshot`."""
    return {
        "id": snapshot.pk,
        "dataset": snapshot.dataset.slug,
        "number": snapshot.number,
        "state": "head" if snapshot.number == snapshot.dataset.head else "past",
        "created_at": snapshot.created_at,
        "created_by_run": snapshot.run,
        "mode": snapshot.mode,
        "rows": snapshot.rows,
        "bytes": snapshot.bytes,
        "files": snapshot.files,
        "schema": snapshot.schema,
        "labels": snapshot.labels,
        "locked": snapshot.locked,
        "golden": snapshot.golden,
        "parent": snapshot.parent,
        "reason": snapshot.reason,
    }


def newest(dataset: Dataset) -> QuerySet[Snapshot]:
    """The snapshots of a dataset, the newest first."""
    return dataset.snapshots.order_by("-number")
