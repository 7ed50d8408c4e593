"""Real connections at the same time: nobody waits for ever, nothing happens twice."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from apps.pipelines.execution import reaper, sweeps
from apps.pipelines.execution import steps as engine
from apps.pipelines.models import StepRun
from tests.apps.pipelines.execution.factories import make_run, states_of, step_of
from tests.inline import run_inline

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]


def together(*works: Callable[[], object]) -> None:
    barrier = threading.Barrier(len(works))

    def each(work: Callable[[], object]) -> None:
        try:
            barrier.wait(10)
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=each, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("_repeat", range(8))
def test_two_upstreams_that_commit_together_release_what_waits_for_both(_repeat: int) -> None:
    run = make_run({"a": {}, "b": {}, "c": {"inputs": ["a", "b"]}})
    ids = [step_of(run, key).pk for key in "ab"]
    together(*(lambda pk=pk: engine.run_step(pk, "one", may_exit=False) for pk in ids))
    assert states_of(run) == {"a": "succeeded", "b": "succeeded", "c": "ready"}
    assert run_inline(run).state == "succeeded"


def test_a_duplicate_message_loses_the_claim() -> None:
    run = make_run({"a": {}})
    pk = step_of(run, "a").pk
    won: list[bool] = []
    together(*(lambda: won.append(engine.run_step(pk, "one", may_exit=False)) for _ in range(4)))
    assert sorted(won) == [False, False, False, True]
    assert (step_of(run, "a").attempt, step_of(run, "a").fence) == (1, 1)


def test_two_reapers_lose_a_step_once() -> None:
    run = make_run({"a": {}})
    StepRun.objects.update(state="running", fence=1, attempt=1, lease_until="2020-01-01T00:00Z")
    together(reaper.reap, reaper.reap, sweeps.repair_runs)
    step = step_of(run, "a")
    assert (step.state, step.lost, step.attempt) == ("ready", 1, 0)
