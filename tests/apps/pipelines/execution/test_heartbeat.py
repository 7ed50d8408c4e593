"""The heartbeat renews the lease and ends work that has to end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from apps.audit.context import SYSTEM, acting
from apps.pipelines.execution import closing, heartbeat
from apps.pipelines.execution import steps as engine
from apps.pipelines.models import Run, StepRun
from tests.apps.pipelines.execution.factories import error_of, locked, make_run, step_of
from tests.kinds import TrialStep

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]


# Seconds of work that nobody waits for: it is interrupted, or ended by the test.
LONG = 120


@pytest.fixture(autouse=True)
def _quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.HEARTBEAT_SECONDS = 0.05
    monkeypatch.setattr(heartbeat, "PATIENCE", 60)
    yield
    TrialStep.enough.clear()
    TrialStep.told.clear()


def until(happened: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end, "it did not happen within 60 s"
        time.sleep(0.01)


def rows_of(step: StepRun) -> int:
    """How much of its work the heartbeat has told of."""
    progress = StepRun.objects.get(pk=step.pk).progress
    return progress["rows"] if progress else 0


@pytest.fixture
def in_background() -> Iterator[Callable[[StepRun], threading.Thread]]:
    """Runs a step in a thread of its own until its work is seen to go on, and waits for it at the end."""
    threads: list[threading.Thread] = []

    def start(step: StepRun) -> threading.Thread:
        def work() -> None:
            engine.run_step(step.pk, "one", may_exit=False)
            connection.close()

        threads.append(thread := threading.Thread(target=work))
        thread.start()
        until(lambda: rows_of(step) > 0 or not thread.is_alive())
        return thread

    yield start
    TrialStep.enough.set()
    for each in threads:
        each.join()


def beside(step: StepRun, do: Callable[[], object]) -> threading.Thread:
    """Does it in a thread of its own once the step is seen to be at work."""

    def act() -> None:
        until(lambda: rows_of(step) > 0)
        do()
        connection.close()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_it_works(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": LONG}})
    in_background(step_of(run, "a"))
    first = step_of(run, "a")
    assert first.progress and first.lease_until
    begun = first.progress["rows"]
    until(lambda: rows_of(first) > begun)
    second = step_of(run, "a")
    assert second.lease_until and second.lease_until > first.lease_until > timezone.now()
    assert second.peak_memory > 0


def test_a_stopping_run_interrupts_its_steps(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": LONG}, "b": {"inputs": ["a"]}})
    thread = in_background(step_of(run, "a"))
    with acting(SYSTEM):
        closing.stop_run(locked(run), "cancelled")
    run.refresh_from_db()
    assert run.state == "stopping"
    thread.join()
    run.refresh_from_db()
    assert (step_of(run, "a").state, step_of(run, "b").state, run.state) == ("cancelled", "cancelled", "cancelled")


def test_a_commit_that_came_first_has_won(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": LONG, "interruptible": False}})
    thread = in_background(step_of(run, "a"))
    with acting(SYSTEM):
        closing.stop_run(locked(run), "cancelled")
    assert TrialStep.told.wait(60)
    TrialStep.enough.set()
    thread.join()
    run.refresh_from_db()
    assert (step_of(run, "a").state, run.state) == ("succeeded", "succeeded")


def test_a_step_over_its_timeout_is_transient(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": LONG, "settings": {"timeout": 1}}}, retry={"attempts": 2, "delays": [60]})
    began = time.monotonic()
    in_background(step_of(run, "a")).join()
    assert time.monotonic() - began > 0.9
    step = step_of(run, "a")
    assert (step.state, error_of(step)["class"], error_of(step)["code"]) == ("retry_wait", "transient", "timeout")


def test_a_step_that_was_taken_away_changes_nothing(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": LONG}})
    thread = in_background(step_of(run, "a"))
    StepRun.objects.filter(run=run).update(fence=9, worker="two")
    thread.join()
    step = step_of(run, "a")
    assert (step.state, step.fence, step.worker) == ("running", 9, "two")
    assert TrialStep.told.is_set()


def test_work_that_does_not_come_back_is_settled_before_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's end is the one thing that cannot happen here: it is noted instead, and the work runs on."""
    monkeypatch.setattr(heartbeat, "PATIENCE", 0.2)
    ended: list[int] = []

    def end(status: int) -> None:
        ended.append(status)
        TrialStep.enough.set()

    monkeypatch.setattr(heartbeat.os, "_exit", end)
    run = make_run({"a": {"seconds": LONG, "interruptible": False}})
    stopper = beside(step_of(run, "a"), lambda: _stop(run))
    engine.run_step(step_of(run, "a").pk, "one", may_exit=True)
    stopper.join()
    run.refresh_from_db()
    assert ended == [heartbeat.EXIT_STATUS]
    assert (step_of(run, "a").state, run.state) == ("cancelled", "cancelled")


def test_a_worker_that_is_asked_to_end_hands_its_step_back() -> None:
    run = make_run({"a": {"seconds": LONG}})
    signalled = beside(step_of(run, "a"), lambda: os.kill(os.getpid(), signal.SIGTERM))
    engine.run_step(step_of(run, "a").pk, "one", may_exit=False)
    signalled.join()
    step = step_of(run, "a")
    assert (step.state, step.attempt, step.lost, step.fence, step.error) == ("ready", 0, 0, 1, None)


def test_where_no_thread_can_be_had_the_process_goes_on_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(heartbeat._thread, "start_new_thread", none_left)
    handler, run = signal.getsignal(signal.SIGTERM), make_run({"a": {}})
    with pytest.raises(RuntimeError, match="new thread"):
        engine.run_step(step_of(run, "a").pk, "one", may_exit=False)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert signal.set_wakeup_fd(-1) == -1


def _stop(run: Run) -> None:
    with acting(SYSTEM):
        closing.stop_run(locked(run), "cancelled")
