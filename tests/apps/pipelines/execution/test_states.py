"""Both state tables, held by the database itself, and what no order of events may break."""

from __future__ import annotations

import contextlib
import uuid
from itertools import product
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models.functions import Now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.audit.context import SYSTEM, acting
from apps.pipelines import control, starting, states
from apps.pipelines.execution import closing, halting, reaper, settling, sweeps
from apps.pipelines.execution.claiming import Claim, claim
from apps.pipelines.models import Pipeline, Run, StepRun
from dataplane.errors import DataError, TransientError
from dataplane.steps.base import StepResult
from tests.apps.pipelines.execution.factories import locked, make_pipeline, make_run, step_of

# Each state, and a way to it.
_RUN_PATHS = {
    "pending": [],
    "running": ["running"],
    "waiting": ["running", "waiting"],
    "paused": ["running", "paused"],
    "stopping": ["running", "stopping"],
    "succeeded": ["running", "succeeded"],
    "failed": ["running", "failed"],
    "skipped": ["skipped"],
    "expired": ["expired"],
    "cancelled": ["cancelled"],
    "timed_out": ["running", "stopping", "timed_out"],
}
_STEP_PATHS = {
    "pending": [],
    "ready": ["ready"],
    "running": ["ready", "running"],
    "retry_wait": ["ready", "running", "retry_wait"],
    "succeeded": ["ready", "running", "succeeded"],
    "failed": ["ready", "running", "failed"],
    "skipped": ["skipped"],
    "cancelled": ["cancelled"],
    "reused": ["reused"],
}


def test_the_tables_name_only_known_states() -> None:
    for table, paths in ((states.RUN, _RUN_PATHS), (states.STEP, _STEP_PATHS)):
        assert set(paths) == set(table)
        assert set().union(*table.values()) <= set(table)


@pytest.mark.django_db
@pytest.mark.parametrize(("old", "new"), list(product(states.RUN, states.RUN)))
def test_the_database_refuses_what_is_not_in_the_table_of_runs(old: str, new: str) -> None:
    run = make_run(state="pending")
    rows = Run.objects.filter(pk=run.pk)
    for each in _RUN_PATHS[old]:
        rows.update(state=each)
    _try(rows, old, new, allowed=new in states.RUN[old] or new == old)


@pytest.mark.django_db
@pytest.mark.parametrize(("old", "new"), list(product(states.STEP, states.STEP)))
def test_the_database_refuses_what_is_not_in_the_table_of_steps(old: str, new: str) -> None:
    rows = StepRun.objects.filter(run=make_run(state="pending"))
    for each in _STEP_PATHS[old]:
        rows.update(state=each)
    _try(rows, old, new, allowed=new in states.STEP[old] or new == old)


def _try(rows: Any, old: str, new: str, *, allowed: bool) -> None:
    with contextlib.suppress(DatabaseError), transaction.atomic():
        rows.update(state=new)
    assert rows.get().state == (new if allowed else old)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change", [{"outcome": "partial"}, {"error": {}}, {"finished_at": Now()}, {"stop_reason": "x"}]
)
def test_a_run_that_is_over_keeps_its_outcome(change: dict[str, Any]) -> None:
    run = make_run()
    Run.objects.filter(pk=run.pk).update(state="failed")
    with pytest.raises(IntegrityError, match="is over"), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(**change)


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"fence": 7}, {"attempt": 2}, {"lost": 1}, {"error": {}}, {"output": {}}])
def test_a_step_that_is_over_keeps_its_outcome(change: dict[str, Any]) -> None:
    step = step_of(make_run(), "a")
    StepRun.objects.filter(pk=step.pk).update(state="cancelled")
    with pytest.raises(IntegrityError, match="is over"), transaction.atomic():
        StepRun.objects.filter(pk=step.pk).update(**change)


@pytest.mark.django_db
def test_one_run_of_a_pipeline_is_active() -> None:
    first = make_run()
    with pytest.raises(IntegrityError), transaction.atomic():
        make_run(pipeline=first.pipeline)


