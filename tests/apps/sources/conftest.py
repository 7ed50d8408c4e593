"""A source on a real database, and a stand-in connector's worth of files without one: rows only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.sources import services
from apps.sources.models import Source
from tests.dataplane.connectors.databases import params_of
from tests.dataplane.connectors.rest.api import Api, serving_orders
from tests.oauth_server import Authority, authority_on

CANARY = "canary-7f3e9d-do-not-show"


@pytest.fixture
def params(postgres_url: str) -> dict[str, Any]:
    """Parameters, with the password, of a database that holds two tables."""
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("CREATE TABLE airlines (carrier text PRIMARY KEY, name text NOT NULL)")
        database.execute("INSERT INTO airlines VALUES ('AA', 'American'), ('UA', 'United')")
        database.execute("CREATE TABLE flights (id bigint PRIMARY KEY, fare numeric(10,2), at timestamptz)")
        database.execute("INSERT INTO flights VALUES (1, 99.90, '2013-01-01Z'), (2, NULL, 'infinity')")
    return params_of(postgres_url)


@pytest.fixture
def source(project: Project, params: dict[str, Any]) -> Source:
    return services.create_source(
        project, slug="reference-db", title="Reference", connector="postgresql", params=params, actor=SYSTEM
    )


@pytest.fixture
def unreachable(project: Project) -> Source:
    """A source whose password nobody should ever see, at an address where nobody listens."""
    params = {"host": "127.0.0.1", "port": 1, "database": "d", "user": "u", "password": CANARY}
    return services.create_source(
        project, slug="nowhere", title="", connector="postgresql", params=params, actor=SYSTEM
    )


@pytest.fixture
def shop(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """An API of orders, which asks for nothing."""
    settings.NET_ALLOW = ["127.0.0.0/8"]
    monkeypatch.setattr("dataplane.connectors.rest.client._PAUSES", (0.0, 0.0))
    with serving_orders() as served:
        yield served


@pytest.fixture
def authority(shop: Api) -> Iterator[Authority]:
    """Whoever lets people into the API of orders."""
    with authority_on(shop.web) as served:
        shop.admits = served.admits
        yield served
