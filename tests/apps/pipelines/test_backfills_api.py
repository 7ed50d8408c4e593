"""`/pipelines/{slug}/backfills/` and its pages: what they answer, what they refuse, and at what cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.pipelines import backfilling, services
from apps.pipelines.backfilling import Range
from apps.pipelines.models import Backfill, Pipeline
from tests.apps.pipelines import workshop as ws
from tests.people import Api, signed_in

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/flights/pipelines/dated/backfills/"
PAGE = "/p/flights/pipelines/dated/backfills/"
RANGE = {"from": "2026-01-01", "to": "2026-01-04"}


TEXT = """
manifold: 1
pipeline: dated
steps:
  files: {extract: {source: drop, stream: files, mode: incremental}}
  kept: {load: {input: files, dataset: kept}}
"""


@pytest.fixture
def pipeline(project: Project, tmp_path: Path, settings: Any) -> Pipeline:
    """A pipeline of dated files, one of which is there. Nobody works off its runs here."""
    settings.FILE_ROOTS = [tmp_path]
    ws.write(tmp_path, "files_2026-05-01.csv", ["n", "1"])
    ws.files_source(project, tmp_path)
    return ws.published(project, TEXT)


def test_it_works(api: Api, operator: User, pipeline: Pipeline) -> None:
    client = api(operator)
    shown = client.post(f"{BASE}preview/", RANGE).json()
    assert [each["from"] for each in shown["slices"]] == [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3)]
    assert {each["skip_reason"] for each in shown["slices"]} == {"files: No new file lies in it."}
    assert (shown["runs"], shown["every"], shown["timezone"]) == (0, "day", "UTC")
    made = client.post(BASE, RANGE)
    assert made.status_code == 201, made.content
    found = made.json()
    assert (found["state"], found["total"], found["left"], found["eta_s"]) == ("running", 3, 3, None)
    assert [each["state"] for each in found["slices"]] == ["running", "left", "left"]
    place = f"{BASE}{found['id']}/"
    assert client.get(place).json() == found
    (line,) = client.get(BASE).json()["results"]
    assert line == {name: value for name, value in found.items() if name != "slices"}
    paused = client.post(f"{place}pause/", {"reason": "later"}).json()
    assert (paused["state"], paused["reason"]) == ("paused", "Paused by olga: later.")
    assert client.post(f"{place}resume/").json()["state"] == "running"
    cancelled = client.post(f"{place}cancel/").json()
    assert (cancelled["state"], cancelled["slices"][0]["state"]) == ("cancelled", "cancelled")
    counts = {name: cancelled[name] for name in ("done", "failed", "cancelled", "left", "progress")}
    assert counts == {"done": 0, "failed": 0, "cancelled": 1, "left": 2, "progress": 0.333}
    again = client.post(f"{place}cancel/")
    assert (again.status_code, again.json()["code"]) == (409, "backfill_over")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"to": "soon"}, "to"), ({"every": "eon"}, "every"), ({"from": None}, "from"), ({"timezone": "Mars"}, "timezone")],
)
def test_a_wrong_range_names_its_field(
    api: Api, operator: User, pipeline: Pipeline, change: dict[str, Any], field: str
) -> None:
    for place in (BASE, f"{BASE}preview/"):
        answer = api(operator).post(place, RANGE | change)
        assert answer.status_code == 400
        assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_what_may_not_be_asked_of_it(api: Api, operator: User, viewer: User, pipeline: Pipeline) -> None:
    refused = api(operator).post(BASE, RANGE | {"again": True})
    assert (refused.status_code, refused.json()["code"]) == (409, "cannot_be_backfilled")
    assert api(viewer).post(BASE, RANGE).status_code == 403
    assert api(operator).get(BASE.replace("dated", "other")).status_code == 404


def test_a_list_costs_the_same_however_long_it_is(api: Api, viewer: User, pipeline: Pipeline) -> None:
    def cost(place: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert api(viewer).get(place).status_code == 200
        return len(asked)

    def one_more(first: str) -> Backfill:
        made = backfilling.start_backfill(pipeline, Range(first, "2026-01-04"), actor=SYSTEM)
        return backfilling.cancel_backfill(made, actor=SYSTEM)

    one_more("2026-01-01")
    before = cost(BASE)
    last = one_more("2025-12-01")
    assert cost(BASE) == before
    assert cost(f"{BASE}{last.pk}/") <= before + 1


def test_the_page_shows_what_it_would_read_and_starts_it(operator: User, viewer: User, pipeline: Pipeline) -> None:
    client = signed_in(operator)
    assert "No backfill yet" in client.get(PAGE).content.decode()
    form = RANGE | {"every": "day", "timezone": "UTC", "on_failure": "stop"}
    shown = client.post(PAGE, form | {"do": "preview"}).content.decode()
    assert "0 of 3 slices have something to read" in shown
    assert not Backfill.objects.exists()
    refused = client.post(PAGE, form | {"to": "never", "do": "start"})
    assert refused.status_code == 422
    assert "is no date" in refused.content.decode()
    started = client.post(PAGE, form | {"do": "start"}, follow=True).content.decode()
    backfill = Backfill.objects.get()
    assert "The backfill has started: 3 slices." in started
    place = f"{PAGE}{backfill.pk}/"
    assert "every 2s" in started
    assert "Pause this backfill" in started
    for does, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert client.post(place, {"do": does}).status_code == 302
        backfill.refresh_from_db()
        assert backfill.state == state
    assert client.post(place, {"do": "dance"}).status_code == 404
    part = client.get(place, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "every 2s" not in part
    assert "<span>Not read</span><b>2</b>" in part
    onlooker = signed_in(viewer)
    assert "New backfill" not in onlooker.get(PAGE).content.decode()


def test_a_range_is_read_in_one_run_from_the_dialog(operator: User, pipeline: Pipeline) -> None:
    client = signed_in(operator)
    of = "/p/flights/pipelines/dated/"
    assert 'value="range"' in client.get(of).content.decode()
    form = RANGE | {"mode": "range"}
    asked = {"HX-Request": "true"}
    assert "There is nothing to read" in client.get(f"{of}plan/", form, headers=asked).content.decode()
    assert "Choose no steps" in client.get(f"{of}plan/", form | {"steps": "kept"}, headers=asked).content.decode()
    assert "Name none" in client.get(f"{of}plan/", form | {"files": "a.csv"}, headers=asked).content.decode()
    assert client.get(f"{of}plan/", form).status_code == 404
    assert not Backfill.objects.exists()
    shown = client.post(f"{of}run/", form, follow=True).content.decode()
    assert "The range is read in one run, behind live ones." in shown
    assert "one slice (UTC)" in shown
    assert len(Backfill.objects.get().slices) == 1


def test_a_pipeline_goes_with_its_backfills(pipeline: Pipeline) -> None:
    made = backfilling.start_backfill(pipeline, Range("2026-01-01", "2026-01-04"), actor=SYSTEM)
    backfilling.cancel_backfill(made, actor=SYSTEM)
    pipeline.runs.filter(state="stopping").update(state="cancelled")
    services.delete_pipeline(pipeline, actor=SYSTEM)
    assert not Backfill.objects.exists()
