"""What holds for every endpoint: errors are problems, pages go by cursor, no failure shows a trace."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError
from rest_framework.exceptions import ValidationError
from rest_framework.test import APIClient, APIRequestFactory

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.audit.refusals import Conflict, Invalid
from apps.audit.services import record
from dataplane.errors import DataError, TransientError
from manifold.api import problem_handler
from tests.people import Api

PROBLEM = {"type", "title", "status", "detail", "errors", "request_id"}


def check_problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response["Content-Type"].startswith("application/problem+json")
    body: dict[str, Any] = json.loads(response.content)
    assert set(body) >= PROBLEM
    assert body["status"] == status
    assert body["request_id"] == response["X-Request-ID"]
    assert "Traceback" not in response.content.decode()
    return body


@pytest.mark.parametrize("path", ["me", "tokens", "projects", "users", "events", "events/verify", "projects/x/events"])
def test_nobody_gets_401(client: Client, path: str) -> None:
    response = client.get(f"/api/v1/{path}/")
    check_problem(response, 401)
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_an_address_that_leads_nowhere(client: Client) -> None:
    assert "docs" in check_problem(client.get("/api/v1/nowhere/"), 404)["detail"]
    page = client.get("/nowhere")
    assert page.status_code == 404
    assert page["Content-Type"].startswith("text/html")


def test_a_request_id_is_taken_over_when_it_is_a_decent_one(client: Client) -> None:
    given = client.get("/api/v1/me/", headers={"X-Request-ID": "batch-2026.11"})
    assert check_problem(given, 401)["request_id"] == "batch-2026.11"
    made = client.get("/api/v1/me/", headers={"X-Request-ID": "<script>alert(1)</script>"})
    assert uuid.UUID(check_problem(made, 401)["request_id"])


def test_a_body_that_is_no_json(api: Api, superuser: User) -> None:
    answer = api(superuser).post("/api/v1/projects/", "{not json", content_type="application/json")
    assert "JSON" in check_problem(answer, 400)["detail"]


def test_a_body_that_is_no_object(api: Api, superuser: User) -> None:
    body = check_problem(api(superuser).post("/api/v1/projects/", [1, 2], format="json"), 400)
    assert body["errors"][0]["field"] == ""


def test_a_wrong_field_is_named(api: Api, superuser: User) -> None:
    body = check_problem(api(superuser).post("/api/v1/projects/", {"slug": "x" * 64}), 400)
    assert [each["field"] for each in body["errors"]] == ["slug"]
    assert body["detail"].startswith("slug: ")


@pytest.mark.parametrize("address", ["/api/v1/projects/", "/api/v1/tokens/"])
def test_a_field_that_nobody_knows_is_named(api: Api, superuser: User, address: str) -> None:
    given = {"slug": "new", "name": "x", "rol": "viewer"}
    errors = {
        each["field"]: each["message"] for each in check_problem(api(superuser).post(address, given), 400)["errors"]
    }
    assert errors["rol"].startswith("Unknown; there are ")


@pytest.mark.parametrize(
    ("body", "said"), [("[" * 100_000, "nested too deeply"), (f'"{"x" * (3 << 20)}"', "at most 2.5 MB")]
)
def test_a_body_too_deep_or_too_long(api: Api, superuser: User, body: str, said: str) -> None:
    answer = api(superuser).post("/api/v1/projects/", body, content_type="application/json")
    assert said in check_problem(answer, 400)["detail"]


def test_a_method_that_is_not_there(api: Api, admin: User) -> None:
    check_problem(api(admin).delete("/api/v1/tokens/"), 405)


def test_a_body_of_another_type(api: Api, superuser: User) -> None:
    check_problem(api(superuser).post("/api/v1/projects/", "a=b", content_type="text/plain"), 415)


def handled(error: Exception) -> Any:
    request = APIRequestFactory().get("/")
    request.id = "request-1"  # type: ignore[attr-defined]
    return problem_handler(error, {"request": request})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Conflict("It runs already.", code="busy"), 409),
        (Invalid("name", "Say which."), 400),
        (DataError("Row 7 has no key.", code="no_key"), 422),
        (TransientError("It dropped.", code="connection"), 503),
        (OperationalError("server closed the connection"), 503),
        (RedisConnectionError("refused"), 503),
        (IntegrityError("duplicate key"), 409),
        (User.DoesNotExist(), 404),
        (ZeroDivisionError("secret detail"), 500),
    ],
)
def test_each_kind_of_failure_has_its_status(error: Exception, status: int) -> None:
    response = handled(error)
    assert response.status_code == status
    assert set(response.data) >= PROBLEM
    assert "secret detail" not in str(response.data)
    assert ("Retry-After" in response.headers) == (status == 503)


def test_what_a_service_says_is_what_the_caller_reads() -> None:
    body = handled(Invalid("name", "Say which.", code="name_missing")).data
    assert (body["code"], body["errors"]) == ("name_missing", [{"field": "name", "message": "Say which."}])


def test_fields_are_named_by_their_path() -> None:
    body = handled(ValidationError({"steps": [{}, {"name": ["Too long."]}], "tags": ["One.", "Two."]})).data
    assert body["errors"] == [
        {"field": "steps[1].name", "message": "Too long."},
        {"field": "tags", "message": "One."},
        {"field": "tags", "message": "Two."},
    ]


def test_a_failure_inside_a_view_is_a_problem_without_a_trace(
    api: Api, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: User, action: str) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(User, "project_ids", broken)
    answer = api(admin).get("/api/v1/projects/")
    check_problem(answer, 500)
    assert b"secret detail" not in answer.content


def test_pages_go_by_cursor_and_lose_nothing(api: Api, admin: User, project: Project) -> None:
    for number in range(7):
        record("happened", object_type="test", object_id=number, project=project.pk, actor=SYSTEM)
    client = api(admin)
    url = "/api/v1/projects/flights/events/?object_type=test&page_size=3"
    seen: list[str] = []
    while url:
        page = client.get(url).json()
        assert set(page) == {"results", "next", "previous"}
        assert len(page["results"]) <= 3
        seen += [each["object_id"] for each in page["results"]]
        # A row that arrives meanwhile must not shift the pages.
        record("happened", object_type="test", object_id="new", project=project.pk, actor=SYSTEM)
        url = page["next"]
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


def test_a_wrong_cursor_or_ordering_is_refused(api: Api, admin: User, project: Project) -> None:
    client = api(admin)
    for query, field in [("cursor=nonsense", "cursor"), ("ordering=name", "ordering")]:
        body = check_problem(client.get(f"/api/v1/projects/?{query}"), 400)
        assert body["errors"][0]["field"] == field
    assert client.get("/api/v1/projects/?ordering=-created_at").status_code == 200


def test_the_schema_documents_every_operation_and_its_problems(api: Api, admin: User) -> None:
    schema = api(admin).get("/api/v1/schema/", headers={"Accept": "application/json"}).json()
    operations = [
        (path, method, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict)
    ]
    assert len(operations) > 15
    for path, method, operation in operations:
        answers = set(operation["responses"])
        assert {"401", "406", "503"} <= answers, (path, method)
        assert ("404" in answers) == ("{" in path), (path, method)
        assert method == "get" or {"400", "403", "409", "415"} <= answers, (path, method)
        assert "default" not in answers and not any(each.startswith("5") for each in answers - {"503"}), (path, method)


def test_the_docs_come_from_here_and_obey_the_content_security_policy(client: Client) -> None:
    page = client.get("/api/v1/docs/").content.decode()
    assert "swagger-ui" in page
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.S)
    assert scripts
    for attributes, inline in scripts:
        assert re.search(r'src="(/[^/]|\?)', attributes), attributes
        assert not inline.strip()


def test_a_session_needs_its_csrf_token(admin: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(admin)
    assert client.get("/api/v1/me/").status_code == 200
    body = check_problem(client.post("/api/v1/tokens/", {"name": "t"}), 403)
    assert "CSRF" in body["detail"]


@pytest.mark.parametrize("address", ["runs/?state=odd", "sources/?health=odd", "history/?state=odd"])
def test_a_filter_names_its_choices(api: Api, viewer: User, project: Project, address: str) -> None:
    (error,) = check_problem(api(viewer).get(f"/api/v1/projects/{project.slug}/{address}"), 400)["errors"]
    said = {"state": "succeeded", "health": "unknown"}[error["field"]]
    assert error["message"].startswith("There is no `odd`. Choose one of: ") and said in error["message"], error
