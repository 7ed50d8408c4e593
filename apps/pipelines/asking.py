"""What a survey has to ask of the sources: each stream with its mark, or with the slice that a backfill reads."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from apps.pipelines import drifting
from apps.pipelines import windows as w
from apps.pipelines.backfills import Part
from apps.pipelines.document import Document
from apps.pipelines.plans import SEED, Survey
from apps.sources import services as sources
from apps.sources.models import SourceFile, Stream
from dataplane.connectors import slices
from dataplane.connectors.base import Connector
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.slices import Slice
from dataplane.connectors.windows import FileRef, Mark
from dataplane.connectors.windows import Window as Bounds
from dataplane.errors import ConfigurationError
from dataplane.steps.extract import narrowed
from dataplane.steps.plan import Ask, Picked, ReadBefore, Verify

Bindings = dict[str, tuple[Connector, StreamConfig]]


def ignored_files(stream: Stream) -> frozenset[str]:
    """The files of a stream that somebody has set aside."""
    return _ignored([stream]).get(stream.pk, frozenset())


def bindings_of(document: Document, streams: dict[str, Stream]) -> Bindings:
    """How each extract reads its stream."""
    found = {}
    for key, stream in streams.items():
        connector, config = sources.binding(stream)
        found[key] = connector, narrowed(config, document.steps[key].spec)
    return found


def covered(base: Survey, bindings: Bindings, part: Part) -> list[str]:
    """The extracts whose slice of a cursor was read before. Raises ConfigurationError for one read only in part."""
    found = []
    for key, kept in base.windows.items():
        connector, config = bindings[key]
        if connector.family == "file":
            continue
        covered = w.coverage(kept, base.sliced[key], slices.window(config, part.slice))
        if covered == "part":
            raise ConfigurationError(
                f"The step `{key}` has read a part of this slice before. {part.said} Choose slices that begin and end "
                "where the others did.",
                code="slice_read_in_part",
                evidence={"step": key, "slice": part.said},
            )
        found += [key] if covered == "all" else []
    return found


def questions(
    base: Survey,
    bindings: Bindings,
    part: Part | None,
    reserved: tuple[Slice, ...],
    picked: Picked | None = None,
) -> dict[str, Ask]:
    """What has to be asked, by step."""
    if base.way == "overtaken":
        return {}
    asks = {}
    ignored, touched = _ignored(base.streams.values()), _touched(base.streams.values())
    for key, stream in base.streams.items():
        if key in base.passed:
            continue
        connector, config = bindings[key]
        node = base.graph.nodes[key]
        skip = ignored.get(stream.pk, frozenset())
        watch = None if key in base.reused else drifting.watch(base.document, key, stream, config)
        if not node.incremental:
            mark = Mark(ignored=skip)
            asks[key] = Ask(connector, config, "full_refresh", mark, may_fail=node.may_fail, watch=watch)
            continue
        last = _last_cursor(base, key, config.cursor)
        # Where a backfill has read, or is to read, nobody knows how many rows before the mark were read.
        verifies = base.way == "verify" and last is not None and not _backfilled(base, key)
        read = [] if base.way == "seed" else base.all_of(key)
        mark = w.mark_of(read, skip)
        asks[key] = Ask(
            connector,
            config,
            "incremental",
            replace(mark, seed=base.way == "seed", touched=touched.get(stream.pk, ()), begun=w.begun(read, base.graph)),
            _verify(base, key, skip) if verifies else None,
            node.may_fail,
            part=part.slice if part and base.way == "slice" else None,
            reserved=reserved,
            watch=watch,
            picked=picked if connector.family == "file" else None,
        )
    return asks


def _last_cursor(base: Survey, key: str, column: str | None) -> dict[str, Any] | None:
    """The newest bounds along a cursor that count. Raises ConfigurationError where they are of another column."""
    kept = [] if base.way == "seed" else base.windows[key]
    last = next((each.bounds for each in reversed(kept) if each.bounds["kind"] == "cursor"), None)
    if last is not None and last["column"] != column:
        raise _cursor_changed(key, base.streams[key], last["column"], column)
    return last


def _verify(base: Survey, key: str, skip: frozenset[str]) -> Verify:
    """What was read of a cursor; window by window, where its loads know rows again."""
    kept = base.windows[key]
    last = kept[-1].bounds
    whole = Bounds("cursor", column=last["column"], lower=None, upper=last["upper"])
    parts = [
        ReadBefore(Bounds.from_json(each.bounds), each.rows or 0, w.mark_of(kept[:place][-1:], skip))
        for place, each in enumerate(kept)
    ]
    return Verify(whole, sum(each.rows or 0 for each in kept), tuple(parts) if base.merges(key) else ())


def _backfilled(base: Survey, key: str) -> bool:
    return bool(base.sliced[key]) or any(each.bounds.get("baseline") for each in base.windows[key])


def _cursor_changed(key: str, stream: Stream, before: str, now: str | None) -> ConfigurationError:
    return ConfigurationError(
        f"The step `{key}` has read `{stream.name}` by the column `{before}` and is to read it by `{now}` now, so "
        "nobody can say what is new. Read everything again with mode seed, or choose the old column again.",
        code="cursor_changed",
        evidence={"step": key, "stream": stream.name, "before": before, "now": now},
        suggestions=[SEED],
    )


def _ignored(streams: Iterable[Stream]) -> dict[uuid.UUID, frozenset[str]]:
    found: dict[uuid.UUID, set[str]] = {}
    rows = SourceFile.objects.filter(stream__in=[each.pk for each in streams], ignored=True)
    for stream_id, path in rows.values_list("stream_id", "path"):
        found.setdefault(stream_id, set()).add(path)
    return {key: frozenset(paths) for key, paths in found.items()}


def _touched(streams: Iterable[Stream]) -> dict[uuid.UUID, tuple[FileRef, ...]]:
    """The files of each stream that have another time than when they were read, and the same bytes."""
    found: dict[uuid.UUID, list[FileRef]] = {}
    rows = SourceFile.objects.filter(stream__in=[each.pk for each in streams]).exclude(touched="")
    for each in rows.only("stream_id", "path", "size", "touched", "digest"):
        ref = FileRef(each.path, each.size, each.touched, digest=each.digest)
        found.setdefault(each.stream_id, []).append(ref)
    return {key: tuple(refs) for key, refs in found.items()}
