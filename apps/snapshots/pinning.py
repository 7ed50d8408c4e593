"""Which snapshots a query reads: the tables that it names, each as one snapshot of a dataset."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import QuerySet

from apps.snapshots import queries
from apps.snapshots.models import Dataset, Snapshot
from dataplane import statements
from dataplane.errors import ConfigurationError
from dataplane.steps.base import Table


def pinned(sql: str, datasets: QuerySet[Dataset]) -> dict[str, Snapshot]:
    """The snapshot behind every table of a query that is a dataset: `orders`, `orders@3`, or `orders@label`.

    Raises StatementError for SQL that cannot be read, and ConfigurationError for a snapshot that is not there.
    """
    named = statements.named_in(sql).tables
    slugs = {each.partition("@")[0] for each in named}
    found = {each.slug: each for each in datasets.filter(slug__in=slugs)}
    return {name: _snapshot(found[slug], at) for name, slug, at in map(_parts, named) if slug in found}


def pinned_again(tables: Mapping[str, int], datasets: QuerySet[Dataset]) -> dict[str, Snapshot]:
    """The snapshots that a query has read before. Raises ConfigurationError when one of them is gone."""
    found = {each.slug: each for each in datasets.filter(slug__in={name.partition("@")[0] for name in tables})}
    again = {}
    for name, number in tables.items():
        slug = name.partition("@")[0]
        if slug not in found:
            raise ConfigurationError(f"The dataset `{slug}` is no longer here.", code="dataset_missing")
        again[name] = queries.snapshot(found[slug], number)
    return again


def checked(sql: str, snapshots: Mapping[str, Snapshot], datasets: QuerySet[Dataset], parameters: list[str]) -> None:
    """Refuse a query in words that name the tables there are. Raises StatementError."""
    known = {*datasets.values_list("slug", flat=True), *snapshots}
    statements.check_select(sql, known, parameters)


def tables_of(snapshots: Mapping[str, Snapshot]) -> dict[str, Table]:
    """What the data plane reads of these."""
    return {name: queries.table_of(each) for name, each in snapshots.items()}


def _parts(name: str) -> tuple[str, str, str]:
    slug, _, at = name.partition("@")
    return name, slug, at


def _snapshot(dataset: Dataset, at: str) -> Snapshot:
    if at.isdecimal() and len(at) < 10:
        return queries.snapshot(dataset, int(at))
    if at:
        labelled = queries.newest(dataset).exclude(labels=[])
        found = next((each for each in labelled if at in (str(label).lower() for label in each.labels)), None)
        if found is None:
            raise ConfigurationError(
                f"No snapshot of the dataset `{dataset.slug}` is labelled `{at}`.", code="snapshot_missing"
            )
        return found
    if not dataset.head:
        raise ConfigurationError(
            f"Nothing has been loaded into the dataset `{dataset.slug}` yet. Run the pipeline that loads it first.",
            code="dataset_empty",
            evidence={"dataset": dataset.slug},
        )
    return queries.snapshot(dataset, dataset.head)
