"""How far the pipelines that read a stream of messages have come, how far behind they are, and how fast they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db.models import BigIntegerField, QuerySet, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from apps.audit.refusals import Conflict
from apps.pipelines.models import Pipeline, StepRun, Window
from apps.sources import services as sources
from apps.sources.models import Source, Stream
from dataplane.connectors.streams.connector import Broker, StreamConnector
from dataplane.connectors.streams.extents import Extent
from dataplane.connectors.windows import Span

# Each is asked for one message while somebody waits.
_MOST_PARTITIONS = 20
# In less time nothing is known of a speed.
_SHORTEST = 0.05


@dataclass(frozen=True)
class Partition:
    """How far one partition was loaded; `upper` None: nothing of it was."""

    partition: str
    upper: str | None
    behind: int


@dataclass(frozen=True)
class Reader:
    """An extract of a published pipeline. gone: messages of its windows that were gone before they were read.

    at_least: more than `behind` may wait, since counting them takes too long. waiting_since: when the oldest message
    that waits was sent, of the partitions in which most do.
    """

    pipeline: str
    step: str
    behind: int = 0
    at_least: bool = False
    gone: int = 0
    waiting_since: datetime | None = None
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
    with connector.session(hurried=True) as broker:
        extents = broker.extents(stream.name)
        kept = sum(each.waiting(each.before, each.given_before) for each in extents)
        readers = readings(stream.source, stream.name)
        begun = all(each.spans for each in readers.values())
        unread = extents if begun else _unread(stream.name, extents, connector, broker)
        found = []
        for (pipeline, step), progress in readers.items():
            there = extents if progress.spans else unread
            reader = _behind(pipeline, step, progress, there, connector)
            since = _waiting_since(reader, stream.name, there, connector, broker)
            found.append(replace(reader, waiting_since=since))
    return Lag(stream.name, kept, found)


@dataclass(frozen=True)
class Progress:
    """The windows of one extract, as far as they matter: the last up to which all is loaded, and what was gone."""

    loaded: Window | None
    gone: int

    @property
    def spans(self) -> dict[str, Span]:
        """How far each partition is loaded; a window names all of them."""
        bounds = self.loaded.bounds if self.loaded else {"spans": ()}
        return {each["partition"]: Span(**each) for each in bounds["spans"]}


def readings(source: Source, stream: str) -> dict[tuple[str, str], Progress]:
    """How far each extract has come that reads a stream by what is new in a published pipeline."""
    published = Pipeline.objects.filter(project_id=source.project_id, published__isnull=False).order_by("slug")
    found: dict[tuple[str, str], Progress] = {}
    for pk, slug, document in published.values_list("pk", "slug", "published__document"):
        for key, step in document["steps"].items():
            extract = step.get("extract", {})
            read = (extract.get("source"), extract.get("stream"), extract.get("mode"))
            if read == (source.slug, stream, "incremental"):
                rows = Window.objects.filter(pipeline=pk, step_key=key, source=source.pk, stream=stream)
                found[slug, key] = _progress(rows.filter(bounds__kind="offsets").exclude(state="forgotten"))
    return found


def _progress(rows: QuerySet[Window]) -> Progress:
    """The same number of queries however many windows there are."""
    done = rows.filter(state="done")
    unfinished = rows.exclude(state="done").order_by("id").values_list("pk", flat=True).first()
    if unfinished is not None:
        done = done.filter(pk__lt=unfinished)
    gone = rows.aggregate(sum=Sum(Cast(KT("bounds__gone"), BigIntegerField())))["sum"]
    return Progress(done.order_by("-id").first(), gone or 0)


def _unread(stream: str, extents: Sequence[Extent], connector: StreamConnector, broker: Broker) -> Sequence[Extent]:
    """What waits for whoever has read nothing: where it begins with the newest, nothing that is there."""
    if connector.params.begin == "newest":
        return [each.behind(each.newest, 0) for each in extents]
    since = connector.params.since
    return broker.since(stream, extents, since) if since else extents


def _behind(
    pipeline: str, step: str, progress: Progress, extents: Sequence[Extent], connector: StreamConnector
) -> Reader:
    spans, partitions = progress.spans, []
    for extent in extents:
        span = spans.get(extent.partition)
        if span is None:
            lower, count = extent.before, extent.given_before
        else:
            lower, count = connector.written.number(span.upper), span.count_upper
        waits = extent.waiting(lower, count)
        partitions.append(Partition(extent.partition, span.upper if span else None, waits))
    last = progress.loaded
    return Reader(
        pipeline,
        step,
        behind=sum(each.behind for each in partitions),
        at_least=any(each.at_least for each in extents),
        gone=progress.gone,
        loaded_at=last.closed_at if last else None,
        messages_per_s=_rate(last) if last else None,
        partitions=partitions,
    )


def _waiting_since(
    reader: Reader, stream: str, extents: Sequence[Extent], connector: StreamConnector, broker: Broker
) -> datetime | None:
    held = {each.partition: each for each in extents}
    spans = {}
    for each in sorted(reader.partitions, key=lambda partition: -partition.behind)[:_MOST_PARTITIONS]:
        if each.behind:
            extent = held[each.partition]
            read = extent.before if each.upper is None else connector.written.number(each.upper)
            spans[each.partition] = (max(read, extent.before), extent.newest)
    return connector.first_at(broker, stream, spans)


def _rate(window: Window) -> float | None:
    steps = StepRun.objects.filter(run__batch=window.batch, key=window.step_key, state="succeeded").order_by("-id")
    row = steps.values_list("rows_in", "started_at", "finished_at").first()
    return per_second(*row) if row else None


def per_second(read: int | None, began: datetime | None, ended: datetime | None) -> float | None:
    """How fast an extract was: what its source gave, and the time of this step alone. None where that says nothing."""
    seconds = (ended - began).total_seconds() if began and ended else 0.0
    return round(read / seconds, 1) if read and seconds > _SHORTEST else None
