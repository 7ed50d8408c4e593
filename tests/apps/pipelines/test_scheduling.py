"""Schedules with their rows: what ticks start, once for ever, and who may have it so."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.accounts.models import Project
from apps.audit.context import SYSTEM, Actor
from apps.audit.models import Event
from apps.audit.refusals import Conflict
from apps.pipelines import schedules, scheduling, services, timing
from apps.pipelines.models import Fire, Pipeline, Run, Schedule
from tests.apps.pipelines.shelf import TEXT, stock

pytestmark = pytest.mark.django_db
ADA = Actor("user", None, "ada")
NOON = datetime(2031, 3, 3, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def scheduled(project: Project, written: str, at: datetime = NOON) -> Schedule:
    """A published pipeline whose schedule is on, and has decided everything up to a moment."""
    pipeline = services.apply_document(project, f"{TEXT}schedule: {written}\n", actor=ADA, publish=True)
    row = scheduling.enable_schedule(pipeline, actor=ADA)
    return moved(row, at)


def moved(row: Schedule, at: datetime) -> Schedule:
    row.refresh_from_db()
    definition = schedules.definition_of(row.pipeline.published)
    assert definition is not None
    schedules.go_on(row, definition, at)
    return row


def fired(row: Schedule) -> list[datetime]:
    return list(row.fires.order_by("scheduled_for").values_list("scheduled_for", flat=True))


@pytest.fixture(autouse=True)
def _stocked(project: Project) -> None:
    stock(project)


def test_a_tick_starts_what_is_due_once(project: Project) -> None:
    row = scheduled(project, "{preset: hourly, at: 5}")
    for minute in (0, 4, 5, 5, 6, 30):
        scheduling.fire_due(NOON + minute * MINUTE)
    run = Run.objects.get()
    assert (run.trigger, run.actor_kind, run.actor_name, run.state) == ("schedule", "schedule", "orders", "running")
    assert fired(row) == [NOON + 5 * MINUTE]
    row.refresh_from_db()
    assert row.next_at == NOON + 65 * MINUTE


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_ticks_fire_what_the_preview_has_shown_across_a_change_of_clocks(project: Project, zone: str) -> None:
    change = {"Europe/Berlin": "2031-03-30", "America/New_York": "2031-03-09", "Australia/Lord_Howe": "2031-10-05"}
    begin = datetime.fromisoformat(f"{change[zone]}T00:00:00+00:00") - timedelta(hours=14)
    row = scheduled(project, f"{{cron: '*/30 1-3 * * *', timezone: {zone}, missed: all}}", begin)
    definition = schedules.definition_of(row.pipeline.published)
    assert definition is not None
    shown = timing.upcoming(definition, begin, 12)
    for step in range(1, 100):
        scheduling.fire_due(begin + step * 55 * MINUTE)
    assert fired(row)[:12] == shown


@pytest.mark.parametrize(
    ("missed", "starts", "left_out"),
    [("none", [], 3), ("last", [3], 2), ("all", [1, 2, 3], 0), ("all, missed_at_most: 2", [2, 3], 1)],
)
def test_down_over_three_ticks(project: Project, missed: str, starts: list[int], left_out: int) -> None:
    row = scheduled(project, f"{{preset: hourly, missed: {missed}}}")
    scheduling.fire_due(NOON + timedelta(hours=3, minutes=40))
    assert fired(row) == [NOON + timedelta(hours=hour) for hour in starts]
    said = Event.objects.filter(verb="schedule missed")
    assert [each.data["count"] for each in said] == ([left_out] if left_out else [])
    scheduling.fire_due(NOON + timedelta(hours=4, seconds=2))
    assert fired(row)[-1] == NOON + timedelta(hours=4)


def test_a_clock_that_jumps_starts_nothing_twice(project: Project) -> None:
    row = scheduled(project, "{cron: '*/10 * * * *', missed: all}")
    scheduling.fire_due(NOON + 30 * MINUTE)
    scheduling.fire_due(NOON - 60 * MINUTE)
    scheduling.fire_due(NOON + 20 * MINUTE)
    assert len(fired(row)) == 3
    scheduling.fire_due(NOON + 40 * MINUTE)
    assert fired(row) == [NOON + 10 * each * MINUTE for each in (1, 2, 3, 4)]
    moved(row, NOON)
    scheduling.fire_due(NOON + 40 * MINUTE)
    assert (Fire.objects.count(), Run.objects.count()) == (4, 4)


def test_the_database_keeps_a_moment_from_firing_twice(project: Project) -> None:
    row = scheduled(project, "{preset: daily}")
    Fire.objects.create(schedule=row, scheduled_for=NOON)
    with pytest.raises(IntegrityError), transaction.atomic():
        Fire.objects.create(schedule=row, scheduled_for=NOON)


@pytest.mark.django_db(transaction=True)
def test_two_ticks_at_once_make_one_run(project: Project) -> None:
    row = scheduled(project, "{cron: '* * * * *'}")
    barrier = threading.Barrier(4)

    def tick() -> None:
        try:
            barrier.wait(60)
            scheduling.fire_due(NOON + MINUTE)
        finally:
            connection.close()

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert fired(row) == [NOON + MINUTE]
    assert Run.objects.count() == 1


@pytest.mark.parametrize(("says", "states"), [("skip", ["running", "skipped"]), ("queue", ["running", "pending"])])
def test_what_happens_while_a_run_has_not_ended(project: Project, says: str, states: list[str]) -> None:
    scheduled(project, f"{{cron: '* * * * *', if_running: {says}}}")
    scheduling.fire_due(NOON + MINUTE)
    scheduling.fire_due(NOON + 2 * MINUTE)
    assert list(Run.objects.order_by("id").values_list("state", flat=True)) == states


def test_a_run_that_has_waited_beyond_its_time_expires(project: Project) -> None:
    row = scheduled(project, "{preset: hourly, start_within: 600}")
    scheduling.fire_due(NOON + 60 * MINUTE)
    run = Run.objects.get(fires__schedule=row)
    assert run.start_before == NOON + 70 * MINUTE


def test_a_paused_pipeline_starts_nothing_and_makes_up_for_it_as_its_policy_says(project: Project) -> None:
    row = scheduled(project, "{preset: hourly}")
    Pipeline.objects.update(paused_at=NOON)
    scheduling.fire_due(NOON + 130 * MINUTE)
    assert fired(row) == []
    Pipeline.objects.update(paused_at=None)
    scheduling.fire_due(NOON + 135 * MINUTE)
    assert fired(row) == [NOON + 120 * MINUTE]


def test_a_schedule_is_off_until_it_is_switched_on(project: Project) -> None:
    pipeline = services.apply_document(project, f"{TEXT}schedule: {{preset: hourly}}\n", actor=ADA, publish=True)
    assert not Schedule.objects.get().enabled
    scheduling.fire_due(NOON)
    row = scheduling.enable_schedule(pipeline, actor=ADA)
    assert row.next_at is not None
    assert row.next_at > schedules.clock()
    assert scheduling.enable_schedule(pipeline, actor=ADA).decided_until == row.decided_until
    event = Event.objects.filter(verb="schedule changed").get()
    assert (event.actor_name, event.object_name, event.after) == ("ada", "orders", {"enabled": True})
    assert scheduling.disable_schedule(pipeline, actor=ADA).next_at is None
    assert Event.objects.filter(verb="schedule changed").count() == 2
    scheduling.fire_due(NOON)
    assert not Run.objects.exists()


def test_without_a_schedule_there_is_nothing_to_switch(project: Project) -> None:
    pipeline = services.apply_document(project, TEXT, actor=ADA, publish=True)
    with pytest.raises(Conflict, match="Add `schedule:`"):
        scheduling.enable_schedule(pipeline, actor=ADA)
    with pytest.raises(Conflict, match="no schedule"):
        scheduling.disable_schedule(pipeline, actor=ADA)


def test_another_document_counts_from_when_it_was_published(project: Project) -> None:
    past = schedules.clock() - timedelta(days=3)
    row = scheduled(project, "{preset: daily, missed: all}", past)
    before = schedules.clock()
    services.apply_document(project, f"{TEXT}schedule: {{preset: hourly, missed: all}}\n", actor=ADA, publish=True)
    row.refresh_from_db()
    assert row.enabled
    assert row.next_at is not None
    assert before < row.next_at <= schedules.clock() + timedelta(hours=1)
    services.apply_document(project, TEXT, actor=ADA, publish=True)
    row.refresh_from_db()
    assert (row.enabled, row.next_at) == (False, None)


def test_a_pipeline_is_deleted_with_its_schedule(project: Project) -> None:
    row = scheduled(project, "{preset: hourly}")
    scheduling.fire_due(NOON + 60 * MINUTE)
    services.cancel_run(Run.objects.get(), actor=SYSTEM)
    services.delete_pipeline(row.pipeline, actor=ADA)
    assert not Schedule.objects.exists()
    assert not Fire.objects.exists()
    assert Event.objects.filter(verb="schedule deleted", project=project.pk).exists()


def test_one_schedule_that_fails_holds_up_no_other(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    row = scheduled(project, "{preset: hourly}")
    other = TEXT.replace("pipeline: orders", "pipeline: more").replace("dataset: orders", "dataset: more")
    services.apply_document(project, f"{other}schedule: {{preset: hourly}}\n", actor=ADA, publish=True)
    moved(scheduling.enable_schedule(Pipeline.objects.get(slug="more"), actor=ADA), NOON)
    stored: dict[str, Any] = row.pipeline.published.document  # type: ignore[union-attr]
    stored["steps"]["orders"] = {"gone": {}}
    row.pipeline.published.save()  # type: ignore[union-attr]
    scheduling.fire_due(NOON + 60 * MINUTE)
    assert list(Run.objects.values_list("pipeline__slug", flat=True)) == ["more"]
