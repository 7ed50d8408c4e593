"""Buckets of a real store (moto), and of servers that only claim to be one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from pydantic import ValidationError

from dataplane.connectors.base import Connector, Stage
from dataplane.connectors.registry import build
from dataplane.connectors.s3 import signing
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark
from dataplane.errors import ConfigurationError, DataError
from tests.dataplane.connectors.remotes import web as webs
from tests.dataplane.steps.files_source import extracted, rows

LOOPBACK = ["127.0.0.0/8"]
# moto asks who somebody is, and not for the proof.
OWNER = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20130101/us-east-1/s3/aws4_request, Signature=x"}
STAGES = ["resolve", "connect", "authenticate", "list", "read"]


@dataclass
class Store:
    """A bucket of its own in a store."""

    endpoint: str
    bucket: str

    def put(self, key: str, content: str | bytes) -> None:
        address = f"{self.endpoint}/{self.bucket}/{quote(key)}"
        httpx.put(address, content=content, headers=OWNER, trust_env=False, timeout=60).raise_for_status()

    def delete(self, key: str) -> None:
        httpx.delete(
            f"{self.endpoint}/{self.bucket}/{quote(key)}", headers=OWNER, trust_env=False, timeout=60
        ).raise_for_status()

    def connector(self, **changes: Any) -> Connector:
        params = {
            "bucket": self.bucket,
            "endpoint": self.endpoint,
            "access_key_id": "AKIAEXAMPLE",
            "secret_access_key": "s3cret",
        }
        return build("s3", {**params, **changes}, networks=LOOPBACK)

    def stream(self) -> StreamConfig:
        (info,) = self.connector().discover()
        return StreamConfig(info.name, settings=info.settings, columns=info.columns)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(endpoint: str) -> Store:
    made = Store(endpoint, f"drop-{uuid4().hex}")
    httpx.put(f"{endpoint}/{made.bucket}", headers=OWNER, trust_env=False, timeout=60).raise_for_status()
    return made


def days(store: Store, *numbers: int) -> None:
    for number in numbers:
        store.put(f"in/flights_2013-01-{number:02d}.csv", f"id,day\n{number},2013-01-{number:02d}\n")


def last(connector: Connector) -> Stage:
    return list(connector.test())[-1]


def test_it_works(store: Store, tmp_path: Path) -> None:
    days(store, 2, 1)
    store.put("in/.hidden.csv", "id\n1\n")
    store.put("in/folder/", b"")
    stages = list(store.connector().test())
    assert [(each.name, each.ok) for each in stages] == [(name, True) for name in STAGES], stages[-1]
    stream = store.stream()
    connector = store.connector()
    assert connector.preview(stream, 1).num_rows == 1
    window = connector.plan(stream, "incremental", Mark()).window
    assert window is not None and all(each.version for each in window.files)
    assert [row[0] for row in rows(tmp_path, extracted(tmp_path, connector, stream, window))] == [1, 2]
    nothing = connector.plan(stream, "incremental", Mark(files=window.files))
    assert nothing.window is None and not nothing.warnings
    days(store, 3)
    new = connector.plan(stream, "incremental", Mark(files=window.files)).window
    assert new is not None and [each.path for each in new.files] == ["in/flights_2013-01-03.csv"]


def test_names_with_odd_letters_are_found_and_read(store: Store, tmp_path: Path) -> None:
    store.put("a b+c&d=é%/x.csv", "id\n7\n")
    (info,) = store.connector().discover()
    assert not info.warnings
    stream = StreamConfig(info.name, settings={**info.settings, "pattern": ["**/*.csv"]}, columns=info.columns)
    window = store.connector().plan(stream, "incremental", Mark()).window
    assert rows(tmp_path, extracted(tmp_path, store.connector(), stream, window)) == [(7,)]


def test_a_folder_of_the_bucket_is_the_root(store: Store) -> None:
    days(store, 1)
    store.put("other.csv", "a\n1\n")
    assert [each.name for each in store.connector(prefix="/in/").discover()] == ["flights"]


def test_a_listing_of_many_pages_is_read_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = "dataplane.connectors.files.store.Store._pages"
    monkeypatch.setattr(f"{pages}.__defaults__", (2,))
    days(store, *range(1, 8))
    planned = store.connector().plan(StreamConfig("x", settings={"pattern": "**/*.csv"}), "incremental", Mark())
    assert len(planned.listed) == 7


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_an_object_that_is_not_as_planned_is_not_read(store: Store, tmp_path: Path, how: str) -> None:
    days(store, 1)
    stream = store.stream()
    window = store.connector().plan(stream, "incremental", Mark()).window
    if how == "gone":
        store.delete("in/flights_2013-01-01.csv")
    else:
        store.put("in/flights_2013-01-01.csv", "id,day\n9,2013-01-01\n")
    with pytest.raises(DataError) as caught:
        extracted(tmp_path, store.connector(), stream, window)
    assert caught.value.code == ("files_missing" if how == "gone" else "file_changed")


def test_a_missing_bucket_is_told(store: Store) -> None:
    stage = last(store.connector(bucket="nobodys-bucket"))
    assert stage.error is not None
    assert (stage.name, stage.error.code, stage.error.retryable) == ("authenticate", "bucket_missing", False)


def test_private_stores_have_to_be_allowed(store: Store) -> None:
    params = {"bucket": store.bucket, "endpoint": store.endpoint}
    error = last(build("s3", params)).error
    assert error is not None and error.code == "address_private"


def refusing(status: int, code: str, **headers: str) -> Any:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code></Error>'.encode()
    return lambda request: request.answer(status, body, {"Content-Type": "application/xml", **headers})


def page(status: int) -> Any:
    kind = {"Content-Type": "application/xhtml+xml"}
    return lambda request: request.answer(status, b"<!DOCTYPE html><html><p>Not now<br>", kind)


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (refusing(403, "SignatureDoesNotMatch"), "authentication", False),
        (refusing(403, "InvalidAccessKeyId"), "authentication", False),
        (refusing(403, "AccessDenied"), "permission_denied", False),
        (refusing(301, "PermanentRedirect", **{"x-amz-bucket-region": "eu-west-1"}), "region", False),
        (refusing(503, "SlowDown"), "rate_limited", True),
        (refusing(500, "InternalError"), "server_error", True),
        (page(503), "server_error", True),
        (page(404), "bucket_missing", False),
        (lambda request: request.answer(200, b"<html>hello"), "http_status", False),
        (lambda request: request.answer(200, b"<ListBucketResult>"), "http_status", False),
        (
            lambda request: request.answer(
                200, b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><ListBucketResult>&a;</ListBucketResult>'
            ),
            "http_status",
            False,
        ),
    ],
)
def test_what_a_store_refuses_is_told_and_classed(answer: Any, code: str, retryable: bool) -> None:
    with webs.serving() as web:
        web.bad["/bucket/"] = answer
        error = last(Store(web.url(""), "bucket").connector()).error
    assert error is not None
    assert (error.code, error.retryable) == (code, retryable)
    assert "s3cret" not in str(error.as_json())


@pytest.mark.parametrize("key", ["../../etc/passwd.csv", "/abs.csv", "a//b.csv", "a/./b.csv"])
def test_keys_that_lead_elsewhere_are_left_out(key: str) -> None:
    listed = f"<ListBucketResult><Contents><Key>{key}</Key><Size>4</Size></Contents></ListBucketResult>"
    with webs.serving() as web:
        web.bad["/bucket/"] = lambda request: request.answer(200, listed.encode())
        found = Store(web.url(""), "bucket").connector()
        planned = found.plan(StreamConfig("x", settings={"pattern": "**/*.csv"}), "incremental", Mark())
    assert planned.listed == () and "left out" in planned.warnings[0]


@pytest.mark.parametrize(
    "params",
    [
        {"bucket": "UPPER"},
        {"bucket": "a/../b"},
        {"bucket": "bucket", "region": "us east"},
        {"bucket": "bucket", "endpoint": "minio:9000"},
        {"bucket": "bucket", "access_key_id": "only-half"},
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        build("s3", params)


def test_where_the_bucket_stands_in_the_address() -> None:
    base = {"bucket": "drop", "region": "eu-west-1"}
    assert build("s3", base).params.base == "https://s3.eu-west-1.amazonaws.com/drop"  # type: ignore[attr-defined]
    inside = build("s3", {**base, "path_style": False})
    assert inside.params.base == "https://drop.s3.eu-west-1.amazonaws.com"  # type: ignore[attr-defined]


@given(
    key=st.text(min_size=1, max_size=30).filter(lambda text: "\r" not in text and "\n" not in text),
    prefix=st.text(max_size=10),
    token=st.none() | st.text("abcXYZ019+/=", min_size=1, max_size=20),
)
def test_requests_are_signed_as_amazon_signs_them(key: str, prefix: str, token: str | None) -> None:
    asked = signing.query({"list-type": "2", "prefix": prefix})
    url = f"https://s3.eu-west-1.amazonaws.com/drop/{quote(key, safe='/-_.~')}?{asked}"
    now = datetime.now(UTC)
    ours = signing.signed(url, signing.Keys("AKIA", "s3cret", token), "eu-west-1", now)
    theirs = AWSRequest(method="GET", url=url, headers={"x-amz-content-sha256": ours["x-amz-content-sha256"]})
    theirs.context["timestamp"] = ours["x-amz-date"]
    signer = S3SigV4Auth(Credentials("AKIA", "s3cret", token), "s3", "eu-west-1")
    theirs.headers["X-Amz-Date"] = ours["x-amz-date"]
    if token:
        theirs.headers["X-Amz-Security-Token"] = token
    expected = signer.signature(signer.string_to_sign(theirs, signer.canonical_request(theirs)), theirs)
    assert ours["Authorization"].endswith(f"Signature={expected}")


def listing(*keys: str, more: str) -> bytes:
    """A page of a listing. more: what says how it goes on."""
    contents = "".join(
        f"<Contents><Key>{each}</Key><Size>{'9' * 5_000}</Size><LastModified>0001-01-01T00:00:00+23:59</LastModified>"
        "<ETag>x</ETag></Contents>"
        for each in keys
    )
    return f"<ListBucketResult>{contents}<IsTruncated>true</IsTruncated>{more}</ListBucketResult>".encode()


@pytest.mark.parametrize("more", ["", "<NextContinuationToken>again</NextContinuationToken>"])
def test_a_listing_that_does_not_say_where_it_goes_on_is_not_taken_for_the_whole(more: str) -> None:
    with webs.serving() as web:
        web.bad["/drop/"] = lambda request: request.answer(200, listing("a.csv", more=more))
        connector = build("s3", {"bucket": "drop", "endpoint": web.url("")}, networks=LOOPBACK)
        with pytest.raises(ConfigurationError) as caught:
            connector.discover()
    assert caught.value.code == "pages_repeat"


def test_sizes_and_times_that_are_none_stop_nobody() -> None:
    with webs.serving() as web:
        page = listing("a.csv", more="").replace(b">true<", b">false<")
        web.bad["/drop/"] = lambda request: request.answer(200, page)
        connector = build("s3", {"bucket": "drop", "endpoint": web.url("")}, networks=LOOPBACK)
        planned = connector.plan(StreamConfig("a", {"pattern": ["a.csv"], "format": "csv"}), "incremental", Mark())
    assert planned.window is not None
    assert [(each.path, each.size) for each in planned.window.files] == [("a.csv", 0)]
