"""What lists and graphs of pipelines show, read in as few queries as there are kinds of rows."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet

from apps.pipelines.document import Document
from apps.pipelines.graph import PLAN
from apps.pipelines.models import Pipeline, Schedule, StepRun
from apps.pipelines.states import RUN_ACTIVE

STRIP = 40
# The texts of a pipeline, which no list shows.
_LARGE = ("published__text", "published__document")
_TELLING = frozenset({"succeeded", "failed", "timed_out"})
# What a person looks at first.
_URGENT = ["failing", "waiting", "running", "warning", "healthy", "idle", "draft"]


# For each pipeline a walk through its index, so that it costs what is shown, however many runs there were; and one
# value a pipeline, since thousands of rows take longer to fetch than all the rest of a page.
_RECENT = """
    SELECT p.id, (
        SELECT coalesce(json_agg(json_build_array(
                   r.id, r.state, r.outcome, extract(epoch FROM r.created_at)::float8,
                   extract(epoch FROM r.started_at)::float8, extract(epoch FROM r.finished_at - r.started_at)::float8
               ) ORDER BY r.id), '[]')::text
        FROM (SELECT * FROM pipelines_run WHERE pipeline_id = p.id ORDER BY id DESC LIMIT %s) r
    ) FROM unnest(%s::uuid[]) p(id)
"""


class Past(NamedTuple):
    """A run as a strip shows it; a text and seconds of the epoch are read much faster than what they stand for."""

    id: str
    state: str
    outcome: str
    created: float
    started: float | None
    seconds: float | None

    @property
    def pk(self) -> uuid.UUID:
        return uuid.UUID(self.id)

    @property
    def created_at(self) -> datetime:
        return datetime.fromtimestamp(self.created, UTC)


@dataclass
class Line:
    """A pipeline as a list shows it: `recent` from the oldest to the newest run."""

    pipeline: Pipeline
    recent: list[Past] = field(default_factory=list)

    @property
    def last(self) -> Past | None:
        return self.recent[-1] if self.recent else None

    @property
    def padding(self) -> range:
        """Places of the strip that no run has taken yet."""
        return range(STRIP - len(self.recent))

    @property
    def health(self) -> str:
        """draft, idle, waiting, running, healthy, warning or failing: what the newest run that says something says."""
        if self.pipeline.published_id is None:
            return "draft"
        active = {each.state for each in self.recent} & set(RUN_ACTIVE)
        if active:
            return "waiting" if "waiting" in active else "running"
        if self.telling is None:
            return "idle"
        if self.telling.state != "succeeded":
            return "failing"
        return "healthy" if self.telling.outcome == "clean" else "warning"

    @property
    def next_at(self) -> datetime | None:
        """When its schedule fires next; nothing while that is off or the pipeline is paused."""
        schedule: Schedule | None = getattr(self.pipeline, "schedule", None)
        if schedule is None or not schedule.enabled or self.pipeline.paused_at is not None:
            return None
        return schedule.next_at

    @property
    def telling(self) -> Past | None:
        """The newest run that says something about the pipeline: one that succeeded or failed."""
        return next((each for each in reversed(self.recent) if each.state in _TELLING), None)

    @property
    def usual(self) -> float | None:
        """Seconds that a run of it usually takes: the median of the good ones in the strip."""
        took = [each.seconds for each in self.recent if each.state == "succeeded" and each.seconds is not None]
        return median(took) if took else None

    @property
    def success(self) -> float | None:
        """The part of the runs in the strip that succeeded, among those that did or failed."""
        telling = [each.state == "succeeded" for each in self.recent if each.state in _TELLING]
        return sum(telling) / len(telling) if telling else None


def lines(pipelines: QuerySet[Pipeline]) -> list[Line]:
    """Every pipeline with its recent runs; two queries however many there are."""
    found = {each.pk: Line(each) for each in pipelines.select_related("published", "schedule").defer(*_LARGE)}
    with connection.cursor() as cursor:
        cursor.execute(_RECENT, [STRIP, list(found)])
        for pipeline, runs in cursor.fetchall():
            found[pipeline].recent = [Past(*each) for each in json.loads(runs)]
    return list(found.values())


def by_urgency(found: Iterable[Line]) -> list[Line]:
    """What failed before what runs before the rest; among equals what ran last."""

    def moment(line: Line) -> float:
        return line.last.created if line.last else 0.0

    return sorted(found, key=lambda each: (_URGENT.index(each.health), -moment(each), each.pipeline.slug))


def graph_of(document: Document) -> list[dict[str, Any]]:
    """The graph of a document for drawing: nodes with what they do, edges from each step to those that wait for it.

    `waits` marks the edges along which no data goes.
    """
    graph = document.graph()
    elements = [_node(key, step.kind, step.written) for key, step in document.steps.items()]
    nodes = [graph.nodes[key] for key in graph.order]
    return elements + [_edge(above, each.key, each.upstream) for each in nodes for above in each.waits_for]


def outside_tables(pipeline: Pipeline) -> list[dict[str, Any]]:
    """The tables that the published document loads outside: destination, table and step."""
    steps = pipeline.published.document["steps"] if pipeline.published else {}
    loads = ((key, step.get("load", {})) for key, step in steps.items())
    return [{**load, "step": key} for key, load in loads if "destination" in load]


def height_of(elements: list[dict[str, Any]]) -> int:
    """How many pixels a graph needs, so that its place is reserved before it is drawn: by its widest rank."""
    above: dict[str, list[str]] = {}
    for each in elements:
        data = each["data"]
        if "source" in data:
            above.setdefault(data["target"], []).append(data["source"])
        else:
            above.setdefault(data["id"], [])
    ranks: dict[str, int] = {}

    def rank(key: str) -> int:
        if key not in ranks:
            ranks[key] = 1 + max(map(rank, above[key]), default=0)
        return ranks[key]

    widest = max(Counter(rank(key) for key in above).values(), default=1)
    return min(620, max(170, 68 * widest + 40))


def graph_of_run(steps: Iterable[StepRun]) -> list[dict[str, Any]]:
    """The graph of a run; `plan`, which everything waits for, is left out to keep the picture readable."""
    shown = [each for each in steps if each.key != PLAN]
    elements = [_node(each.key, each.kind, each.spec) for each in shown]
    edges = [(above, each) for each in shown for above in each.upstream if above != PLAN]
    return elements + [_edge(above, each.key, each.inputs) for above, each in edges]


def states_of_run(steps: Iterable[StepRun]) -> dict[str, dict[str, Any]]:
    """What changes in the graph while a run goes on: each step's state and rows."""
    return {each.key: {"state": each.state, "rows": each.rows_out} for each in steps}


