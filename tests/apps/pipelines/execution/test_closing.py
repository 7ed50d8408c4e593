"""How a run is told to end, what the log says of it, and whose turn it is then."""

from __future__ import annotations

import pytest

from apps.audit.context import SYSTEM, acting
from apps.audit.models import Event
from apps.pipelines.execution import closing, kinds, settling, sweeps
from apps.pipelines.execution.claiming import claim
from apps.pipelines.models import Run
from dataplane.steps.base import StepResult
from tests.apps.pipelines.execution.factories import locked, make_run, states_of, step_of
from tests.inline import run_inline

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]


def stop(run: Run, reason: str = "cancelled") -> Run:
    with acting(SYSTEM):
        closing.stop_run(locked(run), reason)
    run.refresh_from_db()
    return run


def verbs(run: Run) -> list[str]:
    return list(Event.objects.filter(object_id=str(run.pk)).order_by("id").values_list("verb", flat=True))


def test_it_works() -> None:
    run = run_inline(make_run())
    assert verbs(run) == ["run succeeded"]
    event = Event.objects.get(object_id=str(run.pk))
    assert (event.actor_kind, event.project, event.object_name) == ("system", run.project_id, run.pipeline.slug)
    assert event.data["outcome"] == "clean"


def test_a_pending_run_is_cancelled_at_once() -> None:
    run = stop(make_run({"a": {}, "b": {"inputs": ["a"]}}, state="pending"))
    assert run.state == "cancelled" and run.finished_at is not None
    assert set(states_of(run).values()) == {"cancelled"}
    assert verbs(run) == ["run cancelled"]


def test_a_run_in_which_nothing_works_ends_at_once() -> None:
    run = stop(make_run({"a": {}, "b": {"inputs": ["a"]}}))
    assert run.state == "cancelled" and run.error is None


def test_a_second_stop_changes_nothing() -> None:
    run = make_run()
    Run.objects.update(state="stopping", stop_reason="timed_out")
    assert stop(run).stop_reason == "timed_out"


@pytest.mark.parametrize("state", ["waiting", "paused"])
def test_a_resting_run_can_be_stopped(state: str) -> None:
    run = make_run()
    Run.objects.update(state=state)
    assert stop(run).state == "cancelled"


def test_a_run_that_has_not_begun_can_be_skipped() -> None:
    run = make_run(state="pending")
    with acting(SYSTEM):
        closing.skip_pending(locked(run), "Another run has not ended.")
    run.refresh_from_db()
    assert (run.state, run.mode_reason) == ("skipped", "Another run has not ended.")
    assert set(states_of(run).values()) == {"skipped"}


@pytest.mark.parametrize("state", ["waiting", "paused"])
def test_a_resting_run_whose_last_step_is_done_ends_when_it_goes_on(state: str) -> None:
    run = make_run()
    mine = claim(step_of(run, "a").pk, "one")
    assert mine is not None
    Run.objects.update(state=state)
    settling.succeed(mine, StepResult(), 1)
    run.refresh_from_db()
    assert run.state == state and states_of(run) == {"a": "succeeded"}
    Run.objects.update(state="running")
    sweeps.repair_runs()
    run.refresh_from_db()
    assert run.state == "succeeded"


def test_the_next_run_gets_its_turn_when_one_ends() -> None:
    first = make_run()
    second = make_run(pipeline=first.pipeline, state="pending")
    run_inline(first)
    second.refresh_from_db()
    assert second.state == "running" and states_of(second) == {"a": "ready"}
    assert verbs(second) == ["run started"]


def test_hooks_see_the_end_of_a_run_that_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(kinds, "_close_hooks", [lambda run: seen.append(run.state)])
    stop(make_run(state="pending"))
    run_inline(make_run())
    stop(make_run())
    assert seen == ["succeeded", "cancelled"]
