"""A preview tells what of the part that it looked at would be set aside, with the lines and the reasons."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from dataplane.connectors.files import lines
from dataplane.connectors.files.lines import lines_of
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.reading import Rejected, SourceFile
from dataplane.connectors.windows import FileRef
from dataplane.sampling import tried
from tests.dataplane.steps.files_source import Drop, rejects, typed


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def test_lines_that_do_not_fit_are_told_beside_those_that_do(drop: Drop) -> None:
    drop.write("a.csv", "id,at\n1,2026-01-01\nx,2026-01-02\n3\n4,2026-01-04\n")
    found = drop.connector.previewed(typed(drop.stream(), id="BIGINT", at="DATE"))
    assert found.table["id"].to_pylist() == [1, 4]
    assert found.rejected == 2
    assert found.samples == (
        Rejected("a.csv", 3, "id is not BIGINT", "x,2026-01-02"),
        Rejected("a.csv", 4, "too few columns", "3"),
    )


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_lines_are_told_behind_texts_that_go_on_over_several(drop: Drop, suffix: str) -> None:
    content = b'a title\nid,name\n1,"a\nb"\n\nx,c\n2,"d\n\ne"\n3\n"no\n",f\n4,g\n'
    drop.write(f"a.csv{suffix}", gzip.compress(content, mtime=0) if suffix else content)
    stream = typed(drop.stream(skip=1, header=True), id="BIGINT")
    found = drop.connector.previewed(stream)
    told = rejects(drop.root, drop.extract(stream))
    assert [each.row for each in found.samples] == [6, 10, 11] == [row for _, row, *_ in told]
    assert [each.row for each in tried(drop.connector, stream).samples] == [6, 10, 11]


def test_a_quote_that_is_never_closed_is_told_where_no_row_arrives(drop: Drop) -> None:
    drop.write("quotes.csv", "id,name\n1,a\n2,b\n")
    stream = drop.stream()
    drop.write("quotes.csv", 'id,name\n1,"a\n2,b\n')
    found = drop.connector.previewed(stream)
    assert found.table.num_rows == 0
    assert (found.rejected, found.samples[0].row) == (1, 2)


def lined(drop: Drop, content: str, *numbers: int) -> dict[int, int]:
    """The lines of these records, and that finding them takes little memory."""
    path = drop.write("a.csv", content)
    source = SourceFile(FileRef("a.csv", len(content), ""), str(path))
    tracemalloc.start()
    try:
        found = lines_of(source, FileSettings(pattern=("a.csv",)), numbers)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    return found


def test_where_a_record_begins_is_known_without_reading_it(drop: Drop) -> None:
    assert lined(drop, 'id,name\n1,"a\nb"\n2,"b\n' + ("x" * (1 << 20) + "\n") * 20, 3) == {3: 4}


@pytest.mark.parametrize("behind", ["1,a\n" * 1_000, "x" * 4_096, '"' + "x\n" * 2_048], ids=["far", "long", "open"])
def test_lines_are_not_looked_for_very_far_down(drop: Drop, monkeypatch: pytest.MonkeyPatch, behind: str) -> None:
    monkeypatch.setattr(lines, "_FURTHEST", 2_048)
    monkeypatch.setattr(lines, "_LONGEST", 1_024)
    assert lined(drop, f"id,name\n{behind}\n", 2, 900) == {2: 2}


def test_more_rows_than_are_shown_are_looked_at(drop: Drop) -> None:
    drop.write("a.csv", "id,name\n" + "".join(f"{at},x\n" if at % 10 else "no,x,x\n" for at in range(1, 201)))
    found = drop.connector.previewed(typed(drop.stream(), id="BIGINT"), 5)
    assert (found.table.num_rows, found.rejected, found.samples[0].row) == (5, 20, 11)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_of_a_large_file_the_beginning_is_looked_at(drop: Drop, suffix: str) -> None:
    # The last record of the beginning goes over lines: it is looked at whole, or not at all.
    record = '1,"a\n' + "b" * 1000 + '\n",2\n'
    content = ("id,text,more\n" + "broken\n" + record * 2_000 + "broken\n").encode()
    drop.write(f"a.csv{suffix}", gzip.compress(content) if suffix else content)
    found = drop.connector.previewed(drop.stream(), 3)
    assert found.table["more"].to_pylist() == [2, 2, 2]
    assert [(each.row, each.raw) for each in found.samples] == [(2, "broken")]


def test_a_quote_that_stands_alone_in_a_text_hides_nothing(drop: Drop) -> None:
    drop.write("a.csv", 'id,name\n1,6" pipe\n' + "2,a longer name of a longer pipe\n" * 40_000)
    found = drop.connector.previewed(typed(drop.stream(), id="BIGINT"), 3)
    assert found.table.to_pylist()[:2] == [
        {"id": 1, "name": '6" pipe'},
        {"id": 2, "name": "a longer name of a longer pipe"},
    ]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_of_a_large_file_of_objects_only_the_first_rows_are_read(drop: Drop, suffix: str) -> None:
    content = b'{"n": 1}\n{"n": "two"}\n' + b'{"n": 3}\n' * 300_000
    drop.write(f"a.ndjson{suffix}", gzip.compress(content) if suffix else content)
    found = drop.connector.previewed(typed(drop.stream(), n="BIGINT"), 3)
    assert found.table["n"].to_pylist() == [1, 3, 3]
    assert found.rejected == 0


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_objects_that_do_not_fit_are_told(drop: Drop, name: str) -> None:
    rows = ['{"n": 1}', '{"n": "two"}']
    drop.write(name, "\n".join(rows) if name == "a.ndjson" else f"[{', '.join(rows)}]")
    found = drop.connector.previewed(typed(drop.stream(), n="INTEGER"))
    assert (found.table.to_pylist(), [each.reason for each in found.samples]) == ([{"n": 1}], ["n is not INTEGER"])


def test_nothing_is_told_where_everything_arrives(drop: Drop) -> None:
    drop.write("a.csv", "id,name\n1,a\n")
    found = drop.connector.previewed(drop.stream())
    assert (found.table.num_rows, found.rejected, found.samples) == (1, 0, ())
