"""The lines of rows that are set aside, behind blank lines and values that go on over several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataplane.connectors.files import lines
from dataplane.connectors.schema import Column, StreamConfig
from tests.dataplane.steps.files_source import Drop, places, rejects, rows

BLANK = ["id,day,note", "1,2024-01-01,a", "", "2,2024-01-02,b", "x,2024-01-03,c", "", "", "3,nope,d", "4,2024-01-04,e"]
REFUSED = ["id,day,note", "", "1,2024-01-01", "", "2,2024-01-02,b", "x,2024-01-03,c", "3,2024-01-03,c,more", "y,,z"]
SEVERAL = ["id,day,note", '1,2024-01-01,"a', "", 'b"', "", 'x,2024-01-03,"c', 'd"', "4,nope,e", "5,2024-01-05,f"]


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def read(drop: Drop, content: list[str], end: str, **spec: Any) -> Any:
    drop.write("a.csv", end.join([*content, ""]))
    stream = replace(
        drop.stream(delimiter=",", header=True),
        columns=(Column("id", "BIGINT"), Column("day", "DATE"), Column("note", "VARCHAR")),
    )
    return drop.extract(stream, **spec)


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(
    ("content", "rejected", "kept"),
    [(BLANK, [5, 8], [2, 4, 9]), (REFUSED, [3, 6, 7, 8], [5]), (SEVERAL, [6, 8], [2, 9])],
    ids=["blank", "refused", "several"],
)
def test_rows_and_rejects_tell_their_lines(
    drop: Drop, content: list[str], rejected: list[int], kept: list[int], end: str
) -> None:
    result = read(drop, content, end)
    assert [row for _, row, _, _ in rejects(drop.root, result)] == rejected
    assert places(result) == [("a.csv", line) for line in kept]
    assert len(rows(drop.root, result)) == len(kept)


def test_rejects_tell_their_lines_where_a_filter_takes_rows_out(drop: Drop) -> None:
    result = read(drop, SEVERAL, "\n", filter="id <> 1")
    assert [row for _, row, _, _ in rejects(drop.root, result)] == [6, 8]
    assert [row[0] for row in rows(drop.root, result)] == [5]


def test_a_blank_line_is_found_wherever_a_chunk_ends(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(lines, "_CHUNK", size)
        result = read(drop, BLANK, "\r\n")
        assert [row for _, row, _, _ in rejects(drop.root, result)] == [5, 8]


@pytest.mark.parametrize("filter_", [None, "id > 0"])
def test_rows_between_many_that_are_refused_are_kept_to_the_end_of_a_large_file(
    drop: Drop, filter_: str | None
) -> None:
    """DuckDB's threads lose what lies behind the last whole piece then."""
    lines = [f"{'1' if at % 2 else 'x'}{at},2026-01-02,{'of which' * 20}" for at in range(70_000)]
    drop.write("a.csv", "\n".join(["id,day,note", *lines]) + "\n")
    columns = (Column("id", "BIGINT"), Column("day", "DATE"), Column("note", "VARCHAR"))
    stream = StreamConfig("a", {"pattern": ["a.csv"], "quote": '"'}, columns, row_filter=filter_)
    table = drop.extract(stream).table
    assert table is not None
    assert [sum(each.rows for each in files) for files in (table.files, table.rejected)] == [35_000, 35_000]
