"""The shells that Celery calls, and what a worker's main process does when a child has died."""

from __future__ import annotations

import os

import pytest
from billiard.exceptions import WorkerLostError
from django.conf import settings

from apps.pipelines import tasks
from apps.pipelines.execution.claiming import claim
from manifold import celery
from tests.apps.pipelines.execution.factories import make_run, states_of, step_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]


def died(message: str, error: BaseException) -> None:
    tasks.step_lost_its_worker(sender=tasks.run_step, task_id=message, exception=error)


def test_it_works() -> None:
    run = make_run()
    tasks.run_step.apply(args=[str(step_of(run, "a").pk)], task_id="the-message")
    step = step_of(run, "a")
    assert step.state == "succeeded"
    assert step.worker.endswith(f":{os.getpid()}/the-message")


def test_a_dead_child_gives_its_step_up_at_once() -> None:
    run = make_run()
    pk = step_of(run, "a").pk
    assert claim(pk, tasks.worker_name("the-message")) is not None
    died("a-duplicate", WorkerLostError("signal 9"))
    assert states_of(run) == {"a": "running"}
    died("the-message", ValueError("no death"))
    assert states_of(run) == {"a": "running"}
    died("the-message", WorkerLostError("signal 9"))
    step = step_of(run, "a")
    assert (step.state, step.lost, step.attempt) == ("ready", 1, 0)


def test_every_tick_of_beat_is_a_task_that_expires() -> None:
    celery.app.loader.import_default_modules()
    for tick in settings.CELERY_BEAT_SCHEDULE.values():
        assert tick["task"] in celery.app.tasks
        assert tick["options"] == {"queue": "system", "expire_seconds": tick["schedule"].total_seconds()}


@pytest.mark.parametrize("tick", [tasks.sweep, tasks.reap])
def test_ticks_do_no_harm_when_repeated(tick: object) -> None:
    run = make_run({"a": {}, "b": {"inputs": ["a"]}})
    for _ in range(3):
        tick.apply()  # type: ignore[attr-defined]
    assert states_of(run) == {"a": "ready", "b": "pending"}
