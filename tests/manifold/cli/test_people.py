"""`manifold audit`, `tokens`, `members`, `users`, `projects` and `sessions`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.served import Served

pytestmark = pytest.mark.django_db


def test_it_works(served: Served) -> None:
    client = served.client()
    listed = served.json("audit", "list", "--limit", "3")
    assert listed == client.in_project("GET", "events/?page_size=3")
    assert len(listed["results"]) == 3
    by = served.json("audit", "list", "--actor", "nobody")
    assert by == {"next": None, "previous": None, "results": []}
    assert served.manifold("audit", "list").stdout.splitlines()[0].split()[0] == "event"
    assert served.json("tokens", "list") == client.call("GET", "tokens/")
    assert served.manifold("tokens", "list").stdout.splitlines()[0].split()[0] == "token"


def test_a_token_is_issued_used_and_revoked(served: Served) -> None:
    result = served.manifold("tokens", "issue", "nightly", "--role", "viewer", "--project", "flights", "--days", "1")
    assert result.exit_code == 0
    token = result.stdout.strip()
    assert token.startswith("mf_")
    assert served.manifold("datasets", MANIFOLD_TOKEN=token).exit_code == 0
    result = served.manifold("run", "orders", MANIFOLD_TOKEN=token)
    assert (result.exit_code, "Your role" in result.stderr) == (4, True)
    issued = next(each for each in served.json("tokens", "list")["results"] if each["name"] == "nightly")
    assert served.manifold("tokens", "revoke", issued["id"]).stdout == "revoked\n"
    result = served.manifold("datasets", MANIFOLD_TOKEN=token)
    assert (result.exit_code, "revoked" in result.stderr) == (4, True)


def test_the_log_is_verified_by_a_superuser_only(served: Served) -> None:
    answer = served.json("audit", "verify", who="superuser")
    assert answer["ok"] is True
    assert "whole" in served.manifold("audit", "verify", who="superuser").stdout
    assert served.manifold("audit", "verify").exit_code == 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["audit", "list", "--limit", "501"], 2, "501 is not in the range"),
        (["tokens", "issue", "x", "--days", "0"], 2, "days"),
        (["tokens", "issue", "x", "--project", "nowhere"], 2, "There is no project `nowhere`"),
        (["tokens", "issue", "x", "--role", "king"], 2, "'king' is not one of"),
        (["tokens", "revoke", "nonsense"], 2, "manifold: "),
    ],
)
def test_wrong_words(served: Served, words: list[str], code: int, said: str) -> None:
    result = served.manifold(*words)
    assert (result.exit_code, said in result.stderr) == (code, True), result.output


def test_members_are_invited_changed_and_removed(served: Served) -> None:
    client = served.client()
    link = served.manifold("members", "invite", "Stan", "--role", "operator", "--days", "1").stdout.strip()
    assert link.startswith(f"{served.url}/join/")
    listed = served.json("members", "invitations", "--limit", "1")
    assert listed == client.page("invitations/", 1)
    assert served.manifold("members", "join", link, who="stranger").stdout == "flights: you are operator\n"
    assert served.manifold("members", "join", link, who="superuser").exit_code == 1
    assert "stan joined" in served.manifold("members", "invitations").stdout
    assert served.manifold("members", "set", "stan", "viewer").stdout == "stan is viewer\n"
    assert served.json("members", "list") == client.in_project("GET", "members/?page_size=500")
    assert served.manifold("members", "remove", "stan").stdout == "removed\n"
    assert "stan" not in served.manifold("members", "list").stdout
    other = served.json("members", "invite", "Eve")
    assert served.manifold("members", "withdraw", other["id"]).stdout == "withdrawn\n"
    refused = served.manifold("members", "join", other["link"], who="stranger")
    assert (refused.exit_code, "withdrawn" in refused.stderr) == (1, True)


def test_superusers_add_people_and_projects(served: Served) -> None:
    made = served.manifold("users", "create", "zoe", "--email", "zoe@example.com", who="superuser").stdout
    assert made.startswith("zoe  password ")
    assert served.manifold("projects", "create", "zoo", "--admin", "zoe", who="superuser").stdout == "zoo\n"
    assert "zoo" not in served.manifold("projects", "list", who="superuser").stdout
    assert served.manifold("users", "deactivate", "zoe", who="superuser").stdout == "deactivated\n"
    assert served.manifold("users", "activate", "zoe", who="superuser").stdout == "active\n"
    assert (
        served.manifold("users", "change", "zoe", "--email", "zoe@zoo.example", who="superuser").stdout == "changed\n"
    )
    assert served.json("users", "change", "zoe", "--superuser", who="superuser")["is_superuser"] is True
    assert served.manifold("users", "change", "zoe", who="superuser").exit_code == 2
    assert served.manifold("users", "password", "zoe", who="superuser").stdout.startswith("zoe  password ")
    assert served.manifold("users", "password", "root", who="superuser").exit_code == 1
    assert "zoe@zoo.example" in served.manifold("users", "list", who="superuser").stdout
    assert served.manifold("users", "list").exit_code == 4


def test_the_log_is_filtered_and_saved(served: Served, tmp_path: Path) -> None:
    one = served.json("audit", "list", "--text", "orders", "--type", "pipeline", "--limit", "5")
    assert one["results"]
    assert {each["object_type"] for each in one["results"]} == {"pipeline"}
    file = tmp_path / "log.ndjson"
    words = ["audit", "export", "--format", "ndjson", "--type", "pipeline", "-o", str(file)]
    assert served.manifold(*words).exit_code == 0
    saved = [json.loads(line) for line in file.read_text().splitlines()]
    assert saved
    assert {each["object_type"] for each in saved} == {"pipeline"}
    again = served.manifold(*words)
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)


def test_sessions_end(served: Served) -> None:
    assert served.json("sessions", "list")["results"] == []
    assert served.manifold("sessions", "end", "--all").stdout == "ended\n"
    for words in (["end"], ["end", "x", "--all"], ["end", "x"]):
        assert served.manifold("sessions", *words).exit_code == 2
