"""Schedules that look for new files: the sources are asked, and a run is started when something new has settled."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from django.db.models import Max

from apps.audit.context import acting
from apps.audit.ticks import one_by_one, tick
from apps.pipelines import arrival, planning, schedules, scheduling, starting, timing
from apps.pipelines import document as documents
from apps.pipelines import windows as w
from apps.pipelines.graph import PLAN
from apps.pipelines.models import Pipeline, Run, Schedule
from apps.pipelines.plans import Survey
from apps.pipelines.states import RUN_TERMINAL
from apps.sources import services as sources
from apps.sources.models import SourceFile, Stream
from dataplane.connectors.windows import FileRef, Planned
from dataplane.errors import ManifoldError
from dataplane.patience import within
from dataplane.steps.plan import answer

log = structlog.get_logger(__name__)

SECONDS = 60.0
"""So long all sources of a pipeline may take to say what is there; who takes longer is asked again the next time."""
HELD_BACK = timedelta(hours=1)
"""So long no run starts again whose plan failed, while nothing differs that a look sees: others may mend it unseen."""


@tick
def watch() -> None:
    """Look wherever it is time to. A source that is slow to answer holds up this tick, for a minute, and no other."""
    watch_due(schedules.clock())


def watch_due(now: datetime) -> None:
    """Look for every schedule whose moment has come."""
    looking = scheduling.due_rows(now, new_files=True)
    one_by_one(lambda pipeline: _look(pipeline, now), looking)


def _look(pipeline_id: uuid.UUID, now: datetime) -> None:
    """Ask without a lock, then decide with it; a run that has not ended reads what is new itself."""
    pipeline = Pipeline.objects.select_related("published").get(pk=pipeline_id)
    busy = Run.objects.filter(pipeline=pipeline, backfill=None).exclude(state__in=RUN_TERMINAL)
    saw = "" if busy.exists() else _anything_new(pipeline)
    with acting(scheduling.actor_of(pipeline_id)):
        pipeline = starting.lock_pipeline(pipeline_id)
        row = Schedule.objects.filter(pipeline=pipeline, enabled=True, next_at__lte=now).first()
        definition = schedules.definition_of(pipeline.published)
        if row is None or definition is None or pipeline.paused_at is not None:
            return
        moments = timing.due(definition, row.decided_until or now, now).start
        if saw and moments and not busy.exists() and not _failed_at_once(row, saw, now):
            scheduling.start(row, pipeline, definition, moments[-1], saw=saw)
        schedules.go_on(row, definition, now)


def _failed_at_once(row: Schedule, saw: str, now: datetime) -> bool:
    """Whether the plan of the run that the newest look has started has failed, not long ago, by what that look saw.

    It has written no window, so the files stay new. A failure that goes away by itself holds nothing back.
    """
    newest = row.fires.exclude(saw="").order_by("-scheduled_for").first()
    if newest is None or newest.run is None or newest.saw != saw or now - newest.scheduled_for >= HELD_BACK:
        return False
    failed = newest.run.steps.filter(key=PLAN, state="failed")
    return failed.filter(error__class__in=("data", "configuration")).exists()


def _anything_new(pipeline: Pipeline) -> str:
    """Whether an incremental extract of files has some that no window holds, or others than an open window, settled.

    If so, what tells all that the run would begin with from anything else, see `_saw`; else nothing.

    A source that does not answer has nothing new: the next look asks it again. One that the run would pass over keeps
    nobody else from what is new.
    """
    assert pipeline.published is not None
    document = documents.load(pipeline.published.document)
    try:
        survey = planning.survey(document, pipeline.pk, pipeline.project_id, "auto", ask_all=True)
        asks = survey.asks.items()
        looks = {
            key: replace(each, watch=None, may_fail=each.may_fail or key in survey.passed)
            for key, each in asks
            if each.mode == "incremental" and each.connector.family == "file"
        }
        places = frozenset(survey.streams[key].source_id for key in looks)
        answers = within(SECONDS, lambda: {key: answer(each) for key, each in looks.items()}, name=places)
    except ManifoldError as error:
        log.warning("look_failed", pipeline=pipeline.slug, code=error.code, error=str(error))
        return ""
    planned = {key: each.planned for key, each in answers.items() if each.planned is not None}
    for key, each in planned.items():
        sources.record_touched(survey.streams[key], each.touched)
    held = _held(survey)
    new = any(
        _mended(survey, key, each)
        or (each.window is not None and not (key in held and _tried(pipeline, survey.streams[key], each.window.files)))
        for key, each in planned.items()
    )
    return _saw(pipeline, survey, planned) if new else ""


def _saw(pipeline: Pipeline, survey: Survey, planned: Mapping[str, Planned]) -> str:
    """A hash of the document, how its streams and their sources are set, and the files: new, changed or ignored.

    One that has not settled is none of them: while it is written the hash stays.
    """
    saw = hashlib.sha256(str(pipeline.published_id).encode())
    for key, stream in sorted(survey.streams.items()):
        source = stream.source
        declared = (stream.config, stream.seen, stream.drift, stream.drift_answered)
        reached = (
            source.params,
            source.drift,
            source.credential_id,
            source.credential and source.credential.changed_at,
        )
        ignored = sorted(survey.asks[key].mark.ignored) if key in survey.asks else []
        saw.update(repr((key, stream.pk, declared, reached, ignored)).encode())
        for file in sorted(_to_read(planned[key]), key=lambda each: each.path) if key in planned else ():
            saw.update(repr((file.path, file.state)).encode())
    return saw.hexdigest()


def _to_read(planned: Planned) -> list[FileRef]:
    """The files that are new, and those that are others than when they were read."""
    paths = {*planned.changed, *(each.path for each in (planned.window.files if planned.window else ()))}
    return [each for each in planned.listed if each.path in paths]


def _held(survey: Survey) -> set[str]:
    """The extracts that read nothing new before a batch has arrived that a run could not bring to its end."""
    if survey.batch is None or not arrival.stuck([survey.batch]):
        return set(survey.held)
    return {*survey.held, *(key for key, each in survey.repeated().items() if each.state != "done")}


def _mended(survey: Survey, key: str, planned: Planned) -> bool:
    """Whether a file that has not arrived is another than when it was last read: it may have been put right."""
    unfinished = {each.batch for own in survey.windows.values() for each in own if each.state in w.OPEN}
    waiting = [each.bounds for each in survey.windows[key] if each.state != "done" and each.batch in unfinished]
    last = {ref["path"]: FileRef(**ref).state for each in waiting for ref in each.get("last") or each.get("files", ())}
    there = {each.path: each.state for each in planned.listed}
    return any(path in last and there[path] != last[path] for path in planned.changed)


def _tried(pipeline: Pipeline, stream: Stream, files: Iterable[FileRef]) -> bool:
    """Whether all of these files were there when a run of the pipeline ended: it has tried what they wait for."""
    paths = {each.path for each in files}
    runs = pipeline.runs.filter(state="succeeded", only=[])
    ended = runs.aggregate(last=Max("finished_at"))["last"]
    seen = SourceFile.objects.filter(stream=stream, path__in=paths, first_seen_at__lte=ended)
    return ended is not None and seen.count() == len(paths)
