"""Backfills: each slice is read once, whatever happens between, and live runs go first and read nothing twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from apps.accounts.models import Project
from apps.audit.models import Event
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import backfilling, control, planning, progress, services, slicing, windows
from apps.pipelines.backfilling import Range
from apps.pipelines.document import parse
from apps.pipelines.execution import sweeps
from apps.pipelines.models import Backfill, Pipeline, Run, StepRun, Window
from apps.pipelines.plans import Survey
from apps.pipelines.schedule import Schedule as Definition
from apps.sources import services as sources
from apps.sources.models import Source
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Window as Bounds
from manifold.demo.data import EXAMPLES
from tests.apps.pipelines import workshop as ws
from tests.mortal import Mortals, mortals

HEAD = """
manifold: 1
pipeline: events
steps:
  events: {extract: {source: db, stream: public.events, mode: incremental}}
"""
KEPT = "  kept: {load: {input: events, dataset: kept}}\n"
MERGED = "  kept: {load: {input: events, dataset: kept, mode: merge, key: [n]}}\n"
FILES = """
manifold: 1
pipeline: sales
steps:
  sales: {extract: {source: drop, stream: sales, mode: incremental}}
  sound: {check: {input: sales, rules: [{range: {column: amount, max: 100}, action: stop}]}}
  kept: {load: {input: sound, dataset: sales}}
