"""The ingestion history: every row that was fetched is accounted for, once, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.models import Project
from apps.pipelines import failpoints, fixing, ingestion, services
from apps.pipelines.models import Ingestion, Run, StepRun
from apps.snapshots.models import DataFile, Dataset
from apps.sources import services as sources
from apps.sources.models import Source
from dataplane.errors import DataError
from tests.apps.pipelines import workshop as ws
from tests.dataplane.connectors.rest.api import Api, serving_orders
from tests.dataplane.connectors.rest.reading import WAYS

TEXT = """
manifold: 1
pipeline: people
steps:
  people: {extract: {source: db, stream: public.people, mode: incremental}}
  sound:
    check:
      input: people
      rules: [{not_null: [name], action: quarantine}]
  kept: {load: {input: sound, dataset: people, mode: merge, key: [id]}}
  counted: {sql: {inputs: {p: people}, query: SELECT count(*) AS n FROM p}}
  sums: {load: {input: counted, dataset: sums, mode: replace}}
"""
FILES = """
manifold: 1
pipeline: orders
steps:
  orders: {extract: {source: drop, stream: orders, mode: incremental}}
  kept: {load: {input: orders, dataset: orders}}
"""
SHOP = """
manifold: 1
pipeline: shop
steps:
  orders: {extract: {source: shop, stream: orders, mode: incremental}}
  kept: {load: {input: orders, dataset: orders}}
