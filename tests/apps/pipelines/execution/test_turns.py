"""What a process does for one message: its step, and what becomes ready behind it while nobody else waits."""

from __future__ import annotations

import os
import signal
import uuid

import pytest
import redis

from apps.pipelines.execution import dispatch, turns
from apps.pipelines.execution.kinds import Verdict
from apps.pipelines.models import Run, StepRun
from dataplane.steps.base import StepResult
from tests.apps.pipelines.execution.factories import make_run, queued, states_of, step_of
from tests.kinds import NoopAdapter, TrialAdapter

pytestmark = pytest.mark.django_db(transaction=True)

CHAIN = {"a": {}, "b": {"inputs": ["a"]}, "c": {"inputs": ["b"]}}


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """How far a turn comes in a second is up to the machine."""
    monkeypatch.setattr(turns, "SECONDS", 600.0)


def take_turn(run: Run) -> None:
    turns.take_turn(step_of(run, "a").pk, "one", may_exit=False)


@pytest.mark.usefixtures("broker")
def test_it_works() -> None:
    run = make_run(CHAIN)
    take_turn(run)
    run.refresh_from_db()
    assert run.state == "succeeded"
    assert {(each.attempt, each.fence, each.worker) for each in StepRun.objects.filter(run=run)} == {(1, 1, "one")}
    assert queued() == 0


@pytest.mark.usefixtures("broker")
def test_one_of_several_is_kept_and_the_others_are_sent() -> None:
    run = make_run({"a": {}, "b": {"inputs": ["a"]}, "c": {"inputs": ["a"]}, "d": {"inputs": ["a"]}})
    take_turn(run)
    assert sorted(states_of(run).values()) == ["ready", "ready", "succeeded", "succeeded"]
    assert queued() == 2


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(("queue", "then"), [("critical", "ready"), ("default", "ready"), ("bulk", "succeeded")])
def test_whoever_would_come_first_comes_first(queue: str, then: str) -> None:
    run = make_run(CHAIN)
    dispatch.send([(uuid.uuid4(), queue)])
    take_turn(run)
    assert states_of(run)["b"] == then
    assert queued() == 1 + (then == "ready")


@pytest.mark.usefixtures("broker")
def test_a_turn_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SECONDS", 0.0)
    run = make_run(CHAIN)
    take_turn(run)
    assert states_of(run) == {"a": "succeeded", "b": "ready", "c": "pending"}
    assert queued() == 1


@pytest.mark.usefixtures("broker")
def test_a_run_that_is_paused_or_stopping_gets_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    for state, last in (("paused", "ready"), ("stopping", "pending")):
        run = make_run(CHAIN)

        def commit(self: NoopAdapter, step: StepRun, run: Run, result: StepResult, state: str = state) -> Verdict:
            run.state = state
            run.save(update_fields=["state"])
            return NoopAdapter.commit(self, step, run, result)

        monkeypatch.setattr(TrialAdapter, "commit", commit)
        take_turn(run)
        assert states_of(run) == {"a": "succeeded", "b": last, "c": "pending"}


def test_a_process_that_is_to_end_sends_what_is_ready(broker: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(self: NoopAdapter, step: StepRun, run: Run, result: StepResult) -> Verdict:
        os.kill(os.getpid(), signal.SIGTERM)
        return NoopAdapter.commit(self, step, run, result)

    monkeypatch.setattr(TrialAdapter, "commit", commit)
    run = make_run(CHAIN)
    take_turn(run)
    assert states_of(run) == {"a": "succeeded", "b": "ready", "c": "pending"}
    assert broker.llen("default") == 1


def test_a_failure_ends_the_turn(broker: redis.Redis) -> None:
    run = make_run({"a": {"then": "data"}, "b": {"inputs": ["a"]}, "c": {}})
    take_turn(run)
    assert states_of(run) == {"a": "failed", "b": "skipped", "c": "ready"}
    assert not broker.exists("default")
