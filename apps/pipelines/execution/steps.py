"""One execution of one step, from the message to the committed row."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Sequence

import structlog
from django.conf import settings

from apps.pipelines import failpoints
from apps.pipelines.execution import dispatch, failures, frame, kinds, memory, settling
from apps.pipelines.execution.claiming import Claim, claim
from apps.pipelines.execution.dispatch import Ready
from apps.pipelines.execution.durable import persistently
from apps.pipelines.execution.heartbeat import Heartbeat, Wish
from dataplane import instances
from dataplane.errors import ManifoldError
from dataplane.steps.base import StepResult

log = structlog.get_logger(__name__)

HandOn = Callable[[Sequence[Ready]], object]


def run_step(step: uuid.UUID, worker: str, *, may_exit: bool, hand_on: HandOn | None = None) -> bool:
    """Claim a step, do its work and settle it; False when there was nothing to claim.

    `may_exit` says that this process is a worker's child: it ends itself when interrupted work does not come back, and
    other steps follow, for which an instance of DuckDB is opened ahead. `hand_on` gets the steps that its success has
    made ready; without it, and in a process that ends, they are sent. Returns normally for every failure of the step:
    what happened stands in its row.
    """
    mine = persistently(lambda: claim(step, worker))
    if mine is None:
        return False
    failpoints.hit("claimed")
    memory.start_measuring()
    with Heartbeat(mine, (lambda wish: _settle_interrupted(mine, wish)) if may_exit else None) as heartbeat:
        result: StepResult | None = None
        failure: Exception | None = None
        try:
            result = _work(mine, heartbeat)
            failpoints.hit("before_commit")
        except Exception as error:
            failure = error
        if may_exit:
            # The first one in this process; from then on each that is taken has the next one opened.
            instances.open_ahead(instances.Size(settings.STEP_MEMORY, settings.STEP_THREADS))
        heartbeat.stop()
        try:
            ready = _settle(mine, result, failure, heartbeat.wish)
        finally:
            shutil.rmtree(frame.spill_folder(mine.step), ignore_errors=True)
        (dispatch.send if hand_on is None or heartbeat.terminated else hand_on)(ready)
    return True


def _work(mine: Claim, heartbeat: Heartbeat) -> StepResult:
    adapter = kinds.get(mine.step.kind)
    context, spec = adapter.prepare(mine.step, mine.run)
    context.log = mine.log
    heartbeat.watch(context)
    failpoints.hit("prepared")
    result = adapter.execute(context, spec)
    failpoints.hit("written")
    return result


def _settle(mine: Claim, result: StepResult | None, failure: Exception | None, wish: Wish | None) -> list[Ready]:
    """Settle an execution; returns the steps that its success has made ready.

    Work that came to its end is committed whatever was wished meanwhile: the fence alone decides if it counts.
    """
    if result is not None:
        try:
            return settling.succeed(mine, result, memory.peak())
        except kinds.RunAgain as again:
            log.info("step_runs_again", step=str(mine.step.pk), reason=str(again))
            settling.hand_back(mine)
        except Exception as error:
            settling.fail(mine, failures.classify(error), memory.peak())
    elif wish is not None:
        _settle_interrupted(mine, wish)
    elif failure is not None:
        settling.fail(mine, failures.classify(failure), memory.peak())
    return []


def _settle_interrupted(mine: Claim, wish: Wish) -> None:
    if wish == "cancel":
        settling.cancel(mine)
    elif wish == "timeout":
        settling.fail(mine, _timeout(mine), memory.peak())
    elif wish == "shutdown":
        settling.hand_back(mine)


def _timeout(mine: Claim) -> ManifoldError:
    return failures.timed_out(mine.step.timeout_s or 0)