"""
FOUR_DAYS = Range("2026-01-01", "2026-01-05")

Add = Callable[..., None]


@pytest.fixture
def add(project: Project, postgres_url: str, workshop: object) -> Add:
    """What puts an event of a day into the source, at noon or at another hour; eight days are there."""
    ws.execute(postgres_url, "CREATE TABLE events (at timestamptz, n int, value int)")

    def put(n: int, day: int, hour: int = 12, value: int = 0) -> None:
        ws.insert(postgres_url, "events", [(datetime(2026, 1, day, hour, tzinfo=UTC), n, value)])

    for day in range(1, 9):
        put(day, day)
    source = ws.postgres_source(project, postgres_url)
    ws.cursor(source, "public.events", "at")
    return put


@pytest.fixture
def events(project: Project, add: Add) -> Pipeline:
    return ws.published(project, HEAD + KEPT)


@pytest.fixture
def sales(project: Project, workshop: Path) -> Pipeline:
    for day in range(1, 7):
        day_of_sales(workshop, day)
    ws.files_source(project, workshop)
    return ws.published(project, FILES)


def day_of_sales(folder: Path, day: int, amount: int | None = None) -> None:
    ws.write(folder, f"sales_2026-01-0{day}.csv", ["land,amount", f"no,{day if amount is None else amount}"])


def start(pipeline: Pipeline, wanted: Range = FOUR_DAYS, **more: Any) -> Backfill:
    return backfilling.start_backfill(pipeline, wanted, actor=ws.ACTOR, **more)


def work() -> None:
    """Work off everything, and give every slice its turn."""
    while ws.work():
        sweeps.admit_pending_runs()
    sweeps.admit_pending_runs()


def one_slice() -> None:
    """Work off the run that is active, and no other."""
    (run,) = Run.objects.filter(state="running")
    while (step := StepRun.objects.filter(run=run, state="ready").order_by("id").first()) is not None:
        ws.run_step(step.pk, "tests", may_exit=False)


def numbers(project: Project, dataset: str = "kept") -> list[int]:
    return sorted(row[0] for row in ws.rows(project, dataset, "n").elements())


def amounts(project: Project) -> Counter[tuple[Any, ...]]:
    return ws.rows(project, "sales", "amount")


def test_it_works(project: Project, events: Pipeline):
    backfill = start(events)
    work()
    backfill.refresh_from_db()
    runs = list(events.runs.order_by("id"))
    assert (backfill.state, len(runs)) == ("done", 4), backfill.reason
    assert {(each.state, each.mode, each.trigger) for each in runs} == {("succeeded", "backfill", "backfill")}
    assert [each.slice for each in runs] == list(range(4))
    assert numbers(project) == list(range(1, 5))
    found = progress.backfill_detail(backfill)
    assert (found["done"], found["failed"], found["left"], found["progress"]) == (4, 0, 0, 1.0)
    assert found["slices"][0]["from"] == "2026-01-01T00:00:00Z"

    live = ws.run(events)
    assert (live.state, live.mode) == ("succeeded", "incremental"), ws.error_of(live)
    assert numbers(project) == list(range(1, 9))
    assert ws.run(events).state == "skipped"


def test_a_preview_says_what_each_slice_reads_and_writes_nothing(project: Project, events: Pipeline, add: Add):
    add(100, 2)
    found = backfilling.preview(events, Range("2025-12-31", "2026-01-03", every="day"))
    assert [each["rows"] for each in found["slices"]] == [0, 1, 2]
    assert "no row" in found["slices"][0]["skip_reason"]
    assert (found["runs"], found["rows"], found["loads"]) == (2, 3, ["kept"])
    assert not Window.objects.exists() and not Backfill.objects.exists() and not Run.objects.exists()


def test_live_runs_go_first_and_begin_where_the_range_ends(project: Project, events: Pipeline, add: Add):
    backfill = start(events)
    live = services.start_run(events, actor=ws.ACTOR, if_running="skip")
    assert live.state == "pending"
    one_slice()
    live.refresh_from_db()
    assert live.state == "running"
    one_slice()
    live.refresh_from_db()
    assert live.state == "succeeded"
    assert numbers(project) == [1, *range(5, 9)]
    add(9, 8, 13)
    work()
    assert ws.run(events).state == "succeeded"
    assert numbers(project) == list(range(1, 10))
    backfill.refresh_from_db()
    assert backfill.state == "done"


def test_it_pauses_and_goes_on_and_waits_for_a_paused_pipeline(project: Project, events: Pipeline):
    backfill = start(events)
    backfilling.pause_backfill(backfill, reason="too loud", actor=ws.ACTOR)
    work()
    assert numbers(project) == [1]
    with pytest.raises(Conflict, match="not running"):
        backfilling.pause_backfill(backfill, actor=ws.ACTOR)
    control.pause_pipeline(events, actor=ws.ACTOR)
    backfilling.resume_backfill(backfill, actor=ws.ACTOR)
    work()
    assert numbers(project) == [1]
    control.resume_pipeline(events, actor=ws.ACTOR)
    work()
    assert numbers(project) == list(range(1, 5))
    changes = Event.objects.filter(verb="backfill changed", object_id=str(backfill.pk)).order_by("id")
    after = [each.after or {} for each in changes]
    assert [each["state"] for each in after] == ["paused", "running", "done"]
    assert "too loud" in after[0]["reason"]


def test_a_slice_that_fails_stops_it_until_it_is_resumed_and_live_runs_go_on(
    project: Project, events: Pipeline, postgres_url: str
):
    checked = HEAD + "  sound: {check: {input: events, rules: [{range: {column: value, max: 5}, action: stop}]}}\n"
    events = ws.published(project, checked + KEPT.replace("input: events", "input: sound"))
    ws.execute(postgres_url, "UPDATE events SET value = 9 WHERE n = 3")
    backfill = start(events)
    work()
    backfill.refresh_from_db()
    assert (backfill.state, numbers(project)) == ("paused", [1, 2])
    assert "Slice 3 has failed" in backfill.reason
    live = ws.run(events)
    assert (live.state, live.mode) == ("succeeded", "incremental"), ws.error_of(live)
    assert numbers(project) == [1, 2, *range(5, 9)]

    ws.execute(postgres_url, "UPDATE events SET value = 1 WHERE n = 3")
    backfilling.resume_backfill(backfill, actor=ws.ACTOR)
    work()
    backfill.refresh_from_db()
    assert (backfill.state, numbers(project)) == ("done", list(range(1, 9)))
    assert progress.backfill_detail(backfill)["done"] == 4


def test_a_retry_that_was_skipped_leaves_its_slice_failed(project: Project, sales: Pipeline, workshop: Path):
    day_of_sales(workshop, 2, amount=1000)
    backfill = start(sales, Range("2026-01-01", "2026-01-05"))
    work()
    (failed,) = sales.runs.filter(state="failed")
    services.start_run(sales, actor=ws.ACTOR)
    again = services.retry_run(failed, actor=ws.ACTOR)
    control.skip_run(again, actor=ws.ACTOR)
    assert progress.backfill_detail(backfill)["failed"] == 1
    ws.work()
    day_of_sales(workshop, 2, amount=2)
    backfilling.resume_backfill(backfill, actor=ws.ACTOR)
    work()
    backfill.refresh_from_db()
    assert (backfill.state, amounts(project)) == ("done", dict.fromkeys([(each,) for each in range(1, 7)], 1))


def test_a_slice_that_fails_is_passed_over_and_can_be_retried(project: Project, sales: Pipeline, workshop: Path):
    day_of_sales(workshop, 2, amount=1000)
    backfill = start(sales, Range("2026-01-01", "2026-01-05"), on_failure="pass_over")
    work()
    backfill.refresh_from_db()
    assert (backfill.state, amounts(project)) == ("done", {(1,): 1, (3,): 1, (4,): 1})
    (failed,) = sales.runs.filter(state="failed")
    assert progress.backfill_detail(backfill)["slices"][1]["run"] == str(failed.pk)
    assert ws.run(sales).state == "succeeded"
    assert amounts(project) == {(1,): 1, (3,): 1, (4,): 1, (5,): 1, (6,): 1}
    day_of_sales(workshop, 2, amount=2)
    again = ws.retry(failed)
    assert again.state == "succeeded", ws.error_of(again)
    assert amounts(project) == dict.fromkeys([(each,) for each in range(1, 7)], 1)
    assert progress.backfill_detail(backfill)["failed"] == 0
    assert ws.run(sales).state == "skipped"


def test_files_of_an_open_range_are_left_by_live_runs(project: Project, sales: Pipeline, workshop: Path):
    backfill = start(sales, Range("2026-01-02", "2026-01-05"))
    backfilling.pause_backfill(backfill, actor=ws.ACTOR)
    one_slice()
    live = ws.run(sales)
    assert live.state == "succeeded", ws.error_of(live)
    assert amounts(project) == {(1,): 1, (2,): 1, (5,): 1, (6,): 1}
    assert "left for a backfill" in ws.run(sales).mode_reason
    backfilling.resume_backfill(backfill, actor=ws.ACTOR)
    work()
    assert amounts(project) == dict.fromkeys([(each,) for each in range(1, 7)], 1)


@pytest.mark.parametrize("before", ["sales", "sound", "kept"])
def test_what_a_cancelled_backfill_has_not_loaded_is_new_again(project: Project, sales: Pipeline, before: str):
    backfill = start(sales, Range("2026-01-01", "2026-01-05"))
    one_slice()
    ws.work_before(before)
    backfilling.cancel_backfill(backfill, actor=ws.ACTOR)
    work()
    backfill.refresh_from_db()
    assert backfill.state == "cancelled"
    assert amounts(project) == {(1,): 1}
    assert ws.run(sales).state == "succeeded"
    assert amounts(project) == dict.fromkeys([(each,) for each in range(1, 7)], 1)


def test_a_backfill_that_was_cancelled_at_once_leaves_no_trace(project: Project, events: Pipeline):
    backfill = start(events)
    backfilling.cancel_backfill(backfill, actor=ws.ACTOR)
    work()
    assert set(ws.windows(events)) == {"forgotten"}
    assert ws.run(events).state == "succeeded"
    assert numbers(project) == list(range(1, 9))


def test_a_live_run_that_read_nothing_while_a_backfill_was_cancelled_leaves_no_mark(project: Project, events: Pipeline):
    control.pause_pipeline(events, actor=ws.ACTOR)
    backfill = start(events)
    live = services.start_run(events, actor=ws.ACTOR)
    control.resume_pipeline(events, actor=ws.ACTOR)
    live.refresh_from_db()
    assert live.state == "running"
    backfilling.cancel_backfill(backfill, actor=ws.ACTOR)
    services.cancel_run(live, actor=ws.ACTOR)
    assert ws.run(events).state == "succeeded"
    assert numbers(project) == list(range(1, 9))


def test_what_a_cancelled_backfill_of_a_cursor_has_left_is_read_by_another(project: Project, events: Pipeline):
    backfill = start(events)
    one_slice()
    one_slice()
    backfilling.cancel_backfill(backfill, actor=ws.ACTOR)
    assert ws.run(events).state == "succeeded"
    assert numbers(project) == [1, 2, *range(5, 9)]
    another = start(events, Range("2025-12-30", "2026-01-07"))
    work()
    another.refresh_from_db()
    assert (another.state, numbers(project)) == ("done", list(range(1, 9)))
    with pytest.raises(Conflict, match="was read before"):
        start(events)


def test_a_slice_that_was_read_in_part_is_refused(events: Pipeline):
    start(events, Range("2026-01-02", "2026-01-04"))
    work()
    with pytest.raises(Conflict, match="a part of the slice"):
        start(events, Range("2026-01-01", "2026-01-06", every="month"))


def test_a_live_run_that_ends_while_the_range_is_understood_keeps_its_mark(
    project: Project, events: Pipeline, monkeypatch: pytest.MonkeyPatch
):
    live = services.start_run(events, actor=ws.ACTOR)
    whole = planning.whole

    def working() -> None:
        try:
            ws.work()
        finally:
            connection.close()

    worker = threading.Thread(target=working)

    def overtaken(*asked: Any) -> Survey:
        found = whole(*asked)
        worker.start()
        until = time.monotonic() + 60
        while not Run.objects.filter(pk=live.pk, state="succeeded").exists() and time.monotonic() < until:
            time.sleep(0.01)
        return found

    monkeypatch.setattr(planning, "whole", overtaken)
    try:
        with pytest.raises(Conflict, match="is under way"):
            start(events)
    finally:
        worker.join(60)
    live.refresh_from_db()
    assert (live.state, worker.is_alive()) == ("succeeded", False)
    assert ws.run(events).state == "skipped"
    assert numbers(project) == list(range(1, 9))


MORE = """
  more: {extract: {source: db, stream: public.more, mode: incremental}}
  first: {load: {input: more, dataset: first}}
  again: {sql: {inputs: {m: more}, query: "FROM m"}}
  second: {load: {input: again, dataset: second}}
