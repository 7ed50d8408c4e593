"""How far the pipelines that read a stream of messages have come, how far behind they are, and how fast they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from apps.audit.refusals import Conflict
from apps.pipelines.models import Pipeline, StepRun, Window
from apps.sources import services as sources
from apps.sources.models import Source, Stream
from dataplane.connectors.base import Span
from dataplane.connectors.streams.connector import StreamConnector
from dataplane.connectors.streams.extents import Extent


@dataclass(frozen=True)
class Partition:
    """How far one partition was loaded; `upper` None: nothing of it was."""

    partition: str
    upper: str | None
    behind: int


@dataclass(frozen=True)
class Reader:
    """An extract of a published pipeline. gone: messages of its windows that were gone before they were read."""

    pipeline: str
    step: str
    behind: int = 0
    gone: int = 0
    loaded_at: datetime | None = None
    messages_per_s: float | None = None
    partitions: list[Partition] = field(default_factory=list)


@dataclass(frozen=True)
class Lag:
    """messages: so many the stream holds now."""

    stream: str
    messages: int
    readers: list[Reader]


def lag_of(stream: Stream) -> Lag:
    """Ask the source, and compare. Raises Conflict for streams that hold no messages, ManifoldError."""
    connector = sources.connector_of(stream.source)
    if not isinstance(connector, StreamConnector):
        raise Conflict(f"{stream.name} is no stream of messages, so nothing of it waits.", code="no_messages")
    extents = connector.extents(stream.name)
    kept = sum(each.waiting(each.before, each.given_before) for each in extents)
    found = [
        _behind(pipeline, step, windows, extents, connector)
        for (pipeline, step), windows in readings(stream.source, stream.name).items()
    ]
    return Lag(stream.name, kept, found)


def readings(source: Source, stream: str) -> dict[tuple[str, str], list[Window]]:
    """The windows of each extract that reads a stream by what is new in a published pipeline, the oldest first."""
    published = Pipeline.objects.filter(project_id=source.project_id, published__isnull=False).order_by("slug")
    found: dict[tuple[str, str], list[Window]] = {}
    for slug, document in published.values_list("slug", "published__document"):
        for key, step in document["steps"].items():
            extract = step.get("extract", {})
            read = (extract.get("source"), extract.get("stream"), extract.get("mode"))
            if read == (source.slug, stream, "incremental"):
                found[slug, key] = []
    rows = Window.objects.filter(pipeline__project=source.project_id, source=source.pk, stream=stream)
    for each in rows.exclude(state="forgotten").select_related("pipeline").order_by("id"):
        if each.bounds["kind"] == "offsets" and (each.pipeline.slug, each.step_key) in found:
            found[each.pipeline.slug, each.step_key].append(each)
    return found


def loaded(windows: Sequence[Window]) -> dict[str, Span]:
    """The last span of each partition up to which everything is loaded."""
    spans: dict[str, Span] = {}
    for each in windows:
        if each.state != "done":
            break
        spans |= {span["partition"]: Span(**span) for span in each.bounds["spans"]}
    return spans


def _behind(
    pipeline: str, step: str, windows: Sequence[Window], extents: Sequence[Extent], connector: StreamConnector
) -> Reader:
    spans = loaded(windows)
    partitions = []
    for extent in extents:
        span = spans.get(extent.partition)
        if span is None:
            lower, count = extent.before, extent.given_before
        else:
            lower, count = connector.written.number(span.upper), span.count_upper
        waits = extent.waiting(lower, count)
        partitions.append(Partition(extent.partition, span.upper if span else None, waits))
    done = [each for each in windows if each.state == "done"]
    return Reader(
        pipeline,
        step,
        sum(each.behind for each in partitions),
        sum(each.bounds["gone"] for each in windows),
        done[-1].closed_at if done else None,
        _rate(done[-1]) if done else None,
        partitions,
    )


def _rate(window: Window) -> float | None:
    """Messages a second of the step that has read a window."""
    steps = StepRun.objects.filter(run__batch=window.batch, key=window.step_key, state="succeeded").order_by("-id")
    row = steps.values_list("rows_in", "started_at", "finished_at").first()
    if row is None or row[1] is None or row[2] is None or row[2] <= row[1]:
        return None
    return round(row[0] / (row[2] - row[1]).total_seconds(), 1)
