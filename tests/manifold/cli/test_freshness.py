"""`manifold freshness`: said, seen, taken back; against a real server."""

from __future__ import annotations

import pytest

from tests.served import Served

pytestmark = pytest.mark.django_db


def test_what_is_expected_is_said_seen_and_taken_back(served: Served) -> None:
    for name in ("orders", "drop/orders"):
        assert served.manifold("freshness", "clear", name).exit_code == 0
    assert "Begin with `manifold freshness set" in served.manifold("freshness", "list").output
    assert "--by or --max-age" in served.manifold("freshness", "set", "orders").output
    for name in ("orders", "drop/orders"):
        said = served.manifold("freshness", "set", name, "--by", "09:00", "--timezone", "Europe/Berlin")
        (one,) = [each for each in served.json("freshness", "list")["results"] if each["name"] == name]
        assert said.exit_code == 0 and said.output.startswith(f"{name}: {one['state']}. {one['says']}; due ")
        assert one["expected"] == {"by": "09:00", "timezone": "Europe/Berlin"}
    refused = served.manifold("freshness", "set", "orders", "--by", "25:00")
    assert refused.exit_code != 0 and "09:00" in refused.output
