"""Each repair on its own: what was lost between two processes is found again in the rows."""

from __future__ import annotations

import importlib
import os
import time
import uuid
from datetime import timedelta

import pytest
import redis
from django.db import connection, connections
from django.utils import timezone
from pytest_django.fixtures import Settings

from apps.audit.ticks import alone
from apps.pipelines.execution import dispatch, frame, leftovers, reaper, sweeps
from apps.pipelines.execution import steps as engine
from apps.pipelines.execution.claiming import claim
from apps.pipelines.models import PipelineVersion, Run, StepRun
from apps.pipelines.states import LOST_AT_MOST
from tests.apps.pipelines.execution.factories import error_of, make_run, states_of, step_of

pytestmark = pytest.mark.django_db(transaction=True)

# Tests beside these have databases of the same server, and their own ticks.
LOCKS_HERE = """
FROM pg_locks
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def ago(seconds: float) -> object:
    return timezone.now() - timedelta(seconds=seconds)


@pytest.fixture
def _empty_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "queued", lambda: dict.fromkeys(dispatch.QUEUES, 0))


@pytest.mark.usefixtures("_empty_queues")
class TestPublishAgain:
    def test_it_works(self, sent: list[str]) -> None:
        step = step_of(make_run(), "a")
        StepRun.objects.update(published_at=ago(16), published=1)
        assert sweeps.publish_again() == 1
        assert sent == [str(step.pk)]

    @pytest.mark.parametrize(
        ("times", "seconds", "due"), [(1, 5, 0), (2, 16, 0), (2, 31, 1), (3, 31, 0), (3, 46, 1), (9, 46, 1)]
    )
    @pytest.mark.usefixtures("sent")
    def test_each_row_waits_longer(self, times: int, seconds: float, due: int) -> None:
        make_run()
        StepRun.objects.update(published_at=ago(seconds), published=times)
        assert sweeps.publish_again() == due

    def test_a_row_that_was_never_published(self, sent: list[str]) -> None:
        make_run()
        StepRun.objects.update(queued_at=ago(16))
        assert sweeps.publish_again() == len(sent) == 1

    @pytest.mark.usefixtures("sent")
    def test_nothing_for_a_run_that_does_not_run(self) -> None:
        run = make_run()
        StepRun.objects.update(published_at=ago(100), published=1)
        Run.objects.filter(pk=run.pk).update(state="paused")
        assert sweeps.publish_again() == 0

    def test_nothing_while_the_broker_is_down(self, sent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        make_run()
        StepRun.objects.update(published_at=ago(100), published=1)
        monkeypatch.setattr(dispatch, "queued", lambda: None)
        assert sweeps.publish_again() == len(sent) == 0


def test_a_queue_that_is_full_holds_back_no_other(broker: redis.Redis, settings: Settings) -> None:
    settings.WORKERS = 2
    run = make_run({"a": {}, "b": {}})
    StepRun.objects.filter(key="b").update(queue="critical")
    for messages, sent in ((8, {"bulk": 9, "critical": 1}), (9, {"bulk": 9, "critical": 1})):
        broker.flushdb()
        broker.rpush("bulk", *["{}"] * messages)
        StepRun.objects.filter(key="a").update(queue="bulk")
        StepRun.objects.filter(run=run).update(published_at=ago(100), published=1)
        assert sweeps.publish_again() == sum(sent.values()) - messages
        assert {queue: broker.llen(queue) for queue in sent} == sent


@pytest.mark.usefixtures("sent")
class TestRetries:
    def test_it_works(self, sent: list[str]) -> None:
        run = make_run()
        StepRun.objects.update(state="running")
        StepRun.objects.update(state="retry_wait", due_at=ago(1))
        sweeps.retry_due_steps()
        assert states_of(run) == {"a": "ready"} and len(sent) == 1

    @pytest.mark.parametrize("state", ["running", "paused"])
    def test_not_before_it_is_due_and_not_while_the_run_rests(self, state: str) -> None:
        run = make_run()
        StepRun.objects.update(state="running")
        StepRun.objects.update(state="retry_wait", due_at=ago(-60 if state == "running" else 60))
        Run.objects.filter(pk=run.pk).update(state="paused") if state == "paused" else None
        sweeps.retry_due_steps()
        assert states_of(run) == {"a": "retry_wait"}


class TestRepair:
    def test_a_step_whose_inputs_are_done_is_released(self, sent: list[str]) -> None:
        run = make_run({"a": {}, "b": {"inputs": ["a"]}, "c": {}})
        for state in ("running", "succeeded"):
            StepRun.objects.filter(key="a").update(state=state)
        sweeps.repair_runs()
        assert states_of(run) == {"a": "succeeded", "b": "ready", "c": "ready"}
        assert sent == [str(step_of(run, "b").pk)]

    @pytest.mark.usefixtures("sent")
    def test_a_run_without_an_open_step_is_closed(self) -> None:
        run = make_run()
        for state in ("running", "succeeded"):
            StepRun.objects.update(state=state)
        sweeps.repair_runs()
        run.refresh_from_db()
        assert run.state == "succeeded"

    @pytest.mark.usefixtures("sent")
    def test_steps_behind_a_failed_one_are_skipped(self) -> None:
        run = make_run({"a": {}, "b": {"inputs": ["a"]}, "c": {"inputs": ["b"]}})
        for state in ("running", "failed"):
            StepRun.objects.filter(key="a").update(state=state)
        sweeps.repair_runs()
        run.refresh_from_db()
        assert states_of(run) == {"a": "failed", "b": "skipped", "c": "skipped"} and run.state == "failed"

    @pytest.mark.usefixtures("sent")
    def test_a_stopping_run_whose_step_is_gone_ends(self) -> None:
        run = make_run({"a": {}, "b": {}})
        Run.objects.update(state="stopping", stop_reason="cancelled")
        StepRun.objects.update(state="cancelled")
        sweeps.repair_runs()
        run.refresh_from_db()
        assert run.state == "cancelled"

    @pytest.mark.usefixtures("sent")
    def test_a_sound_run_is_left_alone(self) -> None:
        run = make_run({"a": {}, "b": {"inputs": ["a"]}})
        claim(step_of(run, "a").pk, "one")
        sweeps.repair_runs()
        assert states_of(run) == {"a": "running", "b": "pending"}


@pytest.mark.usefixtures("sent")
class TestRunTimeout:
    def test_it_works(self) -> None:
        run = make_run({"a": {}, "b": {}})
        Run.objects.update(timeout_s=5, deadline_at=ago(1))
        mine = claim(step_of(run, "a").pk, "one")
        assert mine is not None
        sweeps.stop_late_runs()
        run.refresh_from_db()
        assert (run.state, run.stop_reason) == ("stopping", "timed_out")
        assert states_of(run) == {"a": "running", "b": "cancelled"}

    def test_nothing_runs_so_it_ends_at_once(self) -> None:
        run = make_run()
        Run.objects.update(timeout_s=5, deadline_at=ago(1))
        sweeps.stop_late_runs()
        run.refresh_from_db()
        assert run.state == "timed_out"
        assert (error_of(run)["class"], error_of(run)["code"], error_of(run)["evidence"]) == (
            "transient",
            "timeout",
            {"timeout_s": 5},
        )

    def test_the_clock_stands_still_while_a_run_waits(self) -> None:
        run = make_run()
        Run.objects.update(state="waiting", timeout_s=5, deadline_at=ago(1))
        sweeps.stop_late_runs()
        run.refresh_from_db()
        assert run.state == "waiting"


@pytest.mark.usefixtures("sent")
def test_a_pending_run_gets_its_turn() -> None:
    first = make_run()
    second = make_run(pipeline=first.pipeline, state="pending")
    sweeps.admit_pending_runs()
    second.refresh_from_db()
    assert second.state == "pending"
    Run.objects.filter(pk=first.pk).update(state="failed")
    sweeps.admit_pending_runs()
    second.refresh_from_db()
    assert second.state == "running" and states_of(second) == {"a": "ready"}


@pytest.mark.usefixtures("sent")
def test_a_pending_run_expires() -> None:
    run = make_run(state="pending")
    Run.objects.update(start_before=ago(1))
    sweeps.admit_pending_runs()
    run.refresh_from_db()
    assert (run.state, states_of(run)) == ("expired", {"a": "skipped"})
    assert step_of(run, "a").finished_at is not None
    (line,) = run.log.all()
    assert line.text == f"The run has expired. {run.mode_reason}"


def test_steps_of_runs_that_had_expired_before_are_ended_by_a_migration() -> None:
    run, waits = make_run(state="pending"), make_run(state="pending")
    Run.objects.filter(pk=run.pk).update(state="expired", finished_at=ago(60))
    migration = importlib.import_module("apps.pipelines.migrations.0008_expired_steps").Migration
    with connection.cursor() as cursor:
        cursor.execute(migration.operations[0].sql)
    assert (states_of(run), states_of(waits)) == ({"a": "skipped"}, {"a": "pending"})


class TestReaper:
    def lose(self, run: Run) -> StepRun:
        assert claim(step_of(run, "a").pk, "host:1/message") is not None
        StepRun.objects.filter(run=run).update(lease_until=ago(1))
        reaper.reap()
        return step_of(run, "a")

    def test_a_lost_step_is_ready_at_once(self, sent: list[str]) -> None:
        step = self.lose(make_run())
        assert (step.state, step.attempt, step.lost, step.fence) == ("ready", 0, 1, 1)
        assert sent == [str(step.pk)]

    @pytest.mark.usefixtures("sent")
    def test_not_more_than_three_times(self) -> None:
        run = make_run()
        for _ in range(LOST_AT_MOST):
            assert self.lose(run).state == "ready"
        step = self.lose(run)
        run.refresh_from_db()
        assert (step.state, error_of(step)["class"], run.state) == ("failed", "lost", "failed")

    @pytest.mark.usefixtures("sent")
    def test_a_living_step_is_left_alone(self) -> None:
        run = make_run()
        claim(step_of(run, "a").pk, "host:1/message")
        assert reaper.reap() == 0 and states_of(run) == {"a": "running"}

    @pytest.mark.usefixtures("sent")
    def test_a_lost_step_of_a_stopping_run_is_cancelled(self) -> None:
        run = make_run()
        claim(step_of(run, "a").pk, "host:1/message")
        Run.objects.update(state="stopping", stop_reason="cancelled")
        StepRun.objects.update(lease_until=ago(1))
        reaper.reap()
        run.refresh_from_db()
        assert states_of(run) == {"a": "cancelled"} and run.state == "cancelled"

    @pytest.mark.usefixtures("sent")
    def test_a_dead_child_needs_no_lease(self) -> None:
        run = make_run()
        claim(step_of(run, "a").pk, "host:1/message")
        reaper.worker_died("another message")
        assert states_of(run) == {"a": "running"}
        reaper.worker_died("message")
        assert states_of(run) == {"a": "ready"}

    @pytest.mark.usefixtures("sent")
    def test_it_gives_up_the_step_that_it_had_come_to(self) -> None:
        run = make_run({"a": {}, "b": {"inputs": ["a"]}})
        engine.run_step(step_of(run, "a").pk, "host:1/message", may_exit=False)
        claim(step_of(run, "b").pk, "host:1/message")
        reaper.worker_died("message")
        assert states_of(run) == {"a": "succeeded", "b": "ready"}


def test_a_tick_works_alone() -> None:
    with alone("tick") as first:
        assert first
        other = connections.create_connection("default")
        try:
            with other.cursor() as cursor:
                cursor.execute(f"SELECT objid {LOCKS_HERE}")
                (number,) = cursor.fetchone()
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
                assert cursor.fetchone() == (False,)
        finally:
            other.close()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {LOCKS_HERE}")
        assert cursor.fetchone() == (0,)


def test_orphaned_spill_is_removed() -> None:
    mine = claim(step_of(make_run(), "a").pk, "one")
    assert mine is not None
    living = frame.spill_folder(mine.step)
    old, strange, young = living.with_name("0"), frame.spill_root() / "no-id" / "1", living.with_name("7")
    gone = frame.spill_root() / str(uuid.uuid4()) / "1"
    for each in (living, old, strange, young, gone):
        each.mkdir(parents=True)
        if each != young:
            os.utime(each, (time.time() - 100,) * 2)
    leftovers.remove_spill()
    assert living.exists() and young.exists()
    assert not old.exists() and not strange.exists() and not gone.exists()
    os.utime(gone.parent, (time.time() - 100,) * 2)
    leftovers.remove_spill()
    assert not gone.parent.exists()


def test_a_run_that_cannot_be_repaired_holds_up_no_other() -> None:
    """Its document is of no use to this version, so the run that has to follow it cannot be made."""
    broken, sound = make_run({"plan": {}}), make_run()
    for run in (broken, sound):
        assert claim(run.steps.get().pk, "one") is not None
    broken.steps.update(state="succeeded", output={"then": "auto"})
    sound.steps.update(state="succeeded")
    PipelineVersion.objects.filter(pk=broken.version_id).update(
        document={"manifold": 1, "pipeline": "p", "steps": {"a": {"gone": {}}}}
    )
    sweeps.repair_runs()
    assert dict(Run.objects.values_list("pk", "state")) == {broken.pk: "running", sound.pk: "succeeded"}
