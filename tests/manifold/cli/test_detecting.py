"""`manifold sources detect`: what is pasted is told, and its password is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.served import Served

pytestmark = pytest.mark.django_db


def test_what_is_pasted_is_told_without_its_password(served: Served, tmp_path: Path) -> None:
    told = served.manifold("sources", "detect", "-", given="postgresql://reader:canary-1@db.example.org/sales\n")
    assert told.stdout.startswith("postgresql  97%")
    assert "db.example.org" in told.stdout and "understood, not shown" in told.stdout
    assert "canary-1" not in told.output
    assert "not clear" in served.manifold("sources", "detect", "https://example.org/export").stdout
    file = tmp_path / "shop.db"
    file.write_bytes(b"SQLite format 3\0")
    assert served.json("sources", "detect", "--file", str(file))["candidates"][0]["connector"] == "sqlite"
    assert "No connector knows" in served.manifold("sources", "detect", "hello").stdout
