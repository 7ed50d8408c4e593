"""Files of fixed width: columns by the letters of a line, guessed once, declared from then on."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.connectors.files.spans import Span, spans_of
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, ManifoldError
from tests.dataplane.steps.files_source import Drop, rejects, rows, typed

ORDERS = (
    "id   customer      amount day\n"
    "   1 Ann Müller     12.50 2013-01-01\n"
    "   2 Bob             7.20 2013-01-02\n"
    "\n"
    "  10                 0.99 2013-01-03\n"
)


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def test_columns_are_guessed_by_the_gaps_between_them_and_typed(drop: Drop) -> None:
    drop.write(
        "orders.fwf", "id  customer   amount day\n1   Ann         12.50 2013-01-01\n20  Bob          7.20 2013-01-02\n"
    )
    stream = drop.stream()
    assert stream.settings["positions"] == ["id 1-2", "customer 5-12", "amount 16-21", "day 23-32"]
    assert [(each.name, each.type) for each in stream.columns] == [
        ("id", "BIGINT"),
        ("customer", "VARCHAR"),
        ("amount", "DECIMAL(15,2)"),
        ("day", "DATE"),
    ]
    assert [row[:2] for row in rows(drop.root, drop.extract(stream))] == [(1, "Ann"), (20, "Bob")]
    assert drop.connector.preview(stream).num_rows == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0001Ann   12\n0002Bob    7\n0003Cem  100\n", True),
        ("0001Ann\n0002Bob\n0003Cem\n", False),
        ("an example of text\nand some more of it\nwithout any columns\n", False),
    ],
    ids=["fixed", "words", "prose"],
)
def test_lines_of_one_length_with_gaps_may_have_columns_by_position(drop: Drop, text: str, told: bool) -> None:
    drop.write("wages.txt", text)
    stream = drop.connector.discover()[0]
    assert len(stream.columns) == 1
    assert any("format fixed" in each for each in stream.warnings) == told


def test_copies_of_another_encoding_make_room_when_they_were_read(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplane.connectors.files.reading.SMALL", 1)
    for each in "abc":
        drop.write(f"{each}.csv", "id,name\n1,Zürich\n".encode("cp1252"))
    stream = StreamConfig(
        "all", {"pattern": ["*.csv"], "encoding": "cp1252"}, columns=(Column("id", "BIGINT"), Column("name", "VARCHAR"))
    )
    window = drop.plan(stream).window
    assert window is not None
    spill = drop.root / "spill"
    left = []
    with (
        connector_instance(memory=256 << 20, spill=str(spill)) as connection,
        drop.connector.read(stream, window, connection) as reading,
    ):
        for part in reading.in_parts():
            left.append(len(list(spill.rglob("*.utf8"))))
            assert connection.execute(part.query).fetchall() == [(1, "Zürich")]
            assert part.release is not None
            part.release()
    assert left == [2, 2, 1]
    result = drop.extract(stream, window)
    assert result.facts["files"][0]["rows"] == 1 and rejects(drop.root, result) == []


POSITIONS = ("id 1-4", "customer 6-19", "amount 20-25", "day 27-36")


def declared(drop: Drop, **changes: Any) -> StreamConfig:
    return drop.stream(positions=POSITIONS, **changes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
def test_declared_positions_are_read_in_any_encoding(drop: Drop, encoding: str, packed: bool) -> None:
    content = ORDERS.encode(encoding)
    drop.write("a.fwf.gz" if packed else "a.fwf", gzip.compress(content, mtime=0) if packed else content)
    stream = StreamConfig("a", {"pattern": ["a.*"], "encoding": encoding, "positions": POSITIONS})
    found = rows(drop.root, drop.extract(stream))
    assert [row[:2] for row in found] == [(1, "Ann Müller"), (2, "Bob"), (10, None)]
    assert [str(row[2]) for row in found] == ["12.50", "7.20", "0.99"]


def test_what_does_not_fit_is_set_aside_with_its_line(drop: Drop) -> None:
    drop.write("a.fwf", ORDERS.replace("   2 Bob ", "   x Bob ").replace("2013-01-03", "2013-02-30"))
    stream = typed(declared(drop), id="BIGINT", day="DATE", amount="DECIMAL(15,2)")
    result = drop.extract(stream)
    assert [row[0] for row in rows(drop.root, result)] == [1]
    assert [(row, reason) for _, row, reason, _ in rejects(drop.root, result)] == [
        (3, "id is not BIGINT"),
        (5, "day is not DATE"),
    ]


def test_short_lines_lack_their_last_columns(drop: Drop) -> None:
    drop.write("a.fwf", "1  Ann 2013\n2\n")
    stream = StreamConfig(
        "a", {"pattern": ["a.fwf"], "header": False, "positions": ["id 1-2", "name 4-6", "year 8-11"]}
    )
    assert rows(drop.root, drop.extract(stream)) == [(1, "Ann", 2013), (2, None, None)]


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        (["id"], "is no column by position"),
        (["id 5-2"], "is no column by position"),
        (["id 0-2"], "is no column by position"),
        (["id 1-2", "ID 3-4"], "Two columns would be called id"),
        ([], "Nothing tells where the columns of a.fwf stand"),
    ],
)
def test_wrong_positions_are_told(drop: Drop, positions: list[str], said: str) -> None:
    drop.write("a.fwf", ORDERS)
    stream = declared(drop)
    wrong = StreamConfig("a", {**stream.settings, "positions": positions}, stream.columns)
    with pytest.raises(ConfigurationError) as caught:
        drop.extract(wrong, drop.plan(stream).window)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file_empty"),
        (b"\n \n", "file_empty"),
        (b"   1 caf\xe9 " + b"x" * 30, "encoding"),
        (b"1" * 9_000_000, "line_too_long"),
    ],
    ids=["empty", "blank", "encoding", "line"],
)
def test_files_that_are_none_are_told(drop: Drop, content: bytes, code: str) -> None:
    drop.write("a.fwf", content)
    columns = tuple(Column(each, "VARCHAR") for each in ("id", "customer", "amount", "day"))
    stream = StreamConfig("a", {"pattern": ["a.fwf"], "header": False, "positions": POSITIONS}, columns)
    with pytest.raises(ManifoldError) as caught:
        drop.extract(stream)
    assert caught.value.code == code and "a.fwf" in caught.value.message


@given(st.lists(st.text(max_size=30), max_size=8))
@settings(max_examples=50)
def test_guessed_columns_hold_every_letter_once(lines: list[str]) -> None:
    found = spans_of(lines)
    assert all(one.last < other.first for one, other in pairwise(found))
    for line in lines:
        whole = "".join(each.of(line) for each in found)
        assert [each for each in whole if not each.isspace()] == [each for each in line if not each.isspace()]


def test_a_span_is_written_as_it_is_read() -> None:
    assert str(Span.parse("amount due  11 - 20")) == "amount due 11-20"
