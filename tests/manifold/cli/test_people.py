"""`manifold audit` and `manifold tokens`."""

from __future__ import annotations

import pytest

from tests.served import Served

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("command")]


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
