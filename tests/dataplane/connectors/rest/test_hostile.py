"""Servers that fail, limit, lie, hang or never end."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from dataplane.connectors.base import Connector
from dataplane.connectors.registry import build
from dataplane.connectors.rest.packed import unpacked
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from dataplane.http import Answer
from tests.dataplane.connectors.remotes.web import Request
from tests.dataplane.connectors.rest.api import Api, order
from tests.dataplane.connectors.rest.reading import LOOPBACK, source
from tests.dataplane.steps.files_source import extracted, rows

ORDERS = StreamConfig("orders", columns=(Column("id", "BIGINT"),), cursor="id")


def planned(connector: Connector) -> int | None:
    return connector.plan(ORDERS, "incremental", Mark()).rows


def refusing(status: int, times: int, headers: dict[str, str] | None = None) -> Any:
    """Refuses every page so many times before it gives it."""
    left: dict[str, int] = {}

    def before(number: int, request: Request) -> bool:
        left.setdefault(request.path, times)
        if left[request.path] > 0:
            left[request.path] -= 1
            request.answer(status, b"{}", headers)
            return True
        return False

    return before


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry-After": "0"}),
        (503, {"Retry-After": format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)}),
        (500, {}),
        (502, {}),
        (408, {}),
        (403, {"X-RateLimit-Remaining": "0"}),
    ],
)
def test_a_failure_that_passes_loses_nothing(api: Api, tmp_path: Path, status: int, headers: dict[str, str]) -> None:
    api.before = refusing(status, 2, headers)
    found = rows(tmp_path, extracted(tmp_path, source(api), ORDERS, Window("full")))
    assert sorted(row[0] for row in found) == list(range(1, 8))


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (429, TransientError, "rate_limited"),
        (503, TransientError, "server_error"),
        (400, ConfigurationError, "http_status"),
        (404, ConfigurationError, "http_status"),
        (401, ConfigurationError, "authentication"),
    ],
)
def test_a_failure_that_stays_is_told(api: Api, status: int, kind: type[ManifoldError], code: str) -> None:
    api.before = refusing(status, 1000)
    with pytest.raises(kind) as caught:
        planned(source(api))
    assert caught.value.code == code
    assert len(api.asked) == (5 if kind is TransientError else 1)


def test_a_server_that_asks_for_too_much_patience_is_left_alone(api: Api) -> None:
    api.before = refusing(429, 1000, {"Retry-After": "86400"})
    with pytest.raises(TransientError) as caught:
        planned(source(api))
    assert caught.value.evidence["retry_after"] == 86400 and len(api.asked) == 1
    assert "asks to wait for 86,400 s" in caught.value.message


def test_a_limit_is_heeded_before_it_is_passed_and_shown(api: Api) -> None:
    api.headers = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "12", "X-RateLimit-Reset": "1"}
    stages = {each.name: each.detail for each in source(api).test()}
    assert stages["authenticate"] == "No sign-in is asked for; 12 of 60 requests are left."
    api.headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "90"}
    api.asked.clear()
    with pytest.raises(TransientError) as caught:
        planned(source(api, most_wait=60))
    assert caught.value.code == "rate_limited" and len(api.asked) == 1


@pytest.mark.parametrize("told", ["nan", "inf", "-1", "1e999", "9" * 400, "soon"])
def test_limits_that_are_no_numbers_hold_nobody_up(api: Api, told: str) -> None:
    api.headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": told, "Retry-After": told}
    assert planned(source(api)) == 7


@pytest.mark.parametrize(("depth", "refused"), [(90, False), (100, True), (100_000, True)])
def test_a_nest_without_a_bottom_is_refused_before_anybody_looks_into_it(api: Api, depth: int, refused: bool) -> None:
    deep = b'["]\\"]]",[],' * depth + b"1" + b"]" * depth
    body = b'{"data": {"orders": [{"id": 1, "deep": ' + deep + b"}]}}"
    api.web.bad["/v1/all"] = lambda request: request.answer(200, body)
    (info,) = source(api, "all").discover()
    assert [each.name for each in info.columns] == ([] if refused else ["id", "deep"])
    assert [f"more than {100} deep" in each for each in info.warnings] == ([True] if refused else [])


def test_waiting_is_told(api: Api, tmp_path: Path) -> None:
    def before(number: int, request: Request) -> bool:
        if number == 2:
            request.answer(429, b"{}", {"Retry-After": "1"})
        return number == 2

    api.before = before
    result = extracted(tmp_path, source(api), ORDERS, Window("full"))
    assert "let us wait for 1 s" in result.facts["warnings"][-1]


def test_pages_that_never_end_are_given_up(api: Api) -> None:
    api.orders = [order(each) for each in range(100)]
    with pytest.raises(ConfigurationError) as caught:
        planned(source(api, most_pages=5))
    assert caught.value.code == "too_many_pages" and len(api.asked) == 5


@pytest.mark.parametrize("way", ["page", "offset", "cursor", "link"])
def test_a_page_that_comes_again_ends_the_read(api: Api, way: str) -> None:
    body = b'{"data": {"orders": [{"id": 1}]}, "next": "same"}'
    link = {"Link": f'<{api.base}/{way}>; rel="next"'} if way == "link" else {}
    api.web.bad[f"/v1/{way}"] = lambda request: request.answer(200, body, link)
    with pytest.raises(DataError) as caught:
        planned(source(api, way))
    assert caught.value.code == "pages_repeat"


def test_a_page_past_the_last_may_be_missing(api: Api) -> None:
    def before(number: int, request: Request) -> bool:
        if "page=4" in request.path:
            request.answer(404, b"no such page")
        return "page=4" in request.path

    api.before = before
    assert planned(source(api)) == 7


def test_an_answer_without_a_body_holds_nothing(api: Api) -> None:
    api.web.bad["/v1/all"] = lambda request: request.answer(204, b"")
    assert planned(source(api, "all")) == 0


@pytest.mark.parametrize("body", [b"<html>", b'{"data"', b"\xff\xfe", b'{"data": {"orders": [1]}}', b"[[1]]", b'"x"'])
def test_what_is_no_record_is_told(api: Api, body: bytes) -> None:
    api.web.bad["/v1/all"] = lambda request: request.answer(200, body, {"Content-Type": "text/html"})
    with pytest.raises(DataError) as caught:
        planned(source(api, "all"))
    assert caught.value.code in ("json_malformed", "records_malformed", "records_missing")


def test_what_is_called_json_and_is_none_is_told(api: Api) -> None:
    api.web.bad["/v1/all"] = lambda request: request.answer(200, b'{"id": 1', {"Content-Type": "application/json"})
    with pytest.raises(DataError, match="though it says application/json: it is cut off"):
        planned(source(api, "all"))


@pytest.mark.parametrize("often", [1, 1000])
def test_a_server_that_packs_its_answers_is_read(api: Api, often: int) -> None:
    """In one piece, and in so many that a piece ends wherever it may."""
    body = json.dumps({"data": {"orders": [{**order(1), "note": "x" * 1000}] * often}}).encode()
    packed = gzip.compress(body)
    api.web.bad["/v1/all"] = lambda request: request.answer(200, packed, {"Content-Encoding": "GZIP"})
    assert planned(source(api, "all")) == often


@pytest.mark.parametrize(
    ("how", "body", "said"),
    [
        ("br", b"{}", r"is packed \(br\), although"),
        ("gzip", b'{"data": {}}', "says gzip, and is none"),
        ("gzip", gzip.compress(b'{"data": {"orders": []}}')[:-4], "is cut off, or more"),
        ("gzip", gzip.compress(b'{"data": {"orders": []}}') * 2, "is cut off, or more"),
    ],
    ids=["otherwise", "not at all", "cut off", "twice"],
)
def test_an_answer_that_nobody_can_unpack_is_told(api: Api, how: str, body: bytes, said: str) -> None:
    api.web.bad["/v1/all"] = lambda request: request.answer(200, body, {"Content-Encoding": how})
    with pytest.raises(DataError, match=said) as caught:
        planned(source(api, "all"))
    assert caught.value.code == "json_malformed"
    api.web.bad["/v1/all"] = lambda request: request.answer(401, body, {"Content-Encoding": how})
    with pytest.raises(ConfigurationError, match=r"does not let us in \(401\)"):
        planned(source(api, "all"))


def test_what_unpacks_without_an_end_is_refused_at_its_size(api: Api) -> None:
    """A kilobyte for each megabyte: no more is unpacked than one answer may hold."""
    bomb = gzip.compress(b" " * (64 << 20), 1)
    api.web.bad["/v1/all"] = lambda request: request.answer(200, bomb, {"Content-Encoding": "gzip"})
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError) as caught:
            planned(source(api, "all", largest_mb=1))
        assert caught.value.code == "answer_too_large" and tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()


def test_what_stands_behind_an_answer_that_is_packed_is_not_waited_for() -> None:
    came = []

    def body() -> Iterator[bytes]:
        yield gzip.compress(b"{}")
        for number in range(1000):
            came.append(number)
            yield b"x" * 1000

    with pytest.raises(DataError, match="more stands behind it"):
        list(unpacked(Answer("http://shop/all", 200, {"content-encoding": "gzip"}, body())))
    assert came == [0]


def test_a_reset_in_milliseconds_is_a_moment(api: Api) -> None:
    soon = (datetime.now(UTC) - timedelta(seconds=1)).timestamp()
    api.headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{soon * 1000:.0f}"}
    assert planned(source(api)) == 7


def test_an_answer_that_is_too_large_is_refused(api: Api) -> None:
    api.orders[2]["note"] = "x" * 1_100_000
    with pytest.raises(ConfigurationError) as caught:
        planned(source(api, largest_mb=1))
    assert caught.value.code == "answer_too_large"


def test_a_huge_record_arrives(api: Api, tmp_path: Path) -> None:
    api.orders[2]["note"] = "x" * 15_000_000
    stream = StreamConfig("orders", columns=(Column("note", "VARCHAR"),))
    found = rows(tmp_path, extracted(tmp_path, source(api), stream, Window("full")))
    assert max(len(row[0]) for row in found) == 15_000_000


def test_an_answer_shorter_than_promised_is_tried_again(api: Api, tmp_path: Path) -> None:
    def before(number: int, request: Request) -> bool:
        if number == 2:
            request.answer(200, b'{"data": {"orders": []}}', length=5000)
        return number == 2

    api.before = before
    found = rows(tmp_path, extracted(tmp_path, source(api), ORDERS, Window("full")))
    assert sorted(row[0] for row in found) == list(range(1, 8))


def test_a_look_gives_up_after_the_time_of_one_answer(api: Api) -> None:
    def dribble(number: int, request: Request) -> bool:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        while not request.web.stopped.wait(0.02):
            request.wfile.write(b" ")
        return True

    api.before = dribble
    with pytest.raises(TransientError) as caught:
        source(api, most_seconds=1).discover()
    assert caught.value.code == "answer_timeout"
    assert len(api.asked) <= 1


def test_a_server_that_hangs_is_given_up(api: Api) -> None:
    def before(number: int, request: Request) -> bool:
        request.web.stopped.wait(60)
        return True

    api.before = before
    last = list(source(api, most_seconds=1).test())[-1]
    assert last.name == "connect" and last.error is not None and last.error.code == "answer_timeout"


@pytest.mark.parametrize(("host", "code"), [("127.0.0.1", "address_private"), ("169.254.169.254", "address_refused")])
def test_addresses_that_are_not_public_are_refused(api: Api, host: str, code: str) -> None:
    connector = build("rest", {"base_url": f"http://{host}:{api.web.port}", "streams": ["orders /v1/all"]})
    last = list(connector.test())[-1]
    assert last.name == "resolve" and last.error is not None and last.error.code == code
    with pytest.raises(ConfigurationError) as caught:
        connector.plan(ORDERS, "incremental", Mark())
    assert caught.value.code == code and not api.asked


def test_a_network_that_is_allowed_is_reached(api: Api) -> None:
    connector = build("rest", {"base_url": api.base, "streams": ["orders /all records=data.orders"]}, networks=LOOPBACK)
    assert planned(connector) == 7


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("address", "http://[half"),
        ("link", "http://[half"),
        ("link", "file:///etc/passwd"),
        ("link", "http://ann:s3cret@127.0.0.1/"),
        ("link", "http://127.0.0.1/a b?key=s3cret"),
    ],
)
def test_a_next_page_at_no_address_is_told(api: Api, way: str, told: str) -> None:
    body = json.dumps({"data": {"orders": [{"id": 1}]}, "next": told}).encode()
    link = {"Link": f'<{told}>; rel="next"'} if way == "link" else {}
    api.web.bad[f"/v1/{way}"] = lambda request: request.answer(200, body, link)
    with pytest.raises(ConfigurationError) as caught:
        planned(source(api, way))
    assert caught.value.code == "redirect_unreadable" and "s3cret" not in str(caught.value.as_json())


def test_a_cursor_may_begin_with_a_slash(api: Api) -> None:
    """As every 64th does that is written in base64."""

    def answer(request: Request) -> None:
        first = "cursor=" not in request.path
        body = (
            b'{"data": {"orders": [{"id": 1}]}, "next": "/9j+Zg=="}' if first else b'{"data": {"orders": [{"id": 2}]}}'
        )
        request.answer(200, body)

    api.web.bad["/v1/cursor"] = answer
    assert planned(source(api, "cursor")) == 2