class Engine(RuleBasedStateMachine):
    """Workers, sweeps, reapers and people in any order, on two runs of one pipeline.

    Claims that were made stay in hand, also those that have been overtaken: a late worker may come back at any time.
    """

    claims: list[Claim]
    pipeline: Pipeline

    @initialize(may_fail=st.booleans(), attempts=st.integers(1, 3), asks=st.sampled_from("abcd "))
    def begin(self, may_fail: bool, attempts: int, asks: str) -> None:
        branch = {"inputs": ["a"], "settings": {"if_failed": "continue" if may_fail else "stop"}}
        steps: dict[str, dict[str, Any]] = {"a": {}, "b": branch, "c": {"inputs": ["a"]}, "d": {"inputs": ["b", "c"]}}
        if asks in steps:
            steps[asks] = {**steps[asks], "verdict": "ask"}
        self.pipeline = make_pipeline(steps, retry={"attempts": attempts, "delays": [0]})
        make_run(pipeline=self.pipeline)
        make_run(pipeline=self.pipeline, state="pending")
        self.claims = []
        self.fences: dict[uuid.UUID, int] = {}
        self.ended: dict[uuid.UUID, str] = {}

    @property
    def steps(self) -> Any:
        return StepRun.objects.filter(run__pipeline=self.pipeline)

    @property
    def runs(self) -> Any:
        return Run.objects.filter(pipeline=self.pipeline).order_by("id")

    @rule(which=st.integers(0, 7))
    def take_a_message(self, which: int) -> None:
        """Any step's, ready or not: duplicates and late messages are part of life."""
        taken = claim(self.steps.order_by("run", "position")[which].pk, "host:1/message")
        if taken is not None:
            assert taken.step.fence == self.fences.get(taken.step.pk, 0) + 1
            self.claims.append(taken)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), how=st.sampled_from(["succeed", "transient", "data", "hand_back", "cancel"]))
    def come_back(self, data: st.DataObject, how: str) -> None:
        mine = data.draw(st.sampled_from(self.claims))
        before = StepRun.objects.get(pk=mine.step.pk)
        run = Run.objects.get(pk=mine.step.run_id)
        if how == "cancel" and run.state != "stopping":
            return
        match how:
            case "succeed":
                settling.succeed(mine, StepResult(), 1)
            case "transient":
                settling.fail(mine, TransientError("It dropped.", code="dropped"), 1)
            case "data":
                settling.fail(mine, DataError("Wrong.", code="wrong"), 1)
            case "hand_back":
                settling.hand_back(mine)
            case "cancel":
                settling.cancel(mine)
        if (before.state, before.fence) != ("running", mine.fence):
            after = StepRun.objects.get(pk=mine.step.pk)
            assert (after.state, after.fence, after.output) == (before.state, before.fence, before.output)

    @rule()
    def workers_vanish(self) -> None:
        self.steps.filter(state="running").update(lease_until="2020-01-01T00:00Z")
        reaper.reap()

    @rule()
    def sweep(self) -> None:
        sweeps.retry_due_steps()
        sweeps.repair_runs()
        sweeps.stop_late_runs()
        sweeps.admit_pending_runs()

    @rule(which=st.integers(0, 1))
    def run_out_of_time(self, which: int) -> None:
        self.runs.filter(pk=self.runs[which].pk, state="running").update(deadline_at="2020-01-01T00:00Z")
        sweeps.stop_late_runs()

    @rule(which=st.integers(0, 1))
    def cancel_a_run(self, which: int) -> None:
        run = self.runs[which]
        with acting(SYSTEM):
            run = locked(run)
            if run.state not in states.RUN_TERMINAL:
                closing.stop_run(run, "cancelled")

    @rule()
    def pause_or_resume(self) -> None:
        running, paused = (self.runs.filter(state=each).first() for each in ("running", "paused"))
        if running is not None:
            control.pause_run(running, reason="lunch", actor=SYSTEM)
        elif paused is not None:
            control.resume_run(paused, actor=SYSTEM)

    @rule(answer=st.sampled_from(control.ANSWERS))
    def decide(self, answer: str) -> None:
        for run in self.runs.filter(state="waiting"):
            control.decide_run(run, answer, reason="so", actor=SYSTEM)

    @rule()
    def pause_or_resume_the_pipeline(self) -> None:
        self.pipeline.refresh_from_db()
        if self.pipeline.paused_at is None:
            control.pause_pipeline(self.pipeline, actor=SYSTEM)
        else:
            control.resume_pipeline(self.pipeline, actor=SYSTEM)

    @rule()
    def admit(self) -> None:
        self.pipeline.refresh_from_db()
        pending = self.runs.filter(state="pending").count()
        with acting(SYSTEM):
            starting.admit(self.pipeline.pk)
        if self.pipeline.paused_at is not None:
            assert self.runs.filter(state="pending").count() == pending

    @invariant()
    def no_run_ends_while_a_step_is_open(self) -> None:
        assert not self.steps.filter(run__state__in=states.RUN_TERMINAL, state__in=states.STEP_OPEN).exists()

    @invariant()
    def at_most_one_run_is_active(self) -> None:
        assert self.runs.filter(state__in=states.RUN_ACTIVE).count() <= 1

    @invariant()
    def a_run_waits_exactly_as_long_as_it_asks(self) -> None:
        for run in self.runs:
            asks = run.decisions.filter(answer="").exists()
            assert run.state == "waiting" if asks and run.state == "running" else True
            assert asks or run.state != "waiting"
            if run.state in (*halting.HALTED, "running"):
                assert (run.halted_at is None) == (run.state == "running")

    @invariant()
    def nothing_goes_on_against_an_answer(self) -> None:
        for run in self.runs.filter(decisions__answer="stop"):
            assert run.state in ("stopping", "failed")

    @invariant()
    def fences_only_rise_and_ends_stay(self) -> None:
        for pk, fence, state in self.steps.values_list("pk", "fence", "state"):
            assert fence >= self.fences.get(pk, 0)
            self.fences[pk] = fence
            if pk in self.ended:
                assert state == self.ended[pk]
            if state in states.STEP_TERMINAL:
                self.ended[pk] = state

    @invariant()
    def nothing_runs_before_its_inputs_are_done(self) -> None:
        for run in self.runs:
            found = dict(run.steps.values_list("key", "state"))
            for key, upstream in run.steps.values_list("key", "upstream"):
                if found[key] not in ("pending", "skipped", "cancelled"):
                    assert all(found[each] in states.STEP_DONE for each in upstream), found

    @invariant()
    def a_failed_run_says_why(self) -> None:
        for run in self.runs.filter(state="failed"):
            assert run.error["message"]
        for run in self.runs.filter(state="succeeded"):
            failed = run.steps.filter(state="failed")
            assert not failed.filter(may_fail=False).exists()
            assert (run.outcome == "partial") == failed.exists()

    def teardown(self) -> None:
        """Whatever has happened: a worker that works and the sweeps bring every run to its end."""
        self.pipeline.refresh_from_db()
        if self.pipeline.paused_at is not None:
            control.resume_pipeline(self.pipeline, actor=SYSTEM)
        for _ in range(60):
            for run in self.runs.filter(state="paused"):
                control.resume_run(run, actor=SYSTEM)
            self.decide("continue")
            self.workers_vanish()
            self.sweep()
            for pk in list(self.steps.filter(state="ready").values_list("pk", flat=True)):
                mine = claim(pk, "host:1/message")
                if mine is not None:
                    settling.succeed(mine, StepResult(), 1)
            if not self.runs.exclude(state__in=states.RUN_TERMINAL).exists():
                return
        raise AssertionError([(run.state, dict(run.steps.values_list("key", "state"))) for run in self.runs])


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("sent")
def test_no_order_of_events_breaks_a_run() -> None:
    run_state_machine_as_test(
        Engine,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
