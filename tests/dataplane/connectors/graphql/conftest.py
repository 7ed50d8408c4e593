"""A served API of GraphQL for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dataplane.connectors.graphql.api import Server, serving_graphql


@pytest.fixture
def server() -> Iterator[Server]:
    with serving_graphql() as served:
        yield served


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits before it tries again does so at once."""
    monkeypatch.setattr("dataplane.connectors.rest.client._PAUSES", (0.0, 0.0, 0.0, 0.0))
