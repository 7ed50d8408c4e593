"""Reads of datasets and snapshots that more than one door needs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from apps.snapshots.models import DataFile, Dataset, Query, SavedQuery, Snapshot
from dataplane import sandbox
from dataplane.errors import ConfigurationError
from dataplane.parameters import Parameter
from dataplane.sandbox import QueryResult
from dataplane.steps.base import ColumnType, StagedFile, Table
from dataplane.storage import Storage


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


def ask(sql: str, tables: dict[str, Table], *, rows: int = 1000) -> QueryResult:
    """One SELECT over these tables in a confined process."""
    return sandbox.run_query(sql, tables, storage(), memory=settings.SQL_MEMORY, limit_rows=rows)


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


def head_schemas(datasets: QuerySet[Dataset]) -> dict[str, dict[str, Any]]:
    """Of every dataset that has a snapshot: its newest one's number, rows and schema, and the labels there are.

    Datasets of rows that were set aside come last.
    """
    heads = Snapshot.objects.filter(dataset__in=datasets, number=F("dataset__head"))
    labelled = Snapshot.objects.filter(dataset__in=datasets).exclude(labels=[]).values_list("dataset__slug", "labels")
    labels: dict[str, list[str]] = {}
    for slug, found in labelled:
        labels.setdefault(slug, []).extend(found)
    rows = heads.order_by("dataset__hidden", "dataset__slug").values("dataset__slug", "number", "rows", "schema")
    return {
        each["dataset__slug"]: {
            "head": each["number"],
            "rows": each["rows"],
            "schema": each["schema"],
            "labels": sorted(set(labels.get(each["dataset__slug"], ()))),
        }
        for each in rows
    }


def columns_of(query: Query) -> list[ColumnType]:
    """The columns of an answer that was given before."""
    return [ColumnType(each["name"], each["type"]) for each in query.columns]


def parameters_of(query: Query) -> list[Parameter]:
    """The values with which a query was run."""
    return [Parameter(each["name"], each["type"], each["value"]) for each in query.parameters]


def history(queries: QuerySet[Query]) -> QuerySet[Query]:
    """Queries that were run, with whoever ran them, the newest first."""
    return queries.select_related("user", "saved").order_by("-created_at", "-id")


def query_json(query: Query) -> dict[str, Any]:
    """A line of the history."""
    return {
        "id": query.pk,
        "user": query.user.username,
        "sql": query.sql,
        "parameters": query.parameters,
        "saved": query.saved.slug if query.saved else None,
        "tables": query.tables,
        "state": query.state,
        "cancelled_by": query.cancelled_by,
        "row_count": query.rows,
        "truncated": bool(query.cut),
        "columns": query.columns,
        "bytes_scanned": query.bytes_scanned,
        "seconds": query.seconds,
        "error": query.error,
        "created_at": query.created_at,
        "finished_at": query.finished_at,
    }


def answer_json(query: Query, result: QueryResult) -> dict[str, Any]:
    """The shape `query` with its id, and what to do where a limit has cut it."""
    return {**result.as_json(), "id": query.pk, "limited_by": result.cut or None, "advice": _advice(result)}


def _advice(result: QueryResult) -> str:
    rest = "or download the whole answer."
    if result.cut == "rows":
        return (
            f"Only the first {result.row_count:,} rows are here. Narrow them with WHERE, aggregate, ask for more {rest}"
        )
    if result.cut == "bytes":
        return f"Only the first {result.row_count:,} rows fit into an answer. Choose fewer or shorter columns, {rest}"
    return ""


def saved_json(saved: SavedQuery) -> dict[str, Any]:
    """A saved query as every door shows it."""
    return {
        "slug": saved.slug,
        "title": saved.title,
        "sql": saved.sql,
        "parameters": saved.parameters,
        "owner": saved.owner.username if saved.owner else None,
        "created_at": saved.created_at,
        "updated_at": saved.updated_at,
    }