"""
EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
COUNTS = ("fetched", "inserted", "updated", "skipped", "quarantined", "used")


@pytest.fixture
def people(project: Project, postgres_url: str, workshop: Path) -> str:
    """A table of people, read by when each was changed and two before; its address."""
    ws.execute(postgres_url, "CREATE TABLE people (id int PRIMARY KEY, name text, changed int)")
    ws.execute(postgres_url, "INSERT INTO people VALUES (1, 'a', 1), (2, NULL, 2), (3, 'c', 3)")
    ws.cursor(ws.postgres_source(project, postgres_url), "public.people", "changed", lookback=2)
    return postgres_url


def counts(run: Run, step: str | None = None) -> dict[str, int]:
    """What became of the rows of a run's only stream, or of a step's; only what is not nought."""
    row = Ingestion.objects.get(run=run, **({"step_key": step} if step else {}))
    return {name: getattr(row, name) for name in COUNTS if getattr(row, name)}


def test_it_works(project: Project, people: str) -> None:
    pipeline = ws.published(project, TEXT)
    first = ws.run(pipeline)
    assert first.state == "succeeded", ws.error_of(first)
    assert counts(first) == {"fetched": 3, "inserted": 2, "quarantined": 1}
    row = Ingestion.objects.get(run=first)
    assert (row.source_slug, row.stream, row.state, row.error) == ("db", "public.people", "succeeded", None)
    assert row.source == Source.objects.get().pk
    assert row.bytes > 0
    assert row.seconds > 0
    to = {"step": "kept", "to": "people", "status": "loaded", "inserted": 2, "updated": 0, "skipped": 0}
    assert row.loads == [to]
    first.steps.update(started_at=EPOCH, finished_at=EPOCH)
    for key, tenths in (("people", 1), ("kept", 2)):
        assert first.steps.filter(key=key).update(finished_at=EPOCH + timedelta(seconds=tenths / 10))
    row.delete()
    ingestion.keep(first)
    assert Ingestion.objects.get(run=first).seconds == 0.3, "times add up as a person adds them"

    ws.execute(people, "UPDATE people SET name = 'C', changed = 4 WHERE id = 3")
    ws.execute(people, "INSERT INTO people VALUES (4, 'd', 5), (5, 'a', 1)")
    second = ws.run(pipeline)
    # Read again because of the lookback: the first two, of which one had been set aside; the fifth came late.
    assert counts(second) == {"fetched": 5, "inserted": 2, "updated": 1, "skipped": 2}


def test_nothing_new_is_a_row_without_rows(project: Project, people: str) -> None:
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    nothing = ws.run(pipeline)
    assert nothing.state == "skipped"
    assert (Ingestion.objects.get(run=nothing).state, counts(nothing)) == ("skipped", {})


def test_rejected_lines_are_quarantined_and_bytes_are_those_of_the_files(project: Project, workshop: Path) -> None:
    kept = ws.write(workshop, "orders-1.csv", ["id,amount", *(f"{each},{each}" for each in range(50))])
    ws.files_source(project, workshop)
    pipeline = ws.published(project, FILES)
    assert counts(ws.run(pipeline)) == {"fetched": 50, "inserted": 50}
    assert Ingestion.objects.get().bytes == kept.stat().st_size
    ws.write(workshop, "orders-2.csv", ["id,amount", "51,1", "fifty-two,2", "53,3"])
    assert counts(ws.run(pipeline)) == {"fetched": 3, "inserted": 2, "quarantined": 1}


def test_rows_that_a_step_makes_others_of_are_used(project: Project, people: str) -> None:
    steps = [line for line in TEXT.splitlines() if "kept" not in line]
    pipeline = ws.published(project, "\n".join(steps))
    assert counts(ws.run(pipeline)) == {"fetched": 3, "used": 3}


def test_a_failed_read_says_why(project: Project, people: str) -> None:
    pipeline = ws.published(project, TEXT.replace("incremental", "full_refresh"))
    ws.execute(people, "ALTER TABLE people RENAME TO persons")
    assert ws.run(pipeline).state == "failed"
    row = Ingestion.objects.get()
    assert (row.state, row.fetched) == ("failed", 0)
    assert row.error and row.error["code"] == "table_missing"


def test_a_retry_counts_what_it_loads_and_reads_no_bytes(project: Project, people: str) -> None:
    pipeline = ws.published(
        project, TEXT.replace("not_null: [name], action: quarantine", "not_null: [id], action: stop")
    )
    cut = ws.run_cut_off(pipeline, "kept")
    row = Ingestion.objects.get(run=cut)
    assert (row.state, row.fetched, row.inserted) == ("cancelled", 3, 0)
    again = ws.retry(cut)
    assert counts(again) == {"fetched": 3, "inserted": 3}
    assert Ingestion.objects.get(run=again).bytes == 0


def test_a_run_of_only_some_steps_tells_of_their_streams_only(project: Project, people: str) -> None:
    ws.execute(people, "CREATE TABLE towns (id int)")
    sources.discover_streams(Source.objects.get(), actor=ws.ACTOR)
    more = "  towns: {extract: {source: db, stream: public.towns}}\n  held: {load: {input: towns, dataset: towns}}\n"
    pipeline = ws.published(project, TEXT + more)
    run = services.start_run(pipeline, actor=ws.ACTOR, only=["people"])
    ws.work()
    row = Ingestion.objects.get(run=run)
    assert (row.step_key, row.state, row.fetched) == ("people", "skipped", 3)


def test_rows_that_do_not_add_up_fail_the_run_before_they_are_loaded(project: Project, people: str) -> None:
    pipeline = ws.published(project, TEXT)
    run = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("kept")
    StepRun.objects.filter(run=run, key="sound").update(rows_rejected=F("rows_rejected") + 1)
    ws.work()
    run.refresh_from_db()
    error: dict[str, Any] = ws.failure(run)
    assert (run.state, error["code"], error["evidence"]["fetched"]) == ("failed", "rows_unaccounted", 3)
    assert Dataset.objects.get(slug="people").head == 0


@pytest.mark.parametrize(("taken", "left"), [(3, 2), (2, 3)])
def test_a_step_that_loses_or_invents_rows_is_refused(taken: int, left: int) -> None:
    ingestion.prove_step("orders", left, left)
    with pytest.raises(ingestion.BugError, match="`orders`"):
        ingestion.prove_step("orders", taken, left)


def test_the_database_keeps_no_row_that_does_not_add_up(project: Project, people: str) -> None:
    ws.run(ws.published(project, TEXT))
    with pytest.raises(IntegrityError, match="ingestion_adds_up"), transaction.atomic():
        Ingestion.objects.update(inserted=F("inserted") + 1)


def test_rows_are_kept_as_long_as_the_setting_says(project: Project, people: str, settings: Any) -> None:
    settings.HISTORY_DAYS = 30
    pipeline = ws.published(project, TEXT)
    old, new = ws.run(pipeline), ws.run(pipeline)
    Ingestion.objects.filter(run=old).update(at=timezone.now() - timedelta(days=31))
    ingestion.forget_old()
    assert [each.run_id for each in Ingestion.objects.all()] == [new.pk]


@pytest.fixture
def shop() -> Iterator[Api]:
    with serving_orders() as served:
        yield served


def test_requests_of_the_plan_and_of_the_read_are_counted(
    project: Project, shop: Api, workshop: Path, settings: Any
) -> None:
    settings.NET_ALLOW = ["127.0.0.0/8"]
    params = {"base_url": shop.base, "streams": [WAYS["page"]], "records": "data.orders"}
    source = sources.create_source(project, slug="shop", title="Shop", connector="rest", params=params, actor=ws.ACTOR)
    sources.discover_streams(source, actor=ws.ACTOR)
    ws.cursor(source, "orders", "at")
    pipeline = ws.published(project, SHOP)
    before = len(shop.asked)
    run = ws.run(pipeline)
    assert run.state == "succeeded", ws.error_of(run)
    row = Ingestion.objects.get(run=run)
    assert row.calls == len(shop.asked) - before > 2
    assert row.stored == DataFile.objects.get().bytes
    before = len(shop.asked)
    nothing = ws.run(pipeline)
    assert nothing.state == "skipped"
    assert Ingestion.objects.get(run=nothing).calls == len(shop.asked) - before > 0


def test_a_table_that_leaves_rows_out_fails_the_run(project: Project, people: str) -> None:
    ws.execute(people, "CREATE TABLE copies (id int, name text, changed int)")
    body = "BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END"
    ws.execute(people, f"CREATE FUNCTION but_two() RETURNS trigger LANGUAGE plpgsql AS '{body}'")
    ws.execute(people, "CREATE TRIGGER t BEFORE INSERT ON copies FOR EACH ROW EXECUTE FUNCTION but_two()")
    sources.update_source(Source.objects.get(), writable=True, actor=ws.ACTOR)
    steps = "  out: {load: {input: people, destination: db, table: public.copies, mode: append}}\n"
    pipeline = ws.published(project, TEXT.partition("  sound:")[0] + steps)
    error = ws.failure(ws.run(pipeline))
    assert (error["class"], error["code"], error["evidence"]["inserted"]) == ("data", "rows_unaccounted", 2)
    assert Ingestion.objects.get().state == "failed"
    # The ledger knows the load as done, which brings no row that is missing.
    again = ws.run(pipeline)
    assert (ws.failure(again)["code"], ws.failure(again)["evidence"]["skipped"]) == ("rows_unaccounted", 2)
    ws.execute(people, "DROP TRIGGER t ON copies")
    seed = fixing.apply(again, "seed", actor=ws.ACTOR)
    ws.work()
    assert counts(seed) == {"fetched": 3, "inserted": 3}
    assert ws.windows(pipeline) == ["forgotten", "done"]


def test_a_load_that_was_done_and_is_repeated_with_fewer_rows_is_done(
    project: Project, people: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that was changed since lies in a later window, which brings it."""
    ws.execute(people, "CREATE TABLE copies (id int PRIMARY KEY, name text, changed int)")
    sources.update_source(Source.objects.get(), writable=True, actor=ws.ACTOR)
    steps = "  out: {load: {input: people, destination: db, table: public.copies, mode: merge, key: [id]}}\n"
    pipeline = ws.published(project, TEXT.partition("  sound:")[0] + steps)

    def stop(place: str) -> None:
        if place == "outside_kept":
            raise DataError("It ends here.", code="ended")

    with monkeypatch.context() as between_commits:
        between_commits.setattr(failpoints, "hit", stop)
        assert ws.failure(ws.run(pipeline))["code"] == "ended"
    ws.execute(people, "UPDATE people SET name = 'b', changed = 9 WHERE id = 2")
    repeated = ws.run(pipeline)
    assert repeated.state == "succeeded", ws.error_of(repeated)
    assert counts(repeated) == {"fetched": 2, "skipped": 2}
    assert Ingestion.objects.latest("at").updated == 1
