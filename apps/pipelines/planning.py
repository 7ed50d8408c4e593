"""What a run is going to read, and why: what the rows say, and what has to be asked of the sources.

`survey` looks at the windows and chooses between reading everything again (seed), what is new (incremental), a batch
that has not arrived (repair), or verifying what was read. `concluding` makes a plan of it once they have answered.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from apps.pipelines import arrival, asking, backfills, drifting
from apps.pipelines import document as documents
from apps.pipelines import windows as w
from apps.pipelines.asked import Asked
from apps.pipelines.backfills import Part
from apps.pipelines.concluding import conclude, refuse_unknown
from apps.pipelines.document import Document
from apps.pipelines.models import Pipeline, PipelineVersion, Window
from apps.pipelines.plans import SEED, Plan, Survey
from apps.sources.models import Stream
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.windows import FileRef, Mark
from dataplane.errors import ConfigurationError, DataError, ManifoldError
from dataplane.steps.plan import Picked, answer


def survey(
    document: Document,
    pipeline_id: uuid.UUID,
    project_id: uuid.UUID,
    mode: str,
    *,
    batch: uuid.UUID | None = None,
    reused: frozenset[str] = frozenset(),
    only: Sequence[str] = (),
    part: Part | None = None,
    picked: Picked | None = None,
    follows: bool = False,
    ask_all: bool = False,
) -> Survey:
    """Choose the way, and what to ask. Opens credentials but no connection.

    `batch` is the one that a retry has to repeat, `reused` are the extracts whose files it takes over. Of a run of
    `only` some steps the windows of all others stay as they are. `part` is what it reads for a backfill, `picked` the
    files that it is to read where not all that are new. Such a run, and one that `follows` another, leaves alone what
    others had their turn with and could not bring to its end. `ask_all`: also what the run passes over is asked.
    Raises ConfigurationError for a stream that is gone, a cursor that was changed, or an incremental run that has no
    mark.
    """
    left_out = set(document.steps) - set(document.only(only).steps)
    document = document.only(only)
    base = Survey("full", document, document.graph(), _streams(document, project_id), reused=reused)
    # To compare, or to say how much of a slice was read, takes every window there is.
    whole = part is not None or mode == "repair"
    kept = w.kept(pipeline_id) if whole else w.deciding(pipeline_id, batch)
    base = _with_windows(base, [each for each in kept if each.step_key not in left_out])
    base = _chosen(base, mode, batch, part, onward=follows or picked is not None)
    if base.way == "repeat" and part is None:
        _refuse_late_rows(base)
    if base.way == "repeat" and batch is None and picked is not None:
        raise _unfinished(base)
    if part is not None or batch is not None:
        # A slice is read by the version that its backfill began with, and a retry by that of the run that it repeats:
        # what a newer one has added is not stale.
        base = replace(base, others=())
    return _asking(base, pipeline_id, part, picked, ask_all=ask_all)


def refuse_unknown_files(document: Document, project_id: uuid.UUID, picked: Picked) -> None:
    """Folders on this machine are looked into before a run begins; of any other place its plan says the same.

    Raises Invalid for a file that none of them has.
    """
    listed: list[FileRef] = []
    try:
        streams = _streams(document, project_id)
        bindings = asking.bindings_of(document, streams)
        places = [each.key for each in document.incremental() if bindings[each.key][0].family == "file"]
        for key in places:
            connector, config = bindings[key]
            if not (isinstance(connector, FileConnector) and connector.near):
                return
            mark = Mark(ignored=asking.ignored_files(streams[key]))
            listed += connector.plan(config, "incremental", mark).listed
    except ManifoldError:
        # The folder may be mounted on the workers only.
        return
    if places:
        refuse_unknown(picked, listed)


def whole(document: Document, pipeline_id: uuid.UUID, project_id: uuid.UUID) -> Survey:
    """Everything that was read so far, and the questions what is new to each incremental extract; nothing is repeated.

    Raises ConfigurationError for a stream that is gone or a cursor that was changed.
    """
    streams = _streams(document, project_id)
    base = Survey("new", document, document.graph(), streams)
    base = _with_windows(base, w.kept(pipeline_id))
    _refuse_another_stream(base)
    return replace(base, asks=asking.questions(base, asking.bindings_of(document, streams), None, ()))


def dry_run(pipeline: Pipeline, version: PipelineVersion, asked: Asked) -> dict[str, Any]:
    """What a run would do, in the shape `plan`. Asks the sources now, and writes nothing. Raises ManifoldError."""
    document = documents.load(version.document)
    found = survey(document, pipeline.pk, pipeline.project_id, asked.mode, only=asked.only, picked=asked.picked)
    for ask in found.asks.values():
        ask.connector.hurried = True
    plan = conclude(found, {key: answer(ask) for key, ask in found.asks.items()})
    if stops := drifting.stopped(plan):
        raise stops
    said = summary(plan, found.document)
    return {
        "mode": "skip" if plan.skip else plan.mode,
        "mode_reason": said["mode_reason"],
        "steps": [
            {name: each[name] for name in ("key", "kind", "reads", "estimate", "skip_reason", "warnings")}
            for each in said["steps"]
        ],
    }


def summary(plan: Plan, document: Document) -> dict[str, Any]:
    """A plan as the output of its step: the shape `plan`, with the bounds that extracts of whole streams will read."""
    graph = document.graph()
    reading = {each.key: each for each in plan.readings}
    batch = {each.key for each in plan.readings if each.incremental and each.bounds is not None}
    steps = []
    for key in graph.order:
        step = document.steps[key]
        entry: dict[str, Any] = {"key": key, "kind": step.kind, "reads": [], "estimate": None, "skip_reason": None}
        entry["warnings"] = []
        above = graph.incremental_above(key)
        if key in reading:
            each = reading[key]
            entry |= {"reads": each.reads(), "reason": each.reason, "warnings": list(each.warnings)}
            reads = each.bounds is not None and not plan.skip
            entry["estimate"] = {"rows": each.rows, "bytes": each.bytes} if reads else None
            entry["skip_reason"] = each.reason if each.bounds is None else None
            entry["failed"] = each.failed
            if not each.incremental:
                entry["bounds"] = each.bounds
        elif step.kind == "load" and above and batch.isdisjoint(above):
            entry["skip_reason"] = "Nothing new reaches it."
        else:
            entry["reads"] = [
                each if isinstance(each, str) else f"dataset {each.dataset}" for each in step.inputs.values()
            ]
        if plan.skip:
            entry["skip_reason"] = entry["skip_reason"] or plan.skip
        steps.append(entry)
    said = {"mode": plan.mode, "mode_reason": plan.skip or plan.reason, "steps": steps}
    return said | {"then": plan.then, "waits": list(plan.waits)}


def stream_of(spec: Any, project_id: uuid.UUID, step_key: str) -> Stream:
    """The stream that an extract names. Raises ConfigurationError when it is gone."""
    rows = Stream.objects.filter(source__project_id=project_id, source__slug=spec.source, name=spec.stream)
    stream = rows.select_related("source", "source__credential").first()
    if stream is None:
        raise _gone(step_key, spec)
    return stream


def _asking(base: Survey, pipeline_id: uuid.UUID, part: Part | None, picked: Picked | None, *, ask_all: bool) -> Survey:
    """With what has to be asked; a slice that was read before is passed over."""
    bindings = asking.bindings_of(base.document, base.streams)
    if base.way == "slice" and part is not None and not part.again:
        covered = asking.covered(base, bindings, part)
        base = replace(base, passed=dict.fromkeys(covered, "This slice was read before."))
    reserved = backfills.reserved(pipeline_id) if base.way in ("new", "repeat") and part is None else ()
    asked = replace(base, passed={}) if ask_all else base
    return replace(base, asks=asking.questions(asked, bindings, part, reserved, picked if base.way == "new" else None))


def _with_windows(base: Survey, kept: Iterable[Window]) -> Survey:
    """Each window with the extract that reads it; open ones that no extract reads any more are stale.

    The windows of an extract that was given another id go with it: a new name is no reason to read everything again.
    """
    fitting: dict[str, list[Window]] = {each.key: [] for each in base.document.incremental()}
    others: list[Window] = []
    for window in kept:
        fits = window.step_key in fitting and _reads(base.streams[window.step_key], window)
        (fitting[window.step_key] if fits else others).append(window)
    for key in [each for each, own in fitting.items() if not own]:
        left = [each for each in others if each.step_key not in fitting and _reads(base.streams[key], each)]
        if len({each.step_key for each in left}) == 1:
            fitting[key] = left
            others = [each for each in others if each not in left]
    return replace(
        base,
        windows={key: [each for each in own if each.backfill_id is None] for key, own in fitting.items()},
        sliced={key: [each for each in own if each.backfill_id is not None] for key, own in fitting.items()},
        others=tuple(others),
    )


def _reads(stream: Stream, window: Window) -> bool:
    return (window.source, window.stream) == (stream.source_id, stream.name)


def _refuse_another_stream(base: Survey) -> None:
    """A step that has loaded rows of another stream cannot go on as if it had read this one."""
    for each in base.others:
        if each.state in w.READ and each.step_key in base.windows and not base.all_of(each.step_key):
            raise ConfigurationError(
                f"The step `{each.step_key}` has read the stream `{each.stream}` of another source or name so far, "
                "and its rows are loaded. Give the step another id to add to them, or replace them with mode seed.",
                code="stream_changed",
                evidence={"step": each.step_key, "before": each.stream, "now": base.streams[each.step_key].name},
                suggestions=[SEED],
            )


def _chosen(base: Survey, mode: str, batch: uuid.UUID | None, part: Part | None, *, onward: bool) -> Survey:
    """The way that it goes, and why."""
    if not base.windows:
        return replace(base, reason="Every extract reads its whole stream.")
    if batch is not None:
        return _retried(base, batch)
    if mode == "seed" and part is None:
        return replace(base, way="seed", reason="Everything is read again because the mode is seed.")
    _refuse_another_stream(base)
    if part is not None:
        return replace(base, way="slice", reason=part.said)
    return _by_windows(base, mode, onward=onward)


def _retried(base: Survey, batch: uuid.UUID) -> Survey:
    if not Window.objects.filter(batch=batch).exclude(state="forgotten").exists():
        return replace(base, way="overtaken", reason="Others have read it again since: nothing is left.")
    return replace(base, way="repeat", batch=batch, retry=True, reason="Repeats what the retried run had read.")


def _by_windows(base: Survey, mode: str, *, onward: bool) -> Survey:
    """Repeat the oldest batch that has not arrived; else, as the mode says, a failed one, or go on.

    Those that stay open although all of their steps had their turn come last, each in turn, and not in a run that goes
    `onward`; their extracts read nothing new until they have arrived.
    """
    every = sorted((each for kept in base.windows.values() for each in kept), key=lambda each: each.pk)
    unfinished = list(dict.fromkeys(each.batch for each in every if each.state in w.OPEN))
    stuck = arrival.stuck(unfinished)
    repeated = [each for each in unfinished if mode == "repair" or not (onward and each in stuck)]
    batch = min(repeated, key=lambda each: str(stuck.get(each, "")), default=None)
    held = {
        key: f"It goes on when what run {each.batch} had begun has arrived."
        for key, kept in base.windows.items()
        for each in kept
        if each.state != "done" and each.batch in stuck and each.batch != batch
    }
    base = replace(base, batch=batch, held=held)
    # What has a part in the batch that is repeated belongs together with the rest of it.
    base = replace(base, passed={key: why for key, why in held.items() if key not in base.repeated()})
    if batch is not None:
        return replace(base, way="repeat", reason=f"Repeats what run {batch} had read but not loaded.")
    if mode == "repair":
        return _repair(base, list(dict.fromkeys(each.batch for each in every if each.state == "failed")))
    never = sorted(key for key in base.windows if not base.all_of(key))
    if mode == "incremental" and never:
        raise ConfigurationError(
            f"The step `{never[0]}` has read nothing yet, so there is no mark to go on from. Start with mode auto.",
            code="never_read",
            evidence={"steps": never},
        )
    anew = arrival.planned_anew(each for key, own in base.windows.items() if key not in base.passed for each in own)
    kept = {key: [each for each in own if each not in anew] for key, own in base.windows.items()}
    return replace(base, way="new", windows=kept, anew=tuple(anew))


def _unfinished(base: Survey) -> ConfigurationError:
    return ConfigurationError(
        f"A run for picked files has to wait: {base.reason} Start a run that picks none first, and then this one.",
        code="unfinished_batch",
        evidence={"batch": str(base.batch)},
    )


def _refuse_late_rows(base: Survey) -> None:
    """A window that is read again after later ones would bring their late rows, which lie within it, a second time."""
    for key, window in base.repeated().items():
        if key in base.reused or window.state == "done":
            continue
        later = [each for each in base.windows[key] if each.pk > window.pk and each.bounds.get("late")]
        if later:
            raise DataError(
                f"Rows of `{window.stream}` that came late were loaded with a newer window of the step `{key}`; "
                "reading the older one again would load them twice. Read everything again with mode seed.",
                code="closed_window_differs",
                evidence={"step": key, "stream": window.stream, "late": sum(each.bounds["late"] for each in later)},
                suggestions=[SEED],
            )


def _repair(base: Survey, failed: list[uuid.UUID]) -> Survey:
    if not failed:
        return replace(base, way="verify", reason="Every window was loaded; they are compared with their sources.")
    reason = f"Repeats what run {failed[0]} had read and one of its branches has not loaded."
    return replace(base, way="repeat", batch=failed[0], reason=reason, then="repair" if len(failed) > 1 else None)


def _streams(document: Document, project_id: uuid.UUID) -> dict[str, Stream]:
    """The stream of every extract, in the order of the document. Raises ConfigurationError for one that is gone."""
    extracts = [each for each in document.steps.values() if each.kind == "extract"]
    slugs = {each.spec.source for each in extracts}
    rows = Stream.objects.filter(source__project_id=project_id, source__slug__in=slugs)
    known = {(each.source.slug, each.name): each for each in rows.select_related("source", "source__credential")}
    for each in extracts:
        if (each.spec.source, each.spec.stream) not in known:
            raise _gone(each.key, each.spec)
    return {each.key: known[each.spec.source, each.spec.stream] for each in extracts}


def _gone(step_key: str, spec: Any) -> ConfigurationError:
    return ConfigurationError(
        f"The step `{step_key}` reads `{spec.stream}` of the source `{spec.source}`, which is not there any more. "
        "Add it again, or change the document.",
        code="stream_missing",
        evidence={"step": step_key, "source": spec.source, "stream": spec.stream},
    )
