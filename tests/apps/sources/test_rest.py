"""A source that is an API, as people add it: its secret stays one, its streams and their cursors are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.sources import services
from apps.sources.models import Health, Source, Stream
from apps.sources.parameters import InvalidFields
from dataplane.connectors.windows import Mark
from tests.dataplane.connectors.rest.api import Api, serving_orders
from tests.dataplane.connectors.rest.reading import WAYS

CANARY = "canary-2c81d4-do-not-show"


@pytest.fixture
def api() -> Iterator[Api]:
    with serving_orders() as served:
        served.admits = lambda headers, query: headers.get("authorization") == f"Bearer {CANARY}"
        yield served


def params_of(api: Api, **changes: Any) -> dict[str, Any]:
    given = {"base_url": api.base, "streams": [WAYS["page"], "lost /lost"], "records": "data.orders"}
    return {**given, "auth": "bearer", "token": CANARY, **changes}


@pytest.fixture
def source(project: Project, api: Api, settings: Any) -> Source:
    settings.NET_ALLOW = ["127.0.0.0/8"]
    return services.create_source(
        project, slug="shop", title="Shop", connector="rest", params=params_of(api), actor=SYSTEM
    )


def test_it_works(source: Source) -> None:
    check = services.test_source(source, actor=SYSTEM)
    assert check.ok, check.stages
    streams = {each.name: each for each in services.discover_streams(source, actor=SYSTEM)}
    assert [each["name"] for each in streams["orders"].config["columns"]] == ["id", "amount", "note", "at"]
    assert services.preview_stream(streams["orders"], limit=2)["row_count"] == 2
    services.update_stream(streams["orders"], config={"cursor": "at"}, actor=SYSTEM)
    bound, config = services.binding(Stream.objects.get(pk=streams["orders"].pk))
    assert bound.plan(config, "incremental", Mark()).rows == 7


def test_what_a_look_said_of_a_stream_is_kept_until_the_next(source: Source, api: Api) -> None:
    services.discover_streams(source, actor=SYSTEM)
    lost = Stream.objects.get(name="lost")
    assert len(lost.warnings) == 1 and "404" in lost.warnings[0]
    api.web.bad["/v1/lost"] = api.answer
    services.discover_streams(source, actor=SYSTEM)
    lost.refresh_from_db()
    assert lost.warnings == [] and lost.config["columns"]


def test_a_secret_is_in_no_column_in_clear(source: Source) -> None:
    assert CANARY not in str(source.params)
    with connection.cursor() as cursor:
        cursor.execute("SELECT c::text FROM sources_credential c")
        assert CANARY not in str(cursor.fetchall())


def test_a_wrong_token_is_told_at_its_stage(source: Source, api: Api) -> None:
    services.update_source(source, params={"token": "another"}, actor=SYSTEM)
    check = services.test_source(Source.objects.get(pk=source.pk), actor=SYSTEM)
    assert (check.stages[-1]["name"], check.stages[-1]["error"]["code"]) == ("authenticate", "authentication")
    source.refresh_from_db()
    assert source.health == Health.ERROR


def test_a_wrong_line_is_told_at_its_field(project: Project, api: Api) -> None:
    params = params_of(api, streams=["orders orders"])
    with pytest.raises(InvalidFields) as caught:
        services.create_source(project, slug="shop", title="", connector="rest", params=params, actor=SYSTEM)
    assert "orders /orders" in str(caught.value.fields)
