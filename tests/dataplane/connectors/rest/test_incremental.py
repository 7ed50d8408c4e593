"""Incremental reads: each record once, whatever happens between and amid them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataplane.connectors.rest import declared
from dataplane.connectors.rest.paging import since
from dataplane.connectors.rest.params import Endpoint
from dataplane.connectors.windows import Mark, Window
from dataplane.drift import Watch
from dataplane.errors import ConfigurationError, TransientError
from dataplane.steps.extract import ExtractSpec, ExtractStep
from dataplane.steps.plan import Ask, answer
from tests.dataplane.connectors.remotes.web import Request
from tests.dataplane.connectors.rest.api import Api, order
from tests.dataplane.connectors.rest.reading import Reader, source, stream_of
from tests.dataplane.steps.files_source import context, rows


@pytest.mark.parametrize("way", ["page", "link"])
def test_what_is_new_is_read_once(api: Api, tmp_path: Path, way: str) -> None:
    connector = source(api, way)
    reader = Reader(tmp_path, connector, stream_of(connector, cursor="at"))
    assert reader.run() and sorted(reader.found) == list(range(1, 8))
    assert not reader.run()
    # The eighth shares its second with none that was read, the late one with the last of them.
    api.orders += [{**order(7), "id": 70}, order(8), order(9)]
    api.asked.clear()
    assert reader.run() and sorted(reader.found) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 70]
    assert api.asked[0]["since"] == "2026-01-01T00:00:03Z"
    assert not reader.run()


def test_an_api_that_cannot_filter_is_read_whole_and_brings_what_is_new(api: Api, tmp_path: Path) -> None:
    connector = source(api, since_parameter=None)
    reader = Reader(tmp_path, connector, stream_of(connector, cursor="id"))
    reader.run()
    api.orders.append(order(8))
    reader.run()
    assert sorted(reader.found) == list(range(1, 9)) and all("since" not in each for each in api.asked)


def test_a_dry_run_does_not_look_through_pages_without_an_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = source(api)
    stream = stream_of(connector, cursor="id")
    connector.hurried = True
    assert connector.plan(stream, "incremental", Mark()).rows == 7
    monkeypatch.setattr(declared, "_LOOKED_SECONDS", -1.0)
    with pytest.raises(TransientError, match="Start the run") as caught:
        connector.plan(stream, "incremental", Mark())
    assert caught.value.code == "sample_timeout"
    connector.hurried = False
    assert connector.plan(stream, "incremental", Mark()).rows == 7


def test_a_row_that_came_late_is_found_within_the_lookback(api: Api, tmp_path: Path) -> None:
    connector = source(api)
    stream = replace(stream_of(connector, cursor="at"), lookback=2.0)
    reader = Reader(tmp_path, connector, stream)
    reader.run()
    api.orders.insert(2, {**order(2), "id": 20})
    api.asked.clear()
    assert reader.run() and sorted(reader.found) == [1, 2, 3, 4, 5, 6, 7, 20]
    assert api.asked[0]["since"] == "2026-01-01T00:00:01Z"


# The requests of a look and a read of what is there. Pages by number and offset end with one that is empty.
_REQUESTS = {"all": 2, "page": 8, "offset": 8, "cursor": 6, "address": 6, "last": 6, "link": 6}


@pytest.mark.parametrize(
    ("way", "at"),
    [
        pytest.param(way, at, marks=() if way == "page" else pytest.mark.all)
        for way, most in _REQUESTS.items()
        for at in range(1, most + 1)
    ],
)
def test_a_read_that_ends_at_any_page_leaves_no_gap_and_no_duplicate(
    api: Api, tmp_path: Path, way: str, at: int
) -> None:
    connector = source(api, way)
    reader = Reader(tmp_path, connector, stream_of(connector, cursor="at"))
    api.asked.clear()

    def breaks(number: int, request: Request) -> bool:
        if number >= at:
            request.connection.close()
        return number >= at

    api.before = breaks
    window = None
    try:
        window = reader.plan()
        assert window is not None
        reader.read(window)
    except TransientError:
        assert reader.found == []
    api.before = lambda number, request: False
    api.orders += [order(8), order(9)]
    assert reader.found == []
    if window is None:
        window = reader.plan()
    assert window is not None
    reader.read(window)
    reader.run()
    assert sorted(reader.found) == list(range(1, 10))


def test_a_window_gives_the_same_rows_when_others_have_come(api: Api, tmp_path: Path) -> None:
    connector = source(api)
    reader = Reader(tmp_path, connector, stream_of(connector, cursor="at"))
    window = reader.plan()
    assert window is not None
    api.orders.append(order(9))
    reader.read(window)
    assert sorted(reader.found) == list(range(1, 8))


def test_a_slice_of_time_is_read_alone(api: Api, tmp_path: Path) -> None:
    connector = source(api)
    stream = stream_of(connector, cursor="at")
    reader = Reader(tmp_path, connector, stream)
    spec = ExtractSpec(source="api", stream="orders")
    window = Window("slice", column="at", lower="2026-01-01 00:00:01", upper="2026-01-01 00:00:03")
    extras = {"connector": connector, "stream": replace(stream, select=("id",)), "window": window}
    result = ExtractStep.run(context(tmp_path, **extras), spec)
    assert sorted(row[0] for row in rows(reader.root, result)) == [2, 3, 4, 5]


def test_a_stream_without_a_cursor_is_not_read_incrementally(api: Api) -> None:
    connector = source(api)
    with pytest.raises(ConfigurationError) as caught:
        connector.plan(stream_of(connector), "incremental", Mark())
    assert caught.value.code == "cursor_missing"


@pytest.mark.parametrize(
    ("value", "type_", "format_", "told"),
    [
        ("2026-01-31 12:00:00.5", "TIMESTAMP", "iso", "2026-01-31T12:00:00.500000Z"),
        ("2026-01-31 12:00:00+00", "TIMESTAMP WITH TIME ZONE", "iso", "2026-01-31T12:00:00Z"),
        ("2026-01-31 12:00:00.9", "TIMESTAMP", "seconds", "1769860800"),
        ("2026-01-31 12:00:00.0015", "TIMESTAMP", "milliseconds", "1769860800001"),
        ("2026-01-31 12:00:00", "TIMESTAMP", "date", "2026-01-31"),
        ("2026-01-31", "DATE", "iso", "2026-01-31"),
        ("2026-01-31", "DATE", "seconds", "1769817600"),
        ("17", "BIGINT", "iso", "17"),
        ("abc", "VARCHAR", "seconds", "abc"),
    ],
)
def test_where_reading_begins_is_written_as_the_api_wants_it(value: str, type_: str, format_: str, told: str) -> None:
    endpoint = Endpoint.model_validate({"name": "orders", "path": "/orders", "since_format": format_})
    assert since(value, type_, endpoint) == told


def test_keys_of_new_records_are_told_before_they_are_read(api: Api) -> None:
    """Without another request; and a key that none of them has is not gone."""
    connector = source(api)
    stream = stream_of(connector, cursor="at")
    first = connector.plan(stream, "incremental", Mark())
    assert first.window is not None
    api.orders.append({"id": 8, "at": order(8)["at"], "ship": {"to": "here"}})
    mark = Mark(upper=first.window.upper)
    api.asked.clear()
    connector.plan(stream, "incremental", mark)
    requests = len(api.asked)
    ask = Ask(connector, stream, "incremental", mark, watch=Watch(stream.columns, "evolve"))
    found = answer(ask).drift
    assert found is not None
    assert [(each.kind, each.column) for each in found.changes] == [("added", "ship")]
    assert {each.name for each in found.now} == {"id", "amount", "note", "at", "ship"}
    assert found.now[-1].type == "JSON" and len(api.asked) == 2 * requests
    refused = answer(replace(ask, watch=Watch(stream.columns, "stop"))).failed
    assert refused is not None and refused.code == "schema_drift"


def test_keys_of_an_api_that_is_read_whole_are_told_by_its_first_page(api: Api) -> None:
    """One request more, where nothing is new; and what the page cannot tell is left to the read."""
    connector = source(api)
    stream = stream_of(connector)
    ask = Ask(connector, stream, "full_refresh", Mark(), watch=Watch(stream.columns, "evolve"))
    api.asked.clear()
    told = answer(ask)
    assert (told.drift, len(api.asked)) == (None, 1)
    api.orders[0]["ship"] = {"to": "here"}
    found = answer(ask).drift
    assert found is not None and [each.column for each in found.changes] == ["ship"]
    refused = answer(replace(ask, watch=Watch(stream.columns, "stop"))).failed
    assert refused is not None and refused.code == "schema_drift"
    assert answer(replace(ask, watch=Watch(stream.columns, "ask"))).drift == replace(found, asks=True)
    api.admits = lambda headers, query: False
    assert answer(ask).failed is None
    api.asked.clear()
    answer(replace(ask, watch=None))
    assert api.asked == []
