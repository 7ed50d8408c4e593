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

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]


@pytest.fixture(autouse=True)
def _quick(settings: Settings) -> None:
    settings.HEARTBEAT_SECONDS = 0.05


@pytest.fixture
def in_background() -> Iterator[Callable[[StepRun], threading.Thread]]:
    """Runs a step in a thread of its own and waits for it at the end."""
    threads: list[threading.Thread] = []

    def start(step: StepRun) -> threading.Thread:
        def work() -> None:
            engine.run_step(step.pk, "one", may_exit=False)
            connection.close()

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        until = time.monotonic() + 5
        while StepRun.objects.get(pk=step.pk).progress is None and time.monotonic() < until:
            time.sleep(0.01)
        return threads[-1]

    yield start
    for each in threads:
        each.join(10)
        assert not each.is_alive()


def test_it_works(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": 0.5}})
    in_background(step_of(run, "a"))
    first = step_of(run, "a")
    time.sleep(0.2)
    second = step_of(run, "a")
    assert first.progress and second.progress and first.lease_until and second.lease_until
    assert second.progress["rows"] > first.progress["rows"] > 0
    assert second.lease_until > first.lease_until > timezone.now()
    assert second.peak_memory > 0


def test_a_stopping_run_interrupts_its_steps(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": 30}, "b": {"inputs": ["a"]}})
    thread = in_background(step_of(run, "a"))
    with acting(SYSTEM):
        closing.stop_run(locked(run), "cancelled")
    run.refresh_from_db()
    assert run.state == "stopping"
    thread.join(5)
    run.refresh_from_db()
    assert (step_of(run, "a").state, step_of(run, "b").state, run.state) == ("cancelled", "cancelled", "cancelled")


def test_a_commit_that_came_first_has_won(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": 1.5, "interruptible": False}})
    thread = in_background(step_of(run, "a"))
    with acting(SYSTEM):
        closing.stop_run(locked(run), "cancelled")
    thread.join(5)
    run.refresh_from_db()
    assert (step_of(run, "a").state, run.state) == ("succeeded", "succeeded")


def test_a_step_over_its_timeout_is_transient(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": 30, "settings": {"timeout": 1}}}, retry={"attempts": 2, "delays": [60]})
    began = time.monotonic()
    in_background(step_of(run, "a")).join(5)
    assert 0.9 < time.monotonic() - began < 3
    step = step_of(run, "a")
    assert (step.state, error_of(step)["class"], error_of(step)["code"]) == ("retry_wait", "transient", "timeout")


def test_a_step_that_was_taken_away_changes_nothing(in_background: Callable[[StepRun], threading.Thread]) -> None:
    run = make_run({"a": {"seconds": 30}})
    thread = in_background(step_of(run, "a"))
    StepRun.objects.filter(run=run).update(fence=9, worker="two")
    thread.join(5)
    step = step_of(run, "a")
    assert (step.state, step.fence, step.worker) == ("running", 9, "two")


def test_work_that_does_not_come_back_is_settled_before_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's end is the one thing that cannot happen here: it is noted instead, and the work runs on."""
    monkeypatch.setattr(heartbeat, "PATIENCE", 0.2)
    ended: list[int] = []
    monkeypatch.setattr(heartbeat.os, "_exit", ended.append)
    run = make_run({"a": {"seconds": 1.5, "interruptible": False}})
    Run.objects.update(state="running")
    stopper = threading.Timer(0.3, _stop, [run])
    stopper.start()
    engine.run_step(step_of(run, "a").pk, "one", may_exit=True)
    stopper.join()
    run.refresh_from_db()
    assert ended == [heartbeat.EXIT_STATUS]
    assert (step_of(run, "a").state, run.state) == ("cancelled", "cancelled")


def test_a_worker_that_is_asked_to_end_hands_its_step_back() -> None:
    run = make_run({"a": {"seconds": 30}})
    signalled = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM])
    signalled.start()
    began = time.monotonic()
    engine.run_step(step_of(run, "a").pk, "one", may_exit=False)
    assert time.monotonic() - began < 3
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
    connection.close()
