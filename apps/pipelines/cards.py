"""The figures of each source that matter for its kind, in as many queries as there are kinds of rows, and no more."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import connection
from django.db.models import Count, Max, OuterRef, QuerySet, Subquery, Sum

from apps.accounts.models import Project
from apps.pipelines import freshness, lag
from apps.pipelines.models import Pipeline
from apps.pipelines.queries import shown_time
from apps.sources.models import ConnectionCheck, Drift, Source, Stream
from dataplane.connectors import registry

DAY = timedelta(days=1)
_LEFT = re.compile(r"[\d,]+(?: of [\d,]+)? requests are left")

# A file is pending until a window that holds it is done. The newest window that names a file says how it went.
_FILES = """
    WITH taken AS (
        SELECT DISTINCT ON (w.source, w.stream, f ->> 'path') w.source, w.stream, f ->> 'path' AS path, w.state
        FROM pipelines_window w, jsonb_array_elements(w.bounds -> 'files') f
        WHERE w.source = ANY (%(sources)s::uuid[]) AND w.bounds -> 'kind' = '"files"' AND w.state <> 'forgotten'
        ORDER BY 1, 2, 3, w.id DESC
    )
    SELECT s.source_id, count(*) FILTER (WHERE t.state = 'done'), count(*) FILTER (WHERE t.state = 'failed'),
           count(*) FILTER (WHERE t.state IS NULL OR t.state NOT IN ('done', 'failed')),
           (array_agg(x.path ORDER BY x.modified DESC, x.path DESC))[1],
           max(x.modified) FILTER (WHERE x.modified > to_timestamp(0))
    FROM sources_sourcefile x JOIN sources_stream s ON s.id = x.stream_id
    LEFT JOIN taken t ON t.source = s.source_id AND t.stream = s.name AND t.path = x.path
    WHERE s.source_id = ANY (%(sources)s::uuid[]) AND NOT x.ignored AND (x.gone_at IS NULL OR t.state IS NOT NULL)
    GROUP BY s.source_id
"""
# The last reading of each source, the last that went well, and what the last day came to.
_READ = """
    SELECT s.id, last.at, last.state, last.fetched, last.seconds, good.at, day.fetched, day.calls, day.failed
    FROM unnest(%(sources)s::uuid[]) s(id)
    LEFT JOIN LATERAL (
        SELECT * FROM pipelines_ingestion i WHERE i.source = s.id ORDER BY i.id DESC LIMIT 1
    ) last ON true
    LEFT JOIN LATERAL (
        SELECT i.at FROM pipelines_ingestion i
        WHERE i.source = s.id AND i.state = 'succeeded' ORDER BY i.id DESC LIMIT 1
    ) good ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(i.fetched), 0)::bigint AS fetched, coalesce(sum(i.calls), 0)::bigint AS calls,
               count(*) FILTER (WHERE i.state = 'failed') AS failed
        FROM pipelines_ingestion i WHERE i.source = s.id AND i.id >= %(since)s
    ) day
"""
# Of each reader the newest window: how many messages it has left for the next one, and how long its own took to read.
_MESSAGES = """
    SELECT s.id, newest.behind, extract.rows_in, extract.started_at, extract.finished_at
    FROM sources_source s
    JOIN pipelines_pipeline p ON p.project_id = s.project_id
    JOIN pipelines_pipelineversion v ON v.id = p.published_id
    CROSS JOIN LATERAL jsonb_each(v.document -> 'steps') step
    CROSS JOIN LATERAL (
        SELECT w.id, w.batch, (w.bounds ->> 'behind')::bigint AS behind FROM pipelines_window w
        WHERE w.pipeline_id = p.id AND w.step_key = step.key AND w.source = s.id
              AND w.stream = step.value -> 'extract' ->> 'stream' AND w.state = 'done'
              AND w.bounds -> 'kind' = '"offsets"'
        ORDER BY w.id DESC LIMIT 1
    ) newest
    LEFT JOIN LATERAL (
        SELECT e.rows_in, e.started_at, e.finished_at
        FROM pipelines_run r JOIN pipelines_steprun e ON e.run_id = r.id
        WHERE r.batch = newest.batch AND e.key = step.key AND e.state = 'succeeded'
        ORDER BY e.id DESC LIMIT 1
    ) extract ON true
    WHERE s.id = ANY (%(sources)s::uuid[]) AND step.value -> 'extract' ->> 'source' = s.slug
    ORDER BY newest.id
