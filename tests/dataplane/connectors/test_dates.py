"""Dates as people write them: with a century or without, in one way or in several."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.schema import StreamConfig
from tests.dataplane.steps.files_source import Drop, rejects, rows, typed


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "type_", "told"),
    [
        ("12/31/24", "12/02/24", "DATE", ""),
        ("31.12.24", "02.12.69", "DATE", ""),
        ("02/03/24", "03/04/24", "VARCHAR", "may be a date as %d/%m/%y or as %m/%d/%y"),
        ("31.12.2024", "12/31/24", "VARCHAR", "written in several ways"),
        ("31.12.2024", "soon", "VARCHAR", ""),
        ("31.12.24", "infinity", "VARCHAR", ""),
    ],
    ids=["american", "german", "either", "both", "word", "infinity"],
)
def test_what_a_date_without_a_century_is_taken_for(drop: Drop, first: str, second: str, type_: str, told: str) -> None:
    drop.write("a.csv", f"id;day\n1;{first}\n2;{second}\n")
    (info,) = drop.connector.discover()
    day = info.columns[1]
    assert (day.type, told in day.warning, bool(day.warning)) == (type_, True, bool(told))
    if type_ == "DATE":
        assert rows(drop.root, drop.extract(drop.stream()))[0] == (1, date(2024, 12, 31))


@pytest.mark.parametrize(
    ("type_", "ancient", "short", "date_format"),
    [
        ("DATE", "31.12.0024", "31.12.24", "%d.%m.%Y"),
        ("DATE", "20020022", "200222", "%d%m%Y"),
        ("DATE", "31/12/0024 1000", "31/12/24 1000", "%d/%m/%Y %H%M"),
        ("DATE", "0001-01-01", "24-12-31", None),
        ("TIMESTAMP", "0001-01-01 00:00:00", "24-12-31 10:00:00.123456", None),
    ],
    ids=["written", "run-together", "written-time", "iso", "time"],
)
def test_a_year_without_its_century_is_set_aside_and_not_taken_for_the_year_24(
    drop: Drop, type_: str, ancient: str, short: str, date_format: str | None
) -> None:
    drop.write("a.csv", f"id,day\n1,{ancient}\n2,{short}\n")
    result = drop.extract(typed(drop.stream(date_format=date_format), day=type_))
    assert [row[0] for row in rows(drop.root, result)] == [1]
    assert rejects(drop.root, result) == [("a.csv", 3, f"day is not {type_}", f"2,{short}")]


@pytest.mark.parametrize("word", ["infinity", "-infinity", "epoch"])
def test_a_word_for_a_day_is_set_aside_and_not_taken_for_the_first_of_1900(drop: Drop, word: str) -> None:
    drop.write("a.csv", f"id,day\n1,01.01.1900\n2,{word}\n")
    result = drop.extract(typed(drop.stream(date_format="%d.%m.%Y"), day="DATE"))
    assert rows(drop.root, result) == [(1, date(1900, 1, 1))]
    assert rejects(drop.root, result) == [("a.csv", 3, "day is not DATE", f"2,{word}")]


def test_of_two_ways_to_read_a_date_the_chosen_one_is_taken(drop: Drop) -> None:
    drop.write("a.csv", "id,day\n1,02/05/2024\n2,03/06/2024\n")
    (info,) = drop.connector.discover()
    assert "choose one as `date_format`" in info.columns[1].warning
    assert isinstance(drop.connector, FileConnector)
    chosen = drop.connector.looked_again(info, {"date_format": "%m/%d/%Y"})
    assert ([each.type for each in chosen.columns], chosen.warnings) == (["BIGINT", "DATE"], ())
    stream = StreamConfig("a", settings=chosen.settings, columns=chosen.columns)
    assert rows(drop.root, drop.extract(stream)) == [(1, date(2024, 2, 5)), (2, date(2024, 3, 6))]
