"""`POST …/sources/detect/`: what it answers, for whom, what it refuses; and that nothing of it is kept or told."""

from __future__ import annotations

import base64
import logging

import pytest

from apps.accounts.models import Project, User
from apps.audit.models import Event
from apps.sources.models import Credential, Source
from tests.apps.sources.conftest import CANARY
from tests.people import Api

pytestmark = pytest.mark.django_db
DETECT = "/api/v1/projects/flights/sources/detect/"


def test_an_address_is_told_and_its_password_is_not(
    admin: User, project: Project, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    events = Event.objects.count()
    answer = api(admin).post(DETECT, {"text": f"postgresql://reader:{CANARY}@db.example.org/sales"})
    assert answer.status_code == 200, answer.json()
    assert answer.json()["clear"] is True
    assert answer.json()["candidates"] == [
        {
            "connector": "postgresql",
            "title": "PostgreSQL",
            "family": "database",
            "confidence": 0.97,
            "reasons": ["It is an address for PostgreSQL."],
            "params": {"host": "db.example.org", "user": "reader", "database": "sales"},
            "secrets": ["password"],
            "missing": [],
            "name": "sales",
        }
    ]
    assert CANARY not in answer.content.decode() + caplog.text
    assert (Source.objects.count(), Credential.objects.count(), Event.objects.count()) == (0, 0, events)


def test_an_ambiguous_one_asks(admin: User, project: Project, api: Api) -> None:
    answer = api(admin).post(DETECT, {"text": "https://example.org/export?id=7"}).json()
    assert answer["clear"] is False
    assert [each["connector"] for each in answer["candidates"]] == ["http_files", "rest"]


def test_a_file_is_told_by_its_first_bytes(admin: User, project: Project, api: Api) -> None:
    sample = base64.b64encode(b"SQLite format 3\0").decode()
    answer = api(admin).post(DETECT, {"sample": sample, "name": "shop.db"}).json()
    assert [each["connector"] for each in answer["candidates"]] == ["sqlite"]


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "text"), ({"text": " "}, "text"), ({"sample": "%"}, "sample"), ({"text": "x", "address": "x"}, "address")],
)
def test_what_is_no_clue_is_refused(body: dict[str, str], field: str, admin: User, project: Project, api: Api) -> None:
    answer = api(admin).post(DETECT, body)
    assert answer.status_code == 400
    assert field in {each["field"] for each in answer.json()["errors"]}


def test_only_who_may_add_sources_may_ask(viewer: User, operator: User, api: Api) -> None:
    for each in (viewer, operator):
        assert api(each).post(DETECT, {"text": "/data/drop"}).status_code == 403


def test_no_source_takes_the_name_of_an_address(admin: User, project: Project, api: Api) -> None:
    body = {"slug": "detect", "connector": "local_files", "params": {"path": "/data"}}
    answer = api(admin).post("/api/v1/projects/flights/sources/", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "slug"
