"""Downloads from a real server, good and hostile: nothing is read twice, nothing by half, nothing forbidden."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dataplane import http
from dataplane.connectors import http_files
from dataplane.connectors.base import Connector
from dataplane.connectors.files import remote
from dataplane.connectors.registry import build
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from tests.dataplane.connectors.remotes.web import Request, Web, serving
from tests.dataplane.connectors.unheard import unheard
from tests.dataplane.steps.files_source import extracted, rows

LOOPBACK = ["127.0.0.0/8"]
ORDERS = b"id,amount\n1,12.50\n2,7.20\n"


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as served:
        served.files["/orders.csv"] = ORDERS
        yield served


def downloads(web: Web, *paths: str, networks: list[str] = LOOPBACK, **params: Any) -> Connector:
    return build("http_files", {"urls": [web.url(each) for each in paths], **params}, networks=networks)


def stream_of(connector: Connector) -> StreamConfig:
    (info,) = connector.discover()
    return StreamConfig(info.name, settings=info.settings, columns=info.columns)


def failure(connector: Connector) -> ManifoldError:
    last = list(connector.test())[-1]
    assert last.error is not None, last
    return last.error


def test_it_works(web: Web, tmp_path: Path) -> None:
    connector = downloads(web, "/orders.csv")
    stages = list(connector.test())
    assert [(each.name, each.ok) for each in stages] == [
        (name, True) for name in ("resolve", "connect", "authenticate", "list", "read")
    ]
    stream = stream_of(connector)
    assert [(each.name, each.type) for each in stream.columns] == [("id", "BIGINT"), ("amount", "DECIMAL(15,2)")]
    assert connector.preview(stream).num_rows == 2
    window = connector.plan(stream, "incremental", Mark()).window
    assert window is not None
    result = extracted(tmp_path, connector, stream, window)
    assert [row[0] for row in rows(tmp_path, result)] == [1, 2]
    assert result.facts["files"][0]["digest"]


def test_what_has_not_changed_is_not_downloaded_again(web: Web) -> None:
    connector = downloads(web, "/orders.csv")
    stream = stream_of(connector)
    window = connector.plan(stream, "incremental", Mark()).window
    assert window is not None
    web.asked.clear()
    planned = connector.plan(stream, "incremental", Mark(files=window.files))
    assert planned.window is None and planned.reason.startswith("No new file")
    ((_, headers),) = web.asked
    assert headers["if-none-match"] == window.files[0].version


@pytest.mark.parametrize("when_changed", ["warn", "read_again"])
def test_a_new_version_is_told_or_read_again_as_the_source_says(web: Web, when_changed: str) -> None:
    connector = downloads(web, "/orders.csv", when_changed=when_changed)
    stream = stream_of(connector)
    window = connector.plan(stream, "incremental", Mark()).window
    assert window is not None
    web.files["/orders.csv"] = ORDERS.replace(b"7.20", b"7.30")
    planned = connector.plan(stream, "incremental", Mark(files=window.files))
    assert (planned.window is not None) == (when_changed == "read_again")
    assert bool(planned.warnings) == (when_changed == "warn")


def test_a_server_that_tells_nothing_of_its_file_is_asked_for_the_whole(web: Web, tmp_path: Path) -> None:
    web.plain = True
    connector = downloads(web, "/orders.csv")
    stream = stream_of(connector)
    window = connector.plan(stream, "incremental", Mark()).window
    assert window is not None
    assert window.files[0].size == len(ORDERS) and window.files[0].version.startswith("xxh3:")
    assert connector.plan(stream, "incremental", Mark(files=window.files)).window is None
    assert len(rows(tmp_path, extracted(tmp_path, connector, stream, window))) == 2
    web.files["/orders.csv"] = ORDERS.replace(b"7.20", b"7.30")
    with pytest.raises(DataError) as caught:
        extracted(tmp_path, connector, stream, window)
    assert caught.value.code == "file_changed"


def test_a_file_that_changed_since_the_plan_is_not_read_as_the_planned_one(web: Web, tmp_path: Path) -> None:
    connector = downloads(web, "/orders.csv")
    stream = stream_of(connector)
    window = connector.plan(stream, "incremental", Mark()).window
    web.files["/orders.csv"] = ORDERS + b"3,1.00\n"
    with pytest.raises(DataError) as caught:
        extracted(tmp_path, connector, stream, window)
    assert caught.value.code == "file_changed"


@pytest.mark.parametrize(
    ("params", "header", "value"),
    [
        ({"auth": "basic", "user": "ann", "password": "s3cret"}, "authorization", "Basic YW5uOnMzY3JldA=="),
        ({"auth": "bearer", "token": "t0ken"}, "authorization", "Bearer t0ken"),
        ({"auth": "header", "header": "X-Api-Key", "token": "t0ken"}, "x-api-key", "t0ken"),
    ],
)
def test_a_sign_in_is_sent_and_stays_with_its_server(web: Web, params: dict[str, Any], header: str, value: str) -> None:
    with serving() as other:
        other.files["/orders.csv"] = ORDERS
        web.bad["/moved.csv"] = lambda request: request.answer(302, b"", {"Location": other.url("/orders.csv")})
        connector = downloads(web, "/moved.csv", **params)
        assert connector.discover()
        assert all(headers[header] == value for _, headers in web.asked)
        assert other.asked and all(header not in headers for _, headers in other.asked)


def test_a_key_among_the_parameters_is_sent_to_its_server_and_shown_nowhere(web: Web) -> None:
    asked: list[str] = []

    with serving() as other:

        def moved(request: Request) -> None:
            asked.append(request.path)
            request.answer(302, b"", {"Location": other.url("/orders.csv")})

        def there(request: Request) -> None:
            asked.append(request.path)
            request.whole(ORDERS)

        web.bad["/moved.csv"], other.bad["/orders.csv"] = moved, there
        connector = downloads(web, "/moved.csv?id=1", auth="parameter", parameter="rlkey", token="k3y")
        assert connector.discover()
        assert "k3y" not in str([vars(each) for each in connector.test()])
    assert set(asked) == {"/moved.csv?id=1&rlkey=k3y", "/orders.csv"}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"urls": ["http://host/a.csv"], "auth": "parameter", "token": "t"}, "parameter"),
        ({"urls": []}, "urls"),
        ({"urls": ["ftp://host/a.csv"]}, "urls"),
        ({"urls": ["http://user:secret@host/a.csv"]}, "urls"),
        ({"urls": ["http://host/export"]}, "orders.csv http://host/export"),
        ({"urls": ["http://host/a.csv", "http://other/a.csv"]}, "a.csv"),
        ({"urls": ["../a.csv http://host/x"]}, "urls"),
        ({"urls": ["http://host/a.csv"], "auth": "bearer"}, "token"),
    ],
)
def test_wrong_parameters_say_what_is_missing(params: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        build("http_files", params)
    assert said in str(caught.value)


def test_an_address_may_be_given_a_name(web: Web) -> None:
    web.files["/export"] = ORDERS
    connector = build("http_files", {"urls": [f"orders.csv {web.url('/export?id=7')}"]}, networks=LOOPBACK)
    assert [each.name for each in connector.discover()] == ["orders"]


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", "address_private"),
        ("localhost", "address_private"),
        ("2130706433", "address_private"),
        ("[::1]", "address_private"),
        ("[::ffff:127.0.0.1]", "address_private"),
        ("10.0.0.1", "address_private"),
        ("100.64.0.1", "address_private"),
        ("[64:ff9b::7f00:1]", "address_private"),
        ("[64:ff9b:1::7f00:1]", "address_private"),
        ("[64:ff9b:1::a9fe:a9fe]", "address_refused"),
        ("169.254.169.254", "address_refused"),
        ("0.0.0.0", "address_refused"),
        ("[fd00:ec2::254]", "address_refused"),
        ("100.100.100.200", "address_refused"),
    ],
)
def test_addresses_that_are_not_public_are_refused(web: Web, host: str, code: str) -> None:
    connector = build("http_files", {"urls": [web.url("/orders.csv", host)]})
    error = failure(connector)
    assert (error.code, error.retryable) == (code, False)
    with pytest.raises(ConfigurationError) as caught:
        connector.discover()
    assert caught.value.code == code
    assert web.asked == []


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "address_refused"),
        ("http://10.0.0.1/x.csv", "address_private"),
        ("file:///etc/passwd", "redirect_unreadable"),
        ("ftp://127.0.0.1/x", "redirect_unreadable"),
        ("/loop.csv", "too_many_redirects"),
        ("http://[half", "redirect_unreadable"),
    ],
)
def test_redirects_are_looked_at_like_the_first_address(web: Web, target: str, code: str) -> None:
    web.bad["/loop.csv"] = lambda request: request.answer(302, b"", {"Location": target})
    with pytest.raises(ConfigurationError) as caught:
        downloads(web, "/loop.csv").discover()
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, ConfigurationError, "authentication"),
        (403, ConfigurationError, "authentication"),
        (400, ConfigurationError, "http_status"),
        (429, TransientError, "rate_limited"),
        (500, TransientError, "server_error"),
        (503, TransientError, "server_error"),
    ],
)
def test_a_status_decides_whether_it_is_tried_again(
    web: Web, status: int, kind: type[ManifoldError], code: str
) -> None:
    web.bad["/orders.csv"] = lambda request: request.answer(status, b"no", {"Retry-After": "7"})
    connector = downloads(web, "/orders.csv")
    with pytest.raises(kind) as caught:
        connector.plan(StreamConfig("orders", settings={"pattern": "*.csv"}), "incremental", Mark())
    assert caught.value.code == code
    assert failure(connector).code == code
    if status == 429:
        assert caught.value.evidence["retry_after"] == "7"


def test_a_missing_file_is_no_failure_of_the_others(web: Web) -> None:
    connector = downloads(web, "/orders.csv", "/gone.csv")
    planned = connector.plan(StreamConfig("x", settings={"pattern": "*.csv"}), "incremental", Mark())
    assert [each.path for each in planned.listed] == ["orders.csv"]
    assert "gone.csv is not there" in planned.warnings[0]
    (listed,) = [each.detail for each in connector.test() if each.name == "list"]
    assert listed.startswith("1 file, 1 of a known format and not empty. gone.csv is not there: ")


def test_a_page_to_sign_in_is_no_table(web: Web) -> None:
    web.files["/orders.csv"] = b"\n<!DOCTYPE html>\n<html><body>Please sign in</body></html>"
    connector = downloads(web, "/orders.csv")
    (info,) = connector.discover()
    assert info.columns == () and info.warnings[0].startswith("orders.csv holds a web page and no table")
    with pytest.raises(DataError) as caught:
        connector.preview(StreamConfig("orders", settings={"pattern": "*.csv"}, columns=(Column("id", "BIGINT"),)))
    assert caught.value.code == "web_page"


def dropping(body: bytes, after: int, *, resume: bool) -> Any:
    """Breaks off after some bytes, each time; goes on where it is asked to, or begins anew."""

    def behave(request: Request) -> None:
        start = 0
        if resume and request.headers.get("Range"):
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        piece = body[start : start + after]
        headers = {"ETag": '"v1"'}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        request.answer(206 if start else 200, piece, headers, length=len(body) - start)

    return behave


def test_a_download_that_breaks_off_goes_on_where_it_was(web: Web, tmp_path: Path) -> None:
    body = b"id\n" + b"".join(b"%d\n" % each for each in range(20_000))
    web.bad["/long.csv"] = dropping(body, len(body) // 3, resume=True)
    connector = downloads(web, "/long.csv")
    stream = stream_of(connector)
    result = extracted(tmp_path, connector, stream, connector.plan(stream, "incremental", Mark()).window)
    assert [row[0] for row in rows(tmp_path, result)] == list(range(20_000))


def test_a_server_that_lies_about_the_length_fails_in_a_way_that_is_tried_again(web: Web, tmp_path: Path) -> None:
    web.bad["/short.csv"] = dropping(ORDERS, 10, resume=False)
    connector = downloads(web, "/short.csv")
    stream = StreamConfig("short", settings={"pattern": "short.csv"})
    window = connector.plan(stream, "incremental", Mark()).window
    with pytest.raises(TransientError) as caught:
        extracted(tmp_path, connector, stream, window)
    assert caught.value.code == "connection_lost"
    assert not list(tmp_path.rglob("manifold-spool-*"))


def cut(request: Request, *, chunked: bool) -> None:
    """Half of the file, without its length; of chunks the last one lacks, else nothing tells that this was not all."""
    body = ORDERS[:-6]
    request.send_response(200)
    if chunked:
        request.send_header("Transfer-Encoding", "chunked")
        body = b"%x\r\n%s\r\n" % (len(body), body)
    request.end_headers()
    request.raw(body)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_download_without_a_length_that_is_cut_is_tried_again(web: Web, tmp_path: Path, *, chunked: bool) -> None:
    web.plain = True
    connector = downloads(web, "/orders.csv")
    stream = stream_of(connector)
    window = connector.plan(stream, "incremental", Mark()).window
    before = len(web.asked)

    def behave(request: Request) -> None:
        """The first request looks which version there is; the second reads it."""
        if len(web.asked) == before + 1:
            request.answer(200, ORDERS, length=None)
        else:
            cut(request, chunked=chunked)

    web.bad["/orders.csv"] = behave
    with pytest.raises(TransientError) as caught:
        extracted(tmp_path, connector, stream, window)
    assert caught.value.code == "connection_lost"
    assert len(web.asked) > before + 1


@pytest.mark.parametrize("told", [True, False])
def test_a_file_that_is_too_large_is_refused(web: Web, told: bool) -> None:
    web.files["/large.csv"] = b"id\n" + b"1\n" * 600_000
    web.plain = not told
    connector = downloads(web, "/large.csv", largest_mb=1)
    with pytest.raises(ConfigurationError) as caught:
        connector.preview(StreamConfig("large", settings={"pattern": "*.csv"}))
    assert caught.value.code == "file_too_large"


def test_a_server_that_hangs_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(request: Request) -> None:
        request.web.stopped.wait(60)

    web.bad["/orders.csv"] = hang
    monkeypatch.setattr("dataplane.connectors.http_files._LOOK_SECONDS", 0.3)
    error = failure(downloads(web, "/orders.csv"))
    assert (error.code, error.retryable) == ("answer_timeout", True)


def test_a_server_that_trickles_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not request.web.stopped.wait(0.05):
            request.wfile.write(b"X: y\r\n")

    web.bad["/orders.csv"] = trickle
    monkeypatch.setattr("dataplane.connectors.http_files._LOOK_SECONDS", 0.5)
    assert failure(downloads(web, "/orders.csv")).code == "answer_timeout"


def test_what_is_no_http_is_told(web: Web) -> None:
    web.bad["/orders.csv"] = lambda request: request.raw(b"SSH-2.0-OpenSSH\r\n")
    assert failure(downloads(web, "/orders.csv")).code == "connection_lost"


def test_nobody_listening_is_tried_again() -> None:
    with unheard() as port:
        error = failure(build("http_files", {"urls": [f"http://127.0.0.1:{port}/a.csv"]}, networks=LOOPBACK))
    assert (error.code, error.retryable) == ("connection_refused", True)


def test_no_secret_and_no_query_is_shown() -> None:
    assert http.shown("https://host:8443/a.csv?key=secret#x") == "https://host:8443/a.csv"


def test_a_server_that_hangs_up_while_encryption_is_agreed_on_is_tried_again() -> None:
    def hang_up() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            url = f"https://127.0.0.1:{listening.getsockname()[1]}/orders.csv"
            error = failure(build("http_files", {"urls": [url]}, networks=LOOPBACK))
        finally:
            # A thread that waits in accept() wakes up at once.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert isinstance(error, TransientError), error.as_json()
    assert error.code == "connection_lost"


@pytest.mark.parametrize(
    "told",
    [
        {"Last-Modified": "Fri, 31 Dec 9999 23:59:59 -2359"},
        {"Last-Modified": "Mon, 01 Jan 0001 00:00:00 +2359"},
        {"Last-Modified": "Fri, 99 Foo 99999999999999 25:61:61 GMT"},
        {"ETag": '"' + "e" * 10_000 + '"'},
    ],
)
def test_dates_that_no_calendar_holds_stop_nobody(web: Web, told: dict[str, str]) -> None:
    web.bad["/orders.csv"] = lambda request: request.answer(200, ORDERS, told)
    connector = downloads(web, "/orders.csv")
    window = connector.plan(stream_of(connector), "incremental", Mark()).window
    assert window is not None and window.files[0].size == len(ORDERS)


def test_of_a_file_without_size_or_version_a_look_takes_the_beginning(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that never ends is tested, discovered and shown all the same."""
    for module in (http_files, remote):
        monkeypatch.setattr(module, "SAMPLE", 1 << 16)

    def endless(request: Request) -> None:
        request.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nConnection: close\r\n\r\nid,amount\n")
        with suppress(OSError):
            while not web.stopped.is_set():
                request.raw(b"1,12.50\n" * 1000)

    web.bad["/orders.csv"] = endless
    connector = downloads(web, "/orders.csv")
    stages = list(connector.test())
    assert all(each.ok for each in stages), stages
    assert connector.preview(stream_of(connector), 3).num_rows == 3


def test_a_look_at_a_slow_file_ends(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_files, "_SAMPLE_SECONDS", 0.5)

    def slow(request: Request) -> None:
        request.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 100\r\n")
        request.raw(b'ETag: "a"\r\nConnection: close\r\n\r\nid\n')
        with suppress(OSError):
            while not web.stopped.wait(0.05):
                request.raw(b"1")

    web.bad["/orders.csv"] = slow
    assert failure(downloads(web, "/orders.csv")).code in ("answer_timeout", "connection_lost")
