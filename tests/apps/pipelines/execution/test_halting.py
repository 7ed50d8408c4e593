"""Pauses of runs and pipelines, and the decisions that checks ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.audit.context import SYSTEM, Actor
from apps.audit.models import Event
from apps.audit.refusals import Conflict
from apps.pipelines import control, queries, services
from apps.pipelines.execution import settling, sweeps
from apps.pipelines.execution.claiming import claim
from apps.pipelines.models import Run, StepRun
from dataplane.errors import TransientError
from dataplane.steps.base import StepResult
from tests.apps.pipelines.execution.factories import error_of, make_pipeline, make_run, states_of, step_of
from tests.inline import run_inline

pytestmark = [pytest.mark.django_db(transaction=True)]

OLGA = Actor("user", None, "olga")
ASKS: dict[str, dict[str, Any]] = {"a": {}, "gate": {"inputs": ["a"], "verdict": "ask"}, "z": {"inputs": ["gate"]}}


def verbs(run: Run) -> list[str]:
    return list(Event.objects.filter(object_id=str(run.pk)).order_by("id").values_list("verb", flat=True))


def test_it_works(sent: list[str]) -> None:
    run = make_run({"a": {}, "b": {"inputs": ["a"]}})
    mine = claim(step_of(run, "a").pk, "host:1/m")
    assert mine is not None
    paused = control.pause_run(run, reason="the shop closes", actor=OLGA)
    assert (paused.state, paused.halted_by, paused.halt_reason) == ("paused", "olga", "the shop closes")
    assert queries.waits_for(paused) == "It was paused by olga: the shop closes."
    settling.succeed(mine, StepResult(), 1)
    assert states_of(run) == {"a": "succeeded", "b": "ready"}
    assert claim(step_of(run, "b").pk, "host:1/m") is None
    sent.clear()
    resumed = control.resume_run(run, actor=OLGA)
    assert (resumed.state, resumed.halted_at, resumed.halted_by) == ("running", None, "")
    assert sent == [str(step_of(run, "b").pk)]
    assert run_inline(run).state == "succeeded"
    assert verbs(run) == ["run paused", "run resumed", "run succeeded"]


@pytest.mark.usefixtures("sent")
def test_the_clock_of_the_time_limit_stands_still() -> None:
    run = make_run()
    now = timezone.now()
    Run.objects.filter(pk=run.pk).update(deadline_at=now + timedelta(seconds=5))
    control.pause_run(run, actor=OLGA)
    Run.objects.filter(pk=run.pk).update(halted_at=now - timedelta(hours=1), deadline_at=now - timedelta(seconds=1))
    sweeps.stop_late_runs()
    resumed = control.resume_run(run, actor=OLGA)
    assert resumed.state == "running"
    assert resumed.deadline_at is not None
    assert timedelta(minutes=59) < resumed.deadline_at - now < timedelta(minutes=61)


@pytest.mark.usefixtures("sent")
def test_retries_keep_their_due_time() -> None:
    run = make_run(retry={"attempts": 2, "delays": [0]})
    mine = claim(step_of(run, "a").pk, "host:1/m")
    assert mine is not None
    control.pause_run(run, actor=OLGA)
    settling.fail(mine, TransientError("It dropped.", code="dropped"), 1)
    due = step_of(run, "a").due_at
    sweeps.retry_due_steps()
    assert (step_of(run, "a").state, step_of(run, "a").due_at) == ("retry_wait", due)
    control.resume_run(run, actor=OLGA)
    sweeps.retry_due_steps()
    assert step_of(run, "a").state == "ready"


@pytest.mark.usefixtures("sent")
def test_a_run_that_is_done_while_it_is_paused_ends_when_it_goes_on() -> None:
    run = make_run()
    mine = claim(step_of(run, "a").pk, "host:1/m")
    assert mine is not None
    control.pause_run(run, actor=OLGA)
    settling.succeed(mine, StepResult(), 1)
    assert Run.objects.get(pk=run.pk).state == "paused"
    assert control.resume_run(run, actor=OLGA).state == "succeeded"


@pytest.mark.usefixtures("sent")
def test_a_plan_that_finds_nothing_new_while_it_is_paused_asks_again() -> None:
    run = make_run({"a": {"verdict": "skip"}, "b": {"inputs": ["a"]}})
    control.pause_run(run, actor=OLGA)
    Run.objects.filter(pk=run.pk).update(state="running")
    mine = claim(step_of(run, "a").pk, "host:1/m")
    assert mine is not None
    Run.objects.filter(pk=run.pk).update(state="paused")
    with pytest.raises(Exception, match="asked again"):
        settling.succeed(mine, StepResult(), 1)
    settling.hand_back(mine)
    control.resume_run(run, actor=OLGA)
    assert run_inline(run).state == "skipped"


@pytest.mark.usefixtures("sent")
def test_what_is_not_running_cannot_be_paused() -> None:
    pending = make_run(state="pending")
    with pytest.raises(Conflict, match="Pause the pipeline, or skip the run"):
        control.pause_run(pending, actor=OLGA)
    with pytest.raises(Conflict, match="not paused, it is pending"):
        control.resume_run(pending, actor=OLGA)
    with pytest.raises(Conflict, match="asks nothing"):
        control.decide_run(pending, "stop", actor=OLGA)


@pytest.mark.usefixtures("sent")
def test_a_paused_run_can_be_cancelled() -> None:
    run = make_run({"a": {}, "b": {"inputs": ["a"]}})
    control.pause_run(run, actor=OLGA)
    assert services.cancel_run(run, actor=OLGA).state == "cancelled"
    assert set(states_of(run).values()) == {"cancelled"}


def test_a_paused_pipeline_admits_nothing(sent: list[str]) -> None:
    pipeline = make_pipeline()
    control.pause_pipeline(pipeline, reason="we move house", actor=OLGA)
    run = make_run(pipeline=pipeline, state="pending")
    sweeps.admit_pending_runs()
    run.refresh_from_db()
    assert run.state == "pending"
    assert queries.waits_for(run) == "The pipeline was paused by olga: we move house."
    with pytest.raises(Conflict, match="paused already, by olga"):
        control.pause_pipeline(pipeline, actor=SYSTEM)
    StepRun.objects.filter(run=run).update(kind="trial")
    control.resume_pipeline(pipeline, actor=OLGA)
    run.refresh_from_db()
    assert run.state == "running" and len(sent) == 1
    with pytest.raises(Conflict, match="not paused"):
        control.resume_pipeline(pipeline, actor=OLGA)
    changes = Event.objects.filter(object_id=str(pipeline.pk), verb="pipeline changed", actor_name="olga")
    assert [(each.after or {})["paused_reason"] for each in changes.order_by("id")] == ["we move house", ""]


@pytest.mark.usefixtures("sent")
def test_a_run_that_waits_too_long_expires_also_while_its_pipeline_is_paused() -> None:
    pipeline = make_pipeline()
    control.pause_pipeline(pipeline, actor=OLGA)
    run = make_run(pipeline=pipeline, state="pending")
    Run.objects.filter(pk=run.pk).update(start_before=timezone.now() - timedelta(seconds=1))
    sweeps.admit_pending_runs()
    run.refresh_from_db()
    assert run.state == "expired"


@pytest.mark.usefixtures("sent")
def test_a_check_that_asks_makes_the_run_wait_and_a_person_lets_it_go_on() -> None:
    run = run_inline(make_run(ASKS))
    assert (run.state, run.halt_reason) == ("waiting", "Shall it go on?")
    assert states_of(run) == {"a": "succeeded", "gate": "succeeded", "z": "ready"}
    with pytest.raises(Conflict, match="waits for a decision"):
        control.resume_run(run, actor=OLGA)
    control.decide_run(run, "continue", reason="known gap", actor=OLGA)
    assert run_inline(run).state == "succeeded"
    decision = run.decisions.get()
    assert (decision.answer, decision.decided_by, decision.reason) == ("continue", "olga", "known gap")
    assert verbs(run) == ["run waits", "run decided", "run succeeded"]
    decided = Event.objects.get(object_id=str(run.pk), verb="run decided")
    assert decided.data == {"answer": "continue", "reason": "known gap", "steps": ["gate"]}


@pytest.mark.usefixtures("sent")
def test_a_person_stops_it_and_it_has_failed() -> None:
    run = run_inline(make_run(ASKS))
    stopped = control.decide_run(run, "stop", reason="ask the shop first", actor=OLGA)
    assert stopped.state == "failed"
    assert states_of(run) == {"a": "succeeded", "gate": "succeeded", "z": "cancelled"}
    assert error_of(stopped)["code"] == "stopped_by_decision"
    assert "olga stopped the run when the check `gate` asked: ask the shop first." in error_of(stopped)["message"]


@pytest.mark.usefixtures("sent")
def test_a_check_at_the_very_end_waits_too() -> None:
    run = run_inline(make_run({"gate": {"verdict": "ask"}}))
    assert run.state == "waiting"
    assert control.decide_run(run, "stop", actor=OLGA).state == "failed"
    other = run_inline(make_run({"gate": {"verdict": "ask"}}))
    assert control.decide_run(other, "continue", actor=OLGA).state == "succeeded"


@pytest.mark.usefixtures("sent")
def test_what_was_asked_while_it_was_paused_is_asked_when_it_goes_on() -> None:
    run = make_run(ASKS)
    first = claim(step_of(run, "a").pk, "host:1/m")
    assert first is not None
    settling.succeed(first, StepResult(), 1)
    gate = claim(step_of(run, "gate").pk, "host:1/m")
    assert gate is not None
    control.pause_run(run, actor=OLGA)
    settling.succeed(gate, StepResult(), 1)
    assert Run.objects.get(pk=run.pk).state == "paused"
    assert control.resume_run(run, actor=OLGA).state == "waiting"


@pytest.mark.usefixtures("sent")
def test_a_pending_run_is_skipped() -> None:
    run = make_run(state="pending")
    skipped = control.skip_run(run, reason="the file is late", actor=OLGA)
    assert (skipped.state, skipped.mode_reason) == ("skipped", "Skipped by olga: the file is late.")
    with pytest.raises(Conflict, match="Cancel it instead"):
        control.skip_run(make_run(), actor=OLGA)
