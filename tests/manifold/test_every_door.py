"""Rules that a new endpoint or list could forget: a walk over everything that has an address."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admindocs.views import simplify_regex
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve

from apps.accounts.api_base import PlatformViewSet, ProjectViewSet
from apps.accounts.models import Project, Role, User
from apps.accounts.services import set_membership
from apps.audit.console import ConsoleAdmin, site
from apps.audit.context import SYSTEM
from tests.people import Api

pytestmark = pytest.mark.django_db


def walk(resolver: Any, before: str = "/") -> list[tuple[str, URLPattern]]:
    """Every address with its view; addresses as `/api/v1/projects/<project>/members/`."""
    found: list[tuple[str, URLPattern]] = []
    for each in resolver.url_patterns:
        part = simplify_regex(str(each.pattern)).lstrip("/")
        address = before + re.sub(r"<\w+:(\w+)>", r"<\1>", part)
        found += walk(each, address) if isinstance(each, URLResolver) else [(address, each)]
    return found


def endpoints() -> list[tuple[str, Any]]:
    """Addresses and views of our API; the schema and its page are drf-spectacular's."""
    return [
        (address, each.callback)
        for address, each in walk(get_resolver())
        if hasattr(each.callback, "cls") and not each.callback.cls.__module__.startswith("drf_spectacular")
    ]


def reached(address: str) -> str:
    """The address with something in its gaps that leads to its view."""
    for value in ("1", "x", "00000000-0000-7000-8000-000000000000", 32 * "0"):
        path = re.sub(r"<\w+>", value, address)
        try:
            resolve(path)
        except Resolver404:
            continue
        return path
    raise AssertionError(f"Nothing leads to {address}.")


def test_every_list_is_a_console_admin() -> None:
    served = {getattr(each.callback, "model_admin", None) for _, each in walk(get_resolver())} - {None}
    for each in served | set(site._registry.values()):
        assert isinstance(each, ConsoleAdmin), each


def test_every_endpoint_says_what_it_needs_and_asks_for_visible_rows() -> None:
    assert len(endpoints()) > 10
    for address, view in endpoints():
        assert issubclass(view.cls, PlatformViewSet), f"{address} has a base of its own"
        if "<project>" in address:
            assert issubclass(view.cls, ProjectViewSet), address
            declared = {"list", "retrieve", *view.cls.action_needed}
            assert set(view.actions.values()) <= declared, f"{address} does not say what its actions need"
            assert hasattr(view.cls.model._default_manager.all(), "visible_to"), address


def test_what_is_not_there_is_said_in_words_that_name_it(api: Api, project: Project, superuser: User) -> None:
    set_membership(project, superuser, role=Role.ADMIN, actor=SYSTEM)
    client, said = api(superuser), {}
    for address, view in endpoints():
        here = address.replace("<project>", project.slug)
        path = reached(here)
        if path != here:
            method = next(iter(view.actions))
            answer = getattr(client, method)(path, None if method == "get" else {})
            if answer.status_code == 404:
                said[address] = answer.json()["detail"]
    assert len(said) > 60
    assert {each: words for each, words in said.items() if not re.match(r"There is no [a-z ]+ `.+`", words)} == {}


@pytest.mark.parametrize("who", ["stranger", "superuser"])
def test_every_endpoint_is_closed_to_nobody_and_every_project_to_those_outside(
    request: pytest.FixtureRequest, api: Api, project: Project, who: str
) -> None:
    nobody, other = api(None), api(request.getfixturevalue(who))
    for address, view in endpoints():
        path = reached(address.replace("<project>", project.slug))
        for method in list(view.actions):
            body: dict[str, Any] | None = None if method in ("get", "head") else {}
            assert getattr(nobody, method)(path, body).status_code == 401, (method, path)
            if "<project>" in address:
                assert getattr(other, method)(path, body).status_code == 404, (method, path)
