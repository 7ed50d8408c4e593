"""`/schedules/` and `/pipelines/{slug}/schedule/`: what they answer, what they refuse, and at what cost."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.pipelines import rewriting, scheduling, services
from apps.pipelines.document import parse
from apps.pipelines.models import Pipeline
from tests.apps.pipelines.shelf import TEXT, stock
from tests.people import Api

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/flights"
ONE = f"{BASE}/pipelines/orders/schedule/"
DAILY = {"preset": "daily", "at": "06:00", "timezone": "America/New_York"}


@pytest.fixture
def pipeline(project: Project) -> Pipeline:
    stock(project)
    text = f"{TEXT}schedule: {{preset: daily, at: 06:00, timezone: America/New_York}}\n"
    return services.apply_document(project, text, actor=SYSTEM, publish=True)


def test_it_works(api: Api, admin: User, pipeline: Pipeline) -> None:
    client = api(admin)
    off = client.get(ONE).json()
    assert (off["enabled"], off["next_at"], off["definition"]) == (False, None, DAILY)
    assert off["says"] == "At 06:00 (America/New_York)"
    assert len(off["next"]) == 5
    on = client.post(f"{ONE}enable/").json()
    assert (on["enabled"], on["next_at"]) == (True, on["next"][0]["at"])
    shown = client.get(ONE, {"zone": "Asia/Kolkata"}).json()["next"][0]
    assert shown["local"][11:16] == "06:00"
    assert shown["yours"][11:16] in ("15:30", "16:30")
    listed = client.get(f"{BASE}/schedules/").json()["results"]
    assert [(each["pipeline"], each["enabled"], each["next_at"]) for each in listed] == [("orders", True, shown["at"])]
    assert client.post(f"{ONE}disable/").json()["enabled"] is False


def test_the_preview_is_that_of_the_schedule(api: Api, viewer: User, pipeline: Pipeline) -> None:
    client = api(viewer)
    shown = client.post(f"{BASE}/schedules/preview/", {"schedule": DAILY}).json()
    stands = client.get(ONE).json()
    assert (shown["next"], shown["says"]) == (stands["next"], stands["says"])


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        ({"cron": "61 * * * *"}, "schedule.cron"),
        ({}, "schedule"),
        ({"preset": "daily", "zone": "UTC"}, "schedule.zone"),
        ({"interval": "x"}, "schedule.interval"),
    ],
)
def test_a_wrong_schedule_names_its_field(
    api: Api, operator: User, pipeline: Pipeline, schedule: dict[str, Any], field: str
) -> None:
    for answer in (
        api(operator).post(f"{BASE}/schedules/preview/", {"schedule": schedule}),
        api(operator).put(ONE, {"schedule": schedule}),
    ):
        assert answer.status_code == 400
        assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_a_wrong_zone_is_refused(api: Api, viewer: User, pipeline: Pipeline) -> None:
    assert api(viewer).get(ONE, {"zone": "Mars/Base"}).status_code == 400


def test_writing_one_edits_the_draft_and_nothing_else(api: Api, operator: User, pipeline: Pipeline) -> None:
    client = api(operator)
    commented = pipeline.published.text.replace("steps:", "# what it does\nsteps:")  # type: ignore[union-attr]
    services.save_draft(pipeline, commented, actor=SYSTEM)
    written = client.put(ONE, {"schedule": {"interval": 3600}}).json()
    before = "schedule: {preset: daily, at: 06:00, timezone: America/New_York}"
    assert written["draft"] == commented.replace(before, "schedule: {interval: 3600}")
    assert client.get(ONE).json()["definition"] == DAILY
    assert "schedule" not in client.put(ONE, {"schedule": None}).json()["draft"]


def test_a_draft_that_cannot_be_read_is_left_alone(api: Api, operator: User, pipeline: Pipeline) -> None:
    services.save_draft(pipeline, "{", actor=SYSTEM)
    answer = api(operator).put(ONE, {"schedule": DAILY})
    assert (answer.status_code, answer.json()["code"]) == (409, "draft_unreadable")


def test_a_list_costs_the_same_however_long_it_is(api: Api, admin: User, project: Project, pipeline: Pipeline) -> None:
    scheduling.enable_schedule(pipeline, actor=SYSTEM)
    client = api(admin)

    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(f"{BASE}/schedules/").status_code == 200
        return len(queries)

    one = cost()
    for number in range(3):
        text = TEXT.replace("pipeline: orders", f"pipeline: p{number}").replace(
            "dataset: orders", f"dataset: d{number}"
        )
        services.apply_document(project, f"{text}schedule: {{interval: 600}}\n", actor=SYSTEM, publish=True)
    assert cost() == one


BLOCK = """manifold: 1
pipeline: a  # a name
schedule:  # every day
  preset: daily
  # at six
  at: 06:00
# the steps
steps:
  a: {extract: {source: s, stream: t, mode: full_refresh}}
"""


def test_a_block_is_replaced_whole_and_comments_around_it_stay() -> None:
    changed = rewriting.with_part(BLOCK, ["schedule"], {"cron": "*/5 * * * *", "pause": {"weekends": True}})
    assert changed.splitlines()[2:5] == [
        'schedule: {cron: "*/5 * * * *", pause: {weekends: true}}',
        "# the steps",
        "steps:",
    ]
    document, problems = parse(changed)
    assert document is not None, problems
    assert rewriting.with_part(BLOCK, ["schedule"], None).splitlines()[1:3] == ["pipeline: a  # a name", "# the steps"]
    assert (
        rewriting.with_part("manifold: 1", ["schedule"], {"interval": 60}) == "manifold: 1\nschedule: {interval: 60}\n"
    )
