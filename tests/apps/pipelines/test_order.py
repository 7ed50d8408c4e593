"""`after`: one step waits for another of which nothing reaches it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from apps.accounts.models import Project
from apps.audit.refusals import Conflict
from apps.pipelines import document, schedules, scheduling, services, watching
from apps.pipelines.execution.steps import run_step
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.pages import board
from apps.snapshots.models import Dataset
from apps.sources import services as sources
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws
from tests.apps.pipelines.ticks import BRANCH, HEAD, KEPT, adding, tables

TEXT = """
manifold: 1
pipeline: shop
steps:
  orders: {extract: {source: drop, stream: orders, mode: incremental}, after: [customers_kept]}
  orders_kept: {load: {input: orders, dataset: orders}}
  customers: {extract: {source: drop, stream: customers, mode: incremental}}
  customers_kept: {load: {input: customers, dataset: customers}}
"""


@pytest.fixture
def drop(project: Project, workshop: Path) -> Path:
    ws.write(workshop, "orders_1.csv", ["id,customer", "1,7"])
    ws.write(workshop, "customers_1.csv", ["id", "7"])
    ws.files_source(project, workshop)
    return workshop


def times(run: Run) -> list[str]:
    return list(
        run.steps.exclude(key="plan").exclude(finished_at=None).order_by("finished_at").values_list("key", flat=True)
    )


def test_it_works(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    ended = ws.run(pipeline)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert times(ended) == ["customers", "customers_kept", "orders", "orders_kept"]
    ws.write(drop, "orders_2.csv", ["id,customer", "2,7"])
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1}


def test_what_waits_is_left_out_where_the_other_has_failed_and_repeated_with_it(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    path = ws.write(drop, "customers_1.csv", ["id"])
    path.write_bytes(b"")
    failed = ws.run(pipeline)
    assert ws.states(failed) == {
        "plan": "succeeded",
        "customers": "failed",
        "customers_kept": "skipped",
        "orders": "skipped",
        "orders_kept": "skipped",
    }
    ws.write(drop, "customers_1.csv", ["id", "7"])
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "orders", "id") == {(1,): 1}


OPTIONAL = TEXT.replace("customers, mode: incremental}}", "customers, mode: incremental}, if_failed: continue}")


def broken(drop: Path, pipeline: Pipeline, mode: str = "auto") -> Run:
    """A run whose customers cannot be read, which is allowed."""
    ws.write(drop, "customers_2.csv", ["id"]).write_bytes(b"")
    ended = ws.run(pipeline, mode)
    assert (ended.state, ended.outcome, ws.states(ended)["orders"]) == ("succeeded", "partial", "skipped")
    return ended


def test_what_was_skipped_behind_a_failure_that_is_allowed_is_read_by_the_next_run(project: Project, drop: Path):
    pipeline = ws.published(project, OPTIONAL)
    ws.run(pipeline)
    ws.write(drop, "orders_2.csv", ["id,customer", "2,8"])
    broken(drop, pipeline)
    ws.write(drop, "customers_2.csv", ["id", "8"])
    ws.write(drop, "orders_3.csv", ["id,customer", "3,8"])
    assert ws.run(pipeline).outcome == "clean"
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1, (3,): 1}
    assert ws.run(pipeline).state == "skipped"


def test_a_retry_reads_what_was_skipped_too(project: Project, drop: Path):
    pipeline = ws.published(project, OPTIONAL)
    ws.run(pipeline)
    ws.write(drop, "orders_2.csv", ["id,customer", "2,8"])
    ended = broken(drop, pipeline)
    ws.write(drop, "customers_2.csv", ["id", "8"])
    again = ws.retry(ended)
    assert (again.outcome, ws.states(again)["plan"]) == ("clean", "succeeded")
    assert ws.rows(project, "customers", "id") == {(7,): 1, (8,): 1}
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1}


def test_a_retry_asks_a_source_again_that_was_away(project: Project, drop: Path):
    """Of its batch nothing is left: neither stream was read."""
    ws.write(drop, "people_1.csv", ["id", "7"])
    (drop / "people").mkdir()
    (drop / "people_1.csv").rename(drop / "people" / "people_1.csv")
    ws.files_source(project, drop / "people", "people")
    text = OPTIONAL.replace("source: drop, stream: customers", "source: people, stream: people")
    pipeline = ws.published(project, text)
    (drop / "people").rename(drop / "away")
    ended = ws.run(pipeline)
    assert (ended.outcome, ws.states(ended)["orders"]) == ("partial", "skipped"), ws.error_of(ended)
    (drop / "away").rename(drop / "people")
    assert ws.retry(ended).outcome == "clean"
    assert ws.rows(project, "customers", "id") == ws.rows(project, "orders", "customer") == {(7,): 1}


def test_a_retry_of_a_load_asks_no_source(project: Project, drop: Path):
    """Of one stream there was nothing new, and the other was read: both may be away by now."""
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    ws.write(drop, "orders_2.csv", ["id,customer", "2,7"])
    Dataset.objects.filter(slug="orders").update(hidden=True)
    ended = ws.run(pipeline)
    assert (ended.state, ws.states(ended)["orders"]) == ("failed", "succeeded")
    Dataset.objects.filter(slug="orders").update(hidden=False)
    drop.rename(drop.with_name("away"))
    again = ws.retry(ended)
    assert (again.state, ws.states(again)["plan"]) == ("succeeded", "reused")
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1}


def test_a_retry_reads_a_whole_stream_that_was_skipped_as_it_is_by_then(project: Project, drop: Path):
    whole = TEXT.replace("orders, mode: incremental", "orders, mode: full_refresh")
    pipeline = ws.published(project, whole)
    started = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("customers_kept")
    Dataset.objects.filter(slug="customers").update(hidden=True)
    ws.work()
    Dataset.objects.filter(slug="customers").update(hidden=False)
    started.refresh_from_db()
    assert (started.state, ws.states(started)["orders"]) == ("failed", "skipped")
    ws.write(drop, "orders_2.csv", ["id,customer", "2,7"])
    assert ws.retry(started).state == "succeeded"
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1}


def test_a_seed_that_was_skipped_replaces_its_dataset_with_the_next_run(project: Project, drop: Path):
    """Its window is repeated, and no run follows at once that would only fail again."""
    pipeline = ws.published(project, OPTIONAL)
    ws.run(pipeline)
    (drop / "orders_1.csv").unlink()
    ws.write(drop, "orders_2.csv", ["id,customer", "2,8"])
    broken(drop, pipeline, "seed")
    again = ws.run(pipeline)
    assert (again.mode, again.outcome, Run.objects.count()) == ("repair", "partial", 3)
    ws.write(drop, "customers_2.csv", ["id", "8"])
    assert ws.run(pipeline).outcome == "clean"
    assert ws.rows(project, "orders", "id") == {(2,): 1}


BESIDE = """
  visits: {extract: {source: visits, stream: visits, mode: incremental}}
  visits_kept: {load: {input: visits, dataset: visits}}
