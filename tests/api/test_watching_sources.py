"""What monitors ask for is there under the addresses that docs/api.md names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.furnished import Furnished
from tests.people import Api

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
ROWS = re.findall(r"^\| `(\w+) ([a-z-]+)[^|]*\| `(\w+) ([^`]+)` \|$", PAGE, re.MULTILINE)
KEYS = {
    "POST test-connection": {"ok", "stages", "seconds"},
    "GET test-connection": {"results", "next"},
    "GET ingestion-history": {"results", "next"},
    "GET source-health": {"health", "health_reason", "connection"},
    "GET schema-drift": {"results", "next"},
}


def test_every_name_has_a_row() -> None:
    assert {f"{verb} {name}" for verb, name, _, _ in ROWS} == set(KEYS)


@pytest.mark.django_db
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[3])
def test_each_address_answers(furnished: Furnished, api: Api, row: tuple[str, ...]) -> None:
    asked, name, verb, address = row
    filled = address.format(source="drop", pipeline="orders")
    client = api(furnished.people["operator"])
    answer = getattr(client, verb.lower())(f"/api/v1/projects/flights/{filled}")
    assert answer.status_code == 200, answer.json()
    assert set(answer.json()) >= KEYS[f"{asked} {name}"]
