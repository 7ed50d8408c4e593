"""What becomes of files: told step by step, picked by hand, read once more, changed behind one's back."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import Project, Role, User
from apps.audit.models import Event
from apps.audit.refusals import Invalid
from apps.pipelines import filestates, fixing, services
from apps.pipelines.execution.steps import run_step
from apps.pipelines.models import Pipeline, Run, Window
from apps.pipelines.queries import currency
from apps.sources import services as sources
from apps.sources.models import Source, SourceFile, Stream
from apps.sources.services import watching
from dataplane.connectors.files import changed
from dataplane.connectors.local_files import LocalFiles
from dataplane.errors import ConfigurationError
from tests.apps.pipelines import workshop as ws
from tests.people import Api, member

TEXT = """
manifold: 1
pipeline: sales
steps:
  sales: {extract: {source: drop, stream: sales, mode: incremental}}
  kept: {load: {input: sales, dataset: sales}}
"""
MERGED = TEXT.replace("dataset: sales}", "dataset: sales, mode: merge, key: [id]}")


@pytest.fixture
def drop(project: Project, workshop: Path) -> Path:
    for month in "123":
        put(workshop, month, f"{month},{month}0")
    ws.files_source(project, workshop)
    return workshop


def put(folder: Path, month: str, *rows: str) -> Path:
    return ws.write(folder, f"sales_2026-0{month}.csv", ["id,amount", *rows])


def run(pipeline: Pipeline, *files: str, again: bool = False) -> Run:
    started = services.start_run(pipeline, actor=ws.ACTOR, files=files, again=again)
    ws.work()
    started.refresh_from_db()
    return started


@pytest.mark.parametrize(("every", "health"), [(900, "healthy"), (0, "error")])
def test_a_source_that_a_run_reads_again_is_tested_at_once(project: Project, drop: Path, every: int, health: str):
    source = sources.update_source(Source.objects.get(), check_every=every, actor=ws.ACTOR)
    gone = drop.rename(drop.with_name("gone"))
    assert not sources.test_source(source, actor=ws.ACTOR).ok
    gone.rename(drop)
    watching.watch_due(timezone.now())
    assert Source.objects.get().health == "error"
    assert run(ws.published(project, TEXT)).state == "succeeded"
    watching.watch_due(timezone.now())
    assert Source.objects.get().health == health
    assert Event.objects.filter(verb="source health changed", data__health="healthy").exists() == (health == "healthy")


def states(pipeline: Pipeline) -> dict[str, str]:
    found = filestates.of_pipeline(pipeline, limit=100)
    assert filestates.counted(pipeline) == Counter(each.state for each in found)
    return {each.path.removesuffix(".csv")[-1]: each.state for each in found}


def policy(what: str) -> None:
    sources.update_stream(Stream.objects.get(), config={"settings": {"when_changed": what}}, actor=ws.ACTOR)


def amounts(project: Project) -> set[int]:
    return {int(amount) for (amount,) in ws.rows(project, "sales", "amount").elements()}


def test_it_works(project: Project, drop: Path):
    """Files are picked for a run; those that were not picked wait for the next."""
    pipeline = ws.published(project, TEXT)
    assert states(pipeline) == {"1": "pending", "2": "pending", "3": "pending"}
    plan = services.plan_run(pipeline, files=["*-02.csv"])
    assert [each["path"] for each in plan["steps"][0]["reads"]] == ["sales_2026-02.csv"]
    assert run(pipeline, "sales_2026-02.csv").state == "succeeded"
    assert states(pipeline) == {"1": "pending", "2": "processed", "3": "pending"}
    nothing = run(pipeline, "sales_2026-02.csv")
    assert (nothing.state, "None of the files that were picked" in nothing.mode_reason) == ("skipped", True)
    sources.ignore_file(SourceFile.objects.get(path="sales_2026-03.csv"), ignored=True, actor=ws.ACTOR)
    assert ws.run(pipeline).state == "succeeded"
    assert states(pipeline) == {"1": "processed", "2": "processed", "3": "ignored"}
    assert amounts(project) == {10, 20}


def test_what_is_told_of_files_takes_two_queries_and_no_more_files_than_are_shown(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    run(pipeline, "*-02.csv")
    assert pipeline.published
    with CaptureQueriesContext(connection) as queries:
        found = filestates.of_pipeline(pipeline, "sales", "pending", limit=1)
    assert ([each.path for each in found], len(queries)) == (["sales_2026-01.csv"], 2)
    assert filestates.of_pipeline(pipeline, "kept", limit=9) == []


def test_a_file_that_a_run_could_not_read_has_failed_until_it_is_read(project: Project, drop: Path, api: Api):
    pipeline = ws.published(project, TEXT)
    whole = (drop / "sales_2026-02.csv").read_bytes()
    (drop / "sales_2026-02.csv").write_text("other,columns\n1,2\n")
    assert ws.run(pipeline).state == "failed"
    assert states(pipeline) == {"1": "pending", "2": "failed", "3": "pending"}
    viewer = member("vera", project, Role.VIEWER)
    found = api(viewer).get(f"/api/v1/projects/{project.slug}/pipelines/sales/files/").json()["results"]
    assert [each["reason"][:32] for each in found] == ["", "The first line of sales_2026-02.", ""]
    client = Client()
    client.force_login(viewer)
    page = client.get(f"/p/{project.slug}/pipelines/sales/files/?state=failed").content.decode()
    assert "names none of the stream&#x27;s columns" in page
    assert ws.failure(run(pipeline, "*-01.csv"))["code"] == "unfinished_batch"
    assert states(pipeline)["2"] == "failed", "a run that fails before it reads anything says nothing of files"
    (drop / "sales_2026-02.csv").write_bytes(whole)
    assert ws.run(pipeline, mode="seed").state == "succeeded"
    assert states(pipeline) == dict.fromkeys("123", "processed")
    assert not any(each.reason for each in filestates.of_pipeline(pipeline, limit=9))


def test_a_file_that_stopped_a_plan_has_failed_and_waits_again_once_a_run_has_gone_on_without_it(
    project: Project, drop: Path
):
    pipeline = ws.published(project, TEXT)
    ws.run_cut_off(pipeline, "kept")
    (drop / "sales_2026-02.csv").unlink()
    failed = ws.run(pipeline)
    assert (failed.steps.get(state="failed").key, ws.failure(failed)["code"]) == ("plan", "files_missing")
    assert states(pipeline) == {"1": "pending", "2": "failed", "3": "pending"}
    (told,) = filestates.of_pipeline(pipeline, state="failed", limit=9)
    assert "have vanished, the first is sales_2026-02.csv" in told.reason
    file = SourceFile.objects.get(path="sales_2026-02.csv")
    sources.ignore_file(file, ignored=True, actor=ws.ACTOR)
    put(drop, "2", "2,20")
    assert states(pipeline)["2"] == "ignored"
    assert ws.run(pipeline).state == "succeeded"
    sources.ignore_file(file, ignored=False, actor=ws.ACTOR)
    assert states(pipeline) == {"1": "processed", "2": "pending", "3": "processed"}
    assert ws.run(pipeline).state == "succeeded"
    assert (states(pipeline), amounts(project)) == (dict.fromkeys("123", "processed"), {10, 20, 30})


def test_a_file_whose_columns_stop_the_first_plan_that_lists_it_has_failed(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    sources.update_stream(Stream.objects.get(), config={}, drift="stop", actor=ws.ACTOR)
    ws.write(drop, "sales_2026-04.csv", ["id,amount,note", "4,40,new"])
    failed = ws.run(pipeline)
    assert (failed.steps.get(state="failed").key, ws.failure(failed)["code"]) == ("plan", "schema_drift")
    assert states(pipeline) == {**dict.fromkeys("123", "processed"), "4": "failed"}
    (told,) = filestates.of_pipeline(pipeline, state="failed", limit=9)
    assert told.reason.startswith("The columns of sales have changed")
    sources.ignore_file(SourceFile.objects.get(path="sales_2026-04.csv"), ignored=True, actor=ws.ACTOR)
    assert (ws.run(pipeline).state, states(pipeline)["4"]) == ("skipped", "ignored")


def test_an_archive_that_cannot_be_looked_into_has_failed_until_it_can_or_is_set_aside(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    settings = {"pattern": ["sales_{YYYY}-{MM}.csv", "more.zip/*.csv"]}
    sources.update_stream(Stream.objects.get(), config={"settings": settings}, actor=ws.ACTOR)
    (drop / "more.zip").write_bytes(b"PK\x03\x04")
    failed = ws.run(pipeline)
    assert (failed.steps.get(state="failed").key, ws.failure(failed)["code"]) == ("plan", "file_damaged")
    (told,) = filestates.of_pipeline(pipeline, state="failed", limit=9)
    assert (told.path, told.size, told.reason[:31]) == ("more.zip", 4, "more.zip cannot be unpacked: it")
    assert states(pipeline) == {"1": "pending", "2": "pending", "3": "pending", "p": "failed"}
    went_on = fixing.apply(failed, "ignore_file", actor=ws.ACTOR)
    ws.work()
    went_on.refresh_from_db()
    assert (went_on.state, went_on.outcome, states(pipeline)["p"]) == ("succeeded", "clean", "ignored")
    put(drop, "5", "5,50")
    assert currency(project)["pending_files"] == 1
    with pytest.raises(Invalid, match="No file that the pipeline reads is `none`"):
        services.start_run(pipeline, actor=ws.ACTOR, files=["none"])
    sources.discover_streams(Source.objects.get(), actor=ws.ACTOR)
    assert states(pipeline) == {**dict.fromkeys("123", "processed"), "5": "pending", "p": "ignored"}
    assert ws.run(pipeline).state == "succeeded"
    with zipfile.ZipFile(drop / "more.zip", "w") as archive:
        archive.writestr("sales4.csv", "id,amount\n4,40\n")
    assert ws.run(pipeline).state == "skipped", "what is in an archive that was set aside stays there"
    sources.ignore_file(SourceFile.objects.get(path="more.zip"), ignored=False, actor=ws.ACTOR)
    assert ws.run(pipeline).state == "succeeded"
    assert (states(pipeline), amounts(project)) == (dict.fromkeys("12345", "processed"), {10, 20, 30, 40, 50})


def test_a_file_that_was_read_after_a_failure_and_has_changed_waits_again(project: Project, drop: Path):
    pipeline = ws.published(project, MERGED)
    failed = services.start_run(pipeline, actor=ws.ACTOR, files=["*-02.csv"])
    run_step(failed.steps.get(key="plan").pk, "tests", may_exit=False)
    (drop / "sales_2026-02.csv").unlink()
    ws.work()
    failed.refresh_from_db()
    assert ws.failure(failed)["evidence"]["files"] == ["sales_2026-02.csv"]
    assert states(pipeline) == {"1": "pending", "2": "failed", "3": "pending"}
    put(drop, "2", "2,20")
    services.start_run(pipeline, actor=ws.ACTOR, only=["kept"])
    ws.work()
    assert states(pipeline) == {"1": "pending", "2": "processed", "3": "pending"}
    policy("read_again")
    put(drop, "2", "2,21")
    ws.run_cut_off(pipeline, "kept")
    assert states(pipeline) == dict.fromkeys("123", "pending")


def test_a_file_that_was_gone_and_is_back_is_told_of_when_a_run_has_looked(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    away = (drop / "sales_2026-02.csv").rename(drop.with_name("away"))
    run(pipeline, "*-01.csv")
    assert states(pipeline) == {"1": "processed", "2": "gone", "3": "pending"}
    away.rename(drop / "sales_2026-02.csv")
    assert [each["path"][-6:] for each in services.plan_run(pipeline)["steps"][0]["reads"]] == ["02.csv", "03.csv"]
    assert (states(pipeline)["2"], currency(project)["pending_files"]) == ("gone", 2)
    run(pipeline, "*-03.csv")
    assert states(pipeline) == {"1": "processed", "2": "pending", "3": "processed"}


def test_another_pipeline_that_has_read_a_changed_file_says_nothing_of_this_one(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    put(drop, "2", "2,21")
    assert ws.run(pipeline).state == "skipped"
    other = ws.published(
        project, TEXT.replace("pipeline: sales", "pipeline: others").replace("dataset: ", "dataset: o")
    )
    ws.run(other)
    assert (states(pipeline)["2"], states(other)["2"]) == ("changed", "processed")
    assert ws.run(pipeline).state == "skipped"
    assert states(pipeline)["2"] == "changed"


def test_a_file_is_read_once_more_where_a_load_knows_its_rows_again(project: Project, drop: Path):
    pipeline = ws.published(project, MERGED)
    ws.run(pipeline)
    put(drop, "2", "2,21")
    plan = services.plan_run(pipeline)
    assert "3 were read before; 1 of them has changed since." in plan["mode_reason"]
    (said,) = plan["steps"][0]["warnings"]
    assert said.startswith("sales_2026-02.csv has changed") and plan["steps"][1]["warnings"] == []
    assert ws.run(pipeline).state == "skipped"
    assert states(pipeline)["2"] == "changed"
    ended = run(pipeline, "sales_2026-02.csv", again=True)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert ended.mode_reason.endswith("1 of 1 files to read were picked.")
    assert amounts(project) == {10, 21, 30}
    assert states(pipeline)["2"] == "processed"


@pytest.mark.all
def test_a_load_that_adds_does_not_take_rows_twice(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    failed = run(pipeline, "*", again=True)
    assert ws.failure(failed)["code"] == "would_double"
    with pytest.raises(ConfigurationError, match="would come twice"):
        services.plan_run(pipeline, files=["*"], again=True)


@pytest.mark.all
def test_picked_files_wait_for_what_is_unfinished(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run_cut_off(pipeline, "kept")
    assert ws.failure(run(pipeline, "*-01.csv"))["code"] == "unfinished_batch"
    assert ws.run(pipeline).state == "succeeded"


@pytest.mark.all
def test_a_retry_reads_the_same_files(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    put(drop, "2")
    (drop / "sales_2026-02.csv").write_text("")
    failed = run(pipeline, "*-02.csv")
    assert failed.state == "failed"
    put(drop, "2", "2,20")
    again = ws.retry(failed)
    assert again.state == "succeeded", ws.error_of(again)
    assert [each["path"] for each in ws.output(again, "plan")["steps"][0]["reads"]] == ["sales_2026-02.csv"]


def page_of(project: Project, person: User, run: str) -> str:
    client = Client()
    client.force_login(person)
    return client.get(f"/p/{project.slug}/runs/{run}/").content.decode()


@pytest.mark.parametrize(
    ("mode", "files", "again", "said"),
    [
        ("seed", ["a"], False, "picks no files"),
        ("auto", [], True, "Say which files"),
        (
            "auto",
            ["*-01.csv", "/in/sales_2026-02.csv"],
            False,
            r"is `/in/sales_2026-02.csv`. There are 3, such as "
            r"`sales_2026-02.csv`: look at them with `manifold files`",
        ),
        ("auto", ["no*.csv"], True, r"is `no\*.csv`"),
    ],
)
def test_what_is_refused(project: Project, drop: Path, *, mode: str, files: list[str], again: bool, said: str):
    pipeline = ws.published(project, TEXT)
    with pytest.raises(Invalid, match=said):
        services.start_run(pipeline, actor=ws.ACTOR, mode=mode, files=files, again=again)
    with pytest.raises(Invalid, match=said):
        services.plan_run(pipeline, mode=mode, files=files, again=again)
    assert not Run.objects.exists()


def test_a_plan_to_do_nothing_says_of_no_step_how_much_it_reads(project: Project, drop: Path):
    whole = "  whole: {extract: {source: drop, stream: sales}}\n  all: {load: {input: whole, dataset: whole}}\n"
    pipeline = ws.published(project, TEXT + whole)
    ws.run(pipeline)
    plan = services.plan_run(pipeline)
    assert (plan["mode"], [each["estimate"] for each in plan["steps"]]) == ("skip", [None] * 4)


def test_where_nobody_can_look_before_the_run_its_plan_refuses_a_file_that_is_not_there(
    project: Project, drop: Path, monkeypatch: pytest.MonkeyPatch
):
    pipeline = ws.published(project, TEXT)
    monkeypatch.setattr(LocalFiles, "near", False)
    assert ws.failure(run(pipeline, "sales_2026-09.csv"))["code"] == "no_such_file"


def test_a_file_that_was_only_touched_has_not_changed(project: Project, drop: Path):
    pipeline = ws.published(project, MERGED)
    ws.run(pipeline)
    policy("read_again")
    put(drop, "2", "2,20")
    assert ws.run(pipeline).state == "skipped"
    assert states(pipeline)["2"] == "processed"
    assert SourceFile.objects.get(path="sales_2026-02.csv").touched
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changed, "_digest", lambda path: pytest.fail("it was compared before"))
        assert ws.run(pipeline).state == "skipped"
    put(drop, "2", "2,22")
    ended = ws.run(pipeline)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert amounts(project) == {10, 22, 30}


@pytest.mark.all
def test_a_changed_file_stops_the_run_and_can_be_set_aside(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    policy("stop")
    put(drop, "2", "2,22")
    put(drop, "4", "4,40")
    failed = ws.run(pipeline)
    assert ws.failure(failed)["code"] == "file_changed_since"
    assert "sales_2026-02.csv" in ws.failure(failed)["message"]
    assert fixing.fixable(failed) == {"ignore_files", "seed"}
    again = fixing.apply(failed, "ignore_files", actor=ws.ACTOR)
    ws.work()
    again.refresh_from_db()
    assert again.state == "succeeded", ws.error_of(again)
    assert amounts(project) == {10, 20, 30, 40}


@pytest.mark.parametrize("what", ["ignore", "read_again", "stop"])
def test_a_file_that_no_load_has_taken_may_change_and_is_read_as_it_is_then(project: Project, drop: Path, what: str):
    pipeline = ws.published(project, MERGED)
    policy(what)
    ws.run_cut_off(pipeline, "kept")
    put(drop, "2", "2,22")
    plan = services.plan_run(pipeline)
    assert not any("not read again" in said for each in plan["steps"] for said in each["warnings"])
    ended = ws.run(pipeline)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert amounts(project) == {10, 22, 30}
    assert states(pipeline) == dict.fromkeys("123", "processed")


@pytest.mark.parametrize("text", [TEXT, MERGED], ids=["append", "merge"])
def test_a_changed_file_of_a_batch_that_failed_waits_for_a_repair(project: Project, drop: Path, text: str):
    pipeline = ws.published(project, text)
    policy("read_again")
    ws.run_cut_off(pipeline, "kept")
    Window.objects.update(state="failed")
    put(drop, "2", "2,22")
    assert ws.run(pipeline).state == "skipped"
    assert ws.run(pipeline, "repair").state == "succeeded"
    assert sorted(ws.rows(project, "sales", "amount").elements()) == [(10,), (22,), (30,)]


def test_a_changed_file_that_one_of_two_loads_has_taken_stops_the_run(project: Project, drop: Path):
    other = "  other: {load: {input: sales, dataset: others, mode: merge, key: [id]}}\n"
    pipeline = ws.published(project, MERGED + other)
    policy("stop")
    ws.run_cut_off(pipeline, "other")
    assert amounts(project) == {10, 20, 30}
    put(drop, "2", "2,22")
    assert ws.failure(ws.run(pipeline))["code"] == "file_changed_since"


def test_reading_again_needs_a_load_that_merges(project: Project, drop: Path):
    pipeline = ws.published(project, TEXT)
    ws.run(pipeline)
    policy("read_again")
    put(drop, "2", "2,22")
    assert ws.failure(ws.run(pipeline))["code"] == "would_double"
    assert ws.run(ws.published(project, MERGED)).state == "succeeded"
    assert amounts(project) == {10, 22, 30}


def test_through_the_api_and_the_page(project: Project, drop: Path, api: Api):
    pipeline = ws.published(project, TEXT)
    olga = member("olga", project, Role.OPERATOR)
    base = f"/api/v1/projects/{project.slug}/pipelines/sales/"
    answer = api(olga).post(f"{base}runs/", {"files": ["*-01.csv"]})
    assert answer.status_code == 201, answer.content
    assert answer.json()["files"] == ["*-01.csv"]
    ws.work()
    assert "for picked files" in page_of(project, olga, answer.json()["id"])
    found = api(olga).get(f"{base}files/?state=processed").json()["results"]
    assert [(each["path"], each["step"], each["source"]) for each in found] == [("sales_2026-01.csv", "sales", "drop")]
    assert api(olga).get(f"{base}files/?state=nonsense").status_code == 400
    assert api(olga).post(f"{base}runs/", {"files": ["x"], "mode": "seed"}).status_code == 400
    unknown = api(olga).post(f"{base}runs/", {"files": ["x.csv"]})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (400, "files")
    client = Client()
    client.force_login(olga)
    page = client.get(f"/p/{project.slug}/pipelines/sales/files/").content.decode()
    assert "Read the picked ones" in page and "1 Jan 2026" in page and page.count("sales_2026-0") >= 3
    refused = client.post(f"/p/{project.slug}/pipelines/sales/run/", {"mode": "auto", "files": ["x.csv"]}, follow=True)
    assert "No file that the pipeline reads is" in refused.content.decode()
    sent = client.post(f"/p/{project.slug}/pipelines/sales/run/", {"mode": "auto", "files": ["*-02.csv\n*-03.csv"]})
    assert sent.status_code == 302
    ws.work()
    assert states(pipeline) == dict.fromkeys("123", "processed")
