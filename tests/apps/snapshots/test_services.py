"""What a snapshot holds: appended, replaced, read back by number."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from apps.accounts.models import Project
from apps.audit.context import Actor
from apps.snapshots import queries, services
from apps.snapshots.models import DataFile, Dataset, Snapshot
from dataplane.errors import ManifoldError
from tests.apps.snapshots.factories import add_snapshot

pytestmark = pytest.mark.django_db
ANN = Actor("user", None, "ann")


def values(snapshot: Snapshot, columns: str = "*") -> list[list[object]]:
    return queries.ask(f"SELECT {columns} FROM t ORDER BY ALL", {"t": queries.table_of(snapshot)}).rows


def test_an_append_adds_and_the_past_stays(dataset: Dataset):
    first = add_snapshot(dataset, "SELECT 1 AS n, 'a' AS name")
    second = add_snapshot(dataset, "SELECT 2 AS n, 'b' AS name")
    assert values(first) == [[1, "a"]]
    assert values(second) == [[1, "a"], [2, "b"]]
    assert (second.number, second.parent, second.rows, second.files) == (2, 1, 2, 2)
    dataset.refresh_from_db()
    assert dataset.head == 2
    assert second.bytes == sum(DataFile.objects.values_list("bytes", flat=True))


def test_a_replace_takes_the_place_of_all_and_the_past_stays(dataset: Dataset):
    first = add_snapshot(dataset, "SELECT range AS n FROM range(3)")
    second = add_snapshot(dataset, "SELECT 7::BIGINT AS n", "replace")
    third = add_snapshot(dataset, "SELECT 8::BIGINT AS n")
    assert values(first) == [[0], [1], [2]]
    assert values(second) == [[7]]
    assert values(third) == [[7], [8]]
    assert (second.rows, second.files, third.rows, third.files) == (1, 1, 2, 2)


def test_columns_come_and_go(dataset: Dataset):
    first = add_snapshot(dataset, "SELECT 1 AS n, 'a' AS name")
    second = add_snapshot(dataset, "SELECT 2::BIGINT AS n, true AS good")
    assert [(each["name"], each["type"], each["nullable"]) for each in second.schema] == [
        ("n", "BIGINT", True),
        ("name", "VARCHAR", True),
        ("good", "BOOLEAN", True),
    ]
    assert values(second) == [[1, "a", None], [2, None, True]]
    assert values(first) == [[1, "a"]]


def test_a_replace_that_looked_at_an_older_head_runs_again(dataset: Dataset):
    add_snapshot(dataset, "SELECT 1 AS n")
    add_snapshot(dataset, "SELECT 2 AS n")
    with pytest.raises(services.HeadMoved):
        add_snapshot(dataset, "SELECT 3 AS n", "replace", parent=1)
    assert dataset.snapshots.count() == 2
    assert add_snapshot(dataset, "SELECT 3 AS n", "append", parent=1).number == 3


def test_a_load_key_comes_once(dataset: Dataset):
    snapshot = add_snapshot(dataset, "SELECT 1 AS n")
    dataset.refresh_from_db()
    load = services.Load(
        pipeline=dataset.owner_pipeline,
        step_key="kept",
        run=snapshot.run,
        load_key=snapshot.load_key,
        mode="append",
        columns=(),
        files=(),
    )
    with pytest.raises(IntegrityError, match="snapshot_once_per_load"), transaction.atomic():
        services.commit_snapshot(dataset, load)


def test_a_dataset_nobody_has_loaded_is_no_input(project: Project, dataset: Dataset):
    with pytest.raises(ManifoldError, match="Nothing has been loaded"):
        queries.input_table(project.pk, "orders")
    add_snapshot(dataset, "SELECT 1 AS n")
    assert queries.input_table(project.pk, "orders").rows == 1
