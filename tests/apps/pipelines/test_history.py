"""The charts: what the last runs of a pipeline took and wrote, and how each day of a project went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.accounts.models import Project
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.pages.history import DAYS, by_day, of_pipeline
from tests.scale import furnish_scale

pytestmark = pytest.mark.django_db


def test_the_last_runs_that_did_something_are_drawn_the_oldest_first(project: Project) -> None:
    furnish_scale(project, pipelines=1, runs=120)
    found = of_pipeline(Pipeline.objects.get())
    assert found.count == 60
    assert set(found.chart["state"]) == {"ok", "warn", "bad"}
    assert found.chart["ids"] == sorted(found.chart["ids"])
    last = Run.objects.exclude(state="skipped").filter(finished_at__isnull=False).order_by("-id")[0]
    assert last.started_at and last.finished_at
    assert found.chart["ids"][-1] == str(last.pk)
    assert found.chart["seconds"][-1] == (last.finished_at - last.started_at).total_seconds()
    assert found.success is not None and 0.9 < found.success < 1


def test_a_pipeline_that_never_ran_has_no_history(project: Project) -> None:
    furnish_scale(project, pipelines=1, runs=0)
    found = of_pipeline(Pipeline.objects.get())
    assert (found.count, found.success, found.usual) == (0, None, None)


def test_every_day_is_there_and_every_run_is_counted_once(project: Project) -> None:
    furnish_scale(project, pipelines=3, runs=300)
    # Midnight may have come since they were made.
    now = Run.objects.latest("created_at").created_at
    days = by_day(Run.objects.all(), now)
    assert all(len(values) == DAYS for values in days.values())
    counted = sum(sum(days[tone]) for tone in ("ok", "warn", "bad", "none"))
    assert counted == Run.objects.filter(created_at__gte=_first(now)).count() == 300
    assert sum(days["bad"]) == Run.objects.filter(state="failed").count()
    assert days["at"][-1] == f"{now:%d %b}"


def _first(now: datetime) -> datetime:
    today = now.astimezone(UTC)
    return today.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
