"""Home and the pipelines' cards: what runs, what failed, what is late, what comes next."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.pipelines import services
from apps.pipelines.models import Pipeline, Run, Schedule
from apps.pipelines.pages import board
from apps.sources.models import Source
from tests.people import quick
from tests.scale import furnish_scale

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(project: Project) -> Project:
    """Of twenty pipelines two are running (10, 20) and two failed last time (7, 14)."""
    furnish_scale(project, pipelines=20, runs=200)
    return project


@pytest.fixture
def client(viewer: User) -> Client:
    found = quick(Client())
    found.force_login(viewer)
    return found


def answers(client: Client) -> dict[str, tuple[str, str]]:
    """The four answers at the top: the figure and the words below it, by their name."""
    page = client.get("/p/flights/").content.decode()
    found = re.findall(r'class="answer [^>]*><span>(\w+)</span><b>(.*?)</b><small>(.*?)</small>', page)
    return {name: (re.sub(r"<[^>]+>", "", figure), words) for name, figure, words in found}


def schedule(slug: str, **more: object) -> None:
    fields: dict[str, object] = {"enabled": True, "next_at": timezone.now() + timedelta(hours=1)}
    Schedule.objects.create(pipeline=Pipeline.objects.get(slug=slug), **(fields | more))


def test_it_answers_the_four_questions(filled: Project, client: Client) -> None:
    found = answers(client)
    assert {name: figure for name, (figure, _) in found.items()} == {
        "Running": "2",
        "Failed": "2",
        "Late": "2",
        "Next": "–",
    }
    assert found["Late"][1] == "datasets not renewed"
    page = client.get("/p/flights/").content.decode()
    assert page.count("The database did not answer within 30 s.") == 2


def test_the_next_run_is_that_of_the_first_schedule_that_is_on(filled: Project, client: Client) -> None:
    schedule("pipeline-003", next_at=timezone.now() + timedelta(hours=2))
    schedule("pipeline-004")
    schedule("pipeline-005", enabled=False, next_at=timezone.now())
    schedule("pipeline-006", next_at=timezone.now() + timedelta(minutes=1))
    Pipeline.objects.filter(slug="pipeline-006").update(paused_at=timezone.now())
    assert answers(client)["Next"][1] == "pipeline-004"


def test_a_schedule_that_no_tick_has_taken_is_late(filled: Project, client: Client) -> None:
    schedule("pipeline-003", next_at=timezone.now() - timedelta(minutes=1))
    assert answers(client)["Late"][1] == "datasets not renewed"
    schedule("pipeline-004", next_at=timezone.now() - timedelta(minutes=10))
    assert answers(client)["Late"] == ("3", "1 schedule, 2 datasets")
    page = client.get("/p/flights/").content.decode()
    assert "2 sources cannot be reached, 1 schedule did not start in time." in page
    needs = page.partition('id="failed"')[2].partition("</section>")[0]
    assert "pipeline-004</a> Its schedule should have started it" in needs


def test_a_source_with_a_warning_is_listed_with_its_reason(filled: Project, client: Client) -> None:
    Source.objects.filter(project=filled, health="error").update(health="healthy")
    Source.objects.filter(project=filled, slug="source-3").update(
        health="warning", health_reason="Its secrets expire on 1 December 2026: enter new ones."
    )
    needs = client.get("/p/flights/").content.decode().partition('id="failed"')[2].partition("</section>")[0]
    assert "source-3</a> works, with a warning." in needs
    assert "Its secrets expire on 1 December 2026" in needs
    Run.objects.filter(project=filled, state="failed").delete()
    Run.objects.filter(project=filled).exclude(state="succeeded").delete()
    assert "1 source worth a look." in client.get("/p/flights/").content.decode()


def test_however_many_run_and_wait_they_are_counted_and_a_few_listed(project: Project, client: Client) -> None:
    furnish_scale(project, pipelines=110, runs=110)
    busy = Pipeline.objects.get(slug="pipeline-010")
    for _ in range(9):
        assert services.start_run(busy, actor=SYSTEM).state == "pending"
    assert answers(client)["Running"] == ("11", "9 wait behind")
    listed = client.get("/p/flights/").content.decode().partition('id="running"')[2].partition("</section>")[0]
    assert listed.count('role="progressbar"') == 8
    assert "All 11" in listed


def test_what_needs_somebody_comes_first(filled: Project) -> None:
    found = [each.health for each in board.by_urgency(board.lines(Pipeline.objects.filter(project=filled)))]
    assert found[:4] == ["failing", "failing", "running", "running"]
    assert set(found[4:]) <= {"healthy", "warning"}
    assert found == sorted(found, key=["failing", "running", "warning", "healthy"].index)


def test_a_run_that_asks_needs_somebody(filled: Project, client: Client) -> None:
    run = Run.objects.select_related("pipeline").filter(state="running").order_by("id")[0]
    Run.objects.filter(pk=run.pk).update(state="waiting", halt_reason="One row of four is wrong. Shall the run go on?")
    page = client.get("/p/flights/").content.decode()
    assert "2 pipelines failed last time, 1 run waits for a decision, 2 sources cannot be reached." in page
    needs = page.partition('id="failed"')[2].partition("</section>")[0]
    assert "Shall the run go on?" in needs and f"/p/flights/runs/{run.pk}/" in needs
    urgent = board.by_urgency(board.lines(Pipeline.objects.filter(project=filled)))[2]
    assert (urgent.pipeline.slug, urgent.health) == (run.pipeline.slug, "waiting")


def test_a_strip_holds_the_newest_runs_the_newest_last(project: Project) -> None:
    furnish_scale(project, pipelines=1, runs=100)
    line = board.lines(Pipeline.objects.all())[0]
    newest = list(Run.objects.order_by("-id").values_list("pk", flat=True)[: board.STRIP])
    assert [each.pk for each in line.recent] == newest[::-1]
    assert line.last is not None and line.last.pk == newest[0]
    run = Run.objects.get(pk=newest[0])
    assert run.started_at and run.finished_at
    assert line.last.seconds == pytest.approx((run.finished_at - run.started_at).total_seconds(), abs=0.001)
    assert abs(line.last.created_at - run.created_at) < timedelta(milliseconds=1)


def test_pipelines_are_filtered_by_name_and_health(filled: Project, client: Client) -> None:
    def shown(query: str) -> set[str]:
        page = client.get(f"/p/flights/pipelines/?{query}").content.decode()
        return set(re.findall(r'class="name" href="/p/flights/pipelines/([\w-]+)/"', page))

    assert len(shown("")) == 20
    assert shown("health=failing") == {"pipeline-007", "pipeline-014"}
    assert shown("name=SHOP 12") == {"pipeline-012"}
    assert shown("name=none") == set()
    assert len(shown("page=99")) == 20
