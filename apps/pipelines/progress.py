"""How far backfills have come, in the shapes in which every door shows them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from apps.pipelines.backfills import tried
from apps.pipelines.models import Backfill, Run
from apps.pipelines.queries import shown_time
from apps.pipelines.states import RUN_TERMINAL

SLICE_STATES = ["left", "running", "done", "failed", "cancelled"]
# How many of the newest slices tell how long one takes.
_MEASURED = 10
_STATES = {
    "succeeded": "done",
    "skipped": "done",
    "failed": "failed",
    "timed_out": "failed",
    "expired": "failed",
    "cancelled": "cancelled",
}


def backfill_rows(found: Sequence[Backfill]) -> list[dict[str, Any]]:
    """Backfills as lists show them, with one query for the runs of all."""
    runs = _newest_runs(found)
    return [_row(each, runs.get(each.pk, {})) for each in found]


def backfill_detail(backfill: Backfill) -> dict[str, Any]:
    """A backfill with every slice: whose turn it was, which run read it, and what became of that."""
    runs = _newest_runs([backfill]).get(backfill.pk, {})
    slices = [
        {"number": position + 1, "from": _utc(lower), "to": _utc(upper), **_of(runs.get(position))}
        for position, (lower, upper) in enumerate(backfill.slices)
    ]
    return _row(backfill, runs) | {"slices": slices}


def _newest_runs(found: Sequence[Backfill]) -> dict[uuid.UUID, dict[int, Run]]:
    """The newest run of each slice that has one; a retry stands for the run that it repeats."""
    rows = tried(Run.objects.filter(backfill__in=[each.pk for each in found]))
    newest = rows.order_by("backfill_id", "slice", "-id").distinct("backfill_id", "slice")
    runs: dict[uuid.UUID, dict[int, Run]] = {}
    for each in newest:
        if each.backfill_id is not None and each.slice is not None:
            runs.setdefault(each.backfill_id, {})[each.slice] = each
    return runs


def _row(backfill: Backfill, runs: dict[int, Run]) -> dict[str, Any]:
    states = [_state(each) for each in runs.values()]
    total, done, failed, cancelled = len(backfill.slices), *map(states.count, ("done", "failed", "cancelled"))
    over = done + failed + cancelled
    return {
        "id": str(backfill.pk),
        "pipeline": backfill.pipeline.slug,
        "version": backfill.version.number,
        "from": shown_time(backfill.lower),
        "to": shown_time(backfill.upper),
        "every": backfill.every,
        "timezone": backfill.timezone,
        "again": backfill.again,
        "on_failure": backfill.on_failure,
        "loads": backfill.loads,
        "state": backfill.state,
        "reason": backfill.reason,
        "actor": backfill.actor_name,
        "created_at": shown_time(backfill.created_at),
        "ended_at": shown_time(backfill.ended_at),
        "total": total,
        "done": done,
        "failed": failed,
        "cancelled": cancelled,
        "left": total - over,
        "progress": round(over / total, 3),
        "eta_s": _eta(runs, total - over) if backfill.state == "running" else None,
    }


def _eta(runs: dict[int, Run], left: int) -> float | None:
    """Seconds until the last slice has ended, if no live run comes between; None before one has."""
    ended = [runs[position] for position in sorted(runs) if runs[position].state in RUN_TERMINAL]
    took = [
        (each.finished_at - each.started_at).total_seconds()
        for each in ended[-_MEASURED:]
        if each.started_at is not None and each.finished_at is not None
    ]
    return round(sum(took) / len(took) * left, 1) if took else None


def _of(run: Run | None) -> dict[str, Any]:
    if run is None:
        return {"state": "left", "run": None, "run_state": None, "said": ""}
    return {"state": _state(run), "run": str(run.pk), "run_state": run.state, "said": _said(run)}


def _said(run: Run) -> str:
    """Why a slice failed, or what there was to read."""
    return str(run.error["message"]) if run.error else run.mode_reason


def _state(run: Run) -> str:
    return _STATES.get(run.state, "running")


def _utc(text: str) -> str:
    return text.replace("+00:00", "Z")
