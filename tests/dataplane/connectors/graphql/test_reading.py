"""What arrives: pages, types, parameters, and queries in their parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dataplane.connectors.graphql.queries import operations
from dataplane.connectors.registry import build
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ConfigurationError
from tests.dataplane.connectors.graphql.api import LOOPBACK, PAGED, Server, source, stream_of
from tests.dataplane.connectors.rest.api import order
from tests.dataplane.steps.files_source import extracted, rows


def test_it_works(server: Server, tmp_path: Path) -> None:
    connector = source(server)
    stages = list(connector.test())
    assert [(each.name, each.ok) for each in stages] == [
        (name, True) for name in ("resolve", "connect", "authenticate", "list", "read a row")
    ], stages
    assert stages[-1].detail == "3 records on the first page of orders."
    orders, every = connector.discover()
    assert (orders.primary_key, orders.cursor_candidates, every.name) == (("id",), ("id", "note", "at"), "all")
    stream = stream_of(connector)
    types = [(each.name, each.type) for each in stream.columns]
    assert types == [("id", "BIGINT"), ("amount", "DOUBLE"), ("note", "VARCHAR"), ("at", "TIMESTAMP")]
    assert connector.preview(stream, 2).num_rows == 2
    assert connector.plan(stream, "full_refresh", Mark()).window == Window("full")
    result = extracted(tmp_path, connector, stream, Window("full"))
    found = sorted(row[:3] for row in rows(tmp_path, result))
    assert found == [(n, n + 0.5, f"no. {n}") for n in range(1, 8)]
    assert result.facts["warnings"] == []


@pytest.mark.parametrize("way", ["nodes", "edges"])
@pytest.mark.parametrize("name", ["orders", "all"])
@pytest.mark.parametrize("count", [0, 3, 7])
def test_each_record_arrives_once(server: Server, tmp_path: Path, way: str, name: str, count: int) -> None:
    server.orders = [order(each) for each in range(count)]
    stream = StreamConfig(name, columns=(Column("id", "BIGINT"),))
    found = rows(tmp_path, extracted(tmp_path, source(server, way), stream, Window("full")))
    assert sorted(row[0] for row in found) == list(range(count))
    assert len(server.asked) == (1 if name == "all" else max(1, -(-count // 3)))


def test_a_query_is_sent_with_its_fragments_alone(server: Server) -> None:
    connector = source(server, queries=f"{PAGED} fragment Unused on Order {{ id }}")
    connector.preview(stream_of(connector))
    document = server.asked[-1]
    assert document["operationName"] == "orders" and document["variables"] == {}
    assert "fragment Fields" in document["query"]
    assert "Unused" not in document["query"] and "query all" not in document["query"]


def test_one_wrong_query_hides_no_other_stream(server: Server) -> None:
    connector = source(server, "nodes", queries=PAGED + "query lost { lost { id } }", records="data.lost")
    found = {each.name: each for each in connector.discover()}
    assert found["orders"].columns and found["all"].columns
    assert not found["lost"].columns and "nothing at data.lost" in found["lost"].warnings[0]


def test_a_stream_that_is_no_longer_declared_is_told(server: Server) -> None:
    with pytest.raises(ConfigurationError) as caught:
        source(server).plan(StreamConfig("gone"), "full_refresh", Mark())
    assert caught.value.code == "stream_missing" and "*Queries*" in caught.value.message


def test_queries_are_told_apart_by_what_encloses_them() -> None:
    found = operations(
        'query a($x: [Int!] = [1], $f: F = {t: "}"}) @live(if: $x) { o(f: $f, t: """} \\""" {""") { ... on O { id } } }'
        "\n# } query no { x }\nquery b { o { ...B } } fragment B on O { p { ...A } } fragment A on P { id }"
    )
    assert list(found) == ["a", "b"]
    assert found["a"].variables == {"x": "Int", "f": "F"} and found["a"].text.endswith("{ id } } }")
    assert found["b"].text == "query b { o { ...B } }\nfragment B on O { p { ...A } }\nfragment A on P { id }"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"base_url": "ftp://host"}, "base_url"),
        ({"queries": ""}, "queries"),
        ({"queries": "# none"}, "no query"),
        ({"queries": "{ orders { id } }"}, "query orders"),
        ({"queries": "query { orders { id } }"}, "no name"),
        ({"queries": "mutation m { drop }"}, "'mutation' begins neither"),
        ({"queries": "subscription s { orders }"}, "'subscription' begins neither"),
        ({"queries": "query a { o { id }"}, "no end"),
        ({"queries": "query a { o( }"}, "do not match"),
        ({"queries": 'query a { o(t: "x) }'}, "no end"),
        ({"queries": "query a { x } query a { y }"}, "there twice"),
        ({"queries": "query a { ...F }"}, "the fragment F"),
        ({"records": None}, "records=data.orders.nodes"),
        ({"records": "data.*"}, "records"),
        ({"records": "data[].a[].b"}, "records"),
        ({"streams": ["lost key=id"]}, "no query lost"),
        ({"streams": ["a colour=red"]}, "colour=red"),
        ({"streams": ["a since_variable=from"]}, "$from"),
        ({"streams": ["a", "a"]}, "Two lines"),
        ({"auth": "bearer"}, "token"),
    ],
)
def test_wrong_parameters_say_what_to_write(params: dict[str, object], said: str) -> None:
    given = {"base_url": "http://host", "queries": "query a { o { id } }", "records": "data.o"}
    with pytest.raises(ValidationError) as caught:
        build("graphql", {**given, **params}, networks=LOOPBACK)
    assert said in str(caught.value)
