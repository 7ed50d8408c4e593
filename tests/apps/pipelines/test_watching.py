"""Schedules that look for new files, with a real folder: a run when something new has settled, and none otherwise."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from apps.accounts.models import Project
from apps.pipelines import schedules, scheduling, watching
from apps.pipelines.models import Fire, Run, Schedule
from apps.sources.models import Source
from apps.sources.services import accept_drift, update_stream
from tests.apps.pipelines import workshop as w

TEXT = """\
manifold: 1
pipeline: orders
steps:
  orders: {extract: {source: drop, stream: orders, mode: incremental}}
  kept: {load: {input: orders, dataset: orders}}
schedule: {interval: 60, new_files: true}
"""


@pytest.fixture
def row(project: Project, workshop: Path) -> Schedule:
    w.write(workshop, "orders-1.csv", ["id,amount", "1,2"])
    w.files_source(project, workshop)
    return scheduling.enable_schedule(w.published(project, TEXT), actor=w.ACTOR)


def look(row: Schedule, *, minutes: int) -> None:
    """A tick so many minutes from now; the runs that it starts are worked off."""
    watching.watch_due(schedules.clock() + timedelta(minutes=minutes))
    w.work()


def test_a_run_starts_when_there_is_something_new(project: Project, workshop: Path, row: Schedule) -> None:
    row.refresh_from_db()
    assert row.next_at is not None
    watching.watch_due(row.next_at - timedelta(microseconds=1))
    assert not Run.objects.exists()
    look(row, minutes=2)
    assert [(each.state, each.trigger) for each in Run.objects.all()] == [("succeeded", "schedule")]
    look(row, minutes=4)
    scheduling.fire_due(schedules.clock() + timedelta(minutes=5))
    assert Run.objects.count() == 1
    w.write(workshop, "orders-2.csv", ["id,amount", "2,3"])
    look(row, minutes=6)
    assert w.rows(project, "orders", "id") == {(1,): 1, (2,): 1}
    assert (Run.objects.count(), Fire.objects.count()) == (2, 2)


def test_a_file_that_is_still_written_is_left_alone(workshop: Path, row: Schedule) -> None:
    stream = row.pipeline.project.sources.get(slug="drop").streams.get()
    settings = {**stream.config["settings"], "settle_seconds": 3600}
    update_stream(stream=stream, config={**stream.config, "settings": settings}, actor=w.ACTOR)
    look(row, minutes=2)
    assert not Run.objects.exists()


def test_while_a_run_has_not_ended_nobody_looks(row: Schedule) -> None:
    watching.watch_due(schedules.clock() + timedelta(minutes=2))
    watching.watch_due(schedules.clock() + timedelta(minutes=4))
    assert Run.objects.get().state == "running"


def test_a_run_that_failed_is_not_started_again_before_its_file_is_another(
    project: Project, workshop: Path, row: Schedule
) -> None:
    """Also where one of two loads has taken what the file held first."""
    checked = "  sound: {check: {input: orders, rules: [{range: {column: amount, max: 1}, action: stop}]}}\n  kept:"
    every = "  every: {load: {input: orders, dataset: every}}\n"
    w.published(
        project, TEXT.replace("  kept:", every + checked).replace("orders, dataset: orders", "sound, dataset: orders")
    )
    look(row, minutes=2)
    assert Run.objects.get().state == "failed"
    look(row, minutes=4)
    assert Run.objects.count() == 1
    w.write(workshop, "orders-1.csv", ["id,amount", "1,3"])
    for minutes in (6, 8):
        look(row, minutes=minutes)
        assert [each.state for each in Run.objects.all()] == ["failed", "failed"]
    w.write(workshop, "orders-1.csv", ["id,amount", "1,1"])
    look(row, minutes=10)
    assert (Run.objects.count(), w.rows(project, "orders", "amount")) == (3, {(1,): 1})


def test_a_run_whose_plan_failed_is_not_started_again_before_a_file_is_another(
    tmp_path: Path, project: Project, workshop: Path, row: Schedule
) -> None:
    w.files_source(project, workshop, "other")
    prices = (
        "  prices: {extract: {source: other, stream: orders}}\n  priced: {load: {input: prices, dataset: prices}}\n"
    )
    w.published(project, TEXT.replace("schedule:", prices + "schedule:"))
    Source.objects.filter(slug="other").update(params={"path": str(tmp_path / "gone")})
    for minutes in (2, 4):
        look(row, minutes=minutes)
        assert [each.state for each in Run.objects.all()] == ["failed"]
    w.write(workshop, "orders-2.csv", ["id,amount", "2,3"])
    for minutes in (6, 8):
        look(row, minutes=minutes)
        assert [each.state for each in Run.objects.all()] == ["failed", "failed"]
    look(row, minutes=68)
    assert Run.objects.count() == 3, "once an hour, in case that somebody has mended it elsewhere"
    w.published(project, TEXT)
    look(row, minutes=70)
    assert (Run.objects.count(), w.rows(project, "orders", "id")) == (4, {(1,): 1, (2,): 1})


def test_a_run_is_started_again_when_its_plan_failed_by_what_goes_away_by_itself(
    project: Project, workshop: Path, row: Schedule
) -> None:
    w.files_source(project, workshop, "other")
    prices = (
        "  prices: {extract: {source: other, stream: orders}}\n  priced: {load: {input: prices, dataset: prices}}\n"
    )
    w.published(project, TEXT.replace("schedule:", prices + "retry: {attempts: 1}\nschedule:"))
    nobody = {"host": "127.0.0.1", "port": 1, "database": "none", "user": "none", "sslmode": "disable"}
    Source.objects.filter(slug="other").update(connector="postgresql", params=nobody)
    for minutes in (2, 4):
        look(row, minutes=minutes)
    assert [w.failure(each)["class"] for each in Run.objects.all()] == ["transient", "transient"]


def test_a_run_whose_plan_failed_is_started_again_when_somebody_has_mended_what_it_failed_by(
    project: Project, workshop: Path, row: Schedule
) -> None:
    stream = row.pipeline.project.sources.get(slug="drop").streams.get()
    update_stream(stream, config={"settings": {"settle_seconds": 3600}}, drift="stop", actor=w.ACTOR)
    w.write(workshop, "orders-1.csv", ["id,amount,note", "1,2,a"])
    os.utime(workshop / "orders-1.csv", (1_000_000_000, 1_000_000_000))
    for minutes in (2, 4):
        w.write(workshop, "orders-2.csv", ["id,amount", *["still,written"] * minutes])
        look(row, minutes=minutes)
        assert [each.state for each in Run.objects.all()] == ["failed"]
    accept_drift(stream.drifts.get(), actor=w.ACTOR)
    look(row, minutes=6)
    assert [each.state for each in Run.objects.all()] == ["succeeded", "failed"]


def test_a_source_that_does_not_answer_is_asked_again(workshop: Path, row: Schedule) -> None:
    away = workshop.rename(workshop.parent / "away")
    look(row, minutes=2)
    assert not Run.objects.exists()
    away.rename(workshop)
    look(row, minutes=4)
    assert Run.objects.get().state == "succeeded"
