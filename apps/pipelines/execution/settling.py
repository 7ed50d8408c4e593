"""The transaction that ends an execution: the step's row, what its kind commits, the next steps, and perhaps the run.

Each begins with the Run's row, then the step's, by its fence: whoever finds another fence or another state changes
nothing. The answer is the steps that are ready now; the messages are sent after commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from django.db.models import F
from django.db.models.functions import Now
from psycopg.types.numeric import Int4

from apps.audit.context import IDLE_SECONDS, SETTING, SYSTEM, acting, announcement
from apps.pipelines import failpoints, retries
from apps.pipelines.execution import closing, dispatch, failures, halting, kinds, release, rows, telling
from apps.pipelines.execution.claiming import Claim
from apps.pipelines.execution.durable import persistently
from apps.pipelines.models import Run, StepRun
from apps.pipelines.states import LOST_AT_MOST
from dataplane.errors import LostError, ManifoldError
from dataplane.steps.base import StepResult

log = structlog.get_logger(__name__)

COMMIT_SECONDS = 20
_SYSTEM = announcement(SYSTEM)


def succeed(claim: Claim, result: StepResult, peak_memory: int) -> list[dispatch.Ready]:
    """Commit what a step has made; returns what is ready now, for the caller to send.

    Raises what its kind raises (RunAgain among it), with nothing written.
    """
    ready = persistently(lambda: _commit(claim, result, peak_memory))
    failpoints.hit("committed")
    return ready


def fail(claim: Claim, error: ManifoldError, peak_memory: int) -> None:
    """The execution failed: try the step again later, or end it."""
    dispatch.send(persistently(lambda: _fail_in_transaction(claim, error, peak_memory)))


def hand_back(claim: Claim) -> None:
    """Ready again at once, as if it had not been claimed: the worker shuts down, or the commit was overtaken."""
    dispatch.send(persistently(lambda: _hand_back(claim)))


def cancel(claim: Claim) -> None:
    """The execution was interrupted because its run is stopping."""
    persistently(lambda: _cancel(claim))


def lose(step: uuid.UUID) -> bool:
    """Take a running step from a worker whose lease is over; says whether there was one to take."""
    ready = _lose(step)
    dispatch.send(ready or [])
    return ready is not None


# The Run's row is locked before the step's, which is locked last, when the join has found it.
_LOCK = f"""
WITH r AS MATERIALIZED (
  SELECT *, set_config('{SETTING}', %(actor)s, true)
         || set_config('statement_timeout', '{COMMIT_SECONDS}s', true)
         || set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS}s', true) AS set
  FROM pipelines_run WHERE id = %(run)s FOR NO KEY UPDATE)
SELECT {rows.RUN}
FROM r JOIN pipelines_steprun s ON s.run_id = r.id
WHERE s.id = %(step)s AND s.fence = %(fence)s AND s.state = 'running' AND r.set <> ''
FOR NO KEY UPDATE OF s
"""


@contextmanager
def _mine(claim: Claim) -> Iterator[tuple[Run, StepRun] | None]:
    """A transaction with the Run and the step locked; None when the step is no longer this claim's."""
    step = claim.step
    with acting(SYSTEM, announce=False):
        values = {"run": step.run_id, "step": step.pk, "fence": Int4(claim.fence), "actor": _SYSTEM}
        found = rows.fetch(_LOCK, values)
        if not found:
            log.info("step_no_longer_mine", step=str(step.pk), fence=claim.fence)
            yield None
        else:
            # While the fence holds, nothing in the step's row has changed that anybody here looks at.
            run = rows.instance(Run, found[0])
            step.run = run
            yield run, step


def _commit(claim: Claim, result: StepResult, peak_memory: int) -> list[dispatch.Ready]:
    with _mine(claim) as held:
        if held is None:
            return []
        run, step = held
        failpoints.hit("in_commit")
        adapter = kinds.get(step.kind)
        verdict = adapter.commit(step, run, result)
        telling.committed(claim, adapter.tell(step, result, verdict), result, verdict)
        counts = {**_counts(result), "peak_memory": peak_memory, "output": verdict.output}
        if isinstance(verdict, kinds.Refused):
            return _end_failed(run, step, verdict.error, counts)
        if isinstance(verdict, kinds.SkipRun) and run.state in halting.HALTED:
            raise kinds.RunAgain("The plan is asked again when the run goes on.")
        if isinstance(verdict, kinds.SkipRun) and run.state == "running":
            _leave(step, "succeeded", **counts, error=None)
            closing.skip_running(run, verdict.reason)
            return []
        if isinstance(verdict, kinds.Done) and verdict.warned and run.outcome == "clean":
            run.outcome = "warned"
            run.save(update_fields=["outcome"])
        released = release.succeed(run, step, counts)
        if isinstance(verdict, kinds.Done) and verdict.asks:
            halting.ask(run, step, verdict.asks)
        if not released.open:
            closing.close(run)
        return released.ready