def _node(key: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"data": {"id": key, "kind": kind, "what": describe(kind, spec)}}


def _edge(above: str, key: str, inputs: Collection[str]) -> dict[str, Any]:
    edge = {"id": f"{above}>{key}", "source": above, "target": key}
    return {"data": edge if above in inputs else {**edge, "waits": True}}


def describe(kind: str, spec: dict[str, Any]) -> str:
    """A step in a few words: what it reads, how many rules it has, what it fills."""
    if kind == "extract":
        return f"{spec.get('source', '')} · {spec.get('stream', '')}"
    if kind == "check":
        rules = len(spec.get("rules", []))
        return f"{rules} rule{'' if rules == 1 else 's'}"
    if kind == "load":
        place = spec.get("dataset") or f"{spec.get('destination', '')} · {spec.get('table', '')}"
        return f"{spec.get('mode', 'append')} → {place}"
    return kind


@dataclass(frozen=True)
class Live:
    """What a running run shows beyond its totals: the part of the steps that is over, the rate, the memory."""

    progress: float
    rate: float | None
    peak_memory: int


def live(run: Any, steps: list[StepRun], now: datetime) -> Live:
    """`run` is a row of `queries.with_totals`. The rate counts from the first extract's start to the last one's end."""
    extracts = [each for each in steps if each.kind == "extract" and each.started_at]
    began = min((each.started_at for each in extracts if each.started_at), default=now)
    ended = max((each.finished_at or now for each in extracts), default=now)
    spent = (ended - began).total_seconds()
    return Live(
        progress=run.steps_ended / run.steps_total if run.steps_total else 0,
        rate=run.rows_read / spent if spent > 0.05 and run.rows_read else None,
        peak_memory=max((each.peak_memory for each in steps), default=0),
    )
