"""Workbooks as people and programs write them: each cell arrives exactly, or its row is set aside with its number."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from dataplane.connectors.files.cells import Cells
from dataplane.connectors.files.settings import SUFFIXES
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Window
from dataplane.engine import extension_path
from dataplane.errors import ConfigurationError, DataError
from dataplane.sampling import tried
from tests.dataplane.steps.files_source import Drop, rejects, rows, typed

SHEET = "xl/worksheets/sheet1.xml"


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def book(*sheets: tuple[str, Sequence[Sequence[Any]]], mac: bool = False) -> bytes:
    """A workbook as openpyxl writes it."""
    workbook = Workbook()
    if mac:
        workbook.epoch = CALENDAR_MAC_1904
    workbook.remove(workbook.worksheets[0])
    for name, lines in sheets:
        sheet = workbook.create_sheet(name)
        for line in lines:
            sheet.append(list(line))
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


def changed(content: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The same archive with one member rewritten."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            data = old.read(each)
            new.writestr(each, change(data) if each == name else data)
    return out.getvalue()


def cells(xml: str) -> bytes:
    """A workbook whose sheet holds these rows, written by hand."""
    return changed(
        book(("A", [["x"]])),
        SHEET,
        lambda old: re.sub(rb"<sheetData>.*</sheetData>", f"<sheetData>{xml}</sheetData>".encode(), old, flags=re.S),
    )


TYPES: list[list[Any]] = [
    ["id", "name", "zip", "ratio", "day", "at", "from", "flag", "late"],
    [1, "x", "01234", 0.125, date(2013, 1, 31), datetime(2013, 1, 31, 10, 5, 6), time(5, 6, 7), True, None],
    [2, None, "99999", 7, None, None, None, None, None],
    [None] * 9,
    [
        3,
        " y\nz ",
        "00001",
        10.1,
        date(1900, 2, 1),
        datetime(2099, 12, 31, 23, 59, 59),
        time(0),
        False,
        date(2014, 1, 1),
    ],
]


@pytest.mark.parametrize("mac", [False, True])
def test_types_come_from_the_cells_and_arrive_exactly(drop, mac):
    lines = [row if not mac or row[0] != 3 else [*row[:4], date(1904, 1, 2), *row[5:]] for row in TYPES]
    drop.write("a.xlsx", book(("Data", lines), mac=mac))
    stream = drop.stream()
    assert {each.name: each.type for each in stream.columns} == {
        "id": "BIGINT",
        "name": "VARCHAR",
        "zip": "VARCHAR",
        "ratio": "DOUBLE",
        "day": "DATE",
        "at": "TIMESTAMP",
        "from": "TIME",
        "flag": "BOOLEAN",
        "late": "DATE",
    }
    found = drop.extract(stream)
    assert rejects(drop.root, found) == []
    assert rows(drop.root, found) == [tuple(row) for row in lines[1:] if row[0]]


def test_what_does_not_fit_is_set_aside_with_the_number_of_its_row(drop):
    lines: list[list[Any]] = [
        ["id", "day"],
        [1, date(2013, 1, 1)],
        [],
        [1.5, date(2013, 1, 2)],
        ["=", "soon"],
        [4, date(2013, 1, 3)],
    ]
    drop.write("a.xlsx", book(("Data", lines)))
    stream = typed(drop.stream(), id="INTEGER", day="DATE")
    found = drop.extract(stream)
    assert [each[0] for each in rows(drop.root, found)] == [1, 4]
    assert rejects(drop.root, found) == [
        ("a.xlsx", 4, "id is not INTEGER", "1.5, 41276"),
        ("a.xlsx", 5, "id is not INTEGER; day is not DATE", "=, soon"),
    ]
    assert tried(drop.connector, stream).rejected == 2


def test_cells_of_every_notation(drop):
    drop.write(
        "a.xlsx",
        cells(
            '<row r="1"><c r="A1" t="str"><v>v</v></c><c r="C1" t="inlineStr"><is><t>w</t></is></c></row>'
            '<row r="2"><c r="A2"><v>10.100000000000001</v></c><c r="C2" t="str"><v>text</v></c></row>'
            '<row r="4"><c r="A4"><v>1E3</v></c>'
            '<c r="C4" t="inlineStr"><is><r><t>ri</t></r><r><t>ch</t></r></is></c></row>'
            '<row r="5"><c r="A5" t="e"><v>#DIV/0!</v></c></row>'
        ),
    )
    stream = typed(drop.stream(), v="DECIMAL(9,2)")
    found = drop.extract(stream)
    assert [each.name for each in stream.columns] == ["v", "column1", "w"]
    assert rows(drop.root, found) == [(Decimal("10.10"), None, "text"), (Decimal("1000.00"), None, "rich")]
    assert [each[1:3] for each in rejects(drop.root, found)] == [(5, "v is not DECIMAL(9,2)")]


def test_the_day_that_never_was_is_no_date(drop):
    drop.write("a.xlsx", book(("A", [["n"], [59], [60], [61], [0], [-1], [2958465], [2958466]])))
    found = drop.extract(typed(drop.stream(), n="DATE"))
    assert rows(drop.root, found) == [(date(1900, 2, 28),), (date(1900, 3, 1),), (date(9999, 12, 31),)]
    assert [each[1] for each in rejects(drop.root, found)] == [3, 5, 6, 8]


def test_each_sheet_is_a_stream_and_titles_above_a_table_are_skipped(drop):
    report: list[list[Any]] = [["Report of January"], [], ["id", "amount"], [1, 2.5], [2, 3.5]]
    drop.write("r_2013-01.xlsx", book(("Orders", report), ("Other list", [["a", "b"], ["x", 1]])))
    drop.write("r_2013-02.xlsx", book(("Other list", [["b", "a"], [2, "y"]]), ("Orders", [*report[:3], [3, 4.5]])))
    found = {each.name: each.settings for each in drop.connector.discover()}
    assert set(found) == {"r_orders", "r_other_list"}
    assert (found["r_orders"]["sheet"], found["r_orders"]["skip"]) == ("Orders", 2)
    orders, other = drop.stream("r_orders"), drop.stream("r_other_list")
    assert rows(drop.root, drop.extract(orders)) == [(1, 2.5), (2, 3.5), (3, 4.5)]
    assert rows(drop.root, drop.extract(other)) == [("x", 1), ("y", 2)]
    assert drop.connector.preview(orders).num_rows == 2


def test_a_range_and_a_table_without_header(drop):
    drop.write("a.xlsx", book(("A", [["", "x", 1, 9], ["", "y", 2, 9], ["", "z", 3, 9]])))
    stream = StreamConfig("a", {"pattern": ["a.xlsx"], "cells": "B2:C3", "header": False})
    found = drop.extract(stream, Window("full"))
    assert rows(drop.root, found) == [("y", 2), ("z", 3)]


@pytest.mark.parametrize("text", ["B3", "3:4", "C1:B9", "A5:B4", "A0:B4", "A1:ZZZ", "A1:B2000000", "A1:B1'; --"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"columns|names no cells"):
        Cells.parse(text)


def test_a_sheet_that_is_missing_is_named(drop):
    drop.write("a.xlsx", book(("A", [["id"], [1]]), ("B", [["id"], [1]])))
    with pytest.raises(ConfigurationError) as caught:
        drop.extract(drop.stream("a_a", sheet="January"))
    assert caught.value.code == "sheet_missing"
    assert "it has A, B" in caught.value.message


def test_what_duckdb_itself_writes_is_read(drop):
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension_path('excel')}'")
        connection.execute(
            f"COPY (SELECT i AS id, 'n' || i AS name, DATE '2013-01-01' + i::INTEGER AS day FROM range(5000) t(i)) "
            f"TO '{drop.folder}/a.xlsx' (FORMAT xlsx, HEADER true)"
        )
    stream = drop.stream()
    assert [each.type for each in stream.columns] == ["BIGINT", "VARCHAR", "DATE"]
    found = rows(drop.root, drop.extract(stream))
    assert (len(found), found[4999]) == (5000, (4999, "n4999", date(2026, 9, 9)))


def test_every_name_of_a_file_is_in_the_documentation():
    text = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()
    assert [each for each in SUFFIXES if f"`{each}`" not in text] == []


GOOD = book(("A", [["id", "name"], [1, "x"], [2, "y"]]))
ENTITIES = b'<?xml version="1.0"?><!--' + b" " * 9000 + b'--><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>'


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, zipfile.ZipFile(io.BytesIO(GOOD)) as good:
        for each in good.namelist():
            archive.writestr(each, good.read(each))
        with archive.open("xl/media/picture.xml", "w") as file:
            for _ in range(100):
                file.write(b"<a/>" * (1 << 18))
    return out.getvalue()


def with_more(name: str, content: bytes) -> bytes:
    out = io.BytesIO(GOOD)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def long_listing() -> bytes:
    out = io.BytesIO(GOOD)
    with zipfile.ZipFile(out, "a") as archive:
        for number in range(260):
            info = zipfile.ZipInfo(f"{number}.bin")
            info.comment = b"x" * 65_000
            archive.writestr(info, "")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 4000, "workbook_unreadable"),
        (b"id,name\n1,x\n", "workbook_unreadable"),
        (GOOD[: len(GOOD) // 2], "file_damaged"),
        (GOOD[:-30], "file_damaged"),
        (GOOD.replace(b"PK\x01\x02", b"PK\x01\x03"), "file_damaged"),
        (b"", "file_empty"),
        (book(("A", [])), "file_empty"),
        (changed(GOOD, SHEET, lambda old: ENTITIES + old), "workbook_unreadable"),
        (changed(GOOD, "xl/workbook.xml", lambda old: ENTITIES + old), "workbook_unreadable"),
        (changed(GOOD, SHEET, lambda old: old.replace(b"</row>", b"</rox>", 1)), "file_damaged"),
        (changed(GOOD, SHEET, lambda old: old[: len(old) // 2]), "file_damaged"),
        (bomb, "file_bomb"),
        (long_listing, "file_bomb"),
        (with_more("XL/Workbook.XML", b"<a/>"), "workbook_unreadable"),
        (with_more("xl/more.XML", ENTITIES + b"<a/>"), "workbook_unreadable"),
        (changed(GOOD, "xl/_rels/workbook.xml.rels", lambda old: ENTITIES + old), "workbook_unreadable"),
    ],
)
def test_what_is_no_workbook_is_refused_in_its_own_words(drop, content, code):
    drop.write("a.xlsx", content() if callable(content) else content)
    (info,) = drop.connector.discover()
    assert info.columns == ()
    stream = StreamConfig("a", {"pattern": ["a.xlsx"]}, columns=drop_columns(drop))
    with pytest.raises(DataError) as caught:
        drop.extract(stream, drop.plan(stream).window)
    assert caught.value.code == code
    assert caught.value.message in info.warnings[0]
    assert "a.xlsx" in caught.value.message


def drop_columns(drop: Drop) -> Any:
    drop.write("good.xlsx", GOOD)
    return drop.stream("good").columns
