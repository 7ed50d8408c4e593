"""Each sign-in against a server that refuses everybody else; no secret goes to another one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark
from dataplane.errors import ConfigurationError, ManifoldError
from tests.dataplane.connectors.remotes.web import Request, serving
from tests.dataplane.connectors.rest.api import Api
from tests.dataplane.connectors.rest.reading import source, stream_of

SECRET = "s3cret"


class Tokens:
    """An OAuth server: gives tokens to one client, each for a while."""

    def __init__(self, api: Api, *, lasts: int = 3600, status: int = 200) -> None:
        self.given: list[str] = []
        self.valid = ""
        self.asked: list[tuple[str, str]] = []
        self._lasts, self._status = lasts, status
        api.web.bad["/token"] = self.answer
        api.admits = lambda headers, query: headers.get("authorization") == f"Bearer {self.valid}"

    def answer(self, request: Request) -> None:
        form = request.rfile.read(int(request.headers["Content-Length"])).decode()
        self.asked.append((request.headers["Authorization"], form))
        self.valid = f"token-{len(self.asked)}"
        told = {"access_token": self.valid, "token_type": "Bearer", "expires_in": self._lasts}
        request.answer(self._status, json.dumps(told).encode())


def client_of(api: Api) -> dict[str, Any]:
    return {
        "auth": "client_credentials",
        "token_url": api.web.url("/token"),
        "client_id": "a:b",
        "client_secret": SECRET,
        "scope": "orders.read",
    }


@pytest.mark.parametrize(
    ("params", "header", "value"),
    [
        ({"auth": "basic", "user": "ann", "password": SECRET}, "authorization", "Basic YW5uOnMzY3JldA=="),
        ({"auth": "bearer", "token": SECRET}, "authorization", f"Bearer {SECRET}"),
        ({"auth": "api_key", "key_name": "X-Api-Key", "token": SECRET}, "x-api-key", SECRET),
        ({"auth": "api_key", "key_name": "key", "key_in": "query", "token": SECRET}, "key", SECRET),
    ],
)
def test_a_sign_in_is_sent_with_each_page(api: Api, params: dict[str, Any], header: str, value: str) -> None:
    def admits(headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        return (headers if header != "key" else query).get(header) == value

    api.admits = admits
    connector = source(api, "link", **params)
    assert all(each.ok for each in connector.test())
    assert connector.preview(stream_of(connector)).num_rows == 3
    error = list(source(api, "link").test())[-1].error
    assert error is not None and (error.code, error.retryable) == ("authentication", False)


def test_a_client_gets_a_token_and_keeps_it(api: Api) -> None:
    tokens = Tokens(api)
    connector = source(api, "page", **client_of(api))
    stream_of(connector)
    assert tokens.asked == [("Basic YSUzQWI6czNjcmV0", "grant_type=client_credentials&scope=orders.read")]


@pytest.mark.parametrize("ended", ["told", "refused"])
def test_a_token_that_ends_amid_the_pages_is_renewed(api: Api, ended: str) -> None:
    tokens = Tokens(api, lasts=1 if ended == "told" else 3600)

    def forget(number: int, request: Request) -> bool:
        if ended == "refused" and number == 2:
            tokens.valid = "another"
        return False

    api.before = forget
    connector = source(api, "link", **client_of(api))
    stream = stream_of(connector, cursor="at")
    assert connector.plan(stream, "incremental", Mark()).rows == 7
    assert len(tokens.asked) >= 2


@pytest.mark.parametrize(("status", "code"), [(401, "authentication"), (500, "server_error"), (429, "rate_limited")])
def test_a_token_that_is_refused_is_told(api: Api, status: int, code: str) -> None:
    Tokens(api, status=status)
    failed = [each for each in source(api, "page", **client_of(api)).test() if each.error]
    assert [(each.name, each.error and each.error.code) for each in failed] == [("authenticate", code)]
    assert SECRET not in str([(each.detail, each.error and each.error.as_json()) for each in failed])


@pytest.mark.parametrize("way", ["redirect", "link", "cursor"])
@pytest.mark.parametrize("key_in", ["header", "query"])
def test_another_server_is_told_no_secret(api: Api, way: str, key_in: str) -> None:
    with serving() as other:
        target = other.url("/orders")
        other.files["/orders"] = b'{"data": {"orders": []}}'
        answers = {
            "redirect": (302, b"", {"Location": target}),
            "link": (200, b'{"data": {"orders": []}}', {"Link": f'<{target}>; rel="next"'}),
            "cursor": (200, json.dumps({"data": {"orders": []}, "next": target}).encode(), {}),
        }
        found: list[str] = []

        def told(request: Request) -> None:
            found.append(f"{request.path} {request.headers}")
            request.answer(200, other.files["/orders"])

        other.bad["/orders"] = told
        api.web.bad["/v1/page"] = lambda request: request.answer(*answers[way])
        line = "orders /page pagination=" + {"link": "link", "cursor": "cursor next_path=next"}.get(way, "none")
        params = {"auth": "api_key", "key_name": "key", "key_in": key_in, "token": SECRET}
        connector = source(api, streams=[line], **params)
        (info,) = connector.discover()
        assert info.columns == ()
        if way == "redirect":
            assert found
        else:
            with pytest.raises(ConfigurationError) as caught:
                connector.plan(StreamConfig("orders", cursor="id"), "incremental", Mark())
            assert caught.value.code == "next_elsewhere" and caught.value.message in info.warnings and not found
        assert SECRET not in str(found)


def test_a_redirect_to_metadata_is_refused(api: Api) -> None:
    api.web.bad["/v1/page"] = lambda request: request.answer(302, b"", {"Location": "http://169.254.169.254/latest/"})
    with pytest.raises(ManifoldError) as caught:
        source(api).discover()
    assert caught.value.code == "address_refused"


def test_no_secret_is_in_an_error(api: Api) -> None:
    api.web.bad["/v1/page"] = lambda request: request.answer(400, urlsplit(request.path).query.encode())
    connector = source(api, auth="api_key", key_name="key", key_in="query", token=SECRET)
    stages = list(connector.test())
    assert stages[-1].error is not None and SECRET not in str(stages) + str(stages[-1].error.as_json())
