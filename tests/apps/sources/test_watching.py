"""The tick that tests sources at their interval: all of them, a few at once, none for ever."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.sources import services, tasks
from apps.sources.models import ConnectionCheck, Source
from apps.sources.parameters import InvalidFields
from apps.sources.services import testing, watching

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.FILE_ROOTS = [tmp_path]
    (tmp_path / "orders.csv").write_text("id\n1\n")
    return tmp_path


def source_on(folder: Path, project: Project, slug: str, **options: Any) -> Source:
    params = {"path": str(folder)}
    return services.create_source(
        project, slug=slug, title="", connector="local_files", params=params, actor=SYSTEM, **options
    )


@pytest.fixture
def silent(project: Project) -> Iterator[Source]:
    """A database whose server takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        params = {"host": "127.0.0.1", "port": server.getsockname()[1], "database": "d", "user": "u"}
        yield services.create_source(
            project, slug="silent", title="", connector="postgresql", params=params, actor=SYSTEM
        )


def changes(source: Source) -> list[tuple[str, str]]:
    events = Event.objects.filter(verb="source health changed", object_id=str(source.pk)).order_by("pk")
    return [(each.data["before"], each.data["health"]) for each in events]


def test_it_works(source: Source) -> None:
    tasks.watch_connections()
    source.refresh_from_db()
    check = source.checks.get()
    assert (check.ok, check.actor_name) == (True, "manifold")
    assert (source.health, source.health_reason, source.health_at) == ("healthy", "", check.at)
    assert source.next_check_at is not None
    assert timedelta(0) < source.next_check_at - check.at <= timedelta(seconds=900)
    assert changes(source) == [("unknown", "healthy")]
    assert not Event.objects.filter(verb="source tested").exists()


def test_a_source_is_tested_when_it_is_due_and_not_before(folder: Path, project: Project) -> None:
    source = source_on(folder, project, "drop", check_every=60)
    watching.watch_due(timezone.now())
    watching.watch_due(timezone.now() - timedelta(seconds=1))
    assert source.checks.count() == 1
    watching.watch_due(timezone.now() + timedelta(seconds=61))
    assert source.checks.count() == 2


def test_a_source_that_is_tested_by_hand_only_is_left_alone(folder: Path, project: Project) -> None:
    source = source_on(folder, project, "drop", check_every=0)
    watching.watch_due(timezone.now())
    assert not source.checks.exists()
    services.test_source(source, actor=SYSTEM)
    source.refresh_from_db()
    assert (source.health, source.next_check_at) == ("healthy", None)
    services.update_source(source, check_every=300, actor=SYSTEM)
    watching.watch_due(timezone.now())
    assert source.checks.count() == 2


@pytest.mark.parametrize("seconds", [1, 59, 7 * 86400 + 1])
def test_an_interval_has_bounds(folder: Path, project: Project, seconds: int) -> None:
    with pytest.raises(InvalidFields) as refused:
        source_on(folder, project, "drop", check_every=seconds)
    assert refused.value.fields == {"check_every": ["Say 60 to 604800 seconds, or 0 for never."]}


def test_one_tick_tests_a_few_and_the_next_those_that_are_left(folder: Path, project: Project) -> None:
    for number in range(watching.AT_ONCE + 2):
        source_on(folder, project, f"drop-{number}")
    watching.watch_due(timezone.now())
    assert ConnectionCheck.objects.count() == watching.AT_ONCE
    watching.watch_due(timezone.now())
    assert Source.objects.filter(health="healthy").count() == watching.AT_ONCE + 2
    assert ConnectionCheck.objects.count() == watching.AT_ONCE + 2


def test_a_source_that_says_nothing_fails_in_time_and_holds_up_no_other(
    silent: Source, folder: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing, "SECONDS", 0.5)
    other = source_on(folder, project, "drop")
    watching.watch_due(timezone.now())
    silent.refresh_from_db()
    failed = [each for each in silent.checks.get().stages if not each["ok"]]
    assert [each["error"]["code"] for each in failed] == ["answer_timeout"]
    assert silent.health == "error"
    assert silent.health_reason.startswith("Time: No answer within")
    assert other.checks.count() == 1


def test_a_change_of_health_is_an_event_and_its_absence_none(folder: Path, project: Project) -> None:
    source = source_on(folder, project, "drop")
    services.test_source(source, actor=SYSTEM)
    services.test_source(source, actor=SYSTEM)
    (folder / "orders.csv").rename(folder.parent / f"{folder.name}.csv")
    folder.rmdir()
    services.test_source(source, actor=SYSTEM)
    assert changes(source) == [("unknown", "healthy"), ("healthy", "error")]
    event = Event.objects.filter(verb="source health changed").latest("pk")
    assert event.data["reason"] == source.health_reason != ""
    assert event.project == project.pk


def test_what_was_tested_before_a_change_says_nothing_about_what_it_is_now(folder: Path, project: Project) -> None:
    source = source_on(folder, project, "drop")
    asking = testing.Asking(source)
    services.update_source(source, params={"path": str(folder / "elsewhere")}, actor=SYSTEM)
    testing.keep_check(source, asking.answer(), actor=SYSTEM)
    found = Source.objects.get(pk=source.pk)
    assert (found.health, found.next_check_at) == ("unknown", None)
    watching.watch_due(timezone.now())
    assert Source.objects.get(pk=source.pk).health == "error"


def test_tests_are_forgotten_after_a_month(folder: Path, project: Project) -> None:
    source = source_on(folder, project, "drop")
    for days in (31, 29):
        services.test_source(source, actor=SYSTEM)
        ConnectionCheck.objects.filter(pk=source.checks.all()[0].pk).update(at=timezone.now() - timedelta(days=days))
    services.test_source(source, actor=SYSTEM)
    assert source.checks.count() == 2


@given(
    st.uuids(),
    st.integers(60, 7 * 86400),
    st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_every_source_has_moments_of_its_own(source: uuid.UUID, every: int, now: datetime) -> None:
    moment = testing.next_moment(source, every, now)
    assert moment is not None
    assert now < moment <= now + timedelta(seconds=every)
    assert testing.next_moment(source, every, moment) == moment + timedelta(seconds=every)
    assert (int(moment.timestamp()) - source.int) % every == 0
