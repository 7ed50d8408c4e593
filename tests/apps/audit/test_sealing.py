"""Whatever way the log is tampered with, by whoever owns the tables, verification names it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from apps.audit import sealing
from apps.audit.context import SYSTEM
from apps.audit.models import Event, Seal
from apps.audit.services import record
from apps.audit.tasks import seal as seal_task
from tests.settled import seal, settle

pytestmark = pytest.mark.django_db(transaction=True)


def happen(count: int) -> list[int]:
    return [record("happened", object_type="test", object_id=n, data={"n": n}, actor=SYSTEM).pk for n in range(count)]


@contextmanager
def owner_of_the_tables() -> Iterator[None]:
    """What a role that owns the tables can do, and the application's own role cannot where it is set up apart."""
    with connection.cursor() as cursor, transaction.atomic():
        for table in ("audit_event", "audit_seal"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        for table in ("audit_event", "audit_seal"):
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def run(query: str, *values: Any) -> None:
    with owner_of_the_tables(), connection.cursor() as cursor:
        cursor.execute(query, values)


def test_a_whole_log_is_found_whole() -> None:
    happen(7)
    assert seal() == 1
    found = sealing.verify()
    assert (found.ok, found.events, found.seals, found.unsealed) == (True, 7, 1, 0)
    happen(3)
    assert sealing.verify().unsealed == 3
    settle()
    seal_task()
    found = sealing.verify()
    assert (found.ok, found.events, found.seals, found.unsealed) == (True, 10, 2, 0)
    assert found.head == Seal.objects.get(pk=Seal.objects.order_by("-id")[0].pk).digest


def test_nothing_new_adds_no_seal() -> None:
    happen(1)
    assert [seal(), seal()] == [1, 0]


def test_many_events_are_sealed_piece_by_piece_and_transactions_stay_whole() -> None:
    for _ in range(5):
        with transaction.atomic():
            happen(4)
    assert seal(at_once=6) == 3
    assert sorted(Seal.objects.values_list("events", flat=True)) == [4, 8, 8]
    assert sealing.verify().ok


@pytest.mark.parametrize(
    "column",
    [
        "verb = 'was not'",
        "data = '{\"n\": 3.0}'",
        "at = at - interval '1 second'",
        "actor_name = 'eve'",
        "xid = xid + 1",
    ],
)
def test_an_altered_event_is_named(column: str) -> None:
    ids = happen(9)
    seal()
    run(f"UPDATE audit_event SET {column} WHERE id = %s", ids[3])
    assert sealing.verify().problems == [f"Event {ids[3]}: it was altered after seal {Seal.objects.get().pk}."]


def test_each_of_a_thousand_altered_events_is_named() -> None:
    with transaction.atomic():
        ids = happen(1_000)
        happen(200)
    seal(at_once=100)
    run(
        "UPDATE audit_event SET verb = CASE WHEN id %% 3 = 0 THEN verb || ' ' ELSE verb END,"
        " object_id = CASE WHEN id %% 3 = 1 THEN object_id || '0' ELSE object_id END,"
        " data = CASE WHEN id %% 3 = 2 THEN jsonb_set(data, '{n}', '-1') ELSE data END WHERE id <= %s",
        ids[-1],
    )
    named = {int(each.split(":")[0].removeprefix("Event ")) for each in sealing.verify().problems}
    assert named == set(ids)


def test_a_removed_event_is_named() -> None:
    ids = happen(5)
    seal()
    run("DELETE FROM audit_event WHERE id = %s", ids[2])
    assert sealing.verify().problems == [f"Event {ids[2]}: it was removed after seal {Seal.objects.get().pk}."]


def test_an_event_slipped_in_is_named() -> None:
    ids = happen(5)
    seal()
    columns = (
        "at, transaction_at, xid, cluster, actor_kind, actor_name, request_id, verb, object_type, object_id,"
        " object_name, data"
    )
    run(f"INSERT INTO audit_event (id, {columns}) SELECT 999999, {columns} FROM audit_event WHERE id = %s", ids[0])
    (problem,) = sealing.verify().problems
    assert problem.startswith("Event 999999: it was added to the range of seal")


def test_an_event_moved_to_another_cluster_is_missed() -> None:
    ids = happen(2)
    seal()
    run("UPDATE audit_event SET cluster = '1' WHERE id = %s", ids[0])
    assert sealing.verify().problems == [f"Event {ids[0]}: it was removed after seal {Seal.objects.get().pk}."]


def test_an_altered_seal_breaks_the_chain() -> None:
    ids = happen(3)
    seal()
    happen(3)
    seal()
    first, second = Seal.objects.order_by("id")
    run("UPDATE audit_event SET verb = 'x' WHERE id = %s", ids[0])
    leaves = b"".join(sealing._LEAF.pack(*leaf) for leaf in sealing._leaves(first.cluster, 0, int(first.xid_until)))
    run("UPDATE audit_seal SET leaves = %s WHERE id = %s", leaves, first.pk)
    assert sealing.verify().problems == [f"Seal {first.pk}: the seal itself was altered."]
    digest = sealing._digest(first.previous, first.cluster, 0, int(first.xid_until), leaves)
    run("UPDATE audit_seal SET digest = %s WHERE id = %s", digest, first.pk)
    (problem,) = sealing.verify().problems
    assert problem.startswith(f"Seal {second.pk}: it does not follow the seal before it")


def test_a_removed_seal_breaks_the_chain() -> None:
    for _ in range(3):
        happen(1)
        seal()
    _, second, third = Seal.objects.order_by("id")
    run("DELETE FROM audit_seal WHERE id = %s", second.pk)
    problems = sealing.verify().problems
    assert [each.split(":")[0] for each in problems] == [f"Seal {third.pk}", f"Seal {third.pk}"]


def test_a_restored_log_goes_on_in_its_new_cluster() -> None:
    happen(2)
    seal()
    happen(2)
    # What a dump and restore into another cluster looks like: both rows and seals bear the former one's id.
    run("UPDATE audit_event SET cluster = '42', xid = xid + 1000000")
    with owner_of_the_tables():
        Seal.objects.all().delete()
    seal()
    happen(3)
    seal()
    assert [each.cluster == "42" for each in Seal.objects.order_by("id")] == [True, False]
    found = sealing.verify()
    assert (found.ok, found.events, found.unsealed) == (True, 7, 0)


def test_an_open_transaction_is_waited_for() -> None:
    """An event whose transaction commits late must not end up in a range that is sealed already."""
    written, go_on = threading.Event(), threading.Event()

    def late() -> None:
        try:
            with transaction.atomic():
                record("late", object_type="test", object_id="", actor=SYSTEM)
                written.set()
                go_on.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=late)
    thread.start()
    try:
        assert written.wait(60)
        happen(2)
        sealing.seal()
        assert Seal.objects.count() == 0
    finally:
        go_on.set()
        thread.join()
    seal()
    found = sealing.verify()
    assert (found.ok, found.events) == (True, Event.objects.count()) == (True, 3)
