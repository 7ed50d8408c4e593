"""What arrives: each way of paging, types, what does not fit, what was not declared."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from pydantic import ValidationError

from dataplane.connectors.registry import build
from dataplane.connectors.rest import Rest
from dataplane.connectors.rest.client import Client
from dataplane.connectors.rest.records import Page
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError
from dataplane.oauth import Grant, Token
from tests.dataplane.connectors.remotes.web import Request
from tests.dataplane.connectors.rest.api import Api, order
from tests.dataplane.connectors.rest.reading import LOOPBACK, WAYS, source, stream_of
from tests.dataplane.steps.files_source import extracted, rejects, rows, typed


def numbers(api: Api, tmp_path: Path, way: str) -> list[int]:
    connector = source(api, way)
    stream = stream_of(connector)
    return sorted(row[0] for row in rows(tmp_path, extracted(tmp_path, connector, stream, Window("full"))))


def test_it_works(api: Api, tmp_path: Path) -> None:
    connector = source(api)
    stages = list(connector.test())
    assert [(each.name, each.ok) for each in stages] == [
        (name, True) for name in ("resolve", "connect", "authenticate", "list", "read a row")
    ], stages
    assert stages[-1].detail == "3 records on the first page of orders."
    stream = stream_of(connector)
    assert [(each.name, each.type) for each in stream.columns] == [
        ("id", "BIGINT"),
        ("amount", "DOUBLE"),
        ("note", "VARCHAR"),
        ("at", "TIMESTAMP"),
    ]
    assert connector.preview(stream, 2).num_rows == 2
    assert connector.plan(stream, "full_refresh", Mark()).window == Window("full")
    result = extracted(tmp_path, connector, stream, Window("full"))
    found = sorted(rows(tmp_path, result))
    assert [(row[0], row[1], row[2]) for row in found] == [(n, n + 0.5, f"no. {n}") for n in range(1, 8)]
    assert result.facts["warnings"] == []


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("count", [0, 7])
def test_every_way_of_paging_brings_each_record_once(api: Api, tmp_path: Path, way: str, count: int) -> None:
    api.orders = [order(each) for each in range(count)]
    connector = source(api, way)
    stream = StreamConfig("orders", columns=(Column("id", "BIGINT"),))
    found = rows(tmp_path, extracted(tmp_path, connector, stream, Window("full")))
    assert sorted(row[0] for row in found) == list(range(count))


def test_a_server_that_gives_fewer_than_asked_for_loses_nothing(api: Api, tmp_path: Path) -> None:
    connector = source(api, "page", size_parameter="limit", page_size=1000)
    found = rows(tmp_path, extracted(tmp_path, connector, stream_of(connector), Window("full")))
    assert len(found) == 7 and api.asked[0]["limit"] == "1000"


def test_pages_are_read_in_several_parts_and_take_little_of_the_disk(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplane.connectors.rest.declared.BATCH", 100)
    assert numbers(api, tmp_path, "page") == list(range(1, 8))
    assert not list(tmp_path.rglob("*.ndjson"))


def test_what_does_not_fit_is_set_aside_with_its_place(api: Api, tmp_path: Path) -> None:
    connector = source(api)
    stream = stream_of(connector)
    api.orders[4]["id"] = "five"
    api.orders[5]["id"] = 6.5
    result = extracted(tmp_path, connector, stream, Window("full"))
    assert sorted(row[0] for row in rows(tmp_path, result)) == [1, 2, 3, 4, 7]
    assert [(file, row, reason) for file, row, reason, _ in rejects(tmp_path, result)] == [
        ("orders, pages 1 to 4", 5, "id is not BIGINT"),
        ("orders, pages 1 to 4", 6, "id is not BIGINT"),
    ]
    api.orders[1]["id"] = "two"
    shown = connector.previewed(stream)
    assert (shown.table["id"].to_pylist(), shown.rejected) == ([1, 3], 1)
    assert (shown.samples[0].row, shown.samples[0].reason) == (2, "id is not BIGINT")


def test_new_keys_are_told_and_missing_ones_are_nothing(api: Api, tmp_path: Path) -> None:
    connector = source(api)
    stream = stream_of(connector)
    del api.orders[0]["note"]
    api.orders[6]["colour"] = "red"
    result = extracted(tmp_path, connector, stream, Window("full"))
    assert [row[2] for row in sorted(rows(tmp_path, result))][:2] == [None, "no. 2"]
    assert "colour" in result.facts["warnings"][0]


def test_values_arrive_whole(api: Api, tmp_path: Path) -> None:
    api.orders = [
        {
            "id": 1,
            "at": "",
            "big": 9007199254740993,
            "text": 'a\n"b"\u0001 é 🙂, c',
            "code": "007",
            "nested": {"a": [1]},
        },
        {"id": 2, "at": "", "big": 1, "text": None, "code": "12", "nested": {"b": 2}, "none": None},
    ]
    connector = source(api, "all")
    stream = stream_of(connector)
    types = {each.name: each.type for each in stream.columns}
    assert (types["nested"], types["none"], types["code"]) == ("JSON", "VARCHAR", "VARCHAR")
    result = extracted(tmp_path, connector, replace(stream, select=("big", "text", "code", "nested")), Window("full"))
    assert sorted(rows(tmp_path, result), key=lambda row: row[2]) == [
        (9007199254740993, 'a\n"b"\u0001 é 🙂, c', "007", '{"a":[1]}'),
        (1, None, "12", '{"b":2}'),
    ]


def test_a_type_may_be_declared_and_rows_filtered(api: Api, tmp_path: Path) -> None:
    connector = source(api)
    stream = replace(typed(stream_of(connector), amount="DECIMAL(9,2)"), row_filter="id > 5", select=("amount",))
    result = extracted(tmp_path, connector, stream, Window("full"))
    assert sorted(str(row[0]) for row in rows(tmp_path, result)) == ["6.50", "7.50"]


@pytest.mark.parametrize(
    ("records", "code"),
    [("data.items", "records_missing"), ("data.orders.id", "records_missing"), ("next", "records_malformed")],
)
def test_a_wrong_path_of_the_records_is_told(api: Api, records: str, code: str) -> None:
    connector = source(api, records=records)
    (info,) = connector.discover()
    assert info.columns == () and info.warnings
    with pytest.raises(DataError) as caught:
        connector.preview(StreamConfig("orders", columns=(Column("id", "BIGINT"),)))
    assert caught.value.code == code
    assert ("; it holds data" in caught.value.message) is (code == "records_missing")


def test_a_stream_that_is_no_longer_declared_is_told(api: Api) -> None:
    with pytest.raises(ConfigurationError) as caught:
        source(api).plan(StreamConfig("gone"), "full_refresh", Mark())
    assert caught.value.code == "stream_missing"


def test_one_wrong_path_hides_no_other_stream(api: Api) -> None:
    connector = source(api, streams=["lost /lost", WAYS["page"] + " key=id"])
    lost, orders = connector.discover()
    assert "404" in lost.warnings[0] and not lost.columns
    assert orders.primary_key == ("id",) and orders.cursor_candidates == ("id", "note", "at")


def test_a_stream_without_a_record_is_shown_without_a_row(api: Api) -> None:
    api.orders.clear()
    (info,) = source(api).discover()
    assert info.columns == () and "has no record now" in info.warnings[0]
    assert source(api).previewed(StreamConfig("orders")).table.shape == (0, 0)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"base_url": "ftp://host"}, "base_url"),
        ({"base_url": "http://user:secret@host"}, "base_url"),
        ({"streams": []}, "streams"),
        ({"streams": ["orders"]}, "orders /orders"),
        ({"streams": ["orders /a colour=red"]}, "colour=red"),
        ({"streams": ["orders /a pagination=cursor"]}, "next_path"),
        ({"streams": ["orders /a page_size=many"]}, "page_size"),
        ({"streams": ["orders /a", "orders /b"]}, "Two streams"),
        ({"auth": "basic", "user": "ann"}, "password"),
        ({"auth": "client_credentials"}, "client_secret\n  Fill it in: it is needed where auth is client_credentials."),
        ({"headers": ["Accept"]}, "headers"),
    ],
)
def test_wrong_parameters_say_what_to_write(params: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        build("rest", {"base_url": "http://host", "streams": ["orders /orders"], **params}, networks=LOOPBACK)
    assert said in str(caught.value)


def pages_of(
    api: Api, way: str, duck: duckdb.DuckDBPyConnection, *, hurried: bool = False, grant: Grant | None = None
) -> Generator[Page, None, None]:
    """The pages; the session ends with them."""
    connector = source(api, way)
    assert isinstance(connector, Rest)
    with closing(Client(connector.params, LOOPBACK, hurried=hurried, grant=grant)) as client:
        yield from connector.pages(client, connector.declared()["orders"], duck)


@pytest.mark.parametrize("way", ["page", "link"])
def test_the_next_page_is_asked_for_while_one_is_looked_at(api: Api, way: str) -> None:
    arrived = threading.Event()

    def heard(number: int, _request: Request) -> bool:
        if number == 3:
            arrived.set()
        return False

    api.before = heard
    with connector_instance() as duck:
        pages = pages_of(api, way, duck)
        assert [next(pages).count, next(pages).count] == [3, 3]
        assert arrived.wait(60), "the third page was asked for before anybody wanted it"
        assert sum(each.count for each in pages) == 1


@pytest.mark.parametrize(("way", "requests"), [("page", 4), ("link", 3)])
def test_no_page_is_asked_for_behind_the_last(api: Api, way: str, requests: int) -> None:
    with connector_instance() as duck:
        assert sum(each.count for each in pages_of(api, way, duck)) == 7
    assert len(api.asked) == requests


class Granted:
    """A grant that nobody needs."""

    def token(self, refused: str = "") -> Token:
        raise AssertionError


@pytest.mark.parametrize(("hurried", "grant"), [(True, None), (False, Granted())], ids=["a sample", "by a grant"])
def test_some_ask_for_no_page_before_it_is_wanted(api: Api, hurried: bool, grant: Grant | None) -> None:
    """A sample wants no more; the token of a grant is renewed through a database, by the thread that reads."""
    with connector_instance() as duck:
        pages = pages_of(api, "link", duck, hurried=hurried, grant=grant)
        assert [next(pages).count, next(pages).count] == [3, 3]
        pages.close()
    assert len(api.asked) == 2


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "290"}], ids=["at once", "later"])
def test_no_page_is_asked_for_once_the_session_has_ended(api: Api, headers: dict[str, str]) -> None:
    arrived, ended = threading.Event(), threading.Event()

    def away(number: int, request: Request) -> bool:
        if number < 3:
            return False
        if headers:
            request.answer(503, b"{}", headers)
        arrived.set()
        assert headers or ended.wait(60)
        return True

    api.before = away
    before = set(threading.enumerate())
    with connector_instance() as duck:
        pages = pages_of(api, "link", duck)
        assert [next(pages).count, next(pages).count] == [3, 3]
        reader = next(each for each in set(threading.enumerate()) - before if each.name.startswith("next-page"))
        assert arrived.wait(60)
        pages.close()
        ended.set()
        reader.join(60)
    assert not reader.is_alive() and len(api.asked) == 3


def test_a_page_that_fails_while_another_is_looked_at_fails_in_its_turn(api: Api) -> None:
    def refused(number: int, request: Request) -> bool:
        if number == 3:
            request.answer(400, b"{}")
        return number == 3

    api.before = refused
    with connector_instance() as duck:
        pages = pages_of(api, "link", duck)
        assert [next(pages).count, next(pages).count] == [3, 3]
        with pytest.raises(ConfigurationError, match="answers 400"):
            next(pages)
