"""One execution of a step, from the claim to the committed row, and what follows for its run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from apps.pipelines.execution import frame
from apps.pipelines.execution import steps as engine
from apps.pipelines.models import Run, StepRun
from dataplane.steps.base import StepResult
from tests.apps.pipelines.execution.factories import error_of, make_run, states_of, step_of
from tests.inline import run_inline as work
from tests.kinds import TrialAdapter

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]


def test_it_works() -> None:
    run = work(make_run({"a": {}, "b": {"inputs": ["a"]}, "c": {"inputs": ["a"]}, "d": {"inputs": ["b", "c"]}}))
    assert run.state == "succeeded" and run.outcome == "clean"
    assert run.finished_at is not None and run.finished_at <= timezone.now()
    assert set(states_of(run).values()) == {"succeeded"}
    step = step_of(run, "d")
    assert (step.attempt, step.fence, step.lost, step.rows_in) == (1, 1, 0, 7)
    assert step.output == {"fence": 1} and step.lease_until is None and step.peak_memory > 0


def test_a_step_is_claimed_once() -> None:
    run = make_run({"a": {}})
    assert engine.run_step(step_of(run, "a").pk, "one", may_exit=False) is True
    assert engine.run_step(step_of(run, "a").pk, "two", may_exit=False) is False
    assert step_of(run, "a").worker == "one"


@pytest.mark.parametrize("state", ["waiting", "paused", "stopping", "pending"])
def test_nothing_starts_while_the_run_does_not_run(state: str) -> None:
    run = make_run({"a": {}})
    if state == "pending":
        run = make_run({"a": {}}, state="pending")
        StepRun.objects.filter(run=run).update(state="ready")
    else:
        Run.objects.filter(pk=run.pk).update(state=state)
    assert engine.run_step(step_of(run, "a").pk, "one", may_exit=False) is False


def test_the_server_plans_the_statements_of_a_step_once(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run({"a": {}, "b": {"inputs": ["a"]}, "c": {"inputs": ["b"]}})
    results = iter([StepResult(rows_in=7), StepResult(rows_in=70_000), StepResult(rows_in=7_000_000_000)])
    monkeypatch.setattr(TrialAdapter, "execute", lambda *_: next(results))
    connection.close()
    assert work(run).state == "succeeded"
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        prepared = [statement for (statement,) in cursor.fetchall()]
    assert len(prepared) == len(set(prepared)) == 4


def test_messages_go_out_for_what_became_ready(sent: list[str]) -> None:
    run = make_run({"a": {}, "b": {"inputs": ["a"]}, "c": {"inputs": ["a"]}})
    engine.run_step(step_of(run, "a").pk, "one", may_exit=False)
    assert sorted(sent) == sorted(str(step_of(run, key).pk) for key in "bc")


def test_a_failed_step_fails_the_run_after_the_others() -> None:
    run = work(make_run({"a": {"then": "data"}, "b": {"inputs": ["a"]}, "c": {}, "d": {"inputs": ["c"]}}))
    assert states_of(run) == {"a": "failed", "b": "skipped", "c": "succeeded", "d": "succeeded"}
    assert run.state == "failed"
    assert (
        error_of(run)["class"] == "data"
        and error_of(run)["evidence"] == {"row": 3}
        and error_of(run)["last_good_run"] is None
    )


def test_the_last_good_run_stands_in_the_error() -> None:
    good = work(make_run({"a": {}}))
    bad = make_run(pipeline=good.pipeline)
    StepRun.objects.filter(run=bad).update(spec={"then": "data"})
    assert error_of(work(bad))["last_good_run"] == str(good.pk)


def test_a_branch_that_may_fail_makes_the_run_partial() -> None:
    run = work(
        make_run(
            {
                "a": {},
                "b": {"inputs": ["a"], "then": "data", "settings": {"if_failed": "continue"}},
                "c": {"inputs": ["b"]},
            }
        )
    )
    assert states_of(run) == {"a": "succeeded", "b": "failed", "c": "skipped"}
    assert (run.state, run.outcome, run.error) == ("succeeded", "partial", None)


def test_a_retry_waits_for_its_delay_and_counts_executions() -> None:
    began = timezone.now()
    run = work(make_run({"a": {"then": "transient"}}, retry={"attempts": 3, "delays": [60, 300], "on": ["transient"]}))
    step = step_of(run, "a")
    assert (step.state, step.attempt, run.state) == ("retry_wait", 1, "running")
    assert step.due_at is not None
    assert began <= step.due_at - timedelta(seconds=60) <= timezone.now()
    assert error_of(step)["code"] == "connection_timeout"
    for expected in (2, 3):
        StepRun.objects.filter(pk=step.pk).update(state="ready")
        work(run)
        step.refresh_from_db()
        assert (step.attempt, step.fence) == (expected, expected)
    assert step.state == "failed"
    run.refresh_from_db()
    assert run.state == "failed"


@pytest.mark.parametrize(
    ("then", "on", "state"),
    [
        ("data", ["transient"], "failed"),
        ("data", ["check_failed"], "retry_wait"),
        ("infrastructure", ["out_of_memory"], "retry_wait"),
        ("full_disk", ["disk_full"], "retry_wait"),
        ("bug", ["transient", "infrastructure"], "failed"),
    ],
)
def test_class_or_code_decide_about_a_retry(then: str, on: list[str], state: str) -> None:
    run = work(make_run({"a": {"then": then}}, retry={"attempts": 2, "delays": [60], "on": on}))
    assert step_of(run, "a").state == state


def test_a_step_has_its_own_policy() -> None:
    own = {"retry": {"attempts": 1}}
    run = work(make_run({"a": {"then": "transient", "settings": own}}, retry={"attempts": 5, "delays": [1]}))
    assert step_of(run, "a").state == "failed"


def test_a_bug_is_told_without_its_traceback() -> None:
    run = work(make_run({"a": {"then": "bug"}}))
    assert error_of(run)["class"] == "bug" and error_of(run)["evidence"]["reference"] in error_of(run)["message"]
    assert "secret" not in str(run.error)


def test_a_commit_that_raises_fails_the_step_and_writes_nothing() -> None:
    run = work(make_run({"a": {"verdict": "raise"}}))
    step = step_of(run, "a")
    assert (step.state, error_of(step)["code"], step.output) == ("failed", "commit_fault", None)


def test_a_refusal_keeps_what_was_written() -> None:
    run = work(make_run({"a": {"verdict": "refused"}, "b": {"inputs": ["a"]}}))
    assert run.state == "failed" and step_of(run, "a").output == {"kept": True}


def test_a_plan_may_skip_the_run() -> None:
    run = work(make_run({"a": {"verdict": "skip"}, "b": {"inputs": ["a"]}}))
    assert (run.state, run.mode_reason) == ("skipped", "nothing new")
    assert states_of(run) == {"a": "succeeded", "b": "skipped"}


def test_a_warning_colours_the_outcome() -> None:
    run = work(make_run({"a": {"verdict": "warned"}, "b": {"inputs": ["a"]}}))
    assert (run.state, run.outcome) == ("succeeded", "warned")


def test_an_overtaken_commit_runs_again_and_counts_once() -> None:
    TrialAdapter.again = 2
    run = work(make_run({"a": {"verdict": "again"}}))
    step = step_of(run, "a")
    assert (step.state, step.attempt, step.lost, step.fence) == ("succeeded", 1, 0, 3)


def test_what_was_spilled_is_removed() -> None:
    run = make_run({"a": {"seconds": 0.1}})
    folder = Path(frame.spill_root() / str(step_of(run, "a").pk) / "1")
    folder.mkdir(parents=True)
    work(run)
    assert not folder.exists()


def test_an_unknown_kind_is_told() -> None:
    run = make_run({"a": {}})
    StepRun.objects.filter(run=run).update(kind="strange")
    assert error_of(work(run))["code"] == "unknown_kind"
