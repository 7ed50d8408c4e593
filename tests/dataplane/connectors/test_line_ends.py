"""Delimited files whose lines end in several ways: no row is lost, and values of several lines stay as they are."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.connectors.files import groups
from dataplane.connectors.files.ends import evened, line_end_of
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.settings import FileSettings
from dataplane.errors import DataError
from tests.dataplane.steps.files_source import Drop, rejects, rows

ENDS = (b"\n", b"\r\n", b"\r")
SETTINGS = FileSettings(pattern=("*.csv",))


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def read(drop: Drop, content: bytes, name: str = "a.csv") -> list[tuple[Any, ...]]:
    (drop.folder / name).write_bytes(content)
    return rows(drop.root, drop.extract(drop.stream()))


@pytest.mark.parametrize(
    "content",
    [
        b"id,name\r\n1,Ann\n2,Ben\n",
        b"id,name\n1,Ann\r\n2,Ben\r\n",
        b"id,name\r\n1,Ann\r2,Ben\n",
        b"id,name\r\r\n1,Ann\r\r\n2,Ben\r\r\n",
        b"a report\r\nid,name\n1,Ann\n2,Ben\n",
        b"a report\nid,name\r\n1,Ann\r\n2,Ben\r\n",
        b"\r\n\nid,name\n1,Ann\r\n2,Ben\n",
        "id,name\r\n1,Ann\n2,Ben\r\n".encode("utf-16"),
        gzip.compress(b"id,name\r\n1,Ann\n2,Ben\r\n"),
    ],
    ids=["crlf first", "lf first", "cr amid", "doubled", "lf below crlf", "crlf below lf", "empty", "utf-16", "gzip"],
)
def test_every_row_of_a_file_with_several_kinds_of_line_ends_is_read(drop: Drop, content: bytes) -> None:
    assert read(drop, content) == [(1, "Ann"), (2, "Ben")]
    assert drop.connector.preview(drop.stream(), 5).num_rows == 2


def test_a_break_within_a_name_of_the_header_does_not_tell_how_lines_end(drop: Drop) -> None:
    # Spreadsheets write cells of several lines so.
    assert read(drop, b'id,"the\nname"\r\n1,Ann\r\n2,"Ben\nno"\r\n') == [(1, "Ann"), (2, "Ben\nno")]


def test_values_keep_their_breaks_where_lines_end_in_several_ways(drop: Drop) -> None:
    content = b'id,name\n1,"An""n\r\n,\n"\r\n2,5" pipe\n3,"\r"\r\n'
    assert read(drop, content) == [(1, 'An"n\r\n,\n'), (2, '5" pipe'), (3, "\r")]


def test_a_rejected_line_has_its_number_in_the_file(drop: Drop) -> None:
    (drop.folder / "a.csv").write_bytes(b"id,name\r\n1,Ann\n2,Ben\n")
    stream = drop.stream()
    (drop.folder / "a.csv").write_bytes(b"id,name\r\n1,Ann\nx,Ben\r\n3,Cy\n")
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(1, "Ann"), (3, "Cy")]
    assert rejects(drop.root, result) == [("a.csv", 3, "id is not BIGINT", "x,Ben")]


def test_an_end_of_another_kind_far_down_is_told_with_the_file(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    (drop.folder / "a.csv").write_bytes(b"id,name\n" + b"1,Ann\n" * 20_000 + b"2,Ben\r\n" * 20_000)
    stream = drop.stream()
    monkeypatch.setattr(groups, "BUFFER", 40_000)
    with pytest.raises(DataError) as raised:
        drop.extract(stream)
    assert (raised.value.code, raised.value.evidence) == ("line_ends", {"file": "a.csv"})
    assert raised.value.message.startswith("The lines of a.csv end in several ways")


@given(
    st.lists(
        st.tuples(st.sampled_from(["x", 'a""b', "\r\n", "\n,", "\r", ""]), st.booleans(), st.sampled_from(ENDS)),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 7),
)
@example([("\r", True, b"\r\n"), ("x", False, b"\n")], 1)
def test_evening_changes_what_ends_lines_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, bool, bytes]], size: int
) -> None:
    values = [b'"%s"' % value.encode() if quoted or value.strip("x") else value.encode() for value, quoted, _ in lines]
    text = b"".join(b"1," + each + end for each, (_, _, end) in zip(values, lines, strict=True))
    folder = tmp_path_factory.mktemp("ends")
    (folder / "a.csv").write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dataplane.connectors.files.ends._CHUNK", size)
        copy = Path(evened(str(folder / "a.csv"), SETTINGS, str(folder)))
    assert copy.read_bytes() == b"".join(b"1," + each + b"\n" for each in values)
    found = line_end_of(Found("a.csv", str(folder / "a.csv"), len(text), 0), SETTINGS, 1 << 20)
    kinds = {end for _, _, end in lines}
    assert found == (repr(kinds.pop().decode())[1:-1] if len(kinds) == 1 else None)
