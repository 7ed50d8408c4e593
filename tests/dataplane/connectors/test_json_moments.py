"""Times of JSON with an offset: each is the moment that it means, in files, of APIs and in messages alike."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from dataplane.connectors.rest.spool import Batch
from tests.dataplane.steps.files_source import Drop, rejects, rows

ZONED, BARE = "TIMESTAMP WITH TIME ZONE", "TIMESTAMP"


@pytest.mark.parametrize(
    ("first", "second", "type_", "hour"),
    [
        ("2024-01-01T02:00:00+02:00", "2024-06-01T00:00:00+01:00", ZONED, 0),
        ("2024-01-01T00:00:00.25-05:30", "2024-06-01T00:00:00.5-05:30", ZONED, 5),
        ("2024-01-01T03:00:00+00:00", "2024-06-01T00:00:00+0000", ZONED, 3),
        ("2024-01-01T03:00:00Z", "2024-06-01T00:00:00Z", BARE, 3),
        ("2024-01-01 03:00:00", "2024-06-01 00:00:00", BARE, 3),
    ],
    ids=["offset", "west", "nought", "utc", "none"],
)
def test_a_time_with_an_offset_is_the_moment_that_it_means(
    tmp_path: Path, first: str, second: str, type_: str, hour: int
) -> None:
    (tmp_path / "drop").mkdir()
    drop = Drop(tmp_path)
    path = drop.write("a.ndjson", f'{{"at": "{first}"}}\n{{"at": null}}\n{{"at": "{second}"}}\n')
    stream = drop.stream()
    assert stream.columns[0].type == type_
    with duckdb.connect() as connection:
        assert Batch("pages", str(path), path.stat().st_size, 3).columns(connection)[0].type == type_
    result = drop.extract(stream)
    assert not rejects(tmp_path, result)
    moment = rows(tmp_path, result)[0][0]
    moment = moment.astimezone(UTC) if type_ == ZONED else moment.replace(tzinfo=UTC)
    assert (moment.date(), moment.hour) == (datetime(2024, 1, 1, tzinfo=UTC).date(), hour)
