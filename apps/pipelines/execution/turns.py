"""How one message may become several steps: whoever ends a step goes on with what became ready behind it.

A message for that step would only come back to a free slot, which is this one. So nothing else changes: the step is
claimed like any other, and where its process dies in between it is a ready row, which the sweep sends.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from apps.pipelines.execution import dispatch
from apps.pipelines.execution.dispatch import Ready
from apps.pipelines.execution.steps import run_step

# Longer, and a worker that shuts down, or looks at the memory of its children, would wait for whole chains.
SECONDS = 1.0


class Turn:
    """What a process may do for one message. It ends after `SECONDS`, and where somebody else's message waits."""

    def __init__(self, step: uuid.UUID) -> None:
        self._next: uuid.UUID | None = step
        self._until = time.monotonic() + SECONDS

    def take(self) -> uuid.UUID | None:
        """The step to be run now; None when the turn is over."""
        step, self._next = self._next, None
        return step

    def hand_on(self, ready: Sequence[Ready]) -> None:
        """Keep one of the steps that have become ready, if there is time for it, and send the others."""
        if ready and time.monotonic() < self._until and not dispatch.somebody_waits(ready[0][1]):
            self._next, ready = ready[0][0], ready[1:]
        dispatch.send(ready)


def take_turn(step: uuid.UUID, worker: str, *, may_exit: bool) -> None:
    """Run a step, and what becomes ready behind it for as long as the turn lasts; see `run_step`."""
    turn = Turn(step)
    while (following := turn.take()) is not None:
        run_step(following, worker, may_exit=may_exit, hand_on=turn.hand_on)
