"""Celery carries ids and nothing else; beat only ticks."""

from __future__ import annotations

import pytest
from django.conf import settings
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from manifold.celery import app


@pytest.fixture(scope="module", autouse=True)
def _tasks() -> None:
    app.loader.import_default_modules()


def test_messages_are_acknowledged_early_and_leave_no_results() -> None:
    assert app.conf.task_acks_late is False
    assert app.conf.broker_transport_options["ack_emulation"] is False
    assert app.conf.task_ignore_result is True
    assert app.conf.result_backend is None
    assert app.conf.accept_content == ["json"]
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.worker_disable_prefetch is True
    assert app.conf.broker_connection_max_retries is None


def test_a_publish_gives_up_quickly() -> None:
    policy = app.conf.task_publish_retry_policy
    assert policy["max_retries"] * policy["interval_max"] <= 2


@pytest.mark.parametrize("name", settings.CELERY_BEAT_SCHEDULE)
def test_every_tick_names_a_task(name: str) -> None:
    assert settings.CELERY_BEAT_SCHEDULE[name]["task"] in app.tasks


def test_no_task_acknowledges_late_or_retries_by_itself() -> None:
    ours = [task for name, task in app.tasks.items() if name.startswith("apps.")]
    assert ours
    for task in ours:
        assert not task.acks_late, task.name
        assert not hasattr(task, "autoretry_for") or not task.autoretry_for, task.name


@pytest.mark.django_db
@pytest.mark.parametrize("name", settings.CELERY_BEAT_SCHEDULE)
def test_a_tick_expires_when_the_next_is_due(name: str) -> None:
    entry = settings.CELERY_BEAT_SCHEDULE[name]
    ModelEntry.from_entry(name, app=app, **entry)
    tick = PeriodicTask.objects.get(name=name)
    assert (tick.queue, tick.expire_seconds) == ("system", entry["schedule"].total_seconds())


def test_beat_adds_no_tick_of_its_own() -> None:
    assert app.conf.result_expires is None
