"""Seeds, repeats, repairs and retries: which windows there are, and that rows are neither doubled nor lost."""

from __future__ import annotations

import pytest

from apps.accounts.models import Project
from apps.audit.refusals import Conflict
from apps.pipelines import arrival, services, windows
from apps.pipelines.models import Pipeline, Window
from apps.snapshots.models import Snapshot
from apps.sources.models import Source
from dataplane.errors import ConfigurationError, LostError, ManifoldError, TransientError
from tests.apps.pipelines import workshop as ws
from tests.apps.pipelines.ticks import BRANCH, HEAD, KEPT, Add, adding, tables


@pytest.fixture
def source(project: Project, postgres_url: str, workshop: object) -> Source:
    return tables(project, postgres_url)


@pytest.fixture
def add(source: Source, postgres_url: str) -> Add:
    return adding(postgres_url)


def test_a_branch_that_failed_is_repaired_and_nothing_is_doubled(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT + BRANCH)
    add((1, 10))
    assert ws.run(pipeline).outcome == "clean"

    add((2, -1), (3, 30))
    partial = ws.run(pipeline)
    assert (partial.state, partial.outcome) == ("succeeded", "partial"), ws.error_of(partial)
    assert ws.windows(pipeline) == ["done", "failed"]

    add((4, 40))
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "kept", "tick") == {(1,): 1, (2,): 1, (3,): 1, (4,): 1}
    assert ws.rows(project, "good", "tick") == {(1,): 1, (4,): 1}

    ws.execute(postgres_url, "UPDATE ticks SET value = 20 WHERE tick = 2")
    repaired = ws.run(pipeline, "repair")
    assert (repaired.state, repaired.mode) == ("succeeded", "repair"), ws.error_of(repaired)
    assert ws.output(repaired, "kept")["status"] == "already_done"
    assert ws.rows(project, "kept", "tick") == {(1,): 1, (2,): 1, (3,): 1, (4,): 1}
    assert ws.rows(project, "good", "tick") == {(1,): 1, (2,): 1, (3,): 1, (4,): 1}
    assert ws.windows(pipeline) == ["done", "done", "done"]
    assert ws.run(pipeline).state == "skipped"


def test_what_was_not_read_because_its_source_was_away_is_read_by_the_next_run(
    project: Project, source: Source, add: Add, postgres_url: str
):
    """Nothing is wrong with its rows, so they wait for no repair; what was read before is not read again."""
    text = (HEAD + KEPT).replace("incremental}}", "incremental}, if_failed: continue, retry: {attempts: 1}}")
    pipeline = ws.published(project, text)
    for at in (1, 2):
        add((at, 10))
        ws.run(pipeline)
    add((3, 20))
    started = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("ticks")
    Source.objects.filter(pk=source.pk).update(params={**source.params, "port": 1})
    ws.work()
    Source.objects.filter(pk=source.pk).update(params=source.params)
    started.refresh_from_db()
    assert (started.outcome, ws.windows(pipeline)) == ("partial", ["done", "done", "failed"])
    add((4, 30))
    assert ws.run(pipeline).outcome == "clean"
    assert ws.rows(project, "kept", "tick") == {(at,): 1 for at in (1, 2, 3, 4)}
    assert ws.windows(pipeline) == ["done", "done", "forgotten", "done"]
    with pytest.raises(Conflict, match="or a later run what this one could not read"):
        services.retry_run(started, actor=ws.ACTOR)


@pytest.mark.parametrize(
    "error",
    [
        TransientError("It took too long.", code="timeout"),
        pytest.param(LostError("The worker died.", code="worker_lost"), marks=pytest.mark.all),
    ],
    ids=["timeout", "worker_lost"],
)
def test_what_is_too_much_for_the_machine_waits_for_a_repair(project: Project, add: Add, error: ManifoldError):
    """Read again with each run, it would keep its branch from what is new for ever."""
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    started = services.start_run(pipeline, actor=ws.ACTOR)
    ws.work_before("ticks")
    step = started.steps.filter(key="ticks")
    step.update(state="running")
    step.update(state="failed", error=error.as_json())
    Window.objects.update(state="failed")
    assert arrival.planned_anew(Window.objects.all()) == []


def test_a_repair_of_several_batches_goes_through_all_of_them(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT + BRANCH)
    for at in (1, 2, 3):
        add((at, -1))
        assert ws.run(pipeline).outcome == "partial"
    ws.execute(postgres_url, "UPDATE ticks SET value = 1")
    assert ws.run(pipeline, "repair").state == "succeeded"
    assert ws.windows(pipeline) == ["done"] * 3
    assert ws.rows(project, "good", "tick") == {(1,): 1, (2,): 1, (3,): 1}


