"""Servers that refuse in an answer of success, limit, lie or never end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dataplane.connectors.base import Connector
from dataplane.connectors.registry import build
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from tests.dataplane.connectors.graphql.api import PAGED, Server, refusing, source, stream_of
from tests.dataplane.connectors.remotes.web import Request, serving
from tests.dataplane.connectors.rest.api import order
from tests.dataplane.connectors.rest.test_signing import SECRET
from tests.dataplane.steps.files_source import extracted, rows

ORDERS = StreamConfig("orders", columns=(Column("id", "BIGINT"),), cursor="id")


def planned(connector: Connector) -> int | None:
    return connector.plan(ORDERS, "incremental", Mark()).rows


def always(status: int, body: bytes, headers: dict[str, str] | None = None) -> Any:
    def before(number: int, request: Request) -> bool:
        request.answer(status, body, headers)
        return True

    return before


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (200, refusing("API rate limit exceeded", type="RATE_LIMITED"), TransientError, "rate_limited"),
        (200, refusing("Throttled"), TransientError, "rate_limited"),
        (200, refusing("slow down", "THROTTLED"), TransientError, "rate_limited"),
        (200, refusing("who?", "UNAUTHENTICATED"), ConfigurationError, "authentication"),
        (200, refusing("Unauthorized field"), ConfigurationError, "authentication"),
        (200, refusing("no", "FORBIDDEN"), ConfigurationError, "authentication"),
        (200, refusing("boom", "INTERNAL_SERVER_ERROR"), TransientError, "server_error"),
        (200, refusing("Cannot query field"), ConfigurationError, "query_refused"),
        (400, refusing("Cannot query field", "GRAPHQL_VALIDATION_FAILED"), ConfigurationError, "query_refused"),
        (200, b'{"data": {}, "errors": {}}', ConfigurationError, "query_refused"),
        (200, b'{"data": {}, "errors": ["x"]}', ConfigurationError, "query_refused"),
        (400, b"errors", ConfigurationError, "http_status"),
        (404, b"{}", ConfigurationError, "http_status"),
        (429, b"{}", TransientError, "rate_limited"),
        (401, refusing("who?"), ConfigurationError, "authentication"),
        (503, b"", TransientError, "server_error"),
    ],
    ids=str,
)
def test_what_is_refused_is_told(
    server: Server, status: int, body: bytes, kind: type[ManifoldError], code: str
) -> None:
    server.before = always(status, body)
    with pytest.raises(kind) as caught:
        planned(source(server))
    assert caught.value.code == code
    assert len(server.asked) == (5 if kind is TransientError else 1)
    if code == "query_refused" and b"Cannot" in body:
        assert "“Cannot query field”" in caught.value.message and "orders" in caught.value.message


def test_records_beside_errors_are_not_taken_for_all(server: Server) -> None:
    body = {"data": {"orders": {"nodes": [{"id": 1}], "pageInfo": {"hasNextPage": False}}}}
    server.before = always(200, json.dumps({**body, "errors": [{"message": "one was left out"}]}).encode())
    with pytest.raises(ConfigurationError, match="one was left out"):
        planned(source(server))
    server.before = always(200, json.dumps({**body, "errors": []}).encode())
    assert planned(source(server)) == 1


def test_a_limit_that_passes_loses_nothing(server: Server, tmp_path: Path) -> None:
    def before(number: int, request: Request) -> bool:
        if number % 2:
            request.answer(200, refusing("", "RATE_LIMITED"), {"Retry-After": "0"})
        return bool(number % 2)

    server.before = before
    found = rows(tmp_path, extracted(tmp_path, source(server), ORDERS, Window("full")))
    assert sorted(row[0] for row in found) == list(range(1, 8))


def test_a_server_that_asks_for_too_much_patience_is_left_alone(server: Server) -> None:
    server.before = always(200, refusing("", "RATE_LIMITED"), {"Retry-After": "86400"})
    with pytest.raises(TransientError) as caught:
        planned(source(server))
    assert caught.value.evidence["retry_after"] == 86400 and len(server.asked) == 1


@pytest.mark.parametrize(
    ("params", "repeated"),
    [
        ({"auth": "bearer", "token": SECRET}, SECRET),
        ({"auth": "basic", "user": "ann", "password": SECRET}, "YW5uOnMzY3JldA=="),
    ],
    ids=["bearer", "basic"],
)
def test_the_words_of_a_server_are_bounded_and_hold_no_secret(
    server: Server, params: dict[str, str], repeated: str
) -> None:
    server.before = always(200, refusing(f"token {repeated}\n" + "x" * 10_000))
    with pytest.raises(ConfigurationError) as caught:
        planned(source(server, **params))
    told = str(caught.value.as_json())
    assert "token … xx" in told and repeated not in told and len(told) < 1500


def test_a_sign_in_is_sent_with_each_page(server: Server) -> None:
    server.admits = lambda headers: headers.get("authorization") == f"Bearer {SECRET}"
    assert planned(source(server, auth="bearer", token=SECRET)) == 7
    last = list(source(server).test())[-1]
    assert last.name == "authenticate" and last.error is not None and last.error.code == "authentication"


def test_a_token_that_is_refused_in_an_answer_is_renewed_once(server: Server) -> None:
    given: list[str] = []

    def token(request: Request) -> None:
        given.append(f"token-{len(given)}")
        request.answer(200, json.dumps({"access_token": given[-1], "expires_in": 3600}).encode())

    server.web.bad["/token"] = token
    server.admits = lambda headers: headers.get("authorization") == "Bearer token-1"
    params = {"auth": "client_credentials", "token_url": server.web.url("/token"), "client_id": "a"}
    assert planned(source(server, **params, client_secret=SECRET)) == 7
    assert len(given) == 2


def test_a_wrong_query_is_told_where_it_is_read(server: Server) -> None:
    server.before = always(200, refusing("Cannot query field"))
    last = list(source(server).test())[-1]
    assert last.name == "read a row" and last.error is not None and last.error.code == "query_refused"
    info = source(server).discover()[0]
    assert info.columns == () and "Cannot query field" in info.warnings[0]


@pytest.mark.parametrize(
    ("orders", "kind", "code"),
    [
        ({"nodes": [{"id": 1}], "pageInfo": {"endCursor": "a", "hasNextPage": True}}, DataError, "pages_repeat"),
        ({"nodes": [], "pageInfo": {"endCursor": "a", "hasNextPage": True}}, DataError, "pages_repeat"),
        ({"nodes": [{"id": 1}], "pageInfo": {"endCursor": None, "hasNextPage": True}}, DataError, "pages_unknown"),
        ({"nodes": [{"id": 1}], "pageInfo": {"endCursor": "a"}}, DataError, "pages_unknown"),
        ({"nodes": [{"id": 1}]}, DataError, "pages_unknown"),
        ({"nodes": [1], "pageInfo": {"hasNextPage": False}}, DataError, "records_malformed"),
        ({"nodes": {"id": 1}, "pageInfo": {"hasNextPage": "maybe"}}, DataError, "pages_unknown"),
        ({"pageInfo": {"hasNextPage": False}}, DataError, "records_missing"),
        (None, DataError, "records_missing"),
    ],
    ids=str,
)
def test_pages_that_make_no_sense_end_the_read(
    server: Server, orders: Any, kind: type[ManifoldError], code: str
) -> None:
    server.before = always(200, json.dumps({"data": {"orders": orders}}).encode())
    with pytest.raises(kind) as caught:
        planned(source(server))
    assert caught.value.code == code and len(server.asked) <= 2


def test_a_query_that_cannot_ask_for_its_other_pages_is_told(server: Server) -> None:
    body = {"nodes": [{"id": 1}], "pageInfo": {"endCursor": "a", "hasNextPage": True}}
    server.before = always(200, json.dumps({"data": {"orders": body}}).encode())
    stream = StreamConfig("all", columns=(Column("id", "BIGINT"),), cursor="id")
    with pytest.raises(DataError, match=r"declares no \$cursor"):
        source(server).plan(stream, "incremental", Mark())


@pytest.mark.parametrize("edge", [{"cursor": "a"}, {"node": None}, {"node": 1}])
def test_an_edge_without_a_node_is_no_record_that_is_lost(server: Server, edge: dict[str, Any]) -> None:
    body = {"edges": [{"node": {"id": 1}}, edge], "pageInfo": {"hasNextPage": False}}
    server.before = always(200, json.dumps({"data": {"orders": body}}).encode())
    with pytest.raises(DataError) as caught:
        planned(source(server, "edges"))
    assert caught.value.code in ("records_missing", "records_malformed")


def test_pages_that_never_end_are_given_up(server: Server) -> None:
    server.orders = [order(each) for each in range(100)]
    with pytest.raises(ConfigurationError) as caught:
        planned(source(server, most_pages=5))
    assert caught.value.code == "too_many_pages" and len(server.asked) == 5


def test_an_answer_that_is_too_large_is_refused(server: Server) -> None:
    server.orders[2]["note"] = "x" * 1_100_000
    with pytest.raises(ConfigurationError) as caught:
        planned(source(server, largest_mb=1))
    assert caught.value.code == "answer_too_large"


def test_a_huge_record_arrives(server: Server, tmp_path: Path) -> None:
    server.orders[2]["note"] = "x" * 4_900_000
    stream = StreamConfig("orders", columns=(Column("note", "VARCHAR"),))
    found = rows(tmp_path, extracted(tmp_path, source(server, "edges"), stream, Window("full")))
    assert max(len(row[0]) for row in found) == 4_900_000


@pytest.mark.parametrize("depth", [100, 100_000])
def test_a_nest_without_a_bottom_is_refused(server: Server, depth: int) -> None:
    deep = b"[" * depth + b"1" + b"]" * depth
    body = b'{"data": {"orders": {"nodes": [{"id": 1, "errors": ' + deep + b"}]}}}"
    server.before = always(200, body)
    info = source(server).discover()[0]
    assert info.columns == () and "more than 100 deep" in info.warnings[0]


@pytest.mark.parametrize("body", [b"<html>", b'{"data"', b"\xff\xfe", b'"errors"', b"[[1]]"])
def test_what_is_no_answer_is_told(server: Server, body: bytes) -> None:
    server.before = always(200, body, {"Content-Type": "text/html"})
    with pytest.raises(DataError) as caught:
        planned(source(server))
    assert caught.value.code in ("json_malformed", "records_missing")


def test_no_other_server_is_asked_or_told_anything(server: Server) -> None:
    with serving() as other:
        target = other.url("/graphql")
        info = {"endCursor": target, "hasNextPage": True}
        server.before = always(200, json.dumps({"data": {"orders": {"nodes": [], "pageInfo": info}}}).encode())
        with pytest.raises(DataError) as caught:
            planned(source(server, auth="bearer", token=SECRET))
        assert caught.value.code == "pages_repeat" and server.asked[1]["variables"] == {"cursor": target}
        server.before = always(307, b"", {"Location": target})
        with pytest.raises(ConfigurationError) as refused:
            planned(source(server, auth="bearer", token=SECRET))
        assert refused.value.code == "http_status" and not other.asked


@pytest.mark.parametrize(("host", "code"), [("127.0.0.1", "address_private"), ("169.254.169.254", "address_refused")])
def test_addresses_that_are_not_public_are_refused(server: Server, host: str, code: str) -> None:
    params = {"base_url": f"http://{host}:{server.web.port}/graphql", "queries": PAGED, "records": "data.orders.nodes"}
    with pytest.raises(ConfigurationError) as caught:
        planned(build("graphql", params))
    assert caught.value.code == code and not server.asked


def test_an_answer_shorter_than_promised_is_tried_again(server: Server, tmp_path: Path) -> None:
    connector = source(server)
    stream = stream_of(connector)
    server.asked.clear()

    def before(number: int, request: Request) -> bool:
        if number == 2:
            request.answer(200, b'{"data": {"orders": {}}}', length=5000)
        return number == 2

    server.before = before
    found = rows(tmp_path, extracted(tmp_path, connector, stream, Window("full")))
    assert sorted(row[0] for row in found) == list(range(1, 8))
