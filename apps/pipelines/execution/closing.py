"""How a run ends, or is told to.

Every function wants to be called inside `acting(...)`, with the Run's row locked (`select_for_update(no_key=True)`).
"""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models.functions import Now

from apps.audit.context import SYSTEM, acting
from apps.audit.services import record
from apps.pipelines import runlog, starting
from apps.pipelines.execution import dispatch, failures, kinds
from apps.pipelines.models import Decision, Run, StepRun
from apps.pipelines.states import STEP_OPEN
from dataplane.errors import DataError, TransientError
from dataplane.steps.log import Level


def stop_run(run: Run, reason: str) -> None:
    """Let nothing of a run start any more; it ends with `reason` (`states.STOP_REASONS`) when its steps have let go.

    A pending run is cancelled at once. The steps that run find out at their next heartbeat.
    """
    if run.state == "pending":
        _cancel_steps(run)
        _end(run, "cancelled")
        return
    if run.state == "stopping":
        return
    run.state, run.stop_reason = "stopping", reason
    run.save(update_fields=["state", "stop_reason"])
    _cancel_steps(run)
    close_if_over(run)


def skip_pending(run: Run, reason: str) -> None:
    """A run that has not begun will not: `skipped`, with the reason."""
    _skip(run, reason)


def skip_running(run: Run, reason: str) -> None:
    """The plan found nothing to do: the run ends here, as `skipped`."""
    _skip(run, reason)


def close_if_over(run: Run) -> bool:
    """End a run if none of its steps is open; says whether it did."""
    if StepRun.objects.filter(run=run, state__in=STEP_OPEN).exists():
        return False
    return close(run)


def close(run: Run) -> bool:
    """End a run that has no open step; says whether it did. One that waits or is paused ends when it goes on.

    A run that was stopping has succeeded after all when its last commit came first. Steps that were allowed to fail
    make the outcome `partial`; any other failed step fails the run, with its error. One that a person stopped when a
    check asked has failed, whatever was done.
    """
    if run.state not in ("running", "stopping"):
        return False
    ended = list(StepRun.objects.filter(run=run).values_list("state", "may_fail", "error").order_by("position"))
    errors = [error for state, may_fail, error in ended if state == "failed" and not may_fail]
    if any(state == "failed" and may_fail for state, may_fail, _ in ended):
        run.outcome = "partial"
    refused = run.stop_reason == "failed"
    if errors:
        run.error = errors[0]
    elif refused:
        run.error = failures.as_json(_decided(run), run)
    if run.state == "stopping" and (errors or refused or any(state == "cancelled" for state, _, _ in ended)):
        if run.stop_reason == "timed_out":
            run.error = failures.as_json(_run_timed_out(run), run)
        _end(run, run.stop_reason)
    else:
        _end(run, "failed" if errors else "succeeded")
    return True


def _skip(run: Run, reason: str) -> None:
    StepRun.objects.filter(run=run, state="pending").update(state="skipped", finished_at=Now())
    run.mode_reason = reason[:500]
    _end(run, "skipped")


def _cancel_steps(run: Run) -> None:
    waiting = StepRun.objects.filter(run=run, state__in=["pending", "ready", "retry_wait"])
    waiting.update(state="cancelled", finished_at=Now())


def _end(run: Run, state: str) -> None:
    """The final state, the event, the hooks; the pipeline's next run gets its turn after commit."""
    was_active = run.state != "pending"
    run.state = state
    Run.objects.filter(pk=run.pk).update(
        state=state, outcome=run.outcome, error=run.error, mode_reason=run.mode_reason, finished_at=Now()
    )
    if was_active:
        kinds.call_close_hooks(run)
    error = run.error or {}
    level: Level = "error" if error else "info"
    runlog.say(
        run.pk, f"The run has ended: {state.replace('_', ' ')}.", level, outcome=run.outcome, code=error.get("code")
    )
    record(
        f"run {state.replace('_', ' ')}",
        object_type="run",
        object_id=run.pk,
        object_name=run.pipeline.slug,
        project=run.project_id,
        data={"outcome": run.outcome, "error": run.error, "reason": run.mode_reason},
    )
    transaction.on_commit(lambda: _next_run(run.pipeline_id), robust=True)


def _next_run(pipeline: uuid.UUID) -> None:
    with acting(SYSTEM):
        ready = starting.admit(pipeline)
    dispatch.send(ready)


def _decided(run: Run) -> DataError:
    asked = Decision.objects.filter(run=run, answer="stop").select_related("step").first()
    if asked is None:
        return DataError("The run was stopped.", code="stopped")
    why = f": {asked.reason.rstrip('.')}." if asked.reason else "."
    return DataError(
        f"{asked.decided_by} stopped the run when the check `{asked.step.key}` asked{why} The next run reads the same "
        "rows again, and asks again if they are still so.",
        code="stopped_by_decision",
        evidence={"step": asked.step.key, "question": asked.question, "reason": asked.reason},
    )


def _run_timed_out(run: Run) -> TransientError:
    return TransientError(
        f"The run took longer than its timeout of {run.timeout_s} s. Raise `timeout` or give it less to do.",
        code="timeout",
        evidence={"timeout_s": run.timeout_s},
    )
