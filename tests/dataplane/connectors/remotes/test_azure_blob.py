"""Containers of Azure: of Azurite, which checks signatures as Azure does, and of servers that only claim to be one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import jwt
import pytest
from pydantic import ValidationError

from dataplane.connectors.azure_blob.signing import signed
from dataplane.connectors.base import Connector, Stage
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark
from dataplane.errors import ConfigurationError, DataError
from tests.azurite import ACCOUNT, KEY, Azurite, command, serving, shared_access
from tests.certificates import self_signed
from tests.dataplane.connectors.remotes import web as webs
from tests.dataplane.steps.files_source import extracted, rows

LOOPBACK = ["127.0.0.0/8"]
STAGES = ["resolve", "connect", "authenticate", "list", "read"]
ANY = StreamConfig("x", settings={"pattern": "**/*.csv"})


def connector(endpoint: str, container: str = "drop", **changes: Any) -> Connector:
    params = {"account": ACCOUNT, "container": container, "account_key": KEY, "endpoint": endpoint}
    return build("azure_blob", {**params, **changes}, networks=LOOPBACK)


def last(of: Connector) -> Stage:
    return list(of.test())[-1]


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    program = command()
    if program is None:
        pytest.skip("Azurite is not installed: npm install --prefix .venv/azurite azurite")
    with serving(program, tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def drop(azurite: Azurite) -> str:
    container = f"drop-{uuid4().hex}"
    azurite.make(container)
    return container


def days(azurite: Azurite, container: str, *numbers: int) -> None:
    for number in numbers:
        content = f"id,day\n{number},2013-01-{number:02d}\n".encode()
        azurite.put(container, f"in/flights_2013-01-{number:02d}.csv", content)


@pytest.mark.all
@pytest.mark.parametrize("opened_by", ["key", "signature"])
def test_it_works(azurite: Azurite, drop: str, tmp_path: Path, opened_by: str) -> None:
    days(azurite, drop, 2, 1)
    azurite.put(drop, "a b+c&d=é%/x y.csv", b"id\n7\n")
    changes = {} if opened_by == "key" else {"account_key": None, "sas": f"?{shared_access()}"}
    of = connector(azurite.endpoint, drop, **changes)
    stages = list(of.test())
    assert [(each.name, each.ok) for each in stages] == [(name, True) for name in STAGES], stages[-1]
    infos = {each.name: each for each in connector(azurite.endpoint, drop, prefix="/in/", **changes).discover()}
    assert list(infos) == ["flights"]
    stream = StreamConfig("flights", infos["flights"].settings, infos["flights"].columns)
    inside = connector(azurite.endpoint, drop, prefix="in", **changes)
    window = inside.plan(stream, "incremental", Mark()).window
    assert window is not None and all(each.version for each in window.files)
    assert [row[0] for row in rows(tmp_path, extracted(tmp_path, inside, stream, window))] == [1, 2]
    assert inside.plan(stream, "incremental", Mark(files=window.files)).window is None
    days(azurite, drop, 3)
    new = inside.plan(stream, "incremental", Mark(files=window.files)).window
    assert new is not None and [each.path for each in new.files] == ["flights_2013-01-03.csv"]
    odd = StreamConfig("odd", {"pattern": ["a*/*.csv"]})
    assert rows_of(tmp_path, of, odd) == [(7,)]


ENTRA: dict[str, Any] = {
    "account_key": None,
    "tenant_id": "tenant-1",
    "client_id": "app-1",
    "client_secret": "s3cret canary",
}


def entra(web: webs.Web, claims: dict[str, Any] | None = None) -> list[dict[str, list[str]]]:
    """Tokens for the one application that is known, at `web`; the forms that it was asked with."""
    asked: list[dict[str, list[str]]] = []
    now = int(time.time())
    given = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/tenant-1/", "nbf": now, "iat": now}
    token = jwt.encode({**given, "exp": now + 3600, **(claims or {})}, "nobody looks who has signed it, and so briefly")

    def answer(request: webs.Request) -> None:
        form = parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode())
        asked.append(form)
        if form["client_secret"] == ["s3cret canary"]:
            request.answer(200, json.dumps({"access_token": token, "expires_in": 3599}).encode())
        else:
            said = f"AADSTS7000215: Invalid client secret provided: {form['client_secret'][0]}"
            request.answer(401, json.dumps({"error": "invalid_client", "error_description": said}).encode())

    web.bad["/tenant-1/oauth2/v2.0/token"] = answer
    return asked


def test_an_application_asks_for_one_token_and_shows_it() -> None:
    with webs.serving() as web:
        asked = entra(web)

        def shown(body: bytes) -> webs.Behaviour:
            def answer(request: webs.Request) -> None:
                admitted = request.headers.get("Authorization", "").startswith("Bearer ey")
                headers = {"ETag": '"0x8D"', "Last-Modified": "Tue, 01 Jan 2013 00:00:00 GMT"}
                request.answer(200 if admitted and request.headers["x-ms-version"] else 401, body, headers)

            return answer

        web.bad |= {"/drop": shown(listing("a.csv")), "/drop/a.csv": shown(b"id\n7")}
        stages = list(connector(web.url(""), authority=web.url("/"), **ENTRA).test())
        wrong = {**ENTRA, "client_secret": "another canary"}
        error = last(connector(web.url(""), authority=web.url(""), **wrong)).error
    assert [(each.name, each.ok) for each in stages] == [(name, True) for name in STAGES], stages[-1]
    assert stages[2].detail == "The application may list the container."
    first, _ = asked
    assert (first["grant_type"], first["client_id"]) == (["client_credentials"], ["app-1"])
    assert first["scope"] == ["https://storage.azure.com/.default"]
    assert error is not None and (error.code, error.retryable) == ("authentication", False)
    assert "AADSTS7000215" in error.message and "canary" not in str(error.as_json())


@pytest.mark.all
def test_it_works_by_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = command()
    if program is None:
        pytest.skip("Azurite is not installed: npm install --prefix .venv/azurite azurite")
    certificate, folder = tmp_path / "server.pem", tmp_path / "azurite"
    self_signed(certificate, "localhost")
    folder.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(program, folder, certificate) as server, webs.serving() as web:
        server.make("drop")
        days(server, "drop", 1)
        entra(web)
        given = {"account": ACCOUNT, "container": "drop", "endpoint": server.endpoint, "authority": web.url("")}
        by_application = build("azure_blob", {**ENTRA, **given}, networks=[*LOOPBACK, "::1/128"])
        stages = list(by_application.test())
        assert [(each.name, each.ok) for each in stages] == [(name, True) for name in STAGES], stages[-1]
        entra(web, {"exp": int(time.time()) - 60})
        error = last(by_application).error
    assert error is not None and error.code == "authentication"


def rows_of(root: Path, of: Connector, stream: StreamConfig) -> list[tuple[Any, ...]]:
    window = of.plan(stream, "incremental", Mark()).window
    assert window is not None
    info = next(each for each in of.discover() if "x_y" in each.name)
    return rows(root, extracted(root, of, StreamConfig(stream.name, stream.settings, info.columns), window))


@pytest.mark.all
def test_a_listing_of_many_pages_is_read_whole(azurite: Azurite, drop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplane.connectors.files.store.Store._pages.__defaults__", (2,))
    days(azurite, drop, *range(1, 8))
    assert len(connector(azurite.endpoint, drop).plan(ANY, "incremental", Mark()).listed) == 7


@pytest.mark.all
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_blob_that_is_not_as_planned_is_not_read(azurite: Azurite, drop: str, tmp_path: Path, how: str) -> None:
    days(azurite, drop, 1)
    of = connector(azurite.endpoint, drop)
    (info,) = of.discover()
    stream = StreamConfig(info.name, info.settings, info.columns)
    window = of.plan(stream, "incremental", Mark()).window
    if how == "gone":
        azurite.delete(drop, "in/flights_2013-01-01.csv")
    else:
        azurite.put(drop, "in/flights_2013-01-01.csv", b"id,day\n9,2013-01-01\n")
    with pytest.raises(DataError) as caught:
        extracted(tmp_path, of, stream, window)
    assert caught.value.code == ("files_missing" if how == "gone" else "file_changed")


@pytest.mark.all
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"container": "nobodys"}, "bucket_missing"),
        ({"account_key": base64.b64encode(b"another").decode()}, "permission_denied"),
        ({"account_key": None}, "permission_denied"),
        ({"account_key": None, "sas": "sv=2021-12-02&sig=abc"}, "permission_denied"),
        ({"account_key": None, "sas": "r"}, "permission_denied"),
    ],
)
def test_who_may_not_is_told(azurite: Azurite, drop: str, changes: dict[str, Any], code: str) -> None:
    # Azurite has one word for a wrong key and for a permission that is missing; Azure has two.
    if changes.get("sas") == "r":
        changes = {**changes, "sas": shared_access("r")}
    error = last(connector(azurite.endpoint, **{"container": drop, **changes})).error
    assert error is not None and (error.code, error.retryable) == (code, False)
    assert "sig=" not in str(error.as_json())


def refusing(status: int, code: str) -> Any:
    return lambda request: request.answer(status, b"", {"x-ms-error-code": code})


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (refusing(404, "ContainerNotFound"), "bucket_missing", False),
        (refusing(403, "AuthenticationFailed"), "authentication", False),
        (refusing(403, "AuthorizationPermissionMismatch"), "permission_denied", False),
        (refusing(409, "PublicAccessNotPermitted"), "permission_denied", False),
        (refusing(503, "ServerBusy"), "rate_limited", True),
        (refusing(500, "InternalError"), "server_error", True),
        (refusing(400, "InvalidQueryParameterValue"), "http_status", False),
        (lambda request: request.answer(200, b"<html>hello"), "http_status", False),
        (
            lambda request: request.answer(200, b'<!DOCTYPE x [<!ENTITY a "b">]><EnumerationResults/>'),
            "http_status",
            False,
        ),
    ],
)
def test_what_a_store_refuses_is_told_and_classed(answer: Any, code: str, retryable: bool) -> None:
    with webs.serving() as web:
        web.bad["/drop"] = answer
        error = last(connector(web.url(""))).error
    assert error is not None and (error.code, error.retryable) == (code, retryable)
    assert KEY not in str(error.as_json())


def listing(*names: str, marker: str = "", more: str = "", encoded: bool = False) -> bytes:
    mark = ' Encoded="true"' if encoded else ""
    blobs = "".join(
        f"<Blob><Name{mark}>{each}</Name><Properties><Last-Modified>Tue, 01 Jan 2013 00:00:00 GMT</Last-Modified>"
        f"<Etag>0x8D</Etag><Content-Length>4</Content-Length>{more}</Properties></Blob>"
        for each in names
    )
    return f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>".encode()


def listed(page: bytes) -> tuple[list[str], tuple[str, ...]]:
    with webs.serving() as web:
        web.bad["/drop"] = lambda request: request.answer(200, page)
        planned = connector(web.url("")).plan(ANY, "incremental", Mark())
    return [each.path for each in planned.listed], planned.warnings


def test_folders_are_no_files_and_names_are_decoded() -> None:
    assert listed(listing("a.csv", more="<ResourceType>directory</ResourceType>"))[0] == []
    assert listed(listing("a%20b.csv", encoded=True))[0] == ["a b.csv"]
    assert listed(listing("a%20b.csv"))[0] == ["a%20b.csv"]


@pytest.mark.parametrize("name", ["../../etc/passwd.csv", "/abs.csv", "a//b.csv", "a/./b.csv"])
def test_names_that_lead_elsewhere_are_left_out(name: str) -> None:
    found, warnings = listed(listing(name))
    assert found == [] and "left out" in warnings[0]


def test_a_listing_without_an_end_is_not_taken_for_the_whole() -> None:
    with pytest.raises(ConfigurationError) as caught:
        listed(listing("a.csv", marker="again"))
    assert caught.value.code == "pages_repeat"


def test_private_stores_have_to_be_allowed() -> None:
    error = last(build("azure_blob", {"account": "abc", "container": "drop", "endpoint": "http://127.0.0.1:1"})).error
    assert error is not None and error.code == "address_private"


@pytest.mark.parametrize(
    "params",
    [
        {"account": "UPPER"},
        {"container": "a/b"},
        {"account_key": "no base64!"},
        {"sas": "sv=2021"},
        {"sas": "sig=a b"},
        {"sas": "sig=a", "account_key": KEY},
        {"tenant_id": "t", "client_id": "c"},
        {"tenant_id": "t", "client_id": "c", "client_secret": "s", "account_key": KEY},
        {"tenant_id": "t/../u", "client_id": "c", "client_secret": "s"},
        {"endpoint": "azurite:10000"},
        {"endpoint": "https://h/?a=b"},
    ],
    ids=range(11),
)
def test_wrong_parameters_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        build("azure_blob", {"account": "abc", "container": "drop", **params})


def test_a_request_is_signed_as_the_documentation_says() -> None:
    now = datetime(2015, 6, 26, 23, 39, 12, tzinfo=UTC)
    url = "https://abc.blob.core.windows.net/drop/a%20b.csv?restype=container&comp=list&prefix=in%2F"
    found = signed(url, {"Range": "bytes=5-", "If-Match": '"0x8D"'}, "abc", b"key", now)
    assert found["x-ms-date"] == "Fri, 26 Jun 2015 23:39:12 GMT"
    text = (
        'GET\n\n\n\n\n\n\n\n"0x8D"\n\n\nbytes=5-\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2021-12-02\n'
        "/abc/drop/a%20b.csv\ncomp:list\nprefix:in/\nrestype:container"
    )
    expected = base64.b64encode(hmac.digest(b"key", text.encode(), hashlib.sha256)).decode()
    assert found["Authorization"] == f"SharedKey abc:{expected}"
