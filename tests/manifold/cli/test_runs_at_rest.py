"""`manifold runs list`, `show` and `cancel`, where no worker changes a run meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from apps.pipelines.execution import settling
from apps.pipelines.execution.claiming import claim
from dataplane.errors import TransientError
from manifold.cli import output, runs
from tests.served import Served

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def dropped(served: Served) -> str:
    """A run whose first step has failed and waits to retry."""
    mine = claim(served.made.running.steps.get(kind="plan").pk, "host:1/m")
    assert mine is not None
    settling.fail(mine, TransientError("The network\x1b dropped.", code="connection_lost"), 1)
    return str(served.made.running.pk)


def test_a_step_that_waits_to_retry_says_why_and_until_when(served: Served, dropped: str) -> None:
    (waiting,) = [each for each in served.json("runs", "show", dropped)["steps"] if each["state"] == "retry_wait"]
    assert waiting["due_at"] and waiting["error"]["message"] == "The network\x1b dropped."
    shown = served.manifold("runs", "show", dropped).stdout
    # A server's words reach no terminal as commands to it.
    assert f"The network  dropped.\nIt is tried again at {output.when(waiting['due_at'])}." in shown


def test_whoever_waits_for_a_run_is_told_what_it_waits_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, however often it is looked at: it is cancelled between the third look and the fourth."""
    looks = 0

    def cancel_after_three(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            (waiting,) = served.client().in_project("GET", "runs/", params={"state": "pending"})["results"]
            served.client().in_project("POST", f"runs/{waiting['id']}/cancel/")

    monkeypatch.setattr("manifold.client.time", SimpleNamespace(sleep=cancel_after_three))
    result = served.manifold("run", "orders", "--wait")
    assert (result.exit_code, looks) == (1, 3)
    assert result.stderr.count("waits. Its turn: another run of this pipeline has not ended.") == 1


def test_whoever_waits_for_a_run_is_told_how_to_answer(capsys: pytest.CaptureFixture[str]) -> None:
    runs._tell({"id": "7", "state": "waiting", "waits_for": "Is it right?"})
    assert capsys.readouterr().err == (
        "manifold: 7 waits. Is it right? Answer with `manifold runs decide 7 continue`, or `stop`.\n"
    )


def test_a_run_is_cancelled_once(served: Served) -> None:
    started = served.json("run", "orders")
    assert served.json("runs", "cancel", started["id"])["state"] in ("cancelled", "stopping")
    again = served.manifold("runs", "cancel", started["id"])
    assert again.exit_code == 1
    assert again.stderr.startswith("manifold: ")


def test_runs_are_listed_as_the_api_lists_them(served: Served) -> None:
    # One that runs takes longer each time it is asked for.
    served.client().in_project("POST", f"runs/{served.made.running.pk}/cancel/")
    listed = served.json("runs", "list", "--state", "cancelled", "--limit", "1")
    assert listed == served.client().in_project("GET", "runs/?state=cancelled&page_size=1")
    assert len(listed["results"]) == 1 and listed["next"]
    assert served.manifold("runs", "list").stdout.splitlines()[0].split()[:3] == ["run", "pipeline", "state"]
    assert "No runs yet" in served.manifold("runs", "list", "--pipeline", "others").stdout
