"""Windows: what each incremental extract has read, which of it has arrived, and what has to be read again.

A window belongs to a pipeline's extract step and to a batch: the windows that one run planned together. It is open
(planned, staged) until every load that its rows reach has taken them, and while one is open the next run repeats its
whole batch. So a row is loaded exactly once, whatever happens between reading and loading.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Iterable
from typing import Any, Literal

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.pipelines.graph import PLAN, Graph, Node
from apps.pipelines.models import Backfill, Run, StepRun, Window
from apps.sources.models import Stream
from dataplane.connectors.windows import FileRef, Mark, Span
from dataplane.connectors.windows import Window as Bounds

OPEN = ("planned", "staged")
READ = ("done", "failed")
# From one step and stream to the next, without a look at the windows between.
_LIVE_ENDS = """
    WITH RECURSIVE chains AS (
        (SELECT step_key, source, stream FROM pipelines_window
         WHERE pipeline_id = %(pipeline)s ORDER BY step_key, source, stream LIMIT 1)
        UNION ALL
        SELECT next.* FROM chains c CROSS JOIN LATERAL (
            SELECT step_key, source, stream FROM pipelines_window
            WHERE pipeline_id = %(pipeline)s AND (step_key, source, stream) > (c.step_key, c.source, c.stream)
            ORDER BY step_key, source, stream LIMIT 1
        ) next
    )
    SELECT ends.id FROM chains c CROSS JOIN LATERAL (
        (SELECT id FROM pipelines_window w WHERE {own} ORDER BY id LIMIT 1)
        UNION
        (SELECT id FROM pipelines_window w WHERE {own} ORDER BY id DESC LIMIT 1)
        UNION
        (SELECT id FROM pipelines_window w WHERE {own} AND w.state = 'done' ORDER BY id DESC LIMIT 1)
    ) ends
