"""What checks have found, kept and read back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import Project, User
from apps.quality.models import CheckResult
from apps.quality.queries import results_of
from apps.quality.services import record_results

pytestmark = pytest.mark.django_db

Api = Callable[[User | None], APIClient]


def outcome(position: int, **changes: Any) -> dict[str, Any]:
    return {
        "rule": "not_null",
        "name": "not_null(dest)",
        "position": position,
        "columns": ["dest"],
        "definition": {"not_null": ["dest"], "action": "warn"},
        "action": "warn",
        "passed": False,
        "failed_rows": 2,
        "total_rows": 10,
        "fraction": 0.2,
        "samples": [{"file": "jan.csv", "row": 7, "values": {"dest": None}}],
        "seconds": 0.01,
        **changes,
    }


def keep(project: Project, step: uuid.UUID, *outcomes: dict[str, Any]) -> list[CheckResult]:
    return record_results(
        project_id=project.pk,
        pipeline_id=uuid.uuid4(),
        run_id=uuid.uuid4(),
        step_id=step,
        step_key="sound",
        outcomes=outcomes,
    )


def test_it_works(project: Project) -> None:
    one, two = uuid.uuid4(), uuid.uuid4()
    keep(project, one, outcome(0), outcome(1, passed=True))
    keep(project, two, outcome(0))
    found = results_of([one, two, uuid.uuid4()])
    assert {key: len(each) for key, each in found.items()} == {one: 2, two: 1}
    assert found[two] == [{name: value for name, value in outcome(0).items() if name != "position"}]
    assert [each["passed"] for each in found[one]] == [False, True]


def test_a_step_that_runs_again_replaces_its_results(project: Project) -> None:
    step = uuid.uuid4()
    keep(project, step, outcome(0), outcome(1))
    keep(project, step, outcome(0, passed=True))
    assert [each["passed"] for each in results_of([step])[step]] == [True]


def test_one_query_reads_any_number_of_steps(project: Project, django_assert_num_queries: Any) -> None:
    steps = [uuid.uuid4() for _ in range(5)]
    for step in steps:
        keep(project, step, outcome(0))
    with django_assert_num_queries(1):
        results_of(steps)
    with django_assert_num_queries(0):
        assert results_of([]) == {}


def test_the_api_lists_what_was_found(project: Project, viewer: User, api: Api) -> None:
    step = uuid.uuid4()
    bad, good = keep(project, step, outcome(0), outcome(1, passed=True))
    url = f"/api/v1/projects/{project.slug}/checks/"
    listed = api(viewer).get(url, {"step": str(step)})
    assert listed.status_code == 200, listed.content
    assert {each["id"] for each in listed.json()["results"]} == {str(bad.pk), str(good.pk)}
    only = api(viewer).get(url, {"passed": "false", "rule": "not_null"}).json()["results"]
    assert [each["id"] for each in only] == [str(bad.pk)]
    one = api(viewer).get(f"{url}{bad.pk}/").json()
    assert one["samples"] == [{"file": "jan.csv", "row": 7, "values": {"dest": None}}]


def test_strangers_see_nothing(project: Project, stranger: User, api: Api) -> None:
    (result,) = keep(project, uuid.uuid4(), outcome(0))
    url = f"/api/v1/projects/{project.slug}/checks/"
    assert api(stranger).get(url).status_code == 404
    assert api(stranger).get(f"{url}{result.pk}/").status_code == 404
    assert api(None).get(url).status_code in (401, 403)


def test_the_cost_of_a_list(project: Project, viewer: User, api: Api, django_assert_max_num_queries: Any) -> None:
    keep(project, uuid.uuid4(), *(outcome(position) for position in range(20)))
    client = api(viewer)
    with django_assert_max_num_queries(6):
        assert client.get(f"/api/v1/projects/{project.slug}/checks/").status_code == 200


def test_nobody_writes_results(project: Project, admin: User, api: Api) -> None:
    url = f"/api/v1/projects/{project.slug}/checks/"
    assert api(admin).post(url, {}).status_code == 405
    assert not CheckResult.objects.exists()
