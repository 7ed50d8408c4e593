"""What a run is going to read, and why. First rows decide what is asked, then the sources' answers decide the rest.

`intend` looks at the windows and chooses between reading anew (seed), reading what is new (incremental), repeating a batch
that has not arrived (repair), or verifying. `conclude` turns intent and answers into a `Plan`. Nothing here writes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from apps.pipelines import windows as w
from apps.pipelines.document import Document
from apps.pipelines.graph import Graph
from apps.pipelines.models import Window
from apps.sources import services as sources
from apps.sources.models import SourceFile, Stream
from dataplane.connectors.base import FileRef, Mark
from dataplane.connectors.base import Window as Bounds
from dataplane.errors import ConfigurationError, DataError, Suggestion
from dataplane.steps.plan import Answer, Ask

Way = Literal["full", "new", "seed", "repeat", "verify", "overtaken"]

SEED = Suggestion(
    "seed", "Read everything again", "Replaces the datasets with what the sources hold now: mode `seed`.", True
)


@dataclass(frozen=True)
class Intent:
    """What the rows say before any source is asked. `windows`: all that still count, by step, the oldest first."""

    way: Way
    reason: str = ""
    batch: uuid.UUID | None = None
    streams: dict[str, Stream] = field(default_factory=dict)
    windows: dict[str, list[Window]] = field(default_factory=dict)
    stale: tuple[uuid.UUID, ...] = ()
    reused: frozenset[str] = frozenset()
    then: str | None = None

    def repeated(self) -> dict[str, Window]:
        """The windows of the batch that is repeated, by step."""
        return {key: each for key, kept in self.windows.items() for each in kept if each.batch == self.batch}


@dataclass(frozen=True)
class Reading:
    """What one extract reads: `bounds` None is nothing. `window`: the row that already says so."""

    key: str
    stream: Stream
    incremental: bool
    bounds: dict[str, Any] | None
    reason: str
    window: Window | None = None
    rows: int | None = None
    bytes: int | None = None
    warnings: tuple[str, ...] = ()
    listed: tuple[FileRef, ...] = ()
    failed: dict[str, Any] | None = None

    def reads(self) -> list[Any]:
        """For people: the files, or the stream with its bounds."""
        if self.bounds is None:
            return []
        if self.bounds["kind"] == "files":
            return [{"path": each["path"], "size": each["size"]} for each in self.bounds["files"]]
        return [
            {"stream": self.stream.name}
            | {name: self.bounds[name] for name in ("column", "lower", "upper") if name in self.bounds}
        ]


@dataclass(frozen=True)
class Plan:
    """What a run does. `skip`: why it ends at once. `then`: the mode of the run that has to follow it, if any."""

    mode: str
    reason: str
    readings: tuple[Reading, ...] = ()
    batch: uuid.UUID | None = None
    skip: str | None = None
    stale: tuple[uuid.UUID, ...] = ()
    replaces: bool = False
    then: str | None = None


def intend(
    document: Document, pipeline_id: uuid.UUID, project_id: uuid.UUID, mode: str, *, batch: uuid.UUID | None = None
) -> Intent:
    """Choose the way. `batch`: the one that a retry has to repeat. Raises ConfigurationError for a stream that is gone."""
    streams = _streams(document, project_id)
    incremental = {each.key for each in document.incremental()}
    fitting: dict[str, list[Window]] = {key: [] for key in incremental}
    stale: list[uuid.UUID] = []
    for window in w.kept(pipeline_id):
        stream = streams.get(window.step_key)
        fits = window.step_key in incremental and stream is not None
        if fits and stream is not None and window.source == stream.source_id and window.stream == stream.name:
            fitting[window.step_key].append(window)
        elif window.state in w.OPEN:
            stale.append(window.pk)
    base = Intent("full", streams=streams, windows=fitting, stale=tuple(stale))
    if batch is not None:
        return _retried(base, batch)
    if not incremental:
        return replace(base, reason="Every extract reads its whole stream.")
    if mode == "seed":
        return replace(base, way="seed", reason="Everything is read again because the mode is seed.")
    return _by_windows(base, mode)


def _retried(base: Intent, batch: uuid.UUID) -> Intent:
    if not Window.objects.filter(batch=batch).exclude(state="forgotten").exists():
        return replace(
            base, way="overtaken", reason="A seed has read everything again since; there is nothing to repeat."
        )
    return replace(base, way="repeat", batch=batch, reason="Repeats what the run that is retried had read.")


def _by_windows(base: Intent, mode: str) -> Intent:
    """Repeat the oldest batch that has not arrived; else, as the mode says, a failed one, or go on."""
    every = sorted((each for kept in base.windows.values() for each in kept), key=lambda each: each.pk)
    unfinished = [each for each in every if each.state in w.OPEN]
    if unfinished:
        batch = unfinished[0].batch
        return replace(base, way="repeat", batch=batch, reason=f"Repeats what run {batch} had read but not loaded.")
    if mode == "repair":
        failed = list(dict.fromkeys(each.batch for each in every if each.state == "failed"))
        if not failed:
            return replace(base, way="verify", reason="Every window was loaded; they are compared with their sources.")
        reason = f"Repeats what run {failed[0]} had read and one of its branches has not loaded."
        return replace(base, way="repeat", batch=failed[0], reason=reason, then="repair" if len(failed) > 1 else None)
    never = sorted(key for key, kept in base.windows.items() if not kept)
    if mode == "incremental" and never:
        raise ConfigurationError(
            f"The step `{never[0]}` has read nothing yet, so there is no mark to go on from. Start with mode auto or seed.",
            code="never_read",
            evidence={"steps": never},
        )
    return replace(base, way="new")


def questions(document: Document, graph: Graph, intent: Intent) -> dict[str, Ask]:
    """What has to be asked, by step. Opens credentials; opens no connection."""
    asks = {}
    ignored = _ignored(intent.streams.values())
    for key, stream in intent.streams.items():
        connector, config = sources.binding(stream)
        node = graph.nodes[key]
        skip = ignored.get(stream.pk, frozenset())
        if not node.incremental:
            asks[key] = Ask(connector, config, "full_refresh", Mark(ignored=skip), may_fail=node.may_fail)
            continue
        kept = [] if intent.way == "seed" else intent.windows[key]
        mark = w.mark_of(kept, skip)
        last = next((each.bounds for each in reversed(kept) if each.bounds["kind"] == "cursor"), None)
        if last is not None and last["column"] != config.cursor:
            raise _cursor_changed(key, stream, last["column"], config.cursor)
        verify = None
        if intent.way == "verify" and last is not None:
            verify = Bounds("cursor", column=last["column"], lower=None, upper=last["upper"])
        asks[key] = Ask(connector, config, "incremental", mark, verify, node.may_fail)
    return asks


def conclude(document: Document, graph: Graph, intent: Intent, answers: dict[str, Answer]) -> Plan:
    """What the run does. Raises DataError where files of an unfinished batch have vanished, or a closed window differs."""
    if intent.way == "overtaken":
        return Plan("repair", intent.reason, skip=intent.reason, batch=intent.batch)
    if intent.way == "verify":
        _verify(intent, answers)
        return Plan("repair", intent.reason, skip="Every window was loaded, and the sources still hold what was read.")
    if intent.way == "repeat":
        plan = _repeat(graph, intent, answers)
        if plan is not None:
            return plan
        gone = tuple(each.pk for each in intent.repeated().values() if each.state in w.OPEN)
        intent = replace(intent, way="new", batch=None, stale=intent.stale + gone, then=None)
    readings = tuple(_fresh(key, graph, stream, answers[key]) for key, stream in intent.streams.items())
    return _go_on(document, intent, readings)


def _go_on(document: Document, intent: Intent, readings: tuple[Reading, ...]) -> Plan:
    """A plan that reads what is new, everything again, or whole streams only."""
    incremental = [each for each in readings if each.incremental]
    reading = [each for each in incremental if each.bounds is not None]
    failed = [each for each in readings if each.failed]
    first = [each for each in reading if not intent.windows[each.key]]
    mode = {"full": "full_refresh", "seed": "seed"}.get(
        intent.way, "seed" if reading and first == reading else "incremental"
    )
    if incremental and not reading and not failed:
        why = " ".join(f"{each.key}: {each.reason}" for each in incremental)
        return Plan(mode, f"Nothing new. {why}", readings, skip=f"Nothing new. {why}", stale=intent.stale)
    said = [f"{each.key}: {each.reason}" for each in reading]
    reason = " ".join(
        [intent.reason, *(["First read."] if first == reading and first and intent.way == "new" else []), *said]
    )
    return Plan(mode, reason.strip(), readings, stale=intent.stale, replaces=intent.way == "seed")


def _fresh(key: str, graph: Graph, stream: Stream, answer: Answer) -> Reading:
    incremental = graph.nodes[key].incremental
    planned = answer.planned
    if planned is None:
        failed = answer.failed.as_json() if answer.failed else None
        return Reading(key, stream, incremental, None, "The source does not answer.", failed=failed)
    bounds = planned.window.as_json() if planned.window else None
    return Reading(
        key,
        stream,
        incremental,
        bounds,
        planned.reason,
        None,
        planned.rows,
        planned.bytes,
        planned.warnings,
        planned.listed,
    )


def _repeat(graph: Graph, intent: Intent, answers: dict[str, Answer]) -> Plan | None:
    """The batch again, exactly, with what has become of its files; None when nothing of it is left to read."""
    repeated = intent.repeated()
    readings = []
    for key, stream in intent.streams.items():
        fresh = _fresh(key, graph, stream, answers[key])
        if not fresh.incremental:
            readings.append(fresh)
            continue
        window = repeated.get(key)
        bounds = None if window is None else _bounds_now(window, stream, answers[key], key in intent.reused)
        reason = "Read again." if bounds else "Not part of the batch that is repeated."
        readings.append(
            replace(
                fresh,
                bounds=bounds,
                reason=reason,
                window=window if bounds else None,
                rows=window.rows if window else None,
                bytes=None,
            )
        )
    if not any(
        each.bounds and each.window and each.window.state in (*w.OPEN, "failed") for each in readings
    ) and not _retry(intent):
        return None
    waits = any(
        graph.nodes[key].incremental and (planned := answers[key].planned) is not None and planned.window is not None
        for key in intent.streams
    )
    then = intent.then or ("auto" if waits else None)
    return Plan("repair", intent.reason, tuple(readings), intent.batch, stale=intent.stale, then=then)


def _retry(intent: Intent) -> bool:
    """A retry repeats its batch even when others have finished it: its loads then find themselves done."""
    return intent.reason.startswith("Repeats what the run that is retried")


def _bounds_now(window: Window, stream: Stream, answer: Answer, reused: bool) -> dict[str, Any] | None:
    """An unfinished window with its files as they are now: ignored ones leave it, vanished ones are an error."""
    bounds = window.bounds
    if bounds["kind"] != "files" or window.state == "done" or reused or answer.planned is None:
        return bounds
    ignored = _ignored([stream]).get(stream.pk, frozenset())
    there = {each.path: each for each in answer.planned.listed}
    wanted = [each["path"] for each in bounds["files"] if each["path"] not in ignored]
    missing = [path for path in wanted if path not in there]
    if missing:
        raise DataError(
            f"{len(missing)} of the files that the step `{window.step_key}` had begun to read have vanished, first {missing[0]}. "
            "Put them back, or ignore them.",
            code="files_missing",
            evidence={"step": window.step_key, "stream": stream.name, "files": missing[:100]},
            suggestions=[Suggestion("ignore_files", "Ignore these files", "The run goes on without them.", True)],
        )
    return Bounds("files", files=tuple(there[path] for path in wanted)).as_json() if wanted else None


def _verify(intent: Intent, answers: dict[str, Answer]) -> None:
    """Compare all closed windows with what the sources hold now. Raises DataError where they differ.

    A closed window is not read again on its own: which of its rows have been loaded cannot be told from rows that went
    through checks and SQL since, so a second read would double some or lose some. A seed is exact.
    """
    for key, kept in intent.windows.items():
        answer = answers[key]
        if not kept or answer.planned is None:
            continue
        evidence = _difference(kept, answer)
        if evidence:
            raise DataError(
                f"What the step `{key}` has read differs from what its source holds now: {evidence.pop('said')}. "
                "Rows that were loaded once cannot be told apart any more; read everything again with mode seed.",
                code="closed_window_differs",
                evidence={"step": key, "stream": intent.streams[key].name, **evidence},
                suggestions=[SEED],
            )


def _difference(kept: list[Window], answer: Answer) -> dict[str, Any] | None:
    read = w.mark_of(kept, frozenset())
    there = {each.path: each for each in (answer.planned.listed if answer.planned else ())}
    changed = [each.path for each in read.files if each.path in there and there[each.path] != each]
    if changed:
        return {"said": f"{len(changed)} files have changed, first {changed[0]}", "files": changed[:100]}
    then = sum(each.rows or 0 for each in kept)
    if answer.count is not None and answer.count != then:
        return {
            "said": f"{answer.count:,} rows there, {then:,} were read",
            "rows_there": answer.count,
            "rows_read": then,
        }
    return None


def _cursor_changed(key: str, stream: Stream, before: str, now: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"The stream `{stream.name}` of the step `{key}` was read by the column `{before}` and is to be read by `{now}` now, "
        "so nobody can say what is new. Read everything again with mode seed, or choose the old column again.",
        code="cursor_changed",
        evidence={"step": key, "stream": stream.name, "before": before, "now": now},
        suggestions=[SEED],
    )


def _streams(document: Document, project_id: uuid.UUID) -> dict[str, Stream]:
    """The stream of every extract, in the order of the document."""
    extracts = [each for each in document.steps.values() if each.kind == "extract"]
    rows = Stream.objects.filter(
        source__project_id=project_id, source__slug__in={each.spec.source for each in extracts}
    )
    known = {(each.source.slug, each.name): each for each in rows.select_related("source", "source__credential")}
    found = {}
    for each in extracts:
        stream = known.get((each.spec.source, each.spec.stream))
        if stream is None:
            raise ConfigurationError(
                f"The step `{each.key}` reads `{each.spec.stream}` of the source `{each.spec.source}`, which is not there any more. "
                "Add it again, or change the document.",
                code="stream_missing",
                evidence={"step": each.key, "source": each.spec.source, "stream": each.spec.stream},
            )
        found[each.key] = stream
    return found


def _ignored(streams: Iterable[Stream]) -> dict[uuid.UUID, frozenset[str]]:
    found: dict[uuid.UUID, set[str]] = {}
    rows = SourceFile.objects.filter(stream__in=[each.pk for each in streams], ignored=True)
    for stream_id, path in rows.values_list("stream_id", "path"):
        found.setdefault(stream_id, set()).add(path)
    return {key: frozenset(paths) for key, paths in found.items()}