""".format(
    own="w.pipeline_id = %(pipeline)s AND (w.step_key, w.source, w.stream) = (c.step_key, c.source, c.stream) "
    "AND w.backfill_id IS NULL AND w.state <> 'forgotten'"
)


def graph_of(run: Run) -> Graph:
    """The graph of a run as its rows have it: what it does was settled when it was created."""
    names = ("key", "kind", "upstream", "after", "may_fail", "spec")
    rows = run.steps.exclude(key=PLAN).order_by("position").values_list(*names)
    return Graph(
        Node(
            key,
            kind,
            tuple(each for each in upstream if each != PLAN and each not in after),
            may_fail,
            kind == "extract" and spec.get("mode") == "incremental",
            tuple(after),
        )
        for key, kind, upstream, after, may_fail, spec in rows
    )


def kept(pipeline_id: uuid.UUID) -> list[Window]:
    """Every window of a pipeline that still counts, the oldest first."""
    return list(Window.objects.filter(pipeline_id=pipeline_id).exclude(state="forgotten").order_by("id"))


def deciding(pipeline_id: uuid.UUID, batch: uuid.UUID | None = None) -> list[Window]:
    """Those of the kept windows that decide what a run goes on with, the oldest first.

    Of windows along a cursor, or of messages, that are done the first and the newest say all, of live runs as of each
    backfill; so their number does not grow with every run. All that is unfinished is among them with the whole of its
    batch, as is this `batch`, what came late since the oldest of these, and every window that names files.
    """
    rows = Window.objects.filter(pipeline_id=pipeline_id).exclude(state="forgotten")
    # Each of these reads few rows by an index of its own, however many windows there are.
    unfinished = list(rows.exclude(state="done").order_by("id").values_list("pk", "batch"))
    wanted = [
        rows.filter(pk__in=[*_live_ends(pipeline_id), *_backfill_ends(pipeline_id)]),
        rows.filter(bounds__kind="files"),
        rows.filter(batch__in=[batch, *(each for _, each in unfinished)]),
    ]
    if unfinished:
        wanted.append(rows.filter(pk__gt=unfinished[0][0], bounds__late__gt=0))
    found = {each.pk: each for part in wanted for each in part}
    return [found[pk] for pk in sorted(found)]


def _live_ends(pipeline_id: uuid.UUID) -> list[uuid.UUID]:
    """The first and the newest window of each step and stream that live runs have read, and the newest that is done:
    newer ones that nobody could read are planned anew from its end."""
    with connection.cursor() as cursor:
        cursor.execute(_LIVE_ENDS, {"pipeline": pipeline_id})
        return [pk for (pk,) in cursor.fetchall()]


def _backfill_ends(pipeline_id: uuid.UUID) -> list[uuid.UUID]:
    """The same of each backfill."""
    own = Window.objects.filter(backfill__in=Backfill.objects.filter(pipeline=pipeline_id)).exclude(state="forgotten")
    chain = ("step_key", "source", "stream", "backfill_id")
    ends = (own.order_by(*chain, way).distinct(*chain).values_list("pk", flat=True) for way in ("id", "-id"))
    return [pk for each in ends for pk in each]


def in_batch(batch: uuid.UUID | None) -> dict[str, Window]:
    """The windows of a batch by step."""
    if batch is None:
        return {}
    return {each.step_key: each for each in Window.objects.filter(batch=batch).exclude(state="forgotten")}


def taken_up(run: Run) -> dict[str, Window]:
    """The windows of its batch that a run reads or loads: what had arrived before is not, unless its plan says so."""
    batch = in_batch(run.batch)
    if all(each.state != "done" for each in batch.values()):
        return batch
    output = run.steps.filter(key=PLAN).values_list("output", flat=True).first() or {}
    idle = {each["key"] for each in output.get("steps", ()) if each["skip_reason"]}
    return {key: each for key, each in batch.items() if each.state != "done" or key not in idle}


def mark_of(windows: Iterable[Window], ignored: frozenset[str]) -> Mark:
    """What these windows of one step have read, as its connector wants to know it."""
    files: dict[str, FileRef] = {}
    upper: str | None = None
    seen_from: str | None = None
    boundary_rows: int | None = None
    spans: dict[str, Span] = {}
    for each in sorted(windows, key=lambda window: window.id):
        if each.bounds["kind"] == "files":
            files |= {ref["path"]: FileRef(**ref) for ref in each.bounds["files"]}
        elif each.bounds["kind"] == "cursor":
            upper, boundary_rows = each.bounds["upper"], each.boundary_rows
            seen_from = each.bounds.get("seen_from")
        elif each.bounds["kind"] == "offsets":
            spans |= {span["partition"]: Span(**span) for span in each.bounds["spans"]}
    return Mark(tuple(files.values()), upper, boundary_rows, seen_from, ignored, tuple(spans.values()))


def begun(windows: Iterable[Window], graph: Graph) -> frozenset[str]:
    """The files that these windows of one step name and no load has taken; a repetition reads them as they are then."""
    files = [each for each in windows if each.bounds["kind"] == "files"]
    left = [each for each in files if each.state != "done"]
    loaded = _loaded({each.batch for each in left}, left[0].step_key, graph) if left else set()
    named: set[str] = set()
    taken: set[str] = set()
    for each in files:
        known = taken if each.state == "done" or each.batch in loaded else named
        known.update(ref["path"] for ref in each.bounds["files"])
    return frozenset(named - taken)


def coverage(live: Iterable[Window], sliced: Iterable[Window], wanted: Bounds) -> Literal["none", "part", "all"]:
    """How much of a slice of a cursor these windows of one step have read or begun to read.

    Live windows follow each other without a gap; they begin where a backfill that came before them has its end, or
    else with the first row.
    """
    lower, upper = str(wanted.lower), str(wanted.upper)
    first = next((each.bounds for each in live if each.bounds["kind"] == "cursor"), None)
    taken = [(each.bounds["lower"], each.bounds["upper"]) for each in sliced if _is_slice_by(each, wanted.column)]
    if first is not None:
        taken.append((first["upper"] if first.get("baseline") else "", upper))
    reach, touched = lower, False
    for begin, end in sorted(taken):
        if begin < upper and end > lower:
            touched = True
            reach = max(reach, end) if begin <= reach else reach
    return "all" if reach >= upper else "part" if touched else "none"


def _is_slice_by(window: Window, column: str | None) -> bool:
    """Slices by another column say nothing of this one's range."""
    return bool(window.bounds["kind"] == "slice" and window.bounds["column"] == column)


def baseline(pipeline_id: uuid.UUID, step_key: str, stream: Stream, batch: uuid.UUID, end: Bounds) -> None:
    """Live runs of a step that has read nothing yet begin where a slice of its stream ends."""
    bounds = {**Bounds("cursor", column=end.column, upper=end.upper).as_json(), "seen_from": end.upper}
    Window.objects.create(
        pipeline_id=pipeline_id,
        step_key=step_key,
        source=stream.source_id,
        stream=stream.name,
        batch=batch,
        bounds={**bounds, "baseline": True},
        state="done",
        rows=0,
        boundary_rows=0,
        reason="What lies before is read by a backfill.",
        closed_at=Now(),
    )


