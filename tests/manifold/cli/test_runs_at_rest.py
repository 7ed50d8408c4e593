"""`manifold runs list` and `cancel`, where no worker changes a run meanwhile."""

from __future__ import annotations

import pytest

from tests.served import Served

pytestmark = pytest.mark.django_db


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