def _fail_in_transaction(claim: Claim, error: ManifoldError, peak_memory: int) -> list[dispatch.Ready]:
    with _mine(claim) as held:
        if held is None:
            return []
        run, step = held
        delay = retries.delay(retries.policy_of(run.version.document, step.key), error, step.attempt)
        delay = None if run.state == "stopping" else delay
        telling.failed(claim, error, delay)
        if delay is None:
            return _end_failed(run, step, error, {"peak_memory": peak_memory})
        due = Now() + timedelta(seconds=delay)
        _leave(step, "retry_wait", due_at=due, error=failures.as_json(error, run), peak_memory=peak_memory)
        return []


def _end_failed(run: Run, step: StepRun, error: ManifoldError, fields: dict[str, Any]) -> list[dispatch.Ready]:
    _leave(step, "failed", error=failures.as_json(error, run), **fields)
    log.info("step_failed", run=str(run.pk), step=step.key, error_class=error.error_class, code=error.code)
    release.skip_behind(run)
    closing.close_if_over(run)
    return []


def _hand_back(claim: Claim) -> list[dispatch.Ready]:
    with _mine(claim) as held:
        if held is None:
            return []
        run, step = held
        telling.interrupted(claim, "Handed back; it runs again.")
        if run.state == "stopping":
            _leave(step, "cancelled")
            closing.close_if_over(run)
            return []
        return _ready_again(step, attempt=F("attempt") - 1)


def _cancel(claim: Claim) -> None:
    with _mine(claim) as held:
        if held is not None:
            run, step = held
            telling.interrupted(claim, "Interrupted: the run stops.")
            _leave(step, "cancelled")
            closing.close_if_over(run)


def _lose(step_id: uuid.UUID) -> list[dispatch.Ready] | None:
    run_id = StepRun.objects.filter(pk=step_id).values_list("run_id", flat=True).first()
    if run_id is None:
        return None
    with acting(SYSTEM):
        run = Run.objects.select_for_update(no_key=True).get(pk=run_id)
        late = StepRun.objects.filter(pk=step_id, state="running", lease_until__lt=Now())
        step = late.select_for_update(no_key=True).first()
        if step is None:
            return None
        telling.lost(step)
        log.warning("step_lost", run=str(run.pk), step=step.key, fence=step.fence, worker=step.worker)
        if run.state == "stopping":
            _leave(step, "cancelled")
            closing.close_if_over(run)
            return []
        if step.lost >= LOST_AT_MOST:
            return _end_failed(run, step, _lost_too_often(step), {})
        return _ready_again(step, attempt=F("attempt") - 1, lost=F("lost") + 1)


def _lost_too_often(step: StepRun) -> LostError:
    return LostError(
        f"The worker died {step.lost + 1} times while it ran this step; perhaps it needs more memory than there is. "
        "Look at the worker's log and at the memory of its machine.",
        code="worker_lost",
        evidence={"lost": step.lost + 1, "worker": step.worker},
    )


def _ready_again(step: StepRun, **fields: Any) -> list[dispatch.Ready]:
    _leave(step, "ready", finished_at=None, queued_at=Now(), published_at=Now(), published=1, **fields)
    return [(step.pk, step.queue)]


def _leave(step: StepRun, state: str, **fields: Any) -> None:
    """The one write that takes a step out of `running`; its row is locked, so exactly one row changes."""
    fields = {"finished_at": Now(), "lease_until": None, "state": state, **fields}
    StepRun.objects.filter(pk=step.pk, fence=step.fence, state="running").update(**fields)


def _counts(result: StepResult) -> dict[str, Any]:
    table = result.table
    if table is None:
        return {"rows_in": result.rows_in}
    return {
        "rows_in": result.rows_in,
        "rows_out": table.rows if result.rows_out is None else result.rows_out,
        "bytes_out": table.bytes,
        "rows_rejected": sum(each.rows for each in table.rejected),
        "table": table.as_json(),
    }
