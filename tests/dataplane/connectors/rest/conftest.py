"""A served API for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dataplane.connectors.rest.api import Api, serving_orders


@pytest.fixture
def api() -> Iterator[Api]:
    with serving_orders() as served:
        yield served


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits before it tries again does so at once."""
    monkeypatch.setattr("dataplane.connectors.rest.client._PAUSES", (0.0, 0.0, 0.0, 0.0))
