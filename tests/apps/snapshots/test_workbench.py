"""Queries that people run: what they read, what is remembered, how they end."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from apps.accounts.models import Project, User
from apps.audit.context import Actor
from apps.audit.models import Event
from apps.audit.refusals import Busy, Conflict
from apps.snapshots import turns, workbench
from apps.snapshots.models import Dataset, Query, QueryState, Snapshot
from apps.snapshots.workbench import Wanted
from dataplane.errors import ConfigurationError, ManifoldError
from dataplane.export import Format
from dataplane.parameters import parameter
from tests.apps.snapshots.factories import add_snapshot, make_dataset

pytestmark = pytest.mark.django_db
ANN = Actor("user", None, "ann")
ENDLESS = "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 8"


def run(project: Project, user: User, sql: str, **more: Any) -> list[list[Any]]:
    return workbench.run(project, Wanted(sql, **more), user=user, actor=ANN)[1].rows


def test_it_works(project: Project, viewer: User, dataset: Dataset) -> None:
    add_snapshot(dataset, "SELECT 1 AS n")
    add_snapshot(dataset, "SELECT 2 AS n")
    text = 'SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM "orders@1") + $more'
    query, result = workbench.run(project, Wanted(text, (parameter("more", None, 5),)), user=viewer, actor=ANN)
    assert result.rows == [[2, 6]]
    kept = Query.objects.get(pk=query.pk)
    assert (kept.state, kept.rows, kept.tables) == ("succeeded", 1, {"orders": 2, "orders@1": 1})
    assert kept.finished_at is not None and kept.seconds == result.seconds
    event = Event.objects.get(verb="query run")
    assert (event.actor_name, event.object_id, event.data["tables"]) == ("ann", str(kept.pk), ["orders", "orders@1"])


def test_only_what_is_named_is_read(project: Project, viewer: User, dataset: Dataset) -> None:
    add_snapshot(dataset, "SELECT 1 AS n")
    add_snapshot(make_dataset(project, "order"), "SELECT 1 AS n")
    make_dataset(project, "empty")
    query, result = workbench.run(project, Wanted("SELECT 'empty' FROM orders -- order"), user=viewer, actor=ANN)
    assert query.tables == {"orders": 1}
    assert result.bytes_scanned == Snapshot.objects.get(dataset=dataset).bytes


def test_a_snapshot_goes_by_its_label(project: Project, viewer: User, dataset: Dataset) -> None:
    for number in (1, 2, 3):
        add_snapshot(dataset, f"SELECT {number} AS n", "replace")
    Snapshot.objects.filter(number__lt=3).update(labels=["Audited"])
    assert run(project, viewer, "SELECT n FROM orders@audited") == [[2]]
    with pytest.raises(ConfigurationError, match="labelled `nothing`"):
        run(project, viewer, 'SELECT n FROM "orders@nothing"')


def test_it_reaches_no_other_project(project: Project, viewer: User, stranger: User, dataset: Dataset) -> None:
    theirs = make_dataset(Project.objects.get(slug="elsewhere"), "secrets")
    add_snapshot(theirs, "SELECT 1 AS n")
    with pytest.raises(ManifoldError, match=r"here is no table `secrets`. Tables here are: orders\."):
        run(project, viewer, "SELECT * FROM secrets")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "DELETE FROM orders",
        "SELECT 1; SELECT 2",
        "SELECT * FROM orders WHERE",
        'SELECT * FROM "orders@9"',
        "SELECT * FROM empty",
        "SELECT $n",
        "",
    ],
)
def test_what_is_refused_is_remembered(project: Project, viewer: User, dataset: Dataset, text: str) -> None:
    add_snapshot(dataset, "SELECT 1 AS n")
    make_dataset(project, "empty")
    with pytest.raises(ManifoldError) as caught:
        run(project, viewer, text)
    kept = Query.objects.get()
    assert kept.error is not None
    assert (kept.state, kept.sql, kept.error["message"]) == ("failed", text, caught.value.message)
    assert Event.objects.filter(verb="query run").count() == 1


def test_nobody_uses_an_id_twice(project: Project, viewer: User) -> None:
    own = uuid.uuid4()
    assert run(project, viewer, "SELECT 1", id=own) == [[1]]
    with pytest.raises(Conflict, match="has been run before"):
        run(project, viewer, "SELECT 2", id=own)
    assert Query.objects.get().sql == "SELECT 1"


def test_a_process_answers_only_so_many_at_once(
    project: Project, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_slots", threading.BoundedSemaphore(1))
    monkeypatch.setattr(turns, "_TURN_SECONDS", 0.05)
    with turns._slot(), pytest.raises(Busy, match="MANIFOLD_SQL_CONCURRENCY"):
        run(project, viewer, "SELECT 1")
    assert run(project, viewer, "SELECT 1") == [[1]]


def test_one_person_leaves_half_of_the_slots_to_others(
    project: Project, viewer: User, operator: User, settings: Any
) -> None:
    settings.SQL_CONCURRENCY = 4
    with turns.turn(viewer.pk), turns.turn(viewer.pk):
        with pytest.raises(Busy, match=r"You have 2 queries running here.*stop one") as caught:
            run(project, viewer, "SELECT 1")
        assert caught.value.code == "own_queries_busy"
        assert run(project, operator, "SELECT 1") == [[1]]
    assert run(project, viewer, "SELECT 1") == [[1]]
    assert viewer.pk not in turns._had, "nobody is counted who has nothing running"


def test_one_slot_is_everybodys(project: Project, viewer: User, settings: Any) -> None:
    settings.SQL_CONCURRENCY = 1
    assert run(project, viewer, "SELECT 1") == [[1]]


def test_few_wait_for_their_turn(project: Project, viewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_slots", threading.BoundedSemaphore(1))
    monkeypatch.setattr(turns, "_places", threading.BoundedSemaphore(1))
    # Whoever waited here would wait for ever.
    monkeypatch.setattr(turns, "_TURN_SECONDS", None)
    with turns._slot(), turns._places, pytest.raises(Busy):
        run(project, viewer, "SELECT 1")
    turn, waiting = turns._slot(), threading.Event()
    turn.__enter__()

    def wait() -> None:
        waiting.set()
        with turns._slot():
            pass

    asking = threading.Thread(target=wait)
    asking.start()
    assert waiting.wait(60)
    turn.__exit__(None, None, None)
    asking.join(60)
    assert not asking.is_alive()


def test_a_limit_of_time_is_told_and_remembered(project: Project, viewer: User, settings: Any) -> None:
    settings.SQL_SECONDS = 1
    with pytest.raises(ConfigurationError, match=r"longer than 1 seconds.*MANIFOLD_SQL_SECONDS"):
        run(project, viewer, ENDLESS)
    assert (Query.objects.get().error or {})["code"] == "query_timeout"


def test_the_oldest_are_forgotten(project: Project, viewer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench, "KEPT", 2)
    for number in range(4):
        run(project, viewer, f"SELECT {number}")
    assert [each.sql for each in Query.objects.all()] == ["SELECT 3", "SELECT 2"]


def test_what_a_dead_process_left_is_ended(project: Project, viewer: User, operator: User) -> None:
    lost = Query.objects.create(project=project, user=viewer, sql="SELECT 1")
    Query.objects.filter(pk=lost.pk).update(created_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(Conflict, match="is over"):
        workbench.cancel(lost, user=viewer, actor=ANN)
    workbench.close_lost()
    lost.refresh_from_db()
    assert (lost.state, (lost.error or {})["code"]) == ("failed", "query_lost")


def test_only_the_asker_and_administrators_stop_a_query(
    project: Project, viewer: User, operator: User, admin: User
) -> None:
    running = Query.objects.create(project=project, user=viewer, sql="SELECT 1")
    with pytest.raises(PermissionDenied):
        workbench.cancel(running, user=operator, actor=ANN)
    assert workbench.cancel(running, user=admin, actor=Actor("user", None, "ada")).cancelled_by == "ada"
    assert Event.objects.get(verb="query cancelled").object_id == str(running.pk)


@pytest.mark.django_db(transaction=True)
def test_a_query_is_stopped_from_another_process(project: Project, viewer: User) -> None:
    own, ended = uuid.uuid4(), []

    def ask() -> None:
        try:
            run(project, viewer, ENDLESS, id=own)
        except Conflict as error:
            ended.append(error)
        finally:
            connection.close()

    asking = threading.Thread(target=ask)
    asking.start()
    while (query := Query.objects.filter(pk=own).first()) is None:
        asking.join(0.02)
        assert asking.is_alive()
    workbench.cancel(query, user=viewer, actor=ANN)
    asking.join(60)
    assert [each.message for each in ended] == ["The query was stopped by ann."]
    query.refresh_from_db()
    assert (query.state, query.finished_at is not None) == (QueryState.CANCELLED, True)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("csv", "n,t\n2,'=x\n1,'=x\n"), ("json", [{"n": 2, "t": "=x"}, {"n": 1, "t": "=x"}])],
)
def test_an_answer_is_taken_away_from_the_snapshots_that_it_read(
    project: Project, viewer: User, dataset: Dataset, form: Format, expected: Any
) -> None:
    add_snapshot(dataset, "SELECT * FROM (VALUES (1), (2), (3)) t(n)")
    wanted = Wanted("SELECT n, '=x' AS t FROM orders WHERE n < $n", (parameter("n", None, 3),), rows=1)
    query, result = workbench.run(project, wanted, user=viewer, actor=ANN)
    assert (result.row_count, result.cut) == (1, "rows")
    add_snapshot(dataset, "SELECT 0 AS n", "replace")
    opened, stream = workbench.open_download(query, form, order=-1, user=viewer, actor=ANN)
    written = b"".join(stream).decode()
    assert (json.loads(written) if form == "json" else written) == expected
    assert opened.suffix == form
    assert Event.objects.get(verb="query downloaded").data == {"format": form}


def test_only_an_answer_can_be_taken_away(project: Project, viewer: User, dataset: Dataset, stranger: User) -> None:
    add_snapshot(dataset, "SELECT 1 AS n")
    with pytest.raises(ManifoldError):
        run(project, viewer, "SELECT nothing FROM orders")
    with pytest.raises(Conflict, match="has succeeded"):
        workbench.open_download(Query.objects.get(), "csv", user=viewer, actor=ANN)
    query, _ = workbench.run(project, Wanted("SELECT n FROM orders"), user=viewer, actor=ANN)
    with pytest.raises(ConfigurationError, match="no longer here"):
        workbench.open_download(query, "csv", user=stranger, actor=ANN)