def test_a_branch_that_fails_again_is_not_repeated_for_ever(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT + BRANCH)
    for at in (1, 2):
        add((at, -1))
        ws.run(pipeline)
    assert ws.run(pipeline, "repair").outcome == "partial"
    assert pipeline.runs.count() == 3
    assert ws.windows(pipeline) == ["failed", "failed"]


def test_a_late_repair_does_not_bring_back_the_past(project: Project, add: Add, postgres_url: str):
    """A dataset replaced directly by each window keeps the newest; one that is made from a dataset follows it."""
    text = HEAD + KEPT + BRANCH.replace("dataset: good}", "dataset: good, mode: replace}")
    total = "  sums: {sql: {inputs: {g: {dataset: kept}}, query: SELECT count(*) AS n FROM g}}\n"
    pipeline = ws.published(project, text + total + "  summed: {load: {input: sums, dataset: totals, mode: replace}}\n")
    add((1, -1))
    ws.run(pipeline)
    add((2, 2))
    ws.run(pipeline)
    ws.execute(postgres_url, "UPDATE ticks SET value = 1")
    repaired = ws.run(pipeline, "repair")
    assert repaired.state == "succeeded", ws.error_of(repaired)
    assert ws.output(repaired, "good")["status"] == "overtaken"
    assert ws.rows(project, "good") == {(2, 2): 1}
    assert ws.rows(project, "totals") == {(2,): 1}


def test_a_seed_reads_everything_again_and_replaces(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10), (2, 20))
    ws.run(pipeline)
    add((3, 30))
    ws.run(pipeline)
    ws.execute(postgres_url, "DELETE FROM ticks WHERE tick = 1")
    seeded = ws.run(pipeline, "seed")
    assert (seeded.state, seeded.mode) == ("succeeded", "seed")
    assert ws.rows(project, "kept") == {(2, 20): 1, (3, 30): 1}
    assert ws.rows(project, "kept", number=2) == {(1, 10): 1, (2, 20): 1, (3, 30): 1}
    assert ws.windows(pipeline) == ["forgotten", "forgotten", "done"]
    add((4, 40))
    assert ws.run(pipeline).mode == "incremental"
    assert ws.rows(project, "kept", "tick") == {(2,): 1, (3,): 1, (4,): 1}


