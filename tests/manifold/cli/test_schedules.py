"""`manifold schedules`."""

from __future__ import annotations

from pathlib import Path

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


def test_a_preview_says_what_show_says_of_the_same_document(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text("pipeline: orders\nschedule: {preset: daily, at: 06:00, timezone: Europe/Berlin}\n")
    shown, found = served.json("schedules", "show", "orders"), served.json("schedules", "preview", str(file))
    assert {name: shown[name] for name in ("says", "definition", "next")} == found
    said = served.manifold("schedules", "preview", str(file), "--zone", "Asia/Kolkata").stdout
    assert said.startswith("At 06:00 (Europe/Berlin)\n")
    assert said.count("+0530") == 5
    file.write_text("pipeline: orders\n")
    refused = served.manifold("schedules", "preview", str(file))
    assert refused.exit_code == 2
    assert "has no `schedule:`" in refused.stderr
    file.write_text("schedule: {cron: 61 * * * *}\n")
    assert served.manifold("schedules", "preview", str(file)).exit_code == 2


def test_what_is_not_there_is_told(served: Served) -> None:
    assert served.manifold("schedules", "show", "nothing").exit_code == 2
    assert served.manifold("schedules", "show", "orders", "--zone", "Mars/Base").exit_code == 2
