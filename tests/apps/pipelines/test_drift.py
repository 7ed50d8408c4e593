"""Runs whose source has other columns than before: they follow, ask or stop, and somebody is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from apps.accounts.models import Project, Role
from apps.audit.models import Event
from apps.audit.refusals import Invalid
from apps.pipelines import control, fixing, services
from apps.pipelines.models import Run, Window
from apps.sources import services as sources
from apps.sources.models import Drift, Source, Stream
from tests.apps.pipelines import workshop as ws
from tests.apps.pipelines.ticks import HEAD, KEPT, Add, adding, tables
from tests.people import member

FILES = """
manifold: 1
pipeline: sales
steps:
  sales: {extract: {source: drop, stream: sales, mode: incremental}}
  kept: {load: {input: sales, dataset: sales}}
"""

OTHER = (HEAD + KEPT).replace("pipeline: ticks", "pipeline: others").replace("kept", "other")


@pytest.fixture
def source(project: Project, postgres_url: str, workshop: object) -> Source:
    return tables(project, postgres_url)


@pytest.fixture
def add(source: Source, postgres_url: str) -> Add:
    return adding(postgres_url)


@pytest.fixture
def drop(project: Project, workshop: Path) -> Path:
    ws.write(workshop, "sales_2026-01.csv", ["id,name,amount", "1,ann,5", "2,ben,6"])
    ws.files_source(project, workshop)
    return workshop


def stream(name: str = "public.ticks") -> Stream:
    return Stream.objects.select_related("source__project").get(name=name)


def under(policy: str, name: str = "public.ticks") -> None:
    sources.update_stream(stream(name), config={}, drift=policy, actor=ws.ACTOR)


def decide(run: Run, answer: str = "continue", **given: object) -> Run:
    control.decide_run(run, answer, actor=ws.ACTOR, **given)  # type: ignore[arg-type]
    ws.work()
    run.refresh_from_db()
    return run


def test_it_works(project: Project, add: Add, postgres_url: str):
    """A table that grows, loses and changes columns is read as it is; each change is told once."""
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    assert ws.run(pipeline).state == "succeeded"
    ws.execute(postgres_url, "ALTER TABLE ticks ADD COLUMN note text")
    ws.execute(postgres_url, "INSERT INTO ticks VALUES (2, 20, 'new')")
    ended = ws.run(pipeline)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert ws.rows(project, "kept", "tick, value, note") == {(1, 10, None): 1, (2, 20, "new"): 1}
    (found,) = Drift.objects.all()
    assert (found.state, found.run, [each["kind"] for each in found.changes]) == ("followed", ended.pk, ["added"])
    assert stream().schema_versions.order_by("-number")[0].run == ended.pk
    event = Event.objects.get(verb="schema drift found")
    assert (event.object_name, event.data["changes"]) == ("db/public.ticks", ["note is new (VARCHAR)"])
    assert ended.log.filter(text="ticks: note is new (VARCHAR).", level="warning").exists()

    ws.execute(postgres_url, "ALTER TABLE ticks DROP COLUMN value")
    ws.execute(postgres_url, "INSERT INTO ticks VALUES (3, 'newer')")
    ended = ws.run(pipeline)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert ws.rows(project, "kept", "tick, value, note")[3, None, "newer"] == 1
    assert Drift.objects.count() == 2


def test_a_source_warns_until_somebody_has_seen_it(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    source = Source.objects.get()
    sources.test_source(source, actor=ws.ACTOR)
    ws.execute(postgres_url, "ALTER TABLE ticks ADD COLUMN note text")
    assert ws.run(pipeline).state == "succeeded"
    source.refresh_from_db()
    assert source.health == "warning"
    assert source.health_reason.startswith("The columns of public.ticks have changed.")
    sources.mark_seen(stream(), actor=ws.ACTOR)
    source.refresh_from_db()
    assert (source.health, source.health_reason) == ("healthy", "")
    assert Event.objects.filter(verb="source health changed").count() == 3
    assert Event.objects.filter(verb="schema drift seen").count() == 1


def test_a_run_that_may_not_go_on_reads_nothing_until_the_change_is_taken_over(
    project: Project, add: Add, postgres_url: str
):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    ws.run(pipeline)
    under("evolve_new")
    ws.execute(postgres_url, "ALTER TABLE ticks ALTER COLUMN value TYPE bigint, ADD COLUMN note text")
    ws.execute(postgres_url, "INSERT INTO ticks VALUES (2, 20, 'new')")
    with pytest.raises(Exception, match="value is bigint"):
        services.plan_run(pipeline)
    for _ in range(2):
        failed = ws.run(pipeline)
        assert ws.failure(failed)["code"] == "schema_drift"
        assert "value is bigint, it was integer" in ws.failure(failed)["message"]
        assert failed.mode_reason.startswith("Nothing is read.")
    assert Drift.objects.count() == Event.objects.filter(verb="schema drift found").count() == 1
    assert Window.objects.count() == 1
    assert fixing.fixable(failed) == {"accept_columns"}
    again = fixing.apply(failed, "accept_columns", actor=ws.ACTOR)
    ws.work()
    again.refresh_from_db()
    assert again.state == "succeeded", ws.error_of(again)
    assert ws.rows(project, "kept", "tick, value, note") == {(1, 10, None): 1, (2, 20, "new"): 1}


def test_a_lost_cursor_stops_whatever_the_policy(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    ws.run(pipeline)
    under("ask")
    ws.execute(postgres_url, "ALTER TABLE ticks RENAME COLUMN tick TO tick_no")
    error = ws.failure(ws.run(pipeline))
    assert error["code"] == "cursor_lost"
    assert "The column tick of public.ticks" in error["message"] and "tick_no" in error["message"]
    assert error["suggestions"] == []
    ws.execute(postgres_url, "ALTER TABLE ticks RENAME COLUMN tick_no TO tick")
    add((2, 20))
    assert ws.run(pipeline).state == "succeeded"


@pytest.mark.all
def test_a_lost_key_stops(project: Project, add: Add, postgres_url: str):
    text = HEAD + "  sound: {check: {input: ticks, rules: [{not_null: [tick], action: stop}]}}\n"
    pipeline = ws.published(
        project, text + "  kept: {load: {input: sound, dataset: kept, mode: merge, key: [value]}}\n"
    )
    add((1, 10))
    assert ws.run(pipeline).state == "succeeded"
    ws.execute(postgres_url, "ALTER TABLE ticks DROP COLUMN value")
    error = ws.failure(ws.run(pipeline))
    assert error["code"] == "key_lost"
    assert "in the key of the load `kept`" in error["message"]


def test_a_run_waits_and_a_renamed_column_keeps_its_name(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    ws.run(pipeline)
    under("ask")
    ws.execute(postgres_url, "ALTER TABLE ticks RENAME COLUMN value TO the_value")
    add((2, 20))
    waiting = ws.run(pipeline)
    assert waiting.state == "waiting"
    assert "perhaps it is called the_value now" in waiting.halt_reason
    with pytest.raises(Invalid):
        decide(waiting, renames={"tick": "the_value"})
    ended = decide(waiting, renames={"value": "the_value"})
    assert ended.state == "succeeded", ws.error_of(ended)
    assert ws.rows(project, "kept", "*") == {(1, 10): 1, (2, 20): 1}
    assert Drift.objects.get().state == "followed"
    assert stream().config["names"] == {"the_value": "value"}
    assert Event.objects.filter(verb="schema drift taken over").count() == 1
    add((3, 30))
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "kept", "value") == {(10,): 1, (20,): 1, (30,): 1}


def offered(project: Project, role: Role, run: Run) -> bool:
    """Whether the page lets somebody of this role have the answer remembered."""
    client = Client()
    client.force_login(member(f"a-{role}", project, role))
    page = client.get(f"/p/flights/runs/{run.pk}/").content.decode()
    assert "decide-run" in page
    return 'name="remember"' in page


def test_who_stops_is_asked_again_and_an_answer_can_be_remembered(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    ws.run(pipeline)
    under("ask")
    ws.execute(postgres_url, "ALTER TABLE ticks ADD COLUMN note text")
    add_note = "INSERT INTO ticks VALUES (2, 20, 'a')"
    ws.execute(postgres_url, add_note)
    assert decide(ws.run(pipeline), "stop").state == "failed"
    asked = ws.run(pipeline)
    assert asked.state == "waiting"
    assert [offered(project, role, asked) for role in (Role.OPERATOR, Role.ADMIN)] == [False, True]
    assert decide(asked, remember=True).state == "succeeded"
    assert ws.rows(project, "kept", "tick, note") == {(1, None): 1, (2, "a"): 1}
    ws.execute(postgres_url, "ALTER TABLE ticks ADD COLUMN more text")
    ws.execute(postgres_url, "INSERT INTO ticks VALUES (3, 30, 'b', 'c')")
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "kept", "tick, more")[3, "c"] == 1
    ws.execute(postgres_url, "ALTER TABLE ticks DROP COLUMN more")
    ws.execute(postgres_url, "INSERT INTO ticks VALUES (4, 40, 'd')")
    assert ws.run(pipeline).state == "waiting"


@pytest.mark.parametrize("first", ["continue", "stop"])
def test_each_of_two_runs_that_ask_the_same_takes_it_over(project: Project, add: Add, postgres_url: str, first: str):
    pipelines = [ws.published(project, HEAD + KEPT), ws.published(project, OTHER)]
    add((1, 10))
    for each in pipelines:
        ws.run(each)
    under("ask")
    ws.execute(postgres_url, "ALTER TABLE ticks ADD COLUMN note text")
    ws.execute(postgres_url, "INSERT INTO ticks VALUES (2, 20, 'a')")
    one, two = (ws.run(each) for each in pipelines)
    assert (one.state, two.state) == ("waiting", "waiting")
    if first == "stop":
        assert decide(two, "stop").state == "failed"
    assert decide(one).state == "succeeded"
    assert Drift.objects.get().state == "followed"
    assert ws.rows(project, "kept", "tick, note") == {(1, None): 1, (2, "a"): 1}
    if first == "continue":
        assert decide(two).state == "succeeded"


def test_each_of_two_runs_that_one_change_has_stopped_takes_it_over(project: Project, add: Add, postgres_url: str):
    pipelines = [ws.published(project, HEAD + KEPT), ws.published(project, OTHER)]
    add((1, 10))
    for each in pipelines:
        ws.run(each)
    under("stop")
    ws.execute(postgres_url, "ALTER TABLE ticks ADD COLUMN note text")
    one, two = (ws.run(each) for each in pipelines)
    for run in (one, two):
        again = fixing.apply(run, "accept_columns", actor=ws.ACTOR)
        assert Drift.objects.get().state == "followed"
        ws.work()
        again.refresh_from_db()
        assert again.state != "failed", ws.error_of(again)


@pytest.mark.all
def test_a_run_with_nothing_to_read_asks_nothing(project: Project, add: Add, postgres_url: str):
    pipeline = ws.published(project, HEAD + KEPT)
    add((1, 10))
    ws.run(pipeline)
    under("ask")
    # Rows with other values at the mark are the same rows for it, as their number is.
    ws.execute(postgres_url, "ALTER TABLE ticks ADD COLUMN note text")
    assert ws.run(pipeline).state == "skipped"
    assert not Drift.objects.exists()


def test_files_may_have_more_columns_or_fewer(project: Project, drop: Path):
    pipeline = ws.published(project, FILES)
    ws.run(pipeline)
    ws.write(drop, "sales_2026-02.csv", ["id,name,amount,sold", "3,cem,7,2026-02-01"])
    ended = ws.run(pipeline)
    assert ended.state == "succeeded", ws.error_of(ended)
    assert ws.rows(project, "sales", "id, sold") == {(1, None): 1, (2, None): 1, (3, "2026-02-01"): 1}
    ws.write(drop, "sales_2026-03.csv", ["id,amount,sold", "4,8,2026-03-01"])
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "sales", "id, name")[4, None] == 1
    ws.write(drop, "sales_2026-04.csv", ["id,name,amount,sold", "5,dora,9,2026-04-01"])
    assert ws.run(pipeline).state == "succeeded"
    assert ws.rows(project, "sales", "id, name")[5, "dora"] == 1
    said = [change["kind"] for each in Drift.objects.order_by("id") for change in each.changes]
    assert said == ["added", "removed", "added"]


@pytest.mark.all
def test_files_with_either_name_of_a_column_bring_one_column(project: Project, drop: Path):
    pipeline = ws.published(project, FILES)
    ws.run(pipeline)
    under("ask", "sales")
    ws.write(drop, "sales_2026-02.csv", ["id,client,amount", "3,cem,7"])
    waiting = ws.run(pipeline)
    assert "perhaps it is called client now" in waiting.halt_reason
    ended = decide(waiting, renames={"name": "client"})
    assert ended.state == "succeeded", ws.error_of(ended)
    expected = {(1, "ann", "5"): 1, (2, "ben", "6"): 1, (3, "cem", "7"): 1}
    assert {(a, b, str(c)): n for (a, b, c), n in ws.rows(project, "sales", "id, name, amount").items()} == expected
    assert ws.run(pipeline, "seed").state == "succeeded"
    assert {(a, b, str(c)): n for (a, b, c), n in ws.rows(project, "sales", "*").items()} == expected