def test_a_seed_that_was_cut_off_still_replaces(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    ws.run(pipeline)
    ws.execute(postgres_url, "UPDATE ticks SET value = 11")
    assert ws.run_cut_off(pipeline, "kept", "seed").state == "cancelled"
    assert ws.rows(project, "kept") == {(1, 10): 1}
    assert ws.run(pipeline).mode == "repair"
    assert ws.rows(project, "kept") == {(1, 11): 1}


MORE = """
  marks: {extract: {source: db, stream: public.marks, mode: incremental}}
  first: {load: {input: marks, dataset: first}}
  again: {sql: {inputs: {m: marks}, query: "FROM m"}}
  second: {load: {input: again, dataset: second}}
"""


def test_a_retry_of_an_older_version_leaves_what_a_newer_one_has_begun(project: Project, add: Add, postgres_url: str):
    add((1, -1))
    partial = ws.run(ws.published(project, HEAD + KEPT + BRANCH))
    assert partial.outcome == "partial"
    newer = ws.published(project, HEAD + KEPT + BRANCH + MORE)
    add((5, 50), to="marks")
    ws.run_cut_off(newer, "second")
    assert ws.rows(project, "first") == {(5, 50): 1}

    # What a week does to its files: the retry plans and reads again.
    partial.steps.update(table=None)
    ws.execute(postgres_url, "UPDATE ticks SET value = 1")
    assert ws.retry(partial).outcome == "clean"
    assert ws.rows(project, "good") == {(1, 1): 1}
    assert ws.run(newer).state == "succeeded"
    assert ws.rows(project, "first") == ws.rows(project, "second") == {(5, 50): 1}


def test_a_retry_reuses_what_stands(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    cut = ws.run_cut_off(pipeline, "kept")
    again = ws.retry(cut)
    assert again.state == "succeeded", ws.error_of(again)
    assert ws.states(again) == {"plan": "reused", "ticks": "reused", "kept": "succeeded"}
    assert again.steps.get(key="ticks").reused_from == cut.steps.get(key="ticks").pk
    assert ws.rows(project, "kept") == {(1, 10): 1}
    assert ws.windows(pipeline) == ["done"]
    assert ws.run(pipeline).state == "skipped"


def test_a_retry_reads_a_whole_stream_that_did_not_arrive(project: Project, add: Add):
    pipeline = ws.published(project, HEAD.replace("incremental", "full_refresh") + KEPT.replace("append", "replace"))
    add((1, 10))
    cut = ws.run_cut_off(pipeline, "ticks")
    assert ws.states(cut) == {"plan": "succeeded", "ticks": "cancelled", "kept": "cancelled"}
    again = ws.retry(cut)
    assert (again.state, again.mode) == ("succeeded", "full_refresh"), again.mode_reason
    assert ws.rows(project, "kept") == {(1, 10): 1}


def test_a_retry_repairs_a_failed_branch(project: Project, add: Add, postgres_url: str):
    """The check reads what was staged: a retry after the source was mended fails again, a repair reads anew."""
    pipeline = ws.published(project, HEAD + KEPT + BRANCH)
    add((1, -1))
    partial = ws.run(pipeline)
    assert partial.outcome == "partial"
    ws.execute(postgres_url, "UPDATE ticks SET value = 1")
    again = ws.retry(partial)
    assert again.outcome == "partial"
    assert ws.states(again)["kept"] == "reused"
    assert ws.windows(pipeline) == ["failed"]
    assert ws.run(pipeline, "repair").outcome == "clean"
    assert ws.rows(project, "good") == {(1, 1): 1}
    assert ws.rows(project, "kept") == {(1, -1): 1}


def test_what_cannot_be_retried(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    cut = ws.run_cut_off(pipeline, "kept")
    done = ws.run(pipeline)
    with pytest.raises(Conflict, match="Another run has loaded"):
        services.retry_run(cut, actor=ws.ACTOR)
    with pytest.raises(Conflict, match="nothing to repeat"):
        services.retry_run(done, actor=ws.ACTOR)
    ws.run(pipeline, "seed")
    with pytest.raises(Conflict, match="A seed has read everything again"):
        services.retry_run(cut, actor=ws.ACTOR)


def test_two_extracts_share_a_batch(project: Project, add: Add):
    """A union of two: what is new in one alone is loaded alone, and a repeated batch has the same two windows again."""
    union = """
  marks: {extract: {source: db, stream: public.marks, mode: incremental}}
  both: {sql: {inputs: {t: ticks, m: marks}, query: SELECT * FROM t UNION ALL SELECT * FROM m}}
  kept: {load: {input: both, dataset: kept}}
"""
    pipeline = ws.published(project, HEAD + union)
    add((1, 1))
    ws.run(pipeline)
    add((2, 2))
    add((3, 3), to="marks")
    cut = ws.run_cut_off(pipeline, "kept")
    add((4, 4), to="marks")
    again = ws.run(pipeline)
    assert again.batch == cut.batch
    assert again.batch is not None
    assert Window.objects.filter(batch=again.batch).count() == 2
    assert pipeline.runs.get(trigger="follow_up").mode == "incremental"
    assert ws.rows(project, "kept") == {(1, 1): 1, (2, 2): 1, (3, 3): 1, (4, 4): 1}
    assert Snapshot.objects.filter(dataset__slug="kept").count() == 3


def test_a_step_with_a_new_name_goes_on_where_it_was(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 1))
    ws.run(pipeline)
    add((2, 2))
    ws.run_cut_off(pipeline, "kept")
    add((3, 3))
    ws.published(project, (HEAD + KEPT).replace("  ticks:", "  again:").replace("input: ticks", "input: again"))
    ended = ws.run(pipeline)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert ended.mode == "repair"
    assert ws.windows(pipeline) == ["done", "done", "done"]
    assert ws.rows(project, "kept") == {(1, 1): 1, (2, 2): 1, (3, 3): 1}


def test_an_open_window_of_a_stream_that_left_the_document_is_forgotten(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 1))
    add((7, 7), to="marks")
    ws.run_cut_off(pipeline, "kept")
    ws.published(project, (HEAD + KEPT).replace("public.ticks", "public.marks"))
    assert ws.run(pipeline).mode == "seed"
    assert ws.windows(pipeline) == ["forgotten", "done"]
    assert ws.rows(project, "kept") == {(7, 7): 1}


def test_a_step_that_has_loaded_another_stream_asks_what_is_meant(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 1))
    add((7, 7), to="marks")
    ws.run(pipeline)
    ws.published(project, (HEAD + KEPT).replace("public.ticks", "public.marks"))
    assert ws.failure(ws.run(pipeline))["code"] == "stream_changed"
    assert ws.run(pipeline, "seed").state == "succeeded"
    assert ws.rows(project, "kept") == {(7, 7): 1}


