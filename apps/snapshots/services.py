"""Every write on datasets: who owns one, and what a load adds to it. Snapshots themselves never change."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any, Literal

from apps.accounts.models import Project
from apps.audit.context import Actor, acting
from apps.audit.services import record
from apps.snapshots import queries
from apps.snapshots.models import DataFile, Dataset, Snapshot
from dataplane import export
from dataplane.steps.base import REJECTED_COLUMNS, ColumnType, StagedFile
from dataplane.types import widest

LoadMode = Literal["append", "replace", "merge"]
REJECTED = ".rejected"


class HeadMoved(Exception):
    """The dataset has a newer snapshot than the one that a replacing or merging load looked at: it has to run again."""


@dataclass(frozen=True)
class Load:
    """What a load step hands over: whose it is, what makes it unique, and its files, which exist on disk already.

    removed: the paths of the files of the head whose place a merge takes.
    """

    pipeline: uuid.UUID
    step_key: str
    run: uuid.UUID
    load_key: str
    mode: LoadMode
    columns: tuple[ColumnType, ...]
    files: tuple[StagedFile, ...]
    removed: tuple[str, ...] = ()
    reason: str = ""


def claim_dataset(project: Project, slug: str, *, pipeline: uuid.UUID, step_key: str, actor: Actor) -> Dataset:
    """The dataset of this name, owned from now on by this load step; created when there is none.

    The caller has made sure that no other pipeline still loads it.
    """
    with acting(actor):
        dataset, _ = Dataset.objects.get_or_create(
            project=project, slug=slug, defaults={"owner_pipeline": pipeline, "owner_step": step_key}
        )
        if (dataset.owner_pipeline, dataset.owner_step) != (pipeline, step_key):
            dataset.owner_pipeline, dataset.owner_step = pipeline, step_key
            dataset.save(update_fields=["owner_pipeline", "owner_step"])
        return dataset


def lock(dataset_ids: list[uuid.UUID]) -> dict[uuid.UUID, Dataset]:
    """Lock datasets, by id, to the end of the transaction."""
    rows = Dataset.objects.select_for_update(no_key=True).filter(pk__in=dataset_ids).order_by("id")
    return {each.pk: each for each in rows}


def commit_snapshot(dataset: Dataset, load: Load, *, parent: int | None = None) -> Snapshot:
    """Add one snapshot to a dataset that the caller has locked, in the caller's transaction.

    append adds to whatever the head is by now; replace removes every file of the head, merge those that it names, and
    both raise HeadMoved when `parent` is given and no longer the head. A `load_key` may come only once: look for it
    first, under the same lock.
    """
    if load.mode != "append" and parent is not None and parent != dataset.head:
        raise HeadMoved
    number = dataset.head + 1
    before = queries.snapshot(dataset, dataset.head) if dataset.head else None
    gone_rows, gone_bytes, gone_files = _remove(dataset, load, number)
    DataFile.objects.bulk_create(
        DataFile(dataset=dataset, path=each.path, rows=each.rows, bytes=each.bytes, sha256=each.sha256, added_in=number)
        for each in load.files
    )
    kept = before if before is not None and load.mode != "replace" else None
    snapshot = Snapshot.objects.create(
        dataset=dataset,
        number=number,
        parent=dataset.head,
        mode=load.mode,
        rows=sum(each.rows for each in load.files) + (kept.rows - gone_rows if kept else 0),
        bytes=sum(each.bytes for each in load.files) + (kept.bytes - gone_bytes if kept else 0),
        files=len(load.files) + (kept.files - gone_files if kept else 0),
        schema=merged_schema(kept.schema if kept else [], load.columns),
        pipeline=load.pipeline,
        step_key=load.step_key,
        load_key=load.load_key,
        run=load.run,
        reason=load.reason[:300],
    )
    Dataset.objects.filter(pk=dataset.pk).update(head=number)
    dataset.head = number
    return snapshot


def _remove(dataset: Dataset, load: Load, number: int) -> tuple[int, int, int]:
    """Let the files end whose place this load takes; the rows, bytes and number of those that a merge removes."""
    alive = dataset.data_files.filter(removed_in__isnull=True)
    if load.mode == "replace":
        alive.update(removed_in=number)
    if not load.removed:
        return 0, 0, 0
    named = alive.filter(path__in=load.removed)
    found = list(named.values_list("rows", "bytes"))
    if named.update(removed_in=number) != len(load.removed):
        raise HeadMoved
    return sum(rows for rows, _ in found), sum(size for _, size in found), len(found)


def commit_rejected(dataset: Dataset, load: Load, files: tuple[StagedFile, ...], *, whole: bool) -> Snapshot | None:
    """What a load set aside, as a snapshot of the hidden dataset beside the locked one; None where there is nothing.

    whole: the load had before it all that the sources hold, so what was set aside takes the place of what is there.
    """
    slug = f"{dataset.slug}{REJECTED}"
    hidden = Dataset.objects.select_for_update(no_key=True).filter(project_id=dataset.project_id, slug=slug).first()
    held = hidden is not None and hidden.data_files.filter(removed_in__isnull=True).exists()
    if not files and not (whole and held):
        return None
    if hidden is None:
        hidden = Dataset.objects.create(
            project_id=dataset.project_id,
            slug=slug,
            title=f"Rows set aside by {dataset.slug}",
            hidden=True,
            owner_pipeline=dataset.owner_pipeline,
            owner_step=dataset.owner_step,
        )
    mode: LoadMode = "replace" if whole else "append"
    return commit_snapshot(hidden, replace(load, mode=mode, files=files, removed=(), columns=REJECTED_COLUMNS))


def merged_schema(before: list[dict[str, Any]], columns: tuple[ColumnType, ...]) -> list[dict[str, Any]]:
    """The columns of a dataset after an append: the old in their order, then new ones, which old rows lack.

    A load has merged them already, with the head that it looked at; here only what came in between is added. A
    type that differs becomes one that holds both.
    """
    arriving = {each.name: each for each in columns}
    merged = []
    for old in before:
        new = arriving.pop(old["name"], None)
        if new is None:
            merged.append({**old, "nullable": True})
        else:
            type_ = widest(old["type"], new.type) or "VARCHAR"
            merged.append({"name": new.name, "type": type_, "nullable": old["nullable"] or new.nullable})
    late = bool(before)
    added = [{"name": each.name, "type": each.type, "nullable": each.nullable or late} for each in arriving.values()]
    return merged + added


def open_download(snapshot: Snapshot, form: export.Format, *, actor: Actor) -> export.Export:
    """A snapshot as one file, to be streamed; CSV is harmless in spreadsheets. Recorded before it begins."""
    table = queries.table_of(snapshot)
    with acting(actor):
        record(
            "snapshot downloaded",
            object_type="snapshot",
            object_id=snapshot.pk,
            object_name=str(snapshot),
            project=snapshot.dataset.project_id,
            data={"format": form, "rows": snapshot.rows},
        )
    return export.open_export(table, queries.storage(), form)
