"""Real connections at the same time: nobody waits for ever, nothing happens twice."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection

from apps.audit import context
from apps.audit.context import SYSTEM, acting
from apps.pipelines import starting
from apps.pipelines.execution import reaper, settling, sweeps
from apps.pipelines.execution import steps as engine
from apps.pipelines.execution.claiming import claim
from apps.pipelines.models import StepRun
from tests.apps.pipelines.execution.factories import make_run, states_of, step_of
from tests.inline import run_inline

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]


def together(*works: Callable[[], object]) -> None:
    barrier = threading.Barrier(len(works))

    def each(work: Callable[[], object]) -> None:
        try:
            barrier.wait(60)
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=each, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
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


def test_a_frozen_process_lets_go_of_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run({"a": {}})
    holds, over = threading.Event(), threading.Event()
    undone: list[Exception] = []

    def frozen() -> None:
        try:
            with acting(SYSTEM):
                starting.lock_pipeline(run.pipeline_id)
                holds.set()
                over.wait(120)
        except OperationalError as error:
            undone.append(error)
        finally:
            connection.close()

    monkeypatch.setattr(context, "IDLE_SECONDS", 1)
    holder = threading.Thread(target=frozen)
    holder.start()
    assert holds.wait(60)
    monkeypatch.undo()
    with acting(SYSTEM):
        assert starting.lock_pipeline(run.pipeline_id).pk == run.pipeline_id
    over.set()
    holder.join()
    assert len(undone) == 1


def test_a_commit_lets_go_as_well() -> None:
    mine = claim(step_of(make_run({"a": {}}), "a").pk, "one")
    assert mine is not None
    with settling._mine(mine) as held, connection.cursor() as cursor:
        assert held is not None
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == (f"{context.IDLE_SECONDS}s",)