"""


@pytest.fixture
def visits(project: Project, drop: Path) -> Path:
    folder = drop / "visits"
    folder.mkdir()
    ws.write(folder, "visits_1.csv", ["id", "1"])
    ws.files_source(project, folder, "visits")
    return folder


def visited(project: Project) -> set[int]:
    return {int(each) for (each,) in ws.rows(project, "visits", "id")}


def test_what_waits_for_a_broken_step_keeps_no_other_branch_from_what_is_new(
    project: Project, drop: Path, visits: Path
):
    """A seed of orders waits for customers, which stay broken; visits go on, and no run tries for ever."""
    pipeline = ws.published(project, OPTIONAL + BESIDE)
    ws.run(pipeline)
    ws.write(drop, "orders_2.csv", ["id,customer", "2,8"])
    broken(drop, pipeline, "seed")
    ws.write(visits, "visits_2.csv", ["id", "2"])
    ws.write(drop, "orders_3.csv", ["id,customer", "3,8"])
    assert (ws.run(pipeline).mode, visited(project)) == ("repair", {1, 2})
    followed = Run.objects.latest("id")
    assert (followed.trigger, followed.mode, followed.outcome) == ("follow_up", "incremental", "clean")
    assert "It goes on when what run" in ws.output(followed, "plan")["steps"][0]["skip_reason"]
    assert (ws.run(pipeline).outcome, Run.objects.count()) == ("partial", 5)
    assert ws.rows(project, "orders", "id") == {(1,): 1}
    ws.write(drop, "customers_2.csv", ["id", "8"])
    assert ws.run(pipeline).outcome == "clean"
    assert ws.rows(project, "orders", "id") == {(1,): 1, (2,): 1, (3,): 1}


@pytest.mark.all
def test_what_a_run_beside_it_could_not_load_comes_first(project: Project, drop: Path, visits: Path):
    pipeline = ws.published(project, OPTIONAL + BESIDE)
    ws.run(pipeline)
    broken(drop, pipeline, "seed")
    ws.write(visits, "visits_2.csv", ["id"]).write_bytes(b"")
    assert (ws.run(pipeline).outcome, Run.objects.latest("id").state) == ("partial", "failed")
    ws.write(visits, "visits_2.csv", ["id", "2"])
    assert (ws.run(pipeline).outcome, visited(project)) == ("clean", {1, 2})
    assert ws.run(pipeline).outcome == "partial"


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(False, id="nothing was new beside it"),
        pytest.param(True, id="something was new beside it", marks=pytest.mark.all),
    ],
)
def test_a_retry_of_what_could_not_be_asked_reads_what_has_come_since(
    project: Project, drop: Path, visits: Path, *, new: bool
):
    """Nothing of it was read, so nothing of it is repeated; another branch that had its turn reads what is new, too."""
    folder = drop / "people"
    folder.mkdir()
    ws.write(folder, "people_1.csv", ["id", "7"])
    ws.files_source(project, folder, "people")
    text = (OPTIONAL + BESIDE).replace("source: drop, stream: customers", "source: people, stream: people")
    pipeline = ws.published(project, text)
    ws.run(pipeline)
    if new:
        ws.write(visits, "visits_2.csv", ["id", "2"])
    ws.write(folder, "people_2.csv", ["id", "8"])
    ws.write(drop, "orders_2.csv", ["id,customer", "2,8"])
    folder.rename(drop / "away")
    ended = ws.run(pipeline)
    assert (ended.outcome, ws.states(ended)["orders"]) == ("partial", "skipped")
    (drop / "away").rename(folder)
    ws.write(visits, "visits_3.csv", ["id", "3"])
    assert ws.retry(ended).outcome == "clean"
    assert ws.rows(project, "customers", "id") == ws.rows(project, "orders", "customer") == {(7,): 1, (8,): 1}
    assert visited(project) == ({1, 2, 3} if new else {1, 3})


@pytest.mark.all
def test_files_are_picked_beside_what_waits(project: Project, drop: Path, visits: Path):
    pipeline = ws.published(project, OPTIONAL + BESIDE)
    ws.run(pipeline)
    broken(drop, pipeline, "seed")
    for each in (2, 3):
        ws.write(visits, f"visits_{each}.csv", ["id", str(each)])
    started = services.start_run(pipeline, actor=ws.ACTOR, files=["visits_3.csv"])
    ws.work()
    started.refresh_from_db()
    assert (started.outcome, visited(project)) == ("clean", {1, 3})
    waits = services.start_run(pipeline, actor=ws.ACTOR, files=["orders_1.csv"])
    ws.work()
    waits.refresh_from_db()
    assert (waits.state, "It goes on when what run" in waits.mode_reason) == ("skipped", True)


JOINED = """
  met: {sql: {inputs: {o: orders, v: visits}, query: "SELECT id FROM o JOIN v USING (id)"}}
  met_kept: {load: {input: met, dataset: met}}
