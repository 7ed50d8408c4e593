"""`manifold schedules`."""

from __future__ import annotations

import pytest

from tests.served import Served

pytestmark = pytest.mark.django_db


def test_it_works(served: Served) -> None:
    listed = served.manifold("schedules", "list").stdout
    assert "orders" in listed
    assert "off" in listed
    assert "At 06:00 (Europe/Berlin)" in listed
    on = served.manifold("schedules", "on", "orders")
    assert on.exit_code == 0
    assert on.stdout.startswith("orders: on. At 06:00 (Europe/Berlin)\n")
    shown = served.manifold("schedules", "show", "orders", "--zone", "Asia/Kolkata")
    assert shown.stdout.count("06:00:00 +0") == 5
    assert shown.stdout.count("+0530") == 5
    assert served.json("schedules", "show", "orders") == served.client().in_project("GET", "pipelines/orders/schedule/")
    assert served.json("schedules", "list") == served.client().in_project("GET", "schedules/")
    assert served.json("schedules", "off", "orders")["enabled"] is False


def test_what_is_not_there_is_told(served: Served) -> None:
    assert served.manifold("schedules", "show", "nothing").exit_code == 2
    assert served.manifold("schedules", "show", "orders", "--zone", "Mars/Base").exit_code == 2
