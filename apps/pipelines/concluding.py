"""From what the rows say and what the sources answer to what a run reads. Nothing here asks or writes anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from apps.audit.refusals import Invalid
from apps.pipelines import comparing
from apps.pipelines.models import Window
from apps.pipelines.plans import SEED, Plan, Reading, Survey
from dataplane.connectors.windows import FileRef
from dataplane.connectors.windows import Window as Bounds
from dataplane.errors import ConfigurationError, DataError, Suggestion
from dataplane.steps.plan import Answer, Picked


def conclude(survey: Survey, answers: dict[str, Answer]) -> Plan:
    """What the run does.

    Raises DataError where files of an open batch have vanished, or a closed window differs; Invalid where no source
    knows a file that was picked.
    """
    if survey.way == "overtaken":
        return Plan("repair", survey.reason, skip=survey.reason)
    _refuse_unknown_picks(survey, answers)
    fresh = tuple(_fresh(survey, key, answers) for key in survey.streams)
    if survey.way == "verify":
        return comparing.verified(survey, fresh, answers)
    if survey.way == "repeat":
        readings = tuple(x if x.key in survey.passed else _again(survey, x, answers[x.key]) for x in fresh)
        if survey.retry or any(each.window and each.window.state != "done" for each in readings):
            waits = tuple(each.key for each in fresh if each.incremental and each.bounds)
            then = survey.then or ("auto" if waits else None)
            plan = Plan("repair", survey.reason, readings, survey.batch, stale=survey.stale, then=then, waits=waits)
            return replace(plan, renamed=survey.renamed)
        # Every file of the batch was ignored since: nothing of it is left to arrive.
        gone = tuple(each for each in survey.repeated().values() if each.state != "done")
        survey = replace(survey, way="new", reason="", passed=survey.held, others=survey.others + gone)
        fresh = tuple(_fresh(survey, key, answers) for key in survey.streams)
    return _go_on(survey, fresh)


def _refuse_unknown_picks(survey: Survey, answers: dict[str, Answer]) -> None:
    picked = {key: ask.picked for key, ask in survey.asks.items() if ask.picked is not None}
    planned = [answers[key].planned for key in picked]
    # Of extracts that have to wait nobody has asked which files there are; they say why themselves.
    unasked = any(each.bounds["kind"] == "files" for key in survey.passed for each in survey.windows[key])
    if picked and None not in planned and not unasked:
        listed = [file for each in planned if each is not None for file in each.listed]
        refuse_unknown(next(iter(picked.values())), listed)


def refuse_unknown(picked: Picked, listed: Sequence[FileRef]) -> None:
    """A name that no file has is a mistake, and no reason to do nothing. Raises Invalid."""
    name = picked.unknown(listed)
    if name is None:
        return
    remedy = "There are none yet: look into the folder of the source."
    if listed:
        ends = name.rpartition("/")[2]
        alike = next((each for each in listed if each.path.rpartition("/")[2] == ends), listed[0])
        remedy = f"There are {len(listed):,}, such as `{alike.path}`: look at them with `manifold files`, or on the "
        remedy += "pipeline's page *Files*."
    raise Invalid("files", f"No file that the pipeline reads is `{name}`. {remedy}", code="no_such_file")


def _go_on(survey: Survey, readings: tuple[Reading, ...]) -> Plan:
    """Read what is new, or everything again, or whole streams only; or nothing, when there is nothing new."""
    incremental = [each for each in readings if each.incremental]
    reading = [each for each in incremental if each.bounds is not None]
    if incremental and not reading and not any(each.failed for each in readings):
        stopped = any(each.drift is not None and each.drift.stops for each in incremental)
        opening = survey.reason if survey.way == "slice" else "Nothing is read." if stopped else "Nothing new."
        why = " ".join([opening, *(f"{each.key}: {each.reason}" for each in incremental)])
        return Plan("incremental", why, readings, skip=why, stale=survey.stale, renamed=survey.renamed)
    first = survey.way == "new" and bool(reading) and not any(survey.all_of(each.key) for each in reading)
    modes = {"full": "full_refresh", "seed": "seed", "slice": "backfill"}
    mode = modes.get(survey.way, "seed" if first else "incremental")
    said = [survey.reason, "First read." if first else "", *(f"{each.key}: {each.reason}" for each in reading)]
    reason = " ".join(each for each in said if each)
    seeds = survey.way == "seed"
    if seeds:
        readings = tuple(_emptied(each) for each in readings)
    return Plan(mode, reason, readings, stale=survey.stale, renamed=survey.renamed, replaces=seeds)


def _fresh(survey: Survey, key: str, answers: dict[str, Answer]) -> Reading:
    """What an extract would read if nothing had to be repeated."""
    stream, incremental = survey.streams[key], survey.graph.nodes[key].incremental
    if key in survey.passed:
        return Reading(key, stream, incremental, None, survey.passed[key])
    answer = answers[key]
    planned = answer.planned
    if planned is None:
        failed = answer.failed.as_json() if answer.failed and survey.asks[key].may_fail else None
        why = answer.failed.message if answer.drift and answer.failed else "Its source does not answer."
        reading = Reading(key, stream, incremental, None, why, failed=failed, drift=answer.drift)
        # Files that stop a plan are told of among the others, be they seen for the first time.
        return replace(reading, listed=answer.seen.listed, changed=answer.seen.changed) if answer.seen else reading
    if survey.way == "new" and incremental and planned.window is not None:
        _refuse_doubles(survey, key, planned.window.files)
    return Reading(
        key,
        stream,
        incremental,
        planned.window.as_json() if planned.window else None,
        planned.reason,
        rows=planned.rows,
        bytes=planned.bytes,
        warnings=planned.warnings,
        listed=planned.listed,
        changed=planned.changed,
        touched=planned.touched,
        drift=answer.drift,
        empty=planned.empty.as_json() if planned.empty else None,
    )


def _refuse_doubles(survey: Survey, key: str, files: Iterable[FileRef]) -> None:
    """Rows of a file that is read once more come twice where a load adds them. Raises ConfigurationError."""
    read = {each.path for each in survey.asks[key].mark.files}
    again = [each.path for each in files if each.path in read]
    adds = [each for each in survey.graph.loads_fed_by(key) if survey.document.steps[each].spec.mode == "append"]
    if again and adds:
        raise ConfigurationError(
            f"The load `{adds[0]}` adds what it is given, so the rows of {again[0]}, which was read before, would come "
            "twice. Let it merge by a key, or read everything again with mode seed.",
            code="would_double",
            evidence={"step": key, "load": adds[0], "files": again[:100]},
            suggestions=[SEED],
        )


def _emptied(reading: Reading) -> Reading:
    """In a seed a stream that holds nothing has a window too: what it feeds is replaced by nothing."""
    if not reading.incremental or reading.bounds is not None or reading.failed:
        return reading
    return replace(reading, bounds=reading.empty or Bounds("files").as_json())


def _again(survey: Survey, fresh: Reading, answer: Answer) -> Reading:
    """The same extract in a batch that is repeated: exactly its window, or nothing if it had none."""
    if not fresh.incremental:
        return fresh
    window = survey.repeated().get(fresh.key)
    if window is None or fresh.key in survey.arrived():
        reason = "It has arrived." if window else "It has no part in the batch that is repeated."
        return replace(fresh, bounds=None, reason=reason, rows=None, bytes=None, failed=None)
    bounds = _bounds_now(survey, fresh.key, window, answer)
    if bounds is None:
        return replace(fresh, bounds=None, reason="All its files are ignored.", rows=None, bytes=None)
    return replace(fresh, bounds=bounds, reason="Read again.", window=window, rows=window.rows, bytes=None)


def _bounds_now(survey: Survey, key: str, window: Window, answer: Answer) -> dict[str, Any] | None:
    """An unfinished window with its files as they are now: ignored ones leave it, vanished ones are an error.

    first: how they were when they were read, which a load may have taken.
    """
    bounds: dict[str, Any] = window.bounds
    if not bounds.get("files") or window.state == "done" or key in survey.reused or answer.planned is None:
        return bounds
    there = {each.path: each for each in answer.planned.listed}
    wanted = [each["path"] for each in bounds["files"] if each["path"] not in survey.asks[key].mark.ignored]
    missing = [path for path in wanted if path not in there]
    if missing:
        raise DataError(
            f"{len(missing)} of the files that the step `{key}` had begun to read have vanished, the first is "
            f"{missing[0]}. Put them back, or ignore them.",
            code="files_missing",
            evidence={"step": key, "stream": window.stream, "files": missing[:100]},
            suggestions=[Suggestion("ignore_files", "Ignore these files", "The run goes on without them.", True)],
        )
    if not wanted:
        return None
    first = {} if window.rows is None else {"first": bounds.get("first", bounds["files"])}
    return {**Bounds("files", files=tuple(there[path] for path in wanted)).as_json(), **first}