"""


def test_what_is_joined_is_read_together_again(project: Project, drop: Path, visits: Path):
    pipeline = ws.published(project, OPTIONAL + BESIDE + JOINED)
    ws.run(pipeline)
    ws.write(drop, "orders_2.csv", ["id,customer", "2,8"])
    ws.write(visits, "visits_2.csv", ["id", "2"])
    broken(drop, pipeline)
    ws.write(drop, "customers_2.csv", ["id", "8"])
    assert ws.run(pipeline).outcome == "clean"
    assert ws.rows(project, "met", "id") == {(1,): 1, (2,): 1}
    assert visited(project) == {1, 2}


def test_what_a_run_of_only_some_steps_has_loaded_beside_what_waits_is_not_loaded_again(
    project: Project, drop: Path, visits: Path
):
    """Two batches of visits are unfinished: one behind customers, one that has not been joined yet."""
    pipeline = ws.published(project, OPTIONAL + BESIDE + JOINED)
    ws.run(pipeline)
    ws.write(drop, "orders_2.csv", ["id,customer", "2,8"])
    ws.write(visits, "visits_2.csv", ["id", "2"])
    broken(drop, pipeline)
    ws.write(visits, "visits_3.csv", ["id", "3"])
    services.start_run(pipeline, actor=ws.ACTOR, only=["visits_kept"])
    ws.work()
    ws.run(pipeline)
    ws.write(drop, "customers_2.csv", ["id", "8"])
    for _ in range(2):
        ws.run(pipeline)
    assert ws.rows(project, "visits", "id") == {(1,): 1, (2,): 1, (3,): 1}
    assert ws.rows(project, "met", "id") == {(1,): 1, (2,): 1}


@pytest.mark.all
def test_a_retry_that_was_cancelled_beside_what_waits_is_repeated(
    project: Project, drop: Path, visits: Path, postgres_url: str
):
    tables(project, postgres_url)
    add = adding(postgres_url)
    pipeline = ws.published(project, OPTIONAL + BESIDE + JOINED + (HEAD + KEPT + BRANCH).split("steps:", 1)[1])
    add((1, 10))
    ws.run(pipeline)
    add((2, -1), (3, 10))
    first = ws.run(pipeline)
    ws.write(drop, "orders_2.csv", ["id,customer", "2,8"])
    ws.write(visits, "visits_2.csv", ["id", "2"])
    add((4, -1))
    broken(drop, pipeline)
    services.cancel_run(services.retry_run(first, actor=ws.ACTOR), actor=ws.ACTOR)
    ws.work()
    ws.run(pipeline)
    ws.execute(postgres_url, "UPDATE ticks SET value = 10 WHERE tick IN (2, 4)")
    ws.write(drop, "customers_2.csv", ["id", "8"])
    for _ in range(3):
        ws.run(pipeline)
    ws.run(pipeline, "repair")
    assert ws.rows(project, "good", "tick") == {(at,): 1 for at in (1, 2, 3, 4)}


def test_what_has_arrived_of_a_batch_that_waits_is_not_read_again(project: Project, drop: Path, visits: Path):
    """Its files may be archived or changed meanwhile."""
    pipeline = ws.published(project, OPTIONAL + BESIDE)
    ws.run(pipeline)
    ws.write(visits, "visits_2.csv", ["id", "2"])
    broken(drop, pipeline, "seed")
    (visits / "visits_2.csv").unlink()
    ws.write(visits, "visits_1.csv", ["id", "9"])
    ws.write(visits, "visits_3.csv", ["id", "3"])
    ended = ws.run(pipeline)
    assert (ended.outcome, ws.output(ended, "plan")["steps"][0]["key"]) == ("partial", "customers"), ws.error_of(ended)
    assert visited(project) == {1, 2, 3}
    ws.write(drop, "customers_2.csv", ["id", "8"])
    assert ws.run(pipeline).outcome == "clean"
    assert ws.rows(project, "visits", "id") == {(1,): 1, (2,): 1, (3,): 1}


def test_a_retry_brings_no_older_rows_back(project: Project, drop: Path, visits: Path):
    """What it was to read once more was read by another run; beside it nothing was to be read."""
    merged = (OPTIONAL + BESIDE).replace("dataset: orders}", "dataset: orders, mode: merge, key: [id]}")
    pipeline = ws.published(project, merged)
    ws.run(pipeline)
    first = services.start_run(pipeline, actor=ws.ACTOR, files=["orders_1.csv"], again=True)
    run_step(first.steps.get(key="plan").pk, "tests", may_exit=False)
    services.cancel_run(first, actor=ws.ACTOR)
    ws.work()
    ws.run(pipeline)
    ws.write(drop, "orders_2.csv", ["id,customer", "1,9"])
    ws.run(pipeline)
    with pytest.raises(Conflict, match="Another run has loaded"):
        services.retry_run(first, actor=ws.ACTOR)
    assert ws.rows(project, "orders", "customer") == {(9,): 1}


WATCHED = "schedule: {interval: 60, new_files: true}\n"


def looked(minutes: int) -> int:
    """Look for new files so many minutes from now; returns how many runs such looks have started by then."""
    watching.watch_due(schedules.clock() + timedelta(minutes=minutes))
    ws.work()
    return Run.objects.filter(trigger="schedule").count()


def test_a_look_for_new_files_tries_what_waits_once_for_each_change(project: Project, drop: Path, visits: Path):
    pipeline = ws.published(project, OPTIONAL + BESIDE + JOINED + WATCHED)
    scheduling.enable_schedule(pipeline, actor=ws.ACTOR)
    ws.run(pipeline)
    ws.write(drop, "orders_2.csv", ["id,customer", "2,8"])
    ws.write(visits, "visits_2.csv", ["id", "2"])
    broken(drop, pipeline)
    ws.write(visits, "visits_3.csv", ["id", "3"])
    assert [looked(each) for each in (2, 4, 6)] == [1, 1, 1]
    ws.write(visits, "visits_4.csv", ["id", "4"])
    # Somebody else has come upon it, but no run of this pipeline has.
    sources.discover_streams(Source.objects.get(slug="visits"), actor=ws.ACTOR)
    assert looked(8) == 2
    # What is wrong is mended in its place, first in vain.
    ws.write(drop, "customers_2.csv", [])
    assert [looked(each) for each in (10, 12)] == [3, 3]
    ws.write(drop, "customers_2.csv", ["id", "8"])
    assert looked(14) == 4
    assert (ws.rows(project, "met", "id"), visited(project)) == ({(1,): 1, (2,): 1}, {1, 2, 3, 4})


OTHERS = """
  people: {extract: {source: drop, stream: people, mode: incremental}, if_failed: continue}
  people_kept: {load: {input: people, dataset: people}}
  bought: {extract: {source: drop, stream: orders, mode: incremental}, after: [people_kept]}
  seen: {extract: {source: apart, stream: visits, mode: incremental}}
  seen_kept: {load: {input: seen, dataset: seen}}
  both: {sql: {inputs: {b: bought, s: seen}, query: "SELECT id FROM b JOIN s USING (id)"}}
  both_kept: {load: {input: both, dataset: both}}
