"""Whatever is sent to the API, it answers as its document says, and never with a failure of its own."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from apps.accounts import services
from apps.accounts.models import Project, Role, User
from apps.audit.context import SYSTEM

pytestmark = [pytest.mark.all, pytest.mark.django_db(transaction=True)]

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# What belongs to people, and what a project's members see of it. Sources and pipelines reach outside.
OURS = r"/api/v1/(me|tokens|users|events|projects/(\{slug\}/)?$|projects/\{project\}/(members|events))"
EXAMPLES = 15


def try_operation(operation: Any, session: requests.Session, project: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy())
    def attempt(case: Any) -> None:
        if "project" in case.path_parameters:
            case.path_parameters["project"] = project
        case.validate_response(case.call(session=session), checks=CHECKS)

    attempt()


@pytest.mark.parametrize("who", ["superuser", "viewer"])
def test_it_answers_as_documented(
    request: pytest.FixtureRequest, live_server: Any, project: Project, admin: User, who: str
) -> None:
    user: User = request.getfixturevalue(who)
    if who == "superuser":
        services.set_membership(project, user, role=Role.ADMIN, actor=SYSTEM)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {services.issue_token(user, name='t', actor=SYSTEM)[1]}"
    schema: Any = schemathesis.openapi.from_url(f"{live_server.url}/api/v1/schema/").include(path_regex=OURS)
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) >= 15
    for operation in operations:
        # Another example may have revoked this token, or deactivated this user.
        services.set_active(user, active=True, actor=SYSTEM)
        try_operation(operation, session, project.slug)
