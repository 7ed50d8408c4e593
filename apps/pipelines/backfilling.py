"""Backfills: what a range of time would read, and every write on one. Each write is one transaction, with its actor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from django.db import transaction
from django.db.models.functions import Now

from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import asking, backfills, planning, schedules, slicing, starting
from apps.pipelines import document as documents
from apps.pipelines import windows as w
from apps.pipelines.execution import closing, dispatch
from apps.pipelines.models import Backfill, Pipeline, PipelineVersion, Run
from apps.pipelines.plans import Survey
from apps.pipelines.queries import shown_time
from apps.pipelines.schedule import zone as known_zone
from apps.pipelines.slicing import Targets
from apps.pipelines.states import BACKFILL_OPEN, RUN_ACTIVE
from dataplane.connectors import slices
from dataplane.connectors.base import Connector
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.slices import Slice
from dataplane.connectors.windows import Planned

ON_FAILURE = ("stop", "pass_over")
# Each row count is a question to a database of somebody else's.
COUNTED = 24


@dataclass(frozen=True)
class Range:
    """What a person asks for. `lower` and `upper` are a day or a minute on the clocks of `timezone`.

    Without a zone the schedule's counts; without `every` its moments, else days. again: read once more what was read.
    """

    lower: str
    upper: str
    every: str | None = None
    timezone: str | None = None
    again: bool = False


@dataclass(frozen=True)
class _Found:
    """A range as the published document understands it."""

    version: PipelineVersion
    survey: Survey
    bindings: asking.Bindings
    targets: Targets
    slices: list[tuple[datetime, datetime]]
    every: str
    timezone: str
    again: bool

    def part(self, position: int) -> Slice:
        return Slice(*self.slices[position], self.timezone)

    def covered(self, key: str, part: Slice) -> Literal["none", "part", "all"]:
        """How much of a slice an extract has read before; of files only its listing tells."""
        connector, config = self.bindings[key]
        if self.again or connector.family == "file":
            return "none"
        return w.coverage(self.survey.windows[key], self.survey.sliced[key], slices.window(config, part))


def preview(pipeline: Pipeline, wanted: Range) -> dict[str, Any]:
    """What a backfill would read, slice by slice. Asks the sources now, and writes nothing. Raises ManifoldError."""
    found = _understood(pipeline, wanted)
    for ask in found.survey.asks.values():
        ask.connector.hurried = True
    fresh = {key: _listed(found, key) for key in found.targets.extracts}
    shown = [_shown(found, position, fresh) for position in range(len(found.slices))]
    reading = [each for each in shown if each["skip_reason"] is None]
    return {
        "from": shown_time(found.slices[0][0]),
        "to": shown_time(found.slices[-1][1]),
        "every": found.every,
        "timezone": found.timezone,
        "again": found.again,
        "slices": shown,
        "runs": len(reading),
        "rows": _total([each["rows"] for each in reading]),
        "bytes": _total([each["bytes"] for each in reading]),
        "loads": list(found.targets.loads),
        "warnings": _warnings(found),
    }


def start_backfill(pipeline: Pipeline, wanted: Range, *, on_failure: str = "stop", actor: Actor) -> Backfill:
    """Read a range in slices, the oldest first, whenever no other run of the pipeline wants its turn.

    Raises Conflict where the document has no slices, nothing of the range is left to read, or another backfill of the
    pipeline has not ended; Invalid for a range that is none.
    """
    if on_failure not in ON_FAILURE:
        raise Invalid("on_failure", f"Choose one of {', '.join(ON_FAILURE)}.")
    with acting(actor):
        locked = starting.lock_pipeline(pipeline.pk)
        if locked.backfills.filter(state__in=BACKFILL_OPEN).exists():
            raise Conflict(
                f"A backfill of `{locked.slug}` has not ended. Wait for it, or cancel it.", code="backfill_open"
            )
        # Asked before the windows are read, not after: a run that ends in between has moved the marks. None begins now.
        active = Run.objects.filter(pipeline=locked, state__in=RUN_ACTIVE).exists()
        found = _understood(locked, wanted)
        _refuse_nothing(found)
        backfill = Backfill.objects.create(
            pipeline=locked,
            version=found.version,
            lower=found.slices[0][0],
            upper=found.slices[-1][1],
            every=found.every,
            timezone=found.timezone,
            again=found.again,
            on_failure=on_failure,
            loads=list(found.targets.loads),
            slices=[[lower.isoformat(), upper.isoformat()] for lower, upper in found.slices],
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_name=actor.name,
        )
        _begin_live_runs_behind(backfill, found, active)
        return _admitted(backfill)


def pause_backfill(backfill: Backfill, *, reason: str = "", actor: Actor) -> Backfill:
    """Let no further slice begin; the one that is read now ends. Raises Conflict when it is not running."""
    with acting(actor):
        locked = _lock(backfill)
        if locked.state != "running":
            raise Conflict(f"The backfill is not running, it is {locked.state}.", code="not_running")
        why = f": {reason.rstrip('.')}" if reason else ""
        locked.state, locked.reason = "paused", f"Paused by {actor.name}{why}."[:500]
        locked.save(update_fields=["state", "reason"])
        return locked


def resume_backfill(backfill: Backfill, *, actor: Actor) -> Backfill:
    """Let it go on; where a failed slice had stopped it, with that slice. Raises Conflict when it is not paused."""
    with acting(actor):
        locked = _lock(backfill)
        if locked.state != "paused":
            raise Conflict(f"The backfill is not paused, it is {locked.state}.", code="not_paused")
        if locked.on_failure == "stop" and backfills.last_failed(locked) is not None:
            locked.position -= 1
        locked.state, locked.reason = "running", ""
        locked.save(update_fields=["state", "reason", "position"])
        return _admitted(locked)


def cancel_backfill(backfill: Backfill, *, actor: Actor) -> Backfill:
    """End it, with the run that reads a slice now. What was loaded stays. Raises Conflict when it has ended."""
    with acting(actor):
        locked = _lock(backfill)
        if locked.state not in BACKFILL_OPEN:
            raise Conflict(f"The backfill has ended, it is {locked.state}.", code="backfill_over")
        for run in locked.runs.filter(state__in=RUN_ACTIVE | {"pending"}).select_for_update(no_key=True):
            closing.stop_run(run, "cancelled")
        locked.state, locked.reason = "cancelled", f"Cancelled by {actor.name}."[:500]
        Backfill.objects.filter(pk=locked.pk).update(state=locked.state, reason=locked.reason, ended_at=Now())
        locked.refresh_from_db()
        backfills.give_up(locked)
        return locked


def _lock(backfill: Backfill) -> Backfill:
    """Its row as it is now. The pipeline is locked first: whoever takes the next slice holds it, too."""
    starting.lock_pipeline(backfill.pipeline_id)
    return Backfill.objects.select_related("pipeline").get(pk=backfill.pk)


def _admitted(backfill: Backfill) -> Backfill:
    ready = starting.admit(backfill.pipeline_id)
    if ready:
        transaction.on_commit(partial(dispatch.send, ready), robust=True)
    backfill.refresh_from_db()
    return backfill


def _understood(pipeline: Pipeline, wanted: Range) -> _Found:
    version = pipeline.published
    if version is None:
        raise Conflict(
            f"The pipeline `{pipeline.slug}` has no published version. Publish its draft first.", code="not_published"
        )
    document = documents.load(version.document)
    schedule = document.header.schedule
    zone = wanted.timezone or (schedule.timezone if schedule else "UTC")
    if known_zone(zone) is None:
        raise Invalid("timezone", f"There is no time zone {zone!r}. Write one such as UTC or America/New_York.")
    every = wanted.every or ("schedule" if schedule and not schedule.new_files else "day")
    if every not in slicing.EVERY:
        raise Invalid("every", f"Choose one of {', '.join(slicing.EVERY)}.")
    lower, upper = slicing.moment("from", wanted.lower, zone), slicing.moment("to", wanted.upper, zone)
    if upper <= lower:
        raise Invalid("to", "The range ends before it begins. Its end does not belong to it.")
    if upper > schedules.clock():
        raise Invalid("to", "The range ends in the future. What is yet to come is read by live runs.")
    survey = planning.whole(document, pipeline.pk, pipeline.project_id)
    bindings = {each.key: _binding(survey, each.key) for each in document.incremental()}
    targets = slicing.targets(document, bindings, again=wanted.again)
    cut = slicing.cut(lower, upper, every, zone, schedule)
    return _Found(version, survey, bindings, targets, cut, every, zone, wanted.again)


def _binding(survey: Survey, key: str) -> tuple[Connector, StreamConfig]:
    return survey.asks[key].connector, survey.asks[key].stream


def _refuse_nothing(found: _Found) -> None:
    """Every slice of every cursor was read before, and there are no files. Also refuses a slice read in part."""
    left = False
    for key in found.targets.extracts:
        if found.bindings[key][0].family == "file":
            left = True
            continue
        for position in range(len(found.slices)):
            covered = found.covered(key, found.part(position))
            left = left or covered == "none"
            if covered == "part":
                raise _in_part(key, found.part(position))
    if not left:
        raise Conflict(
            "Everything in this range was read before. Where all loads merge it can be read again (`again`); else "
            "replace everything with mode seed.",
            code="nothing_to_read",
        )


def _in_part(key: str, part: Slice) -> Conflict:
    return Conflict(
        f"The step `{key}` has read a part of the slice from {shown_time(part.lower)} on before. Choose slices that "
        "begin and end where the others did.",
        code="slice_read_in_part",
    )


def _begin_live_runs_behind(backfill: Backfill, found: _Found, active: bool) -> None:
    """Live runs of a cursor that was never read begin where the range ends, however early they come.

    `active`: whether a run was active when `found` was read.
    """
    for key in found.targets.extracts:
        connector, config = found.bindings[key]
        if found.again or connector.family == "file" or found.survey.all_of(key):
            continue
        if active:
            raise Conflict(
                "The first run of this pipeline is under way and reads everything. Cancel it first, or leave the "
                "backfill.",
                code="run_active",
            )
        end = slices.window(config, found.part(-1))
        w.baseline(backfill.pipeline_id, key, found.survey.streams[key], backfill.pk, end)


def _listed(found: _Found, key: str) -> Planned | None:
    """The new files of an extract, listed once for all slices; None for a database."""
    ask = found.survey.asks[key]
    return ask.connector.plan(ask.stream, "incremental", ask.mark) if ask.connector.family == "file" else None


def _shown(found: _Found, position: int, fresh: dict[str, Planned | None]) -> dict[str, Any]:
    part = found.part(position)
    reads: list[dict[str, Any]] = []
    skipped: list[str] = []
    rows: list[int | None] = []
    sizes: list[int | None] = []
    for key, listed in fresh.items():
        planned = _planned(found, key, position, listed)
        if planned.window is None:
            skipped.append(f"{key}: {planned.reason}")
            continue
        files = [each.path for each in planned.window.files]
        reads.append({"step": key, "said": planned.reason, "files": files[:20], "file_count": len(files)})
        rows.append(planned.rows)
        sizes.append(planned.bytes)
    return {
        "from": shown_time(part.lower),
        "to": shown_time(part.upper),
        "reads": reads,
        "rows": _total(rows) if reads else 0,
        "bytes": _total(sizes) if reads else 0,
        "skip_reason": None if reads else " ".join(skipped),
    }


def _planned(found: _Found, key: str, position: int, listed: Planned | None) -> Planned:
    part = found.part(position)
    if listed is not None:
        return slices.cut(listed, part)
    covered = found.covered(key, part)
    if covered == "part":
        raise _in_part(key, part)
    if covered == "all":
        return Planned(None, "This slice was read before.")
    ask = found.survey.asks[key]
    if position < COUNTED:
        return slices.plan(ask.connector, ask.stream, part, ask.mark)
    wanted = slices.window(ask.stream, part)
    return Planned(wanted, f"{wanted.column} from {wanted.lower} on, before {wanted.upper}")


def _total(values: Sequence[int | None]) -> int | None:
    """The sum; None where one of them is not known."""
    return None if any(each is None for each in values) else sum(each or 0 for each in values)


def _warnings(found: _Found) -> list[str]:
    said = [
        f"The step `{each}` merges rows of older files over newer ones of the same key."
        for each in found.targets.merged
    ]
    if found.targets.left_out:
        said.append(f"Not part of it, since no slice reaches them: {', '.join(found.targets.left_out)}.")
    if len(found.slices) > COUNTED and any(each[0].family != "file" for each in found.bindings.values()):
        said.append(f"Rows of databases are counted for the first {COUNTED} slices only.")
    return said