"""


@pytest.mark.all
def test_a_look_for_new_files_sees_what_is_mended_of_all_that_waits(project: Project, drop: Path, visits: Path):
    """Two batches wait, and it is the other one's turn when a file of this one is mended while a source is away."""
    apart = drop / "apart"
    apart.mkdir()
    ws.write(apart, "visits_1.csv", ["id", "1"])
    ws.files_source(project, apart, "apart")
    ws.write(drop, "people_1.csv", ["id", "7"])
    sources.discover_streams(Source.objects.get(slug="drop"), actor=ws.ACTOR)
    pipeline = ws.published(project, OPTIONAL + BESIDE + JOINED + OTHERS + WATCHED)
    scheduling.enable_schedule(pipeline, actor=ws.ACTOR)
    ws.run(pipeline)
    for each, breaks, folder in ((2, "customers_2.csv", visits), (3, "people_2.csv", apart)):
        ws.write(drop, f"orders_{each}.csv", ["id,customer", f"{each},7"])
        ws.write(folder, f"visits_{each}.csv", ["id", str(each)])
        ws.write(drop, breaks, [])
        assert ws.run(pipeline).outcome == "partial"
    assert looked(2) == 0
    ws.write(drop, "people_2.csv", ["id", "8"])
    away = apart.rename(drop.parent / "away")
    assert looked(4) == 1
    away.rename(apart)
    assert [looked(each) for each in (6, 8)] == [2, 2]
    assert ws.rows(project, "people", "id") == {(7,): 1, (8,): 1}
    assert ws.rows(project, "both", "id") == {(1,): 1, (3,): 1}