"""


def test_a_slice_of_an_older_version_leaves_what_a_newer_one_has_begun(
    project: Project, events: Pipeline, postgres_url: str
):
    backfill = start(events)
    backfilling.pause_backfill(backfill, actor=ws.ACTOR)
    one_slice()
    ws.execute(postgres_url, "CREATE TABLE more AS SELECT * FROM events")
    source = Source.objects.get(slug="db")
    sources.discover_streams(source=source, actor=ws.ACTOR)
    ws.cursor(source, "public.more", "at")
    newer = ws.published(project, HEAD + KEPT + MORE)
    ws.run_cut_off(newer, "second")
    assert numbers(project, "first") == list(range(1, 9))

    backfilling.resume_backfill(backfill, actor=ws.ACTOR)
    work()
    backfill.refresh_from_db()
    assert (backfill.state, numbers(project)) == ("done", list(range(1, 9)))
    assert ws.run(newer).state == "succeeded"
    assert numbers(project, "first") == numbers(project, "second") == list(range(1, 9))


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Mortals]:
    with mortals(tmp_path_factory.mktemp("orders")) as found:
        yield found


def test_whoever_dies_each_row_comes_once(project: Project, events: Pipeline, mortal: Mortals):
    """kill -9 in the plan, the extract and the load of one slice after the other."""
    backfill = start(events)
    for key, place in (("plan", "in_commit"), ("events", "written"), ("kept", "in_commit"), ("kept", "committed")):
        ws.killed(mortal, key, place)
    work()
    backfill.refresh_from_db()
    assert (backfill.state, numbers(project)) == ("done", [1, 2, 3, 4])
    assert ws.run(events).state == "succeeded"
    assert numbers(project) == list(range(1, 9))


def test_a_seed_between_reads_everything_and_leaves_nothing_for_the_slices(project: Project, events: Pipeline):
    start(events)
    one_slice()
    services.start_run(events, actor=ws.ACTOR, mode="seed")
    work()
    assert numbers(project) == list(range(1, 9))
    assert Counter(events.runs.values_list("state", flat=True)) == {"succeeded": 3, "skipped": 2}


def test_rows_are_read_again_where_all_loads_merge(project: Project, add: Add, postgres_url: str):
    appends = ws.published(project, HEAD + KEPT)
    with pytest.raises(Conflict, match="would come twice"):
        start(appends, Range("2026-01-01", "2026-01-03", again=True))
    merges = ws.published(
        project, (HEAD + MERGED).replace("pipeline: events", "pipeline: more").replace("kept", "more")
    )
    assert ws.run(merges).state == "succeeded"
    ws.execute(postgres_url, "UPDATE events SET value = n WHERE n < 5")
    start(merges, Range("2026-01-02", "2026-01-04", again=True))
    work()
    values = ws.rows(project, "more", "n, value")
    assert values == {(n, n if n in (2, 3) else 0): 1 for n in range(1, 9)}
    add(9, 8, 13)
    assert ws.run(merges).state == "succeeded"
    assert numbers(project, "more") == list(range(1, 10))


SUMMARY = """
  all: {sql: {inputs: {k: {dataset: kept}}, query: "SELECT count(*) AS n FROM k"}}
  total: {load: {input: all, dataset: total, mode: replace}}
