"""The state tables, as data. Every transition of a run, a step or a backfill is one of these; there is no other."""

from __future__ import annotations

from typing import Final

RUN: Final[dict[str, frozenset[str]]] = {
    "pending": frozenset({"running", "skipped", "expired", "cancelled"}),
    "running": frozenset({"succeeded", "failed", "skipped", "waiting", "paused", "stopping"}),
    "waiting": frozenset({"running", "stopping"}),
    "paused": frozenset({"running", "stopping"}),
    "stopping": frozenset({"cancelled", "timed_out", "failed", "succeeded"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "skipped": frozenset(),
    "expired": frozenset(),
    "cancelled": frozenset(),
    "timed_out": frozenset(),
}

STEP: Final[dict[str, frozenset[str]]] = {
    "pending": frozenset({"ready", "skipped", "cancelled", "reused"}),
    "ready": frozenset({"running", "cancelled"}),
    "running": frozenset({"succeeded", "failed", "cancelled", "retry_wait", "ready"}),
    "retry_wait": frozenset({"ready", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "skipped": frozenset(),
    "cancelled": frozenset(),
    "reused": frozenset(),
}

RUN_TERMINAL: Final = frozenset(state for state, onward in RUN.items() if not onward)
STEP_TERMINAL: Final = frozenset(state for state, onward in STEP.items() if not onward)
RUN_ACTIVE: Final = frozenset(RUN) - RUN_TERMINAL - {"pending"}
STEP_OPEN: Final = frozenset(STEP) - STEP_TERMINAL
STEP_DONE: Final = frozenset({"succeeded", "reused"})
OUTCOMES: Final = ("clean", "warned", "partial")
STOP_REASONS: Final = ("cancelled", "timed_out", "failed")
LOST_AT_MOST: Final = 3
SPENDING: Final = ("within", "near", "over")
FRESHNESS: Final = ("fresh", "late", "stale")
# How a stream's part of a run may end.
INGESTION: Final = ("succeeded", "failed", "cancelled", "timed_out", "skipped")

BACKFILL: Final[dict[str, frozenset[str]]] = {
    "running": frozenset({"paused", "done", "cancelled"}),
    "paused": frozenset({"running", "cancelled"}),
    "done": frozenset(),
    "cancelled": frozenset(),
}
BACKFILL_OPEN: Final = frozenset(state for state, onward in BACKFILL.items() if onward)
