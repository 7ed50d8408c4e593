"""Buckets of Google: by HMAC keys over moto, which speaks the same protocol, and by the key of a service account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from moto.server import ThreadedMotoServer
from pydantic import ValidationError

from dataplane.connectors.base import Connector, Stage
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark
from tests.dataplane.connectors.remotes import web as webs
from tests.dataplane.steps.files_source import extracted, rows

LOOPBACK = ["127.0.0.0/8"]
STAGES = ["resolve", "connect", "authenticate", "list", "read"]
OWNER = {"Authorization": "AWS4-HMAC-SHA256 Credential=GOOGEXAMPLE/20130101/us-east-1/s3/aws4_request, Signature=x"}
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
LISTING = (
    b"<ListBucketResult><Contents><Key>in/a.csv</Key><Size>5</Size><LastModified>2013-01-01T00:00:00.000Z"
    b'</LastModified><ETag>"x"</ETag></Contents><IsTruncated>false</IsTruncated></ListBucketResult>'
)


def connector(endpoint: str, bucket: str = "drop_1", **changes: Any) -> Connector:
    return build("gcs", {"bucket": bucket, "endpoint": endpoint, **changes}, networks=LOOPBACK)


def account(web: webs.Web, **changes: Any) -> str:
    told = {
        "type": "service_account",
        "client_email": "reader@shop.example.org",
        "private_key": PEM,
        "private_key_id": "k1",
    }
    return json.dumps({**told, "token_uri": web.url("/token"), **changes})


def last(of: Connector) -> Stage:
    return list(of.test())[-1]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_it_works_by_an_hmac_key(moto: str, tmp_path: Path) -> None:
    bucket = f"drop-{uuid4().hex}"
    httpx.put(f"{moto}/{bucket}", headers=OWNER, trust_env=False, timeout=60).raise_for_status()
    for day in (1, 2):
        url = f"{moto}/{bucket}/in/flights_2013-01-0{day}.csv"
        httpx.put(url, content=f"id\n{day}\n", headers=OWNER, trust_env=False, timeout=60).raise_for_status()
    of = connector(moto, bucket, access_key_id="GOOGEXAMPLE", secret_access_key="s3cret", prefix="in")
    assert [(each.name, each.ok) for each in of.test()] == [(name, True) for name in STAGES]
    (info,) = of.discover()
    stream = StreamConfig(info.name, info.settings, info.columns)
    window = of.plan(stream, "incremental", Mark()).window
    assert window is not None
    assert sorted(row[0] for row in rows(tmp_path, extracted(tmp_path, of, stream, window))) == [1, 2]


def serve(web: webs.Web, wishes: list[dict[str, Any]]) -> None:
    """A bucket that a token opens, and the server that gives one for a wish that is signed."""

    def token(request: webs.Request) -> None:
        form = parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"] and "client_id" not in form
        claims = jwt.decode(form["assertion"][0], PRIVATE.public_key(), ["RS256"], audience=web.url("/token"))
        wishes.append({**claims, **jwt.get_unverified_header(form["assertion"][0])})
        request.answer(200, b'{"access_token": "t0ken", "expires_in": 3600, "token_type": "Bearer"}')

    def open_(body: bytes) -> webs.Behaviour:
        def answer(request: webs.Request) -> None:
            if request.headers.get("Authorization") != "Bearer t0ken":
                kind = {"Content-Type": "application/xml"}
                request.answer(403, b"<Error><Code>AccessDenied</Code></Error>", kind)
                return
            told = {"ETag": '"x"', "Last-Modified": "Tue, 01 Jan 2013 00:00:00 GMT"}
            request.answer(200, body, told)

        return answer

    web.bad |= {"/token": token, "/drop_1/": open_(LISTING), "/drop_1/in/a.csv": open_(b"id\n7\n")}


def test_it_works_by_a_service_account(tmp_path: Path) -> None:
    wishes: list[dict[str, Any]] = []
    with webs.serving() as web:
        serve(web, wishes)
        of = connector(web.url(""), service_account=account(web))
        stages = list(of.test())
        assert [(each.name, each.ok) for each in stages] == [(name, True) for name in STAGES], stages[-1]
        assert stages[2].detail == "reader@shop.example.org may list the bucket."
        (info,) = of.discover()
        stream = StreamConfig(info.name, info.settings, info.columns)
        window = of.plan(stream, "incremental", Mark()).window
        assert rows(tmp_path, extracted(tmp_path, of, stream, window)) == [(7,)]
    # One token is good for all that a test, or a reading, asks for.
    assert len(wishes) == 4
    assert (wishes[0]["iss"], wishes[0]["kid"]) == ("reader@shop.example.org", "k1")
    assert wishes[0]["scope"].endswith("devstorage.read_only")


def test_a_key_that_is_not_accepted_is_told() -> None:
    with webs.serving() as web:
        serve(web, [])
        body = b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
        web.bad["/token"] = lambda request: request.answer(400, body)
        error = last(connector(web.url(""), service_account=account(web))).error
        assert error is not None and error.code == "authentication" and "Invalid JWT Signature" in error.message
        error = last(connector(web.url(""))).error
        assert error is not None and error.code == "permission_denied" and "Storage Object Viewer" in error.message
        assert "PRIVATE KEY" not in str(error.as_json())


def test_a_token_is_fetched_from_public_servers_only() -> None:
    with webs.serving() as web:
        key = account(web, token_uri="http://169.254.169.254/token")
        web.bad["/drop_1"] = lambda request: request.answer(200, b"")
        error = last(connector(web.url(""), service_account=key)).error
    assert error is not None and error.code == "address_refused"


@pytest.mark.parametrize(
    "params",
    [
        {"bucket": "UPPER"},
        {"bucket": "a/../b"},
        {"access_key_id": "half"},
        {"service_account": "{}"},
        {"service_account": "no json"},
        {"service_account": json.dumps({"client_email": "a", "private_key": "b", "token_uri": "https://c.example"})},
        {"service_account": json.dumps({"client_email": "a", "private_key": PEM, "token_uri": "file:///etc/passwd"})},
        {"endpoint": "storage:443"},
    ],
    ids=range(8),
)
def test_wrong_parameters_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        connector_of({"bucket": "drop", **params})
    assert "PRIVATE" not in str([each["msg"] for each in caught.value.errors()])


def connector_of(params: dict[str, str]) -> Connector:
    of = build("gcs", params)
    next(iter(of.test()))
    return of