"""


def test_a_summary_of_the_whole_dataset_is_replaced_after_each_slice(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT + SUMMARY)
    start(pipeline)
    one_slice()
    assert numbers(project, "total") == [1]
    work()
    assert numbers(project, "total") == [4]
    assert Counter(pipeline.runs.values_list("state", flat=True)) == {"succeeded": 4}


def test_a_summary_does_not_keep_slices_from_being_read_again(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + MERGED + SUMMARY)
    assert ws.run(pipeline).state == "succeeded"
    add(9, 3)
    start(pipeline, Range("2026-01-02", "2026-01-04", again=True))
    work()
    assert numbers(project, "total") == [9]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD.replace(", mode: incremental", "") + KEPT, "no incremental extract"),
        (HEAD + KEPT.replace("kept}", "kept, mode: replace}"), "mode: append"),
        (
            HEAD + KEPT + SUMMARY.replace("{k: {dataset: kept}}", "{k: {dataset: kept}, e: events}"),
            "`total` keeps only what the newest run has read",
        ),
    ],
)
def test_a_document_without_slices_is_refused_with_the_remedy(project: Project, add: Add, text: str, said: str):
    with pytest.raises(Conflict, match=said):
        start(ws.published(project, text))


def test_the_pipeline_of_the_demo_can_be_read_by_slices():
    document, _ = parse((EXAMPLES / "flights.yaml").read_text())
    assert document is not None
    drop = StreamConfig("flights", settings={"pattern": ["flights_{YYYY}-{MM}.csv"]})
    found = slicing.targets(document, {"flights": (build("local_files", {"path": "drop"}), drop)}, again=False)
    assert (found.loads, found.extracts, found.left_out) == (("kept", "punctuality"), ("flights",), ())


def test_a_cursor_that_is_no_time_is_refused_with_the_remedy(project: Project, events: Pipeline):
    ws.cursor(Source.objects.get(slug="db"), "public.events", "n")
    with pytest.raises(Conflict, match="Choose a column with a time"):
        start(events)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Range("2026-01-01", "yesterday"), "is no date"),
        (Range("2026-01-02", "2026-01-01"), "ends before it begins"),
        (Range("2026-01-01", "2999-01-01"), "in the future"),
        (Range("2020-01-01", "2026-01-01", every="hour"), "more than 1,000"),
        (Range("2026-01-01", "2026-01-02", every="schedule"), "no schedule"),
        (Range("2026-01-01", "2026-01-02", timezone="Mars"), "no time zone"),
        (Range("2026-01-01", "2026-01-02", every="eon"), "Choose one of"),
    ],
)
def test_a_range_that_is_none_is_refused(events: Pipeline, wanted: Range, said: str):
    with pytest.raises(Invalid, match=said):
        start(events, wanted)


def test_slices_by_another_column_leave_a_range_unread():
    read = Window(bounds=Bounds("slice", column="at", lower="2026-01-01", upper="2026-01-05").as_json())

    def covered(column: str) -> str:
        return windows.coverage([], [read], Bounds("slice", column=column, lower="2026-01-01", upper="2026-01-02"))

    assert (covered("at"), covered("made")) == ("all", "none")


def test_one_backfill_at_a_time(events: Pipeline):
    start(events)
    with pytest.raises(Conflict, match="has not ended"):
        start(events, Range("2025-01-01", "2025-02-01"))


def test_a_range_may_be_one_slice():
    lower, upper = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 7))
    assert slicing.cut(lower, upper, "range", "UTC", None) == [(lower, upper)]


def test_slices_follow_the_clocks_of_their_zone():
    """The night on which New York's clocks go forward is 23 hours long, the one on which they go back 25."""

    def lengths(text: str, until: str, every: str, schedule: Definition | None = None) -> list[float]:
        zone = "America/New_York"
        lower, upper = slicing.moment("from", text, zone), slicing.moment("to", until, zone)
        found = slicing.cut(lower, upper, every, zone, schedule)
        assert (found[0][0], found[-1][1]) == (lower, upper)
        return [(end - begin) / timedelta(hours=1) for begin, end in found]

    assert lengths("2026-03-07", "2026-03-10", "day") == [24, 23, 24]
    assert lengths("2026-10-31", "2026-11-03", "day") == [24, 25, 24]
    assert lengths("2026-11-01", "2026-11-02", "hour") == [1] * 25
    assert lengths("2026-03-08", "2026-03-09", "hour") == [1] * 23
    assert lengths("2026-02-15", "2026-04-01", "month") == [14 * 24, 31 * 24 - 1]
    early = Definition.model_validate({"cron": "30 2 * * *", "timezone": "America/New_York"})
    # 02:30 is 03:00 on the day on which the clocks jump over it.
    assert lengths("2026-03-07T02:30", "2026-03-10T02:30", "schedule", early) == [23.5, 23.5, 24]
