"""Whatever is sent to the API, it answers as its document says, and never with a failure of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from manifold.wsgi import application
from tests.furnished import Furnished

pytestmark = pytest.mark.django_db

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# How often a gap of an address is filled with what is there; otherwise with anything.
REAL = st.sampled_from([True, True, True, True, False])
GAP = re.compile(r"([a-z-]+)/\{(\w+)\}")


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """As Django's own test client does: the end of a request must not end the test's transaction."""
    for each in (request_started, request_finished):
        each.disconnect(close_old_connections)
    yield
    for each in (request_started, request_finished):
        each.connect(close_old_connections)


class Undone(Exception):
    """Ends a transaction that nobody wants to keep."""


def attempt(operation: Any, values: dict[str, str], headers: dict[str, str], examples: int) -> int:
    """Send this many requests to an operation, each to the same rows; how many were answered well."""
    gaps = {gap: values[word] for word, gap in GAP.findall(operation.path)}
    good = 0

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy(), real=REAL)
    def once(case: Any, real: bool) -> None:
        nonlocal good
        if real:
            case.path_parameters |= gaps
        try:
            with transaction.atomic():
                answer = case.call(headers=headers)
                raise Undone
        except Undone:
            good += answer.status_code < 300
        case.validate_response(answer, checks=CHECKS)

    once()
    return good


@cache
def every_operation() -> list[Any]:
    """What the document describes; reading it takes as long as a hundred requests."""
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/?format=json", application)
    return [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]


def attempt_all(furnished: Furnished, who: str, examples: int) -> dict[str, int]:
    """Every operation; fails with all that went wrong. Returns how many requests each has answered well."""
    headers = {"Authorization": f"Bearer {furnished.tokens[who]}"} if who in furnished.tokens else {}
    operations = every_operation()
    assert len(operations) > 70
    values = furnished.values
    good: dict[str, int] = {}
    wrong: list[str] = []
    for each in operations:
        try:
            good[each.label] = attempt(each, values, headers, examples)
        except BaseExceptionGroup as found:
            wrong += [f"{each.label}: {one}" for one in found.exceptions]
    assert not wrong, "\n\n".join(wrong)
    return good


@pytest.mark.parametrize(("who", "examples"), [("admin", 5), ("viewer", 2), ("superuser", 1), ("nobody", 1)])
def test_it_answers_as_documented(furnished: Furnished, who: str, examples: int) -> None:
    good = attempt_all(furnished, who, examples)
    if who == "nobody":
        assert not any(good.values())


@pytest.mark.all
@pytest.mark.parametrize("who", ["admin", "viewer", "superuser", "nobody"])
def test_it_answers_as_documented_for_long(furnished: Furnished, who: str) -> None:
    attempt_all(furnished, who, 25)
