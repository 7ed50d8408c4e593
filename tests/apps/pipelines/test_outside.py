"""Loads into outside tables, end to end: each row once, whatever dies, and every refusal with its place and remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import Project
from apps.audit.models import Event
from apps.pipelines import failpoints, freshness, queries, services
from apps.pipelines.models import Ingestion
from apps.pipelines.problems import DocumentError
from apps.sources import services as sources
from apps.sources.models import Source, Stream
from dataplane.connectors.databases import ledger
from tests.apps.pipelines import workshop as ws
from tests.mortal import Mortals, mortals

TEXT = """
manifold: 1
pipeline: out
retry: {attempts: 1}
steps:
  orders: {extract: {source: db, stream: public.orders, mode: incremental}}
  sound: {check: {input: orders, rules: [{range: {column: amount, min: 0}, action: quarantine}]}}
  out: {load: {input: sound, destination: db, table: mart.orders, MODE}}
"""
APPEND = TEXT.replace("MODE", "mode: append")
MERGE = TEXT.replace("MODE", "mode: merge, key: [id]")
REPLACE = TEXT.replace("mode: incremental", "mode: full_refresh").replace("MODE", "mode: replace")
MODES = pytest.mark.parametrize("text", [APPEND, MERGE, REPLACE], ids=["append", "merge", "replace"])


@pytest.fixture
def orders(workshop: Path, project: Project, postgres_url: str) -> str:
    ws.execute(postgres_url, "CREATE TABLE orders (id int, amount int)")
    ws.execute(postgres_url, "CREATE SCHEMA mart")
    ws.insert(postgres_url, "orders", [(1, 10), (2, 20)])
    source = ws.postgres_source(project, postgres_url)
    ws.cursor(source, "public.orders", "id")
    sources.update_source(source, writable=True, actor=ws.ACTOR)
    return postgres_url


def table(url: str, name: str = "mart.orders") -> Counter[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return Counter(connection.execute(f"SELECT * FROM {name}").fetchall())


def problems(project: Project, text: str) -> list[tuple[str, str]]:
    return [(each.path, f"{each.message} {each.remedy}") for each in services.validate(project, text)[1]]


@MODES
def test_it_works(project: Project, orders: str, text: str):
    pipeline = ws.published(project, text)
    first = ws.run(pipeline)
    assert first.state == "succeeded", ws.error_of(first)
    out = ws.output(first, "out")
    assert (out["status"], out["destination"], out["table"]) == ("loaded", "db", "mart.orders")
    assert (out["inserted"], out["rows"], out["created"]) == (2, 2, True)
    assert first.steps.get(key="out").rows_out == 2

    ws.insert(orders, "orders", [(3, 30), (4, -1)])
    second = ws.run(pipeline)
    assert second.state == "succeeded", ws.error_of(second)
    assert table(orders) == Counter({(1, 10): 1, (2, 20): 1, (3, 30): 1})
    assert ws.rows(project, "out.out.rejected", "raw").total() == 1, "what was set aside is kept"


def test_nothing_new_is_not_loaded_again_and_does_not_keep_a_stream_fresh(project: Project, orders: str):
    stream = Stream.objects.get(name="public.orders")
    freshness.expect(stream, {"max_age": 3600, "grace": 60}, actor=ws.ACTOR)
    pipeline, begun = ws.published(project, APPEND), timezone.now() - timedelta(days=1)
    ws.run(pipeline)
    Ingestion.objects.update(at=begun)

    def raised(after: int) -> list[str]:
        for _ in range(2):
            freshness.watch_at(begun + timedelta(seconds=after))
        found = Event.objects.filter(verb__regex="^stream (fresh|late|stale)$", object_id=stream.pk)
        return list(found.order_by("id").values_list("verb", flat=True))

    assert raised(3599) == []
    assert ws.run(pipeline).state == "skipped"
    assert table(orders).total() == 2
    assert raised(3600) == ["stream late"]
    assert raised(3660) == ["stream late", "stream stale"]
    event = Event.objects.get(verb="stream stale")
    assert (event.object_name, event.project, event.data["before"]) == ("db/public.orders", project.pk, "late")
    ws.insert(orders, "orders", [(3, 30)])
    ws.run(pipeline)
    assert raised(3700) == ["stream late", "stream stale", "stream fresh"]


def test_a_seed_takes_the_place_of_what_was_appended(project: Project, orders: str):
    pipeline = ws.published(project, APPEND)
    ws.run(pipeline)
    ws.execute(orders, "UPDATE orders SET amount = 11 WHERE id = 1")
    seeded = ws.run(pipeline, "seed")
    assert seeded.state == "succeeded", ws.error_of(seeded)
    assert table(orders) == Counter({(1, 11): 1, (2, 20): 1})


@pytest.mark.parametrize("text", [APPEND, MERGE], ids=["append", "merge"])
def test_a_seed_takes_the_place_of_what_was_set_aside(project: Project, orders: str, text: str):
    pipeline = ws.published(project, text)
    ws.insert(orders, "orders", [(3, -1), (4, -2)])
    ws.run(pipeline)
    ws.execute(orders, "UPDATE orders SET amount = 40 WHERE id = 4")
    for _ in range(2):
        assert ws.run(pipeline, "seed").state == "succeeded"
        assert ws.rows(project, "out.out.rejected", "row").total() == 1
    ws.execute(orders, "UPDATE orders SET amount = 30 WHERE id = 3")
    assert ws.run(pipeline, "seed").state == "succeeded"
    assert ws.rows(project, "out.out.rejected", "row").total() == 0


@pytest.mark.parametrize("target", ["destination: db, table: mart.orders", "dataset: kept"], ids=["outside", "dataset"])
def test_a_merge_of_all_that_there_is_sets_nothing_aside_twice(project: Project, orders: str, target: str):
    text = MERGE.replace("mode: incremental", "mode: full_refresh").replace(
        "destination: db, table: mart.orders", target
    )
    pipeline = ws.published(project, text)
    ws.insert(orders, "orders", [(3, -1)])
    for _ in range(2):
        assert ws.run(pipeline).state == "succeeded"
    slug = "kept.rejected" if "kept" in target else "out.out.rejected"
    assert ws.rows(project, slug, "row").total() == 1


def test_a_load_that_the_ledger_has_forgotten_is_known_here(
    project: Project, orders: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ledger, "KEPT", 1)
    monkeypatch.setattr(ledger, "AT_ONCE", 1)
    other = "  other: {load: {input: sound, destination: db, table: gone.orders, mode: append}}\n"
    pipeline = ws.published(project, APPEND + other)
    failed = ws.run(pipeline)
    assert (failed.state, ws.output(failed, "out")["status"]) == ("failed", "loaded")
    ws.execute(orders, "DELETE FROM mart._manifold_loads")
    repeated = ws.run(pipeline)
    assert ws.output(repeated, "out")["status"] == "already_done"
    assert ws.output(repeated, "out")["inserted"] == 2
    ws.execute(orders, "CREATE SCHEMA gone")
    assert ws.run(pipeline).state == "succeeded"
    for number in range(3, 6):
        ws.insert(orders, "orders", [(number, 1)])
        assert ws.run(pipeline).state == "succeeded"
    assert table(orders).total() == table(orders, "gone.orders").total() == 5
    assert table(orders, "mart._manifold_loads").total() == table(orders, "gone._manifold_loads").total() == 1


def test_a_load_survives_that_nobody_can_be_asked_what_the_ledger_may_forget(
    project: Project, orders: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ledger, "KEPT", 0)
    monkeypatch.setattr(ledger, "AT_ONCE", 1)
    pipeline = ws.published(project, APPEND)
    assert ws.run(pipeline).state == "succeeded"
    ws.insert(orders, "orders", [(3, 30)])

    def end_connection(place: str) -> None:
        if place == "outside_copied":
            mine = connection.connection.info.backend_pid
            ws.execute(orders, "SELECT pg_terminate_backend(%s, 60000)", mine)

    monkeypatch.setattr(failpoints, "hit", end_connection)
    again = ws.run(pipeline)
    assert again.state == "succeeded", ws.error_of(again)
    assert (ws.output(again, "out")["status"], table(orders)) == ("loaded", table(orders, "orders"))


def test_a_seed_brings_back_a_table_that_vanished(project: Project, orders: str):
    pipeline = ws.published(project, MERGE)
    ws.run(pipeline)
    ws.execute(orders, "DROP TABLE mart.orders")
    ws.insert(orders, "orders", [(3, 30)])
    failed = ws.run(pipeline)
    assert ws.failure(failed)["code"] == "table_missing"
    assert ws.run(pipeline, "seed").state == "succeeded"
    assert table(orders).total() == 3


def test_an_execution_that_was_thought_dead_changes_nothing(project: Project, orders: str):
    pipeline = ws.published(project, REPLACE)
    ws.run(pipeline)
    ws.run(pipeline)
    with psycopg.connect(orders) as connection:
        ledger = connection.execute("SELECT run::text FROM mart._manifold_loads ORDER BY loaded_at").fetchall()
        assert ledger == sorted(ledger) and len(ledger) == 2
        connection.execute("UPDATE mart._manifold_loads SET run = 'ffffffff-ffff-ffff-ffff-ffffffffffff'")
    ws.insert(orders, "orders", [(3, 30)])
    failed = ws.run(pipeline)
    assert (ws.failure(failed)["code"], ws.failure(failed)["class"]) == ("overtaken", "transient")
    assert table(orders).total() == 2


def test_a_key_that_arrives_twice(project: Project, orders: str):
    pipeline = ws.published(project, MERGE)
    ws.execute(orders, "INSERT INTO orders VALUES (3, 1), (3, 2)")
    failed = ws.run(pipeline)
    assert ws.failure(failed)["code"] == "key_twice"
    assert "id = 3" in ws.failure(failed)["message"]
    ws.execute(orders, "DELETE FROM orders WHERE amount = 2")
    assert ws.run(pipeline).state == "succeeded"
    assert table(orders).total() == 3


def test_a_key_without_a_value(project: Project, orders: str):
    text = MERGE.replace("mode: incremental", "mode: full_refresh")
    ws.execute(orders, "INSERT INTO orders VALUES (NULL, 1)")
    assert ws.failure(ws.run(ws.published(project, text)))["code"] == "key_null"


def test_a_merge_may_delete_what_is_gone(project: Project, orders: str):
    text = MERGE.replace("mode: incremental", "mode: full_refresh").replace("[id]", "[id], delete_missing: true")
    pipeline = ws.published(project, text)
    ws.run(pipeline)
    ws.execute(orders, "DELETE FROM orders WHERE id = 1")
    out = ws.output(ws.run(pipeline), "out")
    assert (out["deleted"], out["skipped"], out["inserted"]) == (1, 1, 0)
    assert table(orders) == Counter({(2, 20): 1})


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Mortals]:
    with mortals(tmp_path_factory.mktemp("orders")) as found:
        yield found


PLACES = ("outside_begun", "outside_copied", "outside_settled", "outside_kept", "in_commit")


@MODES
def test_whoever_dies_the_table_holds_each_row_once(project: Project, orders: str, mortal: Mortals, text: str):
    """kill -9 at each place of a load; another attempt finishes what was begun, or finds it done."""
    pipeline = ws.published(project, text)
    for number, place in enumerate(PLACES):
        ws.insert(orders, "orders", [(10 + 2 * number, 1), (11 + 2 * number, 2)])
        started = services.start_run(pipeline, actor=ws.ACTOR)
        assert ws.killed(mortal, "out", place)
        ws.work()
        started.refresh_from_db()
        assert started.state == "succeeded", ws.error_of(started)
        late = place in ("outside_kept", "in_commit")
        assert ws.output(started, "out")["status"] == ("already_done" if late else "loaded")
        assert table(orders) == table(orders, "orders")


def test_a_destination_has_to_be_there_and_writable(project: Project, orders: str, workshop: Path):
    place = "steps.out.load.destination"
    path, said = problems(project, APPEND.replace("destination: db", "destination: dbx"))[0]
    assert path == place and "There is no source `dbx`" in said and "`db`" in said
    ws.write(workshop, "a.csv", ["id", "1"])
    ws.files_source(project, workshop)
    path, said = problems(project, APPEND.replace("destination: db", "destination: drop"))[0]
    assert path == place and "cannot write" in said
    sources.update_source(Source.objects.get(slug="db"), writable=False, actor=ws.ACTOR)
    path, said = problems(project, APPEND)[0]
    assert path == place and "not marked writable" in said and "Admin" in said
    with pytest.raises(DocumentError):
        ws.published(project, APPEND)


def test_a_source_that_is_no_longer_writable(project: Project, orders: str):
    pipeline = ws.published(project, APPEND)
    sources.update_source(Source.objects.get(slug="db"), writable=False, actor=ws.ACTOR)
    assert ws.failure(ws.run(pipeline))["code"] == "destination_not_writable"


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        (
            ("destination: db, table: mart.orders, mode: append", "mode: append"),
            "steps.out.load",
            "destination: source",
        ),
        (("table: mart.orders, ", ""), "steps.out.load", "table: name"),
        (("destination: db", "dataset: x, destination: db"), "steps.out.load", "one place"),
        (("mode: append", "mode: merge"), "steps.out.load.key", "needs a key"),
        (("mode: append", "mode: append, schema: thaw"), "steps.out.load.schema", "freeze"),
        (
            ("mode: append}}", "mode: append}}\n  more: {load: {input: sound, destination: db, table: mart.orders}}"),
            "steps.more.load.table",
            "loaded by `out` already",
        ),
        (
            ("mode: append", "mode: merge, key: [id], delete_missing: true"),
            "steps.out.load.delete_missing",
            "full_refresh",
        ),
    ],
)
def test_what_a_document_may_not_say(project: Project, orders: str, change: tuple[str, str], path: str, said: str):
    found = problems(project, APPEND.replace(*change))
    assert [each for each, _ in found] == [path]
    assert said in found[0][1]


def test_a_destination_cannot_be_deleted_while_a_pipeline_writes_into_it(project: Project, orders: str):
    text = APPEND.replace("source: db", "source: other")
    ws.cursor(ws.postgres_source(project, orders, "other"), "public.orders", "id")
    ws.published(project, text)
    assert queries.readers_of(Source.objects.get(slug="db")) == ["out"]
    assert queries.readers_of(Source.objects.get(slug="db"), "public.orders") == []
