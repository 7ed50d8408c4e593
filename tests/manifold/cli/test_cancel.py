"""`manifold runs cancel`, where no worker is quicker."""

from __future__ import annotations

import pytest

from tests.served import Served

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("command")]


def test_a_run_is_cancelled_once(served: Served) -> None:
    started = served.json("run", "orders")
    assert served.json("runs", "cancel", started["id"])["state"] in ("cancelled", "stopping")
    again = served.manifold("runs", "cancel", started["id"])
    assert again.exit_code == 1
    assert again.stderr.startswith("manifold: ")
