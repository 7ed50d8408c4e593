"""How a run stops for a while and goes on: a person pauses it, or a check asks one.

Steps that run finish, none starts, retries keep their due time, and the time limit stands still. Every function wants
to be called inside `acting(...)`, with the Run's row locked (`select_for_update(no_key=True)`).
"""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from apps.audit.context import current_actor
from apps.audit.services import record
from apps.pipelines import runlog
from apps.pipelines.execution import closing
from apps.pipelines.execution.dispatch import Ready
from apps.pipelines.models import Decision, Run, StepRun

HALTED = ("paused", "waiting")


def pause(run: Run, by: str, reason: str) -> None:
    """A running run is paused."""
    _halt(run, "paused", by, reason)
    _record("run paused", run, {"reason": reason})


def ask(run: Run, step: StepRun, question: str) -> None:
    """A check that has succeeded asks a person: the run waits, unless it is paused or stopping already."""
    Decision.objects.create(run=run, step=step, question=question[:1000])
    if run.state == "running":
        _wait(run, step.key, question)


def decide(run: Run, answer: str, by: str, reason: str) -> list[Ready]:
    """Answer everything that a waiting run asks: it continues, or stops and fails. Returns what is ready now."""
    asked = Decision.objects.filter(run=run, answer="")
    steps = list(asked.values_list("step__key", flat=True))
    asked.update(answer=answer, reason=reason, decided_by=by, decided_at=Now())
    _record("run decided", run, {"answer": answer, "reason": reason, "steps": steps})
    if answer == "stop":
        closing.stop_run(run, "failed")
        return []
    return _go_on(run)


def resume(run: Run) -> list[Ready]:
    """A paused run goes on; or waits, when a check asked while it was paused. Returns what is ready now."""
    _record("run resumed", run, {})
    ready = _go_on(run)
    asked = Decision.objects.filter(run=run, answer="").select_related("step").first()
    if asked is None or run.state != "running":
        return ready
    _wait(run, asked.step.key, asked.question)
    return []


def _wait(run: Run, step: str, question: str) -> None:
    _halt(run, "waiting", "", question)
    _record("run waits", run, {"step": step, "question": question})


def _halt(run: Run, state: str, by: str, reason: str) -> None:
    run.state, run.halted_by, run.halt_reason = state, by, reason[:500]
    Run.objects.filter(pk=run.pk).update(
        state=state, halted_at=Now(), halted_by=run.halted_by, halt_reason=run.halt_reason
    )


# What was ready when the run was halted had its message then; it gets another one now.
_AGAIN = """
UPDATE pipelines_steprun SET published_at = statement_timestamp(), published = 1
WHERE run_id = %s AND state = 'ready' RETURNING id, queue
"""


def _go_on(run: Run) -> list[Ready]:
    run.state = "running"
    Run.objects.filter(pk=run.pk).update(
        state="running",
        deadline_at=F("deadline_at") + (Now() - F("halted_at")),
        halted_at=None,
        halted_by="",
        halt_reason="",
    )
    if closing.close_if_over(run):
        return []
    with connection.cursor() as cursor:
        cursor.execute(_AGAIN, [run.pk])
        return [(pk, queue) for pk, queue in cursor.fetchall()]


def _record(verb: str, run: Run, data: dict[str, Any]) -> None:
    """The event, and the line in the run's own log."""
    actor = current_actor()
    if verb == "run waits":
        runlog.say(run.pk, f"It waits for a decision. {data['question']}", "warning", step=data["step"])
    else:
        runlog.say(run.pk, f"{verb[:1].upper()}{verb[1:]} by {actor.name if actor else 'nobody'}.", **data)
    name, project = run.pipeline.slug, run.project_id
    record(verb, object_type="run", object_id=run.pk, object_name=name, project=project, data=data)
