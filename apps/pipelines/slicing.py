"""The slices of a range of time, and which steps of a document can be read by them. Nothing here asks or writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import timing
from apps.pipelines.document import Document
from apps.pipelines.schedule import Schedule as Definition
from dataplane.connectors import slices
from dataplane.connectors.base import Connector
from dataplane.connectors.schema import StreamConfig

Every = Literal["hour", "day", "week", "month", "schedule", "range"]
EVERY: tuple[str, ...] = get_args(Every)
AT_MOST = 1000
_PRESETS = {"hour": "hourly", "day": "daily", "week": "weekly", "month": "monthly"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d)?")

Bindings = Mapping[str, tuple[Connector, StreamConfig]]


@dataclass(frozen=True)
class Targets:
    """What a backfill of a document does: the loads that slices reach, the extracts that are read by slices.

    left_out: loads that no slice reaches; runs of a backfill do not do them. merged: loads that put older rows over
    newer ones of the same key when files of the past arrive late.
    """

    loads: tuple[str, ...]
    extracts: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()


def moment(field: str, text: str, zone: str) -> datetime:
    """A day or a minute on the clocks of a zone, in UTC. Raises Invalid."""
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(field, f"{text!r} is no date. Write 2026-01-31, or 2026-01-31T06:00.") from None


def cut(
    lower: datetime, upper: datetime, every: str, zone: str, schedule: Definition | None
) -> list[tuple[datetime, datetime]]:
    """The slices of a range, the oldest first: they end at full hours, at midnights, or when the schedule fires.

    The first and the last one are shorter where the range begins or ends in between. `range` is one slice. Raises
    Invalid.
    """
    if every == "range":
        return [(lower, upper)]
    if every == "schedule":
        if schedule is None:
            raise Invalid("every", "The published document has no schedule. Choose hour, day, week or month.")
        definition = schedule
    else:
        definition = Definition.model_validate({"preset": _PRESETS[every], "timezone": zone})
    inner = [each for each in islice(timing.between(definition, lower, upper), AT_MOST + 1) if each < upper]
    if len(inner) >= AT_MOST:
        raise Invalid(
            "every", f"These are more than {AT_MOST:,} slices. Choose longer ones, or a shorter range.", code="too_many"
        )
    return list(pairwise([lower, *inner, upper]))


def targets(document: Document, bindings: Bindings, *, again: bool) -> Targets:
    """What slices reach. Raises Conflict, with the remedy, where a document cannot be read by slices of time."""
    graph = document.graph()
    reasons = {key: slices.cannot(*bindings[key]) for key in bindings}
    chosen: list[str] = []
    left_out: list[str] = []
    for key in (each for each in graph.order if graph.nodes[each].kind == "load"):
        above = graph.incremental_above(key)
        unfit = [each for each in above if reasons[each]]
        if above and not unfit:
            # What rests in a dataset on the way is read from there whole, and no slice stands for it.
            if graph.incremental_direct(key):
                _refuse_load(key, document.steps[key].spec)
            chosen.append(key)
        elif len(unfit) < len(above):
            raise _refused(f"The step `{key}` also loads what `{unfit[0]}` reads. {reasons[unfit[0]]}")
        else:
            left_out.append(key)
    if not chosen:
        why = next((each for each in reasons.values() if each), "It has no incremental extract that feeds a load.")
        raise _refused(f"Nothing in it can be read by slices of time. {why}")
    extracts = [each for each in bindings if any(each in graph.incremental_above(key) for key in chosen)]
    modes = {each: document.steps[each].spec.mode for each in chosen}
    merges = [each for each in chosen if modes[each] == "merge"]
    files = {each for each in extracts if bindings[each][0].family == "file"}
    if again:
        _refuse_again([each for each in chosen if modes[each] == "append"], files)
    mixed = tuple(each for each in merges if files.intersection(graph.incremental_direct(each)))
    return Targets(tuple(chosen), tuple(extracts), tuple(left_out), mixed)


def _refuse_load(key: str, spec: Any) -> None:
    if spec.mode == "replace":
        raise _refused(
            f"The step `{key}` keeps only what the newest run has read, and a slice of the past would take its place. "
            "Write `mode: append` or `mode: merge`."
        )
    if spec.delete_missing:
        raise _refused(
            f"The step `{key}` deletes what does not arrive, and a slice is only a part. Take out `delete_missing`."
        )


def _refuse_again(appends: Sequence[str], files: set[str]) -> None:
    if appends:
        raise _refused(
            f"The step `{appends[0]}` appends, so rows that are read again would come twice. Write `mode: merge` with "
            "a key, read only what is new, or replace everything with mode seed."
        )
    if files:
        raise _refused(
            f"The step `{min(files)}` reads files, which hold rows as they once were: read again they would take the "
            "place of newer ones. Read only what is new, or replace everything with mode seed."
        )


def _refused(said: str) -> Conflict:
    return Conflict(said, code="cannot_be_backfilled")