@pytest.fixture
def joined(project: Project, drop: Path, visits: Path) -> Pipeline:
    """A load of two streams, of which visits may be away; it has loaded both."""
    text = (TEXT + BESIDE).replace("visits, mode: incremental}}", "visits, mode: incremental}, if_failed: continue}")
    pipeline = ws.published(project, text + JOINED.replace("JOIN v USING (id)", "UNION ALL SELECT id FROM v"))
    ws.run(pipeline)
    return pipeline


def test_a_seed_of_only_some_steps_takes_all_that_a_load_holds(project: Project, joined: Pipeline, drop: Path):
    """Otherwise the load would be replaced by a part; so it is refused before anything is read or forgotten."""
    said = r"reads `orders` again and not `visits`, and `met_kept` loads rows of both\. Add `met_kept` to the steps"
    for ask in (services.plan_run, partial(services.start_run, actor=ws.ACTOR)):
        with pytest.raises(Conflict, match=said):
            ask(joined, mode="seed", only=["orders_kept"])
    ws.write(drop, "orders_1.csv", ["id,customer", "3,7"])
    services.start_run(joined, actor=ws.ACTOR, mode="seed", only=["orders_kept", "met_kept"])
    ws.work()
    assert ws.rows(project, "met", "id") == {(1,): 1, (3,): 1}
    assert ws.run(joined).outcome == "clean"
    assert visited(project) == {1}
    assert ws.run(joined).state == "skipped"


