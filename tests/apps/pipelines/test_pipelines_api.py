"""`/pipelines/` and `/runs/`: what they answer, to whom, and with how many queries."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.pipelines import services
from apps.pipelines.models import Pipeline, Run
from tests.apps.pipelines.shelf import TEXT, stock
from tests.people import Api

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/flights"
PIPELINES = f"{BASE}/pipelines/"


@pytest.fixture
def pipeline(project: Project) -> Pipeline:
    stock(project)
    return services.apply_document(project, TEXT, actor=SYSTEM, publish=True)


@pytest.fixture
def run(pipeline: Pipeline) -> Run:
    return services.start_run(pipeline, actor=SYSTEM)


def test_a_document_is_applied_published_and_run(api: Api, admin: User, project: Project):
    stock(project)
    client = api(admin)
    applied = client.post(f"{PIPELINES}apply/", {"text": TEXT})
    assert applied.status_code == 200, applied.json()
    assert (applied.json()["slug"], applied.json()["published_version"]) == ("orders", None)
    published = client.post(f"{PIPELINES}orders/publish/")
    assert published.json()["published_version"] == 1
    started = client.post(f"{PIPELINES}orders/runs/", {"mode": "auto"}, headers={"Idempotency-Key": "k1"})
    assert started.status_code == 201
    again = client.post(f"{PIPELINES}orders/runs/", {"mode": "auto"}, headers={"Idempotency-Key": "k1"})
    assert again.json()["id"] == started.json()["id"]
    found = client.get(f"{BASE}/runs/{started.json()['id']}/").json()
    assert [each["key"] for each in found["steps"]] == ["plan", "orders", "kept"]
    assert found["actor"] == "ada"
    assert client.get(PIPELINES).json()["results"][0]["health"] == "running"
    assert client.get(f"{PIPELINES}orders/").json()["text"] == TEXT
    assert client.get(f"{PIPELINES}orders/export/").content.decode() == TEXT
    assert client.get(f"{PIPELINES}orders/versions/").json()["results"][0]["number"] == 1
    assert client.get(f"{PIPELINES}orders/versions/1/").json()["text"] == TEXT
    assert client.get(f"{PIPELINES}orders/versions/2/").status_code == 404
    cancelled = client.post(f"{BASE}/runs/{found['id']}/cancel/").json()
    assert cancelled["state"] == "cancelled"
    retried = client.post(f"{BASE}/runs/{found['id']}/retry/")
    assert (retried.status_code, retried.json()["retry_of"]) == (201, found["id"])


READ = [
    ("get", PIPELINES),
    ("get", f"{PIPELINES}orders/"),
    ("get", f"{PIPELINES}orders/versions/"),
    ("get", f"{PIPELINES}orders/export/"),
    ("get", f"{PIPELINES}orders/runs/"),
    ("get", f"{PIPELINES}document-schema/"),
    ("post", f"{PIPELINES}validate/"),
    ("get", f"{BASE}/runs/"),
    ("get", f"{BASE}/runs/RUN/"),
    ("get", f"{BASE}/runs/RUN/steps/"),
]
OPERATE = [
    ("post", f"{PIPELINES}apply/"),
    ("put", f"{PIPELINES}orders/draft/"),
    ("post", f"{PIPELINES}orders/runs/"),
    ("post", f"{BASE}/runs/RUN/cancel/"),
]
MANAGE = [("post", f"{PIPELINES}orders/publish/"), ("delete", f"{PIPELINES}orders/")]


def answer(client: Any, verb: str, path: str, run: Run) -> int:
    starts = path.endswith(("/runs/", "/plan/"))
    body = {"mode": "auto"} if starts else {"text": TEXT.replace("Orders", "More orders")}
    call = getattr(client, verb)
    path = path.replace("RUN", str(run.pk))
    return int((call(path) if verb in ("get", "delete") else call(path, body)).status_code)


@pytest.mark.parametrize(("verb", "path"), READ)
def test_members_may_read(*, api: Api, viewer: User, stranger: User, superuser: User, run: Run, verb: str, path: str):
    assert answer(api(viewer), verb, path, run) == 200
    assert answer(api(stranger), verb, path, run) == 404
    assert answer(api(superuser), verb, path, run) == 404
    assert answer(api(None), verb, path, run) == 401


@pytest.mark.parametrize(("verb", "path"), OPERATE)
def test_operators_may_operate(
    *, api: Api, viewer: User, operator: User, stranger: User, run: Run, verb: str, path: str
):
    assert answer(api(viewer), verb, path, run) == 403
    assert answer(api(stranger), verb, path, run) == 404
    assert answer(api(operator), verb, path, run) in (200, 201)


@pytest.mark.parametrize(("verb", "path"), MANAGE)
def test_administrators_may_manage(*, api: Api, admin: User, operator: User, run: Run, verb: str, path: str):
    services.cancel_run(run, actor=SYSTEM)
    services.save_draft(run.pipeline, TEXT.replace("Orders", "All"), actor=SYSTEM)
    assert answer(api(operator), verb, path, run) == 403
    assert answer(api(admin), verb, path, run) in (200, 204)


def test_an_operator_applies_but_does_not_publish(api: Api, operator: User, pipeline: Pipeline):
    body = {"text": TEXT.replace("Orders", "More"), "publish": True}
    assert api(operator).post(f"{PIPELINES}apply/", body).status_code == 403
    assert api(operator).post(f"{PIPELINES}apply/", body | {"publish": False}).json()["has_draft"]


def test_a_wrong_document_is_told_with_its_lines(api: Api, operator: User, viewer: User, pipeline: Pipeline):
    wrong = TEXT.replace("input: orders", "input: order")
    found = api(viewer).post(f"{PIPELINES}validate/", {"text": wrong}).json()
    assert found["valid"] is False
    assert found["errors"][0]["path"] == "steps.kept.load.input"
    assert (found["errors"][0]["line"], found["errors"][0]["column"]) == (6, 17)
    refused = api(operator).post(f"{PIPELINES}apply/", {"text": wrong})
    assert refused.status_code == 400
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["errors"][0]["field"] == "steps.kept.load.input"


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        (f"{PIPELINES}orders/runs/", {"mode": "now"}, {}, 400),
        (f"{PIPELINES}orders/runs/", {}, {"Idempotency-Key": "two words"}, 400),
        (f"{PIPELINES}nothing/runs/", {}, {}, 404),
        (f"{PIPELINES}apply/", {}, {}, 400),
        (f"{PIPELINES}apply/", {"text": "x" * 300_000}, {}, 400),
        (PIPELINES, {"slug": "Not A Slug"}, {}, 400),
        (PIPELINES, {"slug": "orders"}, {}, 409),
        (f"{PIPELINES}orders/publish/", {}, {}, 409),
        (f"{BASE}/runs/01890000-0000-7000-8000-000000000000/cancel/", {}, {}, 404),
    ],
)
def test_what_is_refused(*, api: Api, admin: User, pipeline: Pipeline, path: str, body: Any, headers: Any, status: int):
    found = api(admin).post(path, body, headers=headers)
    assert found.status_code == status, found.content
    assert found.json()["status"] == status


def test_runs_are_filtered(api: Api, viewer: User, run: Run):
    client = api(viewer)
    assert len(client.get(f"{BASE}/runs/", {"pipeline": "orders", "state": "running"}).json()["results"]) == 1
    assert client.get(f"{BASE}/runs/", {"pipeline": "others"}).json()["results"] == []
    assert client.get(f"{BASE}/runs/", {"state": "asleep"}).status_code == 400


@pytest.mark.parametrize(
    ("path", "most"),
    [
        (PIPELINES, 4),
        (f"{PIPELINES}orders/", 5),
        (f"{BASE}/runs/", 3),
        (f"{BASE}/runs/RUN/", 6),
        (f"{PIPELINES}orders/runs/", 5),
    ],
)
def test_the_number_of_queries_does_not_grow(api: Api, viewer: User, run: Run, path: str, most: int):
    client = api(viewer)

    def cost() -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(path.replace("RUN", str(run.pk))).status_code == 200
        return len(asked)

    once = cost()
    for position in range(3):
        Pipeline.objects.create(project=run.project, slug=f"p{position}", published=run.version)
        services.start_run(run.pipeline, actor=SYSTEM)
    assert cost() == once <= most