def test_a_load_that_joins_later_gets_the_open_batch_too(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 1))
    ws.run_cut_off(pipeline, "kept")
    ws.published(project, HEAD + KEPT + "  more: {load: {input: ticks, dataset: more}}\n")
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "kept") == ws.rows(project, "more") == {(1, 1): 1}


def test_another_cursor_needs_a_seed(project: Project, add: Add, source: Source):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    ws.run(pipeline)
    ws.cursor(source, "public.ticks", "value")
    failed = ws.run(pipeline)
    assert ws.failure(failed)["code"] == "cursor_changed"
    with pytest.raises(ConfigurationError, match="mode seed"):
        services.plan_run(pipeline, mode="auto")
    assert ws.run(pipeline, "seed").state == "succeeded"


def test_repair_refuses_what_it_cannot_make_exact(project: Project, add: Add):
    """A row that came below the mark without a lookback: its window is closed, and nobody can tell its rows apart.

    One that came at the mark is read by the next run, so it is no difference.
    """
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 1), (5, 5))
    ws.run(pipeline)
    add((5, 6))
    nothing = ws.run(pipeline, "repair")
    assert (nothing.state, nothing.mode) == ("skipped", "repair"), ws.error_of(nothing)
    add((3, 3))
    differs = ws.run(pipeline, "repair")
    assert ws.failure(differs)["code"] == "closed_window_differs"
    assert ws.failure(differs)["evidence"]["rows_there"] == 3
    assert [each["id"] for each in ws.failure(differs)["suggestions"]] == ["seed"]
    ws.run(pipeline, "seed")
    assert ws.rows(project, "kept") == {(1, 1): 1, (3, 3): 1, (5, 5): 1, (5, 6): 1}
    assert ws.run(pipeline, "repair").state == "skipped"


def test_the_mode_incremental_never_reads_everything(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 1))
    assert ws.failure(ws.run(pipeline, "incremental"))["code"] == "never_read"
    assert ws.run(pipeline).mode == "seed"
    add((2, 2))
    assert ws.run(pipeline, "incremental").mode == "incremental"


def test_a_dry_run_writes_nothing(project: Project, add: Add):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 1))
    plan = services.plan_run(pipeline)
    assert plan["mode"] == "seed"
    assert [each["key"] for each in plan["steps"]] == ["ticks", "kept"]
    assert plan["steps"][0]["reads"] == [{"stream": "public.ticks", "column": "tick", "lower": None, "upper": "1"}]
    assert not Window.objects.exists()
    assert not pipeline.runs.exists()
    ws.run(pipeline)
    plan = services.plan_run(pipeline)
    assert plan["mode"] == "skip"
    assert all(each["skip_reason"] for each in plan["steps"])


def test_full_refreshes_load_once_a_run(project: Project, add: Add, source: Source):
    whole = (HEAD + KEPT).replace("mode: incremental", "mode: full_refresh")
    pipeline = ws.published(project, whole.replace("dataset: kept}", "dataset: kept, mode: replace}"))
    add((1, 1))
    assert ws.run(pipeline).mode == "full_refresh"
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "kept") == {(1, 1): 1}
    cut = ws.run_cut_off(pipeline, "kept")
    assert ws.retry(cut).state == "succeeded"
    assert Snapshot.objects.filter(dataset__slug="kept").count() == 3
    assert Pipeline.objects.get(pk=pipeline.pk).runs.count() == 4


def test_what_decides_does_not_grow_with_every_run(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT + BRANCH)
    for at in range(1, 4):
        add((at, at))
        ws.run(pipeline)
    add((4, -4))
    assert ws.run(pipeline).outcome == "partial"
    for at in range(5, 9):
        add((at, at))
        ws.run(pipeline)
    every = windows.kept(pipeline.pk)
    assert [each.state for each in every] == ["done"] * 3 + ["failed"] + ["done"] * 4
    assert windows.deciding(pipeline.pk) == [every[0], every[3], every[-1]]
    assert windows.deciding(pipeline.pk, every[5].batch) == [every[0], every[3], every[5], every[-1]]
    every[6].bounds["late"] = 2
    every[6].save(update_fields=["bounds"])
    assert windows.deciding(pipeline.pk) == [every[0], every[3], every[6], every[-1]]

    # An extract that is given another id takes all of them along, those that decide nothing, too.
    renamed = (HEAD + KEPT + BRANCH).replace("  ticks: {", "  moments: {").replace("input: ticks", "input: moments")
    add((9, 9))
    assert ws.run(ws.published(project, renamed)).mode == "incremental"
    assert set(Window.objects.values_list("step_key", flat=True)) == {"moments"}
    assert ws.rows(project, "kept", "tick") == {(at,): 1 for at in range(1, 10)}