@pytest.mark.all
def test_a_repair_of_a_seed_without_one_of_two_streams_replaces_nothing(
    project: Project, joined: Pipeline, visits: Path
):
    away = visits.rename(visits.with_name("away"))
    ws.run(joined, "seed")
    away.rename(visits)
    ws.run(joined)
    assert ws.failure(ws.run(joined, "repair"))["code"] == "seed_overtaken"
    assert ws.rows(project, "met", "id") == {(1,): 2}


def test_a_retry_of_which_nothing_is_left_is_refused_with_the_reason(project: Project, drop: Path, visits: Path):
    """Nobody else has loaded anything: all has arrived, or a seed has replaced what it could reach."""
    text = TEXT + BESIDE.replace("visits, mode: incremental}}", "visits, mode: incremental}, if_failed: continue}")
    text += "  none: {check: {input: orders, rules: [{row_count: {max: 0}, action: stop}]}, if_failed: continue}\n"
    pipeline = ws.published(project, text)
    first = ws.run(pipeline)
    assert first.outcome == "partial"
    with pytest.raises(Conflict, match="The run has loaded all that it had read"):
        services.retry_run(first, actor=ws.ACTOR)
    visits.rename(visits.with_name("away"))
    seeded = ws.run(pipeline, "seed")
    assert seeded.outcome == "partial"
    with pytest.raises(Conflict, match="what it could not read a retry does not read either"):
        services.retry_run(seeded, actor=ws.ACTOR)


def test_files_that_are_read_once_more_are_not_forgotten_where_they_were_skipped(project: Project, drop: Path):
    merged = OPTIONAL.replace("dataset: orders}", "dataset: orders, mode: merge, key: [id]}")
    pipeline = ws.published(project, merged)
    ws.run(pipeline)
    ws.write(drop, "orders_1.csv", ["id,customer", "1,8"])
    ws.write(drop, "customers_2.csv", ["id"]).write_bytes(b"")
    started = services.start_run(pipeline, actor=ws.ACTOR, files=["orders_1.csv", "customers_2.csv"], again=True)
    ws.work()
    assert ws.states(started)["orders"] == "skipped"
    ws.write(drop, "customers_2.csv", ["id", "8"])
    assert ws.run(pipeline).outcome == "clean"
    assert ws.rows(project, "orders", "customer") == {(8,): 1}


def test_windows_of_one_say_nothing_of_the_other(project: Project, drop: Path):
    """An order is loaded by its own windows: a customer's that comes later does not load it again."""
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    ws.write(drop, "customers_2.csv", ["id", "8"])
    ended = ws.run(pipeline)
    assert (ended.state, ws.rows(project, "orders", "id")) == ("succeeded", {(1,): 1})


def test_a_run_of_only_some_steps_waits_for_none_that_is_left_out(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    started = services.start_run(pipeline, actor=ws.ACTOR, only=["orders_kept"])
    ws.work()
    started.refresh_from_db()
    assert (started.state, times(started)) == ("succeeded", ["orders", "orders_kept"])


def test_it_is_drawn_otherwise_than_data(project: Project, drop: Path):
    ended = ws.run(ws.published(project, TEXT))
    parsed, _ = document.parse(TEXT)
    assert parsed is not None
    for drawn in (board.graph_of(parsed), board.graph_of_run(ended.steps.all())):
        edges = {each["data"]["id"]: each["data"].get("waits") for each in drawn if "source" in each["data"]}
        assert edges == {"customers>customers_kept": None, "customers_kept>orders": True, "orders>orders_kept": None}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("[customer_kept]", "There is no step `customer_kept`."),
        ("[orders]", "The step `orders` names itself."),
        ("[orders_kept]", "The steps form a circle: `orders` → `orders_kept` → `orders`."),
    ],
)
def test_what_is_refused(after: str, said: str):
    found, problems = document.parse(TEXT.replace("after: [customers_kept]", f"after: {after}"))
    assert found is None and said in str(problems[0]), problems
