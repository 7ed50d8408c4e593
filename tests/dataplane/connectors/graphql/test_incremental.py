"""Incremental reads: each record once, whatever happens between and amid them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.connectors.graphql.paging import as_declared
from dataplane.connectors.windows import Mark
from dataplane.errors import ConfigurationError, TransientError
from tests.dataplane.connectors.graphql.api import PAGED, Server, refusing, source, stream_of
from tests.dataplane.connectors.remotes.web import Request
from tests.dataplane.connectors.rest.api import order
from tests.dataplane.connectors.rest.reading import Reader


@pytest.mark.parametrize("way", ["nodes", "edges"])
def test_what_is_new_is_read_once(server: Server, tmp_path: Path, way: str) -> None:
    connector = source(server, way)
    reader = Reader(tmp_path, connector, stream_of(connector, cursor="at"))
    assert reader.run() and sorted(reader.found) == list(range(1, 8))
    assert not reader.run()
    # The eighth shares its second with none that was read, the late one with the last of them.
    server.orders += [{**order(7), "id": 70}, order(8), order(9)]
    server.asked.clear()
    assert reader.run() and sorted(reader.found) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 70]
    assert server.asked[0]["variables"] == {"since": "2026-01-01T00:00:03Z"}
    assert not reader.run()


def test_a_query_that_cannot_filter_is_read_whole_and_brings_what_is_new(server: Server, tmp_path: Path) -> None:
    queries = PAGED.replace(", $since: DateTime", "").replace(", since: $since", "")
    connector = source(server, queries=queries)
    reader = Reader(tmp_path, connector, stream_of(connector, cursor="id"))
    reader.run()
    server.orders.append(order(8))
    reader.run()
    assert sorted(reader.found) == list(range(1, 9))
    assert all("since" not in each["variables"] for each in server.asked)


def test_a_row_that_came_late_is_found_within_the_lookback(server: Server, tmp_path: Path) -> None:
    connector = source(server)
    reader = Reader(tmp_path, connector, replace(stream_of(connector, cursor="at"), lookback=2.0))
    reader.run()
    server.orders.insert(2, {**order(2), "id": 20})
    server.asked.clear()
    assert reader.run() and sorted(reader.found) == [1, 2, 3, 4, 5, 6, 7, 20]
    assert server.asked[0]["variables"]["since"] == "2026-01-01T00:00:01Z"


@pytest.mark.parametrize(("broken", "at"), [*(("cut", at) for at in range(1, 8)), ("refused", 2), ("refused", 5)])
def test_a_read_that_ends_at_any_page_leaves_no_gap_and_no_duplicate(
    server: Server, tmp_path: Path, broken: str, at: int
) -> None:
    """Three pages to plan, three to read, and one after: each is the last that comes."""
    connector = source(server)
    reader = Reader(tmp_path, connector, stream_of(connector, cursor="at"))
    server.asked.clear()

    def breaks(number: int, request: Request) -> bool:
        if number >= at and broken == "cut":
            request.connection.close()
        elif number >= at:
            request.answer(200, refusing("boom", "INTERNAL_SERVER_ERROR"))
        return number >= at

    server.before = breaks
    window = None
    try:
        window = reader.plan()
        assert window is not None
        reader.read(window)
    except TransientError:
        assert reader.found == [] and at < 7
    server.before = lambda number, request: False
    server.orders += [order(8), order(9)]
    if reader.found == []:
        if window is None:
            window = reader.plan()
        assert window is not None
        reader.read(window)
    reader.run()
    assert sorted(reader.found) == list(range(1, 10))


def test_a_window_gives_the_same_rows_when_others_have_come(server: Server, tmp_path: Path) -> None:
    connector = source(server)
    reader = Reader(tmp_path, connector, stream_of(connector, cursor="at"))
    window = reader.plan()
    assert window is not None
    server.orders.append(order(9))
    reader.read(window)
    assert sorted(reader.found) == list(range(1, 8))


def test_a_stream_without_a_cursor_is_not_read_incrementally(server: Server) -> None:
    connector = source(server)
    with pytest.raises(ConfigurationError) as caught:
        connector.plan(stream_of(connector), "incremental", Mark())
    assert caught.value.code == "cursor_missing"


@pytest.mark.parametrize(
    ("text", "declared", "sent"),
    [
        ("17", "Int", 17),
        ("17", "String", "17"),
        ("17", "ID", "17"),
        ("17", "", 17),
        ("-3", "BigInt", -3),
        ("007", "Int", "007"),
        ("0.1", "Float", 0.09999999999999999),
        ("0.5", "Float", 0.5),
        ("2026-01-31", "Date", "2026-01-31"),
    ],
)
def test_a_variable_is_a_number_where_its_type_wants_one(text: str, declared: str, sent: object) -> None:
    assert as_declared(text, declared) == sent and isinstance(as_declared(text, declared), type(sent))
