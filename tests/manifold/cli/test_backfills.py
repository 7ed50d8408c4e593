"""`manifold backfill` and `manifold backfills`."""

from __future__ import annotations

import pytest

from tests.served import Served

pytestmark = pytest.mark.django_db
RANGE = ("--from", "2025-12-01", "--to", "2025-12-04", "--every", "day")


def test_it_works(served: Served) -> None:
    shown = served.manifold("backfill", "orders", *RANGE, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "0 of 3 slices have something to read, 0 rows." in shown.stdout
    assert served.json("backfill", "orders", *RANGE, "--dry-run")["runs"] == 0
    started = served.json("backfill", "orders", *RANGE, "--pass-over")
    assert (started["state"], started["on_failure"], started["total"]) == ("running", "pass_over", 3)
    place = ("orders", started["id"])
    assert "0 done, 0 failed, 0 cancelled, 3 left" in served.manifold("backfills", "show", *place).stdout
    assert served.manifold("backfill", "orders", *RANGE).exit_code == 1
    paused = served.manifold("backfills", "pause", *place, "--reason", "later")
    assert "later" in paused.stdout
    assert served.json("backfills", "resume", *place)["state"] == "running"
    assert served.json("backfills", "cancel", *place)["state"] == "cancelled"
    assert started["id"] in served.manifold("backfills", "list", "orders").stdout
    listed = served.client().in_project("GET", "pipelines/orders/backfills/")
    assert served.json("backfills", "list", "orders")["results"] == listed["results"]


def test_what_is_wrong_is_told(served: Served) -> None:
    wrong = served.manifold("backfill", "orders", "--from", "2025-12-01", "--to", "soon")
    assert wrong.exit_code == 2
    assert "Write 2026-01-31" in wrong.stderr
    assert served.manifold("backfills", "show", "orders", "0" * 32).exit_code == 2
