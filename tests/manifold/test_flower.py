"""Who may see Flower, and which of its addresses are handed on. `test_supervisor.py` looks at a real one."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from apps.accounts.models import Project, User
from manifold.console.flower import may_see
from tests.cluster import ROOT
from tests.people import quick, signed_in
from tests.ports import own_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower is said to be where nobody listens."""
    monkeypatch.setenv("MANIFOLD_FLOWER_URL", f"http://127.0.0.1:{own_port()}")


def test_it_is_open_to_superusers(superuser: User, admin: User, operator: User) -> None:
    assert [may_see(each) for each in (superuser, admin, operator)] == [True, False, False]


def test_it_may_be_opened_to_whoever_may_operate_everything_it_shows(
    *, superuser: User, admin: User, operator: User, viewer: User, settings: Any
) -> None:
    settings.FLOWER_OPERATORS = True
    assert [may_see(each) for each in (superuser, admin, operator, viewer)] == [True, True, True, False]
    assert not may_see(AnonymousUser())


def test_a_project_of_others_closes_it(superuser: User, operator: User, stranger: User, settings: Any) -> None:
    settings.FLOWER_OPERATORS = True
    Project.objects.create(slug="theirs", name="Theirs")
    assert [may_see(each) for each in (superuser, operator, stranger)] == [True, False, False]


def test_the_navigation_leads_there_for_whoever_may_see_it(
    *, superuser: User, operator: User, viewer: User, settings: Any
) -> None:
    settings.FLOWER_OPERATORS = True
    shown = []
    for user in (superuser, operator, viewer):
        client = signed_in(user)
        shown.append('href="/flower/"' in client.get("/tokens/").content.decode())
    assert shown == [True, True, False]


def test_signed_out_it_leads_to_the_sign_in_page(client: Client) -> None:
    answer = client.get("/flower/tasks")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login/?next=/flower/tasks")


def test_a_viewer_is_refused_with_the_reason(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    answer = quick(client).get("/flower/")
    assert (answer.status_code, "open to superusers only" in answer.content.decode()) == (403, True)


@pytest.mark.parametrize(
    ("verb", "rest"),
    [
        ("get", "metrics"),
        ("get", "healthcheck"),
        ("get", "api/workers"),
        ("get", "login"),
        ("get", "static/../metrics"),
        ("get", "worker/x/../../metrics"),
        ("post", "api/worker/shutdown/x"),
        ("post", "tasks"),
    ],
)
@pytest.mark.usefixtures("unanswered")
def test_what_is_not_handed_on(client: Client, superuser: User, verb: str, rest: str) -> None:
    client.force_login(superuser)
    assert getattr(client, verb)(f"/flower/{rest}").status_code == 404


@pytest.mark.usefixtures("unanswered")
def test_one_that_does_not_answer(client: Client, superuser: User) -> None:
    client.force_login(superuser)
    answer = client.get("/flower/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert b"Flower does not answer" in answer.content
    assert b'outage.js" data-seconds="5"' in answer.content


def test_where_none_runs(client: Client, superuser: User) -> None:
    client.force_login(superuser)
    assert client.get("/flower/").status_code == 404


@pytest.mark.all
@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1"])
def test_a_place_where_it_cannot_listen_is_named(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = [sys.executable, str(ROOT / "manage.py"), "flower", "--address", address, "--port", port]
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"Flower cannot listen on port {port} of {address}: " in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr
