"""A source that is an API of GraphQL, as people add it: its queries keep their lines, and are streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.sources import services
from apps.sources.models import Source, Stream
from apps.sources.parameters import InvalidFields
from dataplane.connectors.windows import Mark
from tests.dataplane.connectors.graphql.api import PAGED, WAYS, Server, serving_graphql

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(settings: Any) -> Iterator[Server]:
    settings.NET_ALLOW = ["127.0.0.0/8"]
    with serving_graphql() as served:
        yield served


def test_it_works(project: Project, server: Server) -> None:
    params = {"base_url": server.url, "queries": PAGED, "streams": WAYS["nodes"]}
    source = services.create_source(
        project, slug="shop", title="Shop", connector="graphql", params=params, actor=SYSTEM
    )
    check = services.test_source(source, actor=SYSTEM)
    assert check.ok, check.stages
    streams = {each.name: each for each in services.discover_streams(source, actor=SYSTEM)}
    assert [each["name"] for each in streams["orders"].config["columns"]] == ["id", "amount", "note", "at"]
    assert services.preview_stream(streams["orders"], limit=2)["row_count"] == 2
    services.update_stream(streams["orders"], config={"cursor": "at"}, actor=SYSTEM)
    bound, config = services.binding(Stream.objects.get(pk=streams["orders"].pk))
    assert bound.plan(config, "incremental", Mark()).rows == 7


def test_queries_are_entered_in_lines_and_shown_as_they_were(client: Client, admin: User, project: Project) -> None:
    client.force_login(admin)
    empty = client.get(f"/p/{project.slug}/new-source/graphql/").content.decode()
    assert '<textarea class="area mono" id="param-queries"' in empty
    params = {"base_url": "https://api.example.org/graphql", "queries": "query a { b }", "records": "data.b"}
    services.create_source(project, slug="shop", title="Shop", connector="graphql", params=params, actor=SYSTEM)
    address = f"/p/{project.slug}/sources/shop/edit/"
    form = {"title": "Shop", "param-base_url": params["base_url"], "param-queries": PAGED.replace("\n", "\r\n")}
    client.post(address, {**form, "param-streams": "\n".join(WAYS["nodes"])})
    source = Source.objects.get(project=project, slug="shop")
    assert source.params["queries"].splitlines() == PAGED.strip().splitlines()
    assert source.params["streams"] == WAYS["nodes"] and source.params["records"] is None
    assert "    pageInfo { endCursor hasNextPage }" in client.get(address).content.decode()
    client.post(address, {**form, "param-queries": ""})
    assert Source.objects.get(pk=source.pk).params["queries"] == source.params["queries"]


def test_a_wrong_query_is_told_at_its_field(project: Project) -> None:
    params = {"base_url": "https://api.example.org/graphql", "queries": "{ orders { id } }", "records": "data.orders"}
    with pytest.raises(InvalidFields) as caught:
        services.create_source(project, slug="shop", title="", connector="graphql", params=params, actor=SYSTEM)
    assert "query orders" in str(caught.value.fields["queries"])
