from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.connectors import registry, slices
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.slices import Slice
from dataplane.connectors.windows import FileRef, Mark, Planned, Window
from dataplane.engine import connector_instance

ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia"]
YEAR = datetime(2018, 1, 1, tzinfo=UTC)
moments = st.lists(st.integers(0, 366 * 24 * 60), min_size=2, max_size=12, unique=True).map(
    lambda minutes: [YEAR + timedelta(minutes=each) for each in sorted(minutes)]
)
dates = st.datetimes(datetime(2017, 12, 30), datetime(2019, 1, 3)).map(
    lambda each: each.replace(second=0, microsecond=0)
)


def parts(edges: list[datetime], zone: str) -> list[Slice]:
    return [Slice(lower, upper, zone) for lower, upper in pairwise(edges)]


@given(moments, st.sampled_from(ZONES), dates, st.booleans())
def test_a_dated_file_lies_in_one_slice_of_a_range_or_outside_of_it(
    edges: list[datetime], zone: str, date: datetime, whole_day: bool
):
    text = date.date().isoformat() if whole_day else date.isoformat(timespec="minutes")
    file = FileRef("a.csv", 1, "", text)
    whole = Slice(edges[0], edges[-1], zone)
    assert sum(each.holds(file) for each in parts(edges, zone)) == whole.holds(file)


@given(moments, st.sampled_from(ZONES), st.sampled_from(["DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"]))
def test_slices_of_a_cursor_follow_each_other_without_a_gap(edges: list[datetime], zone: str, type_: str):
    found = [each.bounds(type_) for each in parts(edges, zone)]
    assert all(lower <= upper for lower, upper in found)
    assert [upper for _, upper in found[:-1]] == [lower for lower, _ in found[1:]]


def test_a_day_belongs_to_the_slice_in_which_it_begins():
    part = Slice(datetime(2026, 3, 29, 4, tzinfo=UTC), datetime(2026, 3, 30, 4, tzinfo=UTC), "America/New_York")
    assert part.bounds("DATE") == ("2026-03-29", "2026-03-30")
    assert part.bounds("TIMESTAMP") == ("2026-03-29 04:00:00", "2026-03-30 04:00:00")
    assert part.holds(FileRef("a", 1, "", "2026-03-29"))
    assert not part.holds(FileRef("a", 1, "", None))
    later = Slice(part.lower + timedelta(minutes=1), part.upper, part.zone)
    assert later.bounds("DATE")[0] == "2026-03-30"


def test_files_that_are_reserved_are_left():
    files = tuple(FileRef(f"{day}.csv", 10, "", f"2026-01-0{day}") for day in (1, 2, 3))
    planned = Planned(Window("files", files=files), "", rows=30, bytes=30)
    part = Slice(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC), "UTC")
    left = slices.without(planned, [part])
    assert left.window is not None and [each.path for each in left.window.files] == ["3.csv"]
    assert (left.rows, left.bytes) == (10, 10)
    assert "2 new files are left for a backfill" in left.reason
    chosen = slices.cut(planned, part)
    assert chosen.window is not None and [each.path for each in chosen.window.files] == ["1.csv", "2.csv"]
    assert slices.without(planned, []) is planned
    assert slices.without(chosen, [part]).window is None


SOLD = """
CREATE TABLE sold AS SELECT TIMESTAMP '2026-01-01' + to_hours(i) AS at, DATE '2026-01-01' + (i // 24)::INTEGER AS day,
i::INTEGER AS n FROM range(72) t(i)
"""


@pytest.mark.parametrize(("cursor", "type_"), [("at", "TIMESTAMP"), ("day", "DATE")])
def test_the_slices_of_a_database_hold_each_row_once(tmp_path: Path, cursor: str, type_: str):
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as made:
        made.execute(SOLD)
    connector = registry.build("duckdb", {"path": "shop.duckdb"}, roots=[str(tmp_path)])
    columns = (Column("at", "TIMESTAMP"), Column("day", "DATE"), Column("n", "INTEGER"))
    stream = StreamConfig("main.sold", columns=columns, cursor=cursor)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    found: list[int] = []
    for part in parts([begin, begin + timedelta(hours=7), begin + timedelta(hours=48)], "UTC"):
        planned = slices.plan(connector, stream, part, Mark())
        assert planned.window is not None
        with connector_instance() as duck, connector.read(stream, planned.window, duck) as reading:
            rows = [each[2] for each in duck.execute(reading.query).fetchall()]
        assert len(rows) == planned.rows
        found += rows
    assert sorted(found) == list(range(48))
    empty = slices.plan(connector, stream, Slice(begin + timedelta(days=9), begin + timedelta(days=10), "UTC"), Mark())
    assert empty.window is None and "no row" in empty.reason


def test_what_has_no_slices_says_so_with_the_remedy(tmp_path: Path):
    database = registry.build("duckdb", {"path": "a.duckdb"}, roots=[str(tmp_path)])
    columns = (Column("n", "INTEGER"), Column("at", "TIMESTAMP"))
    assert "Choose a column" in (slices.cannot(database, StreamConfig("s", columns=columns)) or "")
    assert "is no time" in (slices.cannot(database, StreamConfig("s", columns=columns, cursor="n")) or "")
    assert slices.cannot(database, StreamConfig("s", columns=columns, cursor="at")) is None
    folder = registry.build("local_files", {"path": "."}, roots=[str(tmp_path)])
    assert "{YYYY}" in (slices.cannot(folder, StreamConfig("f", settings={"pattern": ["*.csv"]})) or "")
    assert slices.cannot(folder, StreamConfig("f", settings={"pattern": ["x_{YYYY}-{MM}.csv"]})) is None