"""


@dataclass(frozen=True)
class Figure:
    """A number and what it counts; `form` says how a page writes it."""

    label: str
    value: Any
    form: Literal["amount", "size", "ago", "text"] = "amount"
    bad: bool = False


@dataclass(frozen=True)
class Read:
    """How a source was read: last of all, last with success, and over a day."""

    at: datetime | None = None
    state: str = ""
    rows: int | None = None
    seconds: float | None = None
    good_at: datetime | None = None
    day_rows: int = 0
    day_calls: int = 0
    day_failed: int = 0


@dataclass(frozen=True)
class Files:
    """The files of a source by what became of them; the newest by its time."""

    processed: int = 0
    failed: int = 0
    pending: int = 0
    newest: str = ""
    newest_at: datetime | None = None


@dataclass
class Messages:
    """How many wait for all readers of a source, and how many a second the newest reading was given."""

    behind: int | None = None
    per_s: float | None = None


@dataclass
class Card:
    """A source as the list shows it.

    changed: streams whose columns have changed and nobody has looked yet. late: streams of which no new rows came in
    time, and how they are.
    """

    source: Any
    read: Read
    next_at: datetime | None
    changed: int
    late: list[tuple[Stream, dict[str, Any]]]
    figures: list[Figure] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        read = {"at": self.read.at, "state": self.read.state, "rows": self.read.rows, "seconds": self.read.seconds}
        return {
            **{name: getattr(self.source, name) for name in ("slug", "connector", "health", "health_reason")},
            "figures": [{"name": each.label, "value": _plain(each.value), "bad": each.bad} for each in self.figures],
            "last_read": read if self.read.at else None,
            "next_read_at": self.next_at,
            "changed_streams": self.changed,
            "late_streams": [stream.name for stream, _ in self.late],
        }


def cards(sources: QuerySet[Source], project: Project, now: datetime) -> list[Card]:
    """Every source with its figures, in six queries."""
    newest = ConnectionCheck.objects.filter(source=OuterRef("pk")).order_by("-at").values("stages")[:1]
    news = Drift.objects.filter(stream__source=OuterRef("pk"), seen_at=None).order_by().values("stream__source")
    rows = sources.annotate(
        stream_count=Count("streams"),
        row_count=Sum("streams__rows"),
        byte_count=Sum("streams__bytes"),
        let_in_until=Max("grant__ends_at"),
        stages=Subquery(newest),
        changed=Subquery(news.annotate(found=Count("stream", distinct=True)).values("found")),
    )
    found: list[Any] = list(rows.order_by("slug"))
    ids = [each.pk for each in found]
    files = {row[0]: Files(*row[1:]) for row in _asked(_FILES, ids)}
    reads = {row[0]: Read(*row[1:]) for row in _asked(_READ, ids, since=_first_id(now - DAY))}
    messages = _messages(ids)
    starts = _next_starts(project)
    late = freshness.late_streams(project, now)
    return [
        Card(
            each,
            read := reads.get(each.pk, Read()),
            starts.get(each.slug),
            each.changed or 0,
            [one for one in late if one[0].source_id == each.pk],
            _figures(each, read, files.get(each.pk, Files()), messages[each.pk]),
        )
        for each in found
    ]


def _figures(source: Any, read: Read, files: Files, messages: Messages) -> list[Figure]:
    family = registry.get(source.connector).family
    if family == "file":
        failed = [Figure("failed", files.failed, bad=True)] if files.failed else []
        return [
            Figure("pending", files.pending),
            Figure("processed", files.processed),
            *failed,
            Figure("last file", files.newest_at, "ago"),
        ]
    if family == "database":
        return [
            Figure("streams", source.stream_count),
            Figure("rows, about", source.row_count),
            Figure("last good read", read.good_at, "ago"),
        ]
    if family == "api":
        return [
            Figure("calls in a day", read.day_calls),
            Figure("requests left", _left(source.stages), "text"),
            Figure("failures in a day", read.day_failed, bad=bool(read.day_failed)),
        ]
    return [
        Figure("messages behind", messages.behind),
        Figure("messages in a day", read.day_rows),
        Figure("messages a second", None if messages.per_s is None else f"{messages.per_s:,.0f}", "text"),
    ]


def _plain(value: Any) -> Any:
    return shown_time(value) if isinstance(value, datetime) else value


def _left(stages: Iterable[dict[str, Any]] | None) -> str | None:
    """What the server said last of how many requests are left."""
    details = (str(each.get("detail", "")) for each in stages or ())
    said = next((match for detail in details if (match := _LEFT.search(detail))), None)
    return said[0].removesuffix(" requests are left") if said else None


def _messages(sources: Sequence[uuid.UUID]) -> dict[uuid.UUID, Messages]:
    found: dict[uuid.UUID, Messages] = defaultdict(Messages)
    for source, behind, read, began, ended in _asked(_MESSAGES, sources):
        each = found[source]
        if behind is not None:
            each.behind = (each.behind or 0) + behind
        each.per_s = lag.per_second(read, began, ended)
    return found


def _next_starts(project: Project) -> dict[str, datetime]:
    """When a schedule reads each source next, by its slug."""
    found: dict[str, list[datetime]] = defaultdict(list)
    rows = Pipeline.objects.filter(project=project, paused_at=None, schedule__enabled=True, published__isnull=False)
    for document, at in rows.values_list("published__document", "schedule__next_at"):
        for step in document["steps"].values():
            if at is not None and "extract" in step:
                found[step["extract"]["source"]].append(at)
    return {slug: min(starts) for slug, starts in found.items()}


def _asked(statement: str, sources: Sequence[uuid.UUID], **values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"sources": list(sources), **values})
        return list(cursor.fetchall())


def _first_id(at: datetime) -> uuid.UUID:
    """The first id of rows that are made from a moment on: ids begin with their milliseconds."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)
