"""Snapshots with real files, as a load would have committed them."""

from __future__ import annotations

import uuid

from django.db import transaction

from apps.accounts.models import Project
from apps.audit.context import SYSTEM, acting
from apps.snapshots import queries, services
from apps.snapshots.models import Dataset, Snapshot
from dataplane.engine import connector_instance, write_parquet
from dataplane.steps.base import ColumnType, StagedFile

PIPELINE = uuid.UUID(int=1)


def make_dataset(project: Project, slug: str = "orders") -> Dataset:
    with transaction.atomic():
        return services.claim_dataset(project, slug, pipeline=PIPELINE, step_key="kept", actor=SYSTEM)


def staged(query: str) -> tuple[tuple[ColumnType, ...], tuple[StagedFile, ...]]:
    """The rows of a query as files that nobody owns yet."""
    with connector_instance() as connection:
        found = connection.execute(f"DESCRIBE {query}").fetchall()
        folder = f"runs/{uuid.uuid4()}/step/1"
        files = write_parquet(connection, query, storage=queries.storage(), folder=folder, hashed=True)
    return tuple(ColumnType(each[0], each[1]) for each in found), files


def add_snapshot(
    dataset: Dataset, query: str, mode: services.LoadMode = "append", parent: int | None = None
) -> Snapshot:
    """The rows of a query as the dataset's next snapshot."""
    columns, files = staged(query)
    with acting(SYSTEM):
        locked = services.lock([dataset.pk])[dataset.pk]
        load = services.Load(
            pipeline=PIPELINE,
            step_key="kept",
            run=uuid.uuid4(),
            load_key=uuid.uuid4().hex,
            mode=mode,
            columns=columns,
            files=files,
        )
        return services.commit_snapshot(locked, load, parent=parent)
