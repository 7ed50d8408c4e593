"""A repair that finds nothing unfinished: what was read is compared with what the sources hold now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apps.pipelines.plans import SEED, Plan, Reading, Survey
from dataplane.connectors.windows import Window as Bounds
from dataplane.errors import DataError
from dataplane.steps.plan import Answer


def verified(survey: Survey, fresh: tuple[Reading, ...], answers: dict[str, Answer]) -> Plan:
    """Nothing, where the sources still hold what was read; else what differs is read again.

    Raises DataError where that would double rows or lose some.
    """
    found = {each.key: _difference(survey, each.key, answers[each.key]) for each in fresh if each.incremental}
    differing = {key: said for key, said in found.items() if said}
    readings = tuple(_repaired(survey, each, answers[each.key], differing.get(each.key)) for each in fresh)
    if not differing:
        holds = "Every window was loaded, and the sources still hold what was read."
        return Plan("repair", survey.reason, readings, skip=holds)
    stale = list(survey.stale)
    for key in differing:
        place = answers[key].differs
        stale += [each.pk for each in survey.windows[key][place:]] if place is not None else []
    waits = any(each.incremental and each.bounds for each in fresh if answers[each.key].differs is None)
    reason = " ".join(each.reason for each in readings if each.key in differing)
    then = "auto" if waits else None
    return Plan("repair", reason, readings, stale=tuple(stale), renamed=survey.renamed, then=then)


def _repaired(survey: Survey, fresh: Reading, answer: Answer, differing: dict[str, Any] | None) -> Reading:
    """What is read again of one extract: files that have changed, or all from the first window on that differs."""
    if not fresh.incremental:
        return fresh
    if differing is None:
        return replace(fresh, bounds=None, reason="Its source still holds what was read.", rows=None, bytes=None)
    bounds = fresh.bounds if answer.differs is not None else None
    if answer.planned is not None and answer.planned.changed:
        changed = set(answer.planned.changed)
        bounds = Bounds("files", files=tuple(x for x in answer.planned.listed if x.path in changed)).as_json()
    if bounds is None or not survey.merges(fresh.key):
        raise _cannot_repair(survey, fresh.key, differing)
    start = ""
    if bounds["kind"] != "files":
        start = f" from {bounds['column']} {bounds['lower']} on" if bounds["lower"] else " from the beginning"
    return replace(fresh, bounds=bounds, reason=f"{fresh.key} reads again{start}: {differing['said']}.")


def _cannot_repair(survey: Survey, key: str, differing: dict[str, Any]) -> DataError:
    """A load that adds cannot tell rows that it has from others: a second read would double some or lose some."""
    evidence = {name: value for name, value in differing.items() if name != "said"}
    return DataError(
        f"What the step `{key}` has read differs from what its source holds now: {differing['said']}. Rows that were "
        "loaded cannot be told apart where a load adds them; let it merge by a key, or read everything again with mode "
        "seed.",
        code="closed_window_differs",
        evidence={"step": key, "stream": survey.streams[key].name, **evidence},
        suggestions=[SEED],
    )


def _difference(survey: Survey, key: str, answer: Answer) -> dict[str, Any] | None:
    """How what a step has read differs from what its source holds now; None where it does not, or nobody can tell."""
    kept = survey.all_of(key)
    if not kept or answer.planned is None:
        return None
    changed = list(answer.planned.changed)
    if changed:
        others = f" and {len(changed) - 1} more" if changed[1:] else ""
        return {"said": f"{changed[0]}{others} changed meanwhile", "files": changed[:100]}
    then = sum(each.rows or 0 for each in kept)
    if answer.count is not None and answer.count != then:
        return {
            "said": f"{answer.count:,} rows there, {then:,} were read",
            "rows_there": answer.count,
            "rows_read": then,
        }
    return None
