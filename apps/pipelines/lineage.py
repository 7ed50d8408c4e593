"""Lineage: which streams feed which datasets and outside tables, through every published document of a project.

A load is an edge from all that its rows come from to where they go. Documents say what is wired; the ingestion history
says what was really read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import connection

from apps.accounts.models import Project
from apps.pipelines import document as documents
from apps.pipelines import freshness
from apps.pipelines.models import Pipeline
from apps.pipelines.queries import shown_time
from apps.snapshots import queries as snapshots
from apps.snapshots.models import Dataset
from apps.sources.models import Source
from dataplane.steps.base import DatasetInput

LOOKED_BACK = timedelta(days=30)
"""So far back real reads are looked for."""


@dataclass(frozen=True, order=True)
class Asset:
    """Something that holds rows: a `stream` of a source, a `dataset`, or a `table` of a destination.

    place: the source; empty for a dataset.
    """

    kind: Literal["stream", "dataset", "table"]
    name: str
    place: str = ""

    @property
    def same(self) -> set[Asset]:
        """What these rows may be read as: a table that is loaded is a stream of its source, too."""
        return {self, Asset("stream", self.name, self.place)} if self.kind == "table" else {self}


@dataclass(frozen=True)
class Flow:
    """One load: the pipeline and step that do it, all that its rows come from, and where they go."""

    pipeline: str
    step: str
    reads: frozenset[Asset]
    writes: Asset


def flows(project: Project) -> list[Flow]:
    """Every load of the project's published documents."""
    published = Pipeline.objects.filter(project=project, published__isnull=False).order_by("slug")
    found = published.values_list("slug", "published__document")
    return [flow for slug, document in found for flow in _of_document(slug, documents.load(document))]


def _of_document(pipeline: str, document: documents.Document) -> list[Flow]:
    graph = document.graph()
    found = []
    for key, step in document.steps.items():
        if step.kind != "load":
            continue
        above = [document.steps[each] for each in graph.ancestors(key)]
        reads = {Asset("stream", each.spec.stream, each.spec.source) for each in above if each.kind == "extract"}
        inputs = [named for each in above for named in each.inputs.values()]
        reads |= {Asset("dataset", each.dataset) for each in inputs if isinstance(each, DatasetInput)}
        spec = step.spec
        writes = Asset("dataset", spec.dataset) if spec.dataset else Asset("table", spec.table, spec.destination)
        found.append(Flow(pipeline, key, frozenset(reads), writes))
    return found


def downstream(every: Iterable[Flow], begins: Callable[[Asset], bool]) -> list[Flow]:
    """The loads that rows of these assets reach, directly or through others; the direct ones first."""
    return _reached(every, begins, lambda flow: flow.reads, lambda flow: flow.writes.same)


def upstream(every: Iterable[Flow], asset: Asset) -> list[Flow]:
    """The loads through which rows reach an asset; the direct ones first."""

    def sources(flow: Flow) -> Iterable[Asset]:
        # A stream that another pipeline loads as a table is reached through that load.
        return flow.reads | {Asset("table", each.name, each.place) for each in flow.reads if each.kind == "stream"}

    return _reached(every, lambda each: each == asset, lambda flow: {flow.writes}, sources)


def _reached(
    every: Iterable[Flow],
    begins: Callable[[Asset], bool],
    enters: Callable[[Flow], Iterable[Asset]],
    leaves: Callable[[Flow], Iterable[Asset]],
) -> list[Flow]:
    waiting = list(every)
    found = [flow for flow in waiting if any(begins(each) for each in enters(flow))]
    for flow in found:
        there = set(leaves(flow))
        found += [each for each in waiting if each not in found and there.intersection(enters(each))]
    return found


def impact(source: Source, now: datetime) -> dict[str, Any]:
    """What breaks if a source goes down: the pipelines that read it or write into it, and all that gets no new rows."""
    every = flows(source.project)
    reached = downstream(every, lambda asset: asset.kind == "stream" and asset.place == source.slug)
    direct = {flow.pipeline for flow in reached if any(each.place == source.slug for each in flow.reads)}
    written = [flow for flow in every if flow.writes.place == source.slug]
    datasets = {flow.writes.name for flow in reached if flow.writes.kind == "dataset"}
    tables = sorted({flow.writes for flow in reached if flow.writes.kind == "table"})
    return {
        "source": source.slug,
        "health": source.health,
        "pipelines": [
            {"pipeline": each, "direct": each in direct}
            for each in sorted({flow.pipeline for flow in reached}, key=lambda slug: (slug not in direct, slug))
        ],
        "datasets": _datasets(source.project, datasets, now),
        "tables": [{"destination": each.place, "table": each.name} for each in tables],
        "written": [{"table": flow.writes.name, "pipeline": flow.pipeline, "step": flow.step} for flow in written],
        "flows": [_flow_json(each) for each in reached],
        "reads": _real_reads(source, now),
    }


def feeders(dataset: Dataset) -> dict[str, Any]:
    """Which streams of which sources feed a dataset, and through which loads."""
    found = upstream(flows(dataset.project), Asset("dataset", dataset.slug))
    streams = sorted({each for flow in found for each in flow.reads if each.kind == "stream"})
    return {
        "dataset": dataset.slug,
        "streams": [{"source": each.place, "stream": each.name} for each in streams],
        "flows": [_flow_json(each) for each in found],
    }


def _flow_json(flow: Flow) -> dict[str, Any]:
    def shown(asset: Asset) -> dict[str, str]:
        return {"kind": asset.kind, "name": asset.name, "source": asset.place}

    return {
        "pipeline": flow.pipeline,
        "step": flow.step,
        "reads": [shown(each) for each in sorted(flow.reads)],
        "writes": shown(flow.writes),
    }


def _datasets(project: Project, slugs: set[str], now: datetime) -> list[dict[str, Any]]:
    """These datasets with when they were loaded and, where something is expected of them, until when they are fresh."""
    rows = snapshots.with_head(Dataset.objects.filter(project=project, slug__in=slugs, hidden=False))
    found = []
    for each in rows.select_related("freshness").order_by("slug"):
        verdict, row = freshness.verdict_of(each, now), each.__dict__
        found.append(
            {
                "dataset": each.slug,
                "rows": row["rows"],
                "loaded_at": shown_time(row["loaded_at"]),
                "state": verdict.state if verdict else None,
                "due_at": shown_time(verdict.due_at) if verdict else None,
            }
        )
    return found


_READS = """
SELECT p.slug, i.stream, l.load ->> 'to', max(i.at), sum(i.fetched)::bigint
FROM pipelines_ingestion i
JOIN pipelines_run r ON r.id = i.run_id
JOIN pipelines_pipeline p ON p.id = r.pipeline_id
LEFT JOIN LATERAL jsonb_array_elements(i.loads) l(load) ON true
WHERE i.source = %s AND i.state = 'succeeded' AND i.fetched > 0 AND i.at >= %s
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


def _real_reads(source: Source, now: datetime) -> list[dict[str, Any]]:
    """What was read of a source of late and where it was loaded, whatever the documents say today."""
    with connection.cursor() as cursor:
        cursor.execute(_READS, [source.pk, now - LOOKED_BACK])
        rows = cursor.fetchall()
    return [
        {"pipeline": pipeline, "stream": stream, "to": to, "last_at": shown_time(at), "fetched": fetched}
        for pipeline, stream, to, at, fetched in rows
    ]