def seen_before(window: Window) -> dict[str, Any]:
    """What the window before this one remembers of the rows at its end.

    seen: its file of row hashes; empty when it looked and there was no row, None when nobody looked. hashed: the names
    of the columns that the hashes are made of.
    """
    found = chain_of(window).filter(state__in=READ, backfill=None, id__lt=window.id).order_by("-id").first()
    if found is None:
        return {"seen": None, "hashed": None}
    seen = found.seen or ("" if found.boundary_rows == 0 else None)
    return {"seen": seen, "hashed": found.bounds.get("hashed")}


def loaded_in_part(window: Window, graph: Graph) -> bool:
    """Whether a load has taken the rows of a window, which is read once more for others."""
    return bool(_loaded({window.batch}, window.step_key, graph))


def _loaded(batches: Collection[uuid.UUID], step_key: str, graph: Graph) -> set[uuid.UUID | None]:
    """Those of the batches of which a load has taken what this step has read."""
    loads = StepRun.objects.filter(run__batch__in=batches, kind="load", state="succeeded")
    loads = loads.filter(output__status__in=["loaded", "already_done"])
    # One that is called otherwise by now may have been any.
    loads = loads.exclude(key__in=set(graph.nodes).difference(graph.loads_fed_by(step_key)))
    return set(loads.values_list("run__batch", flat=True))


def held(window: Window, graph: Graph) -> dict[str, Any] | None:
    """What a window along a cursor remembers of its own end, where a load has taken its rows: no other reads more."""
    since = window.bounds.get("seen_from")
    if since is None or window.boundary_rows is None or not loaded_in_part(window, graph):
        return None
    hashed = window.bounds.get("hashed")
    return {"seen": window.seen, "hashed": hashed, "since": since, "rows": window.boundary_rows}


def to_read(window: Window) -> dict[str, Any]:
    """The bounds of a window as it is read now.

    One that failed unread is read whole where a newer one exists: that begins where this one ends, so what a limit
    left of it would be read by nobody.
    """
    bounds: dict[str, Any] = window.bounds
    if not bounds.get("limits"):
        return bounds
    return {**bounds, "limits": None} if has_newer(window) else bounds


def has_newer(window: Window) -> bool:
    """Whether live runs have planned another window of the same step and stream since."""
    return chain_of(window).filter(backfill=None, id__gt=window.id).exclude(state="forgotten").exists()


def chain_of(window: Window) -> QuerySet[Window]:
    """The windows of the same step and stream, itself among them."""
    return Window.objects.filter(
        pipeline_id=window.pipeline_id, step_key=window.step_key, source=window.source, stream=window.stream
    )


def load_key(graph: Graph, step_key: str, run: Run, batch: dict[str, Window]) -> str | None:
    """What makes a load the same load again: the windows above it, or the root run where all above is read whole.

    None: no incremental extract above it reads anything in this run, so there is nothing to load.
    """
    above = graph.incremental_above(step_key)
    if not above:
        return f"run:{run.root}"
    ids = sorted(str(batch[each].pk) for each in above if each in batch)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest() if ids else None


def replaces(graph: Graph, step_key: str, batch: dict[str, Window]) -> bool:
    """Whether a load has to replace its dataset because a seed reads everything above it again."""
    return any(batch[each].replaces for each in graph.incremental_above(step_key) if each in batch)


def overtaken(extracts: Iterable[str], batch: dict[str, Window]) -> bool:
    """Whether any of these extracts has a newer window than the batch: replacing would bring back the past.

    A slice of a backfill is read from its source whenever it is repeated, so it is never older than what is there.
    """
    live = Window.objects.filter(backfill=None).exclude(state="forgotten")
    return any(
        live.filter(pipeline_id=each.pipeline_id, step_key=each.step_key, id__gt=each.pk).exists()
        for each in (batch[key] for key in extracts if key in batch)
        if each.backfill_id is None
    )


def in_part(run: Run, extracts: Iterable[str], batch: dict[str, Window]) -> bool:
    """Whether any of these extracts has rows that count and is not in the batch: a seed of the others lacks them."""
    left = Window.objects.filter(pipeline_id=run.pipeline_id, step_key__in=set(extracts).difference(batch))
    return left.exclude(state="forgotten").exists()


def staged(window: Window, bounds: dict[str, Any], *, rows: int, seen: str | None, boundary_rows: int | None) -> None:
    """An extract has read an open window, within `bounds`.

    One that is done stays as it is: it is only read again beside others.
    """
    Window.objects.filter(pk=window.pk, state__in=OPEN).update(
        state="staged", bounds=bounds, rows=rows, seen=seen or "", boundary_rows=boundary_rows
    )
