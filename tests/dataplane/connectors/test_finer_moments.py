"""Times that are written finer than their columns keep them arrive cut off, and the run says of which columns."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest
from openpyxl import Workbook

from dataplane.connectors.schema import Column, StreamConfig
from tests.dataplane.steps.files_source import Drop, rows, typed

FINE, PLAIN = "2024-01-01 10:00:00.1234567", "2024-01-01 10:00:00.123456000"


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "id,t,note\n1,{0},{1}\n2,,{1}\n"),
        ("a.ndjson", '{{"id":1,"t":"{0}","note":"{1}"}}\n{{"id":2,"note":"{1}"}}\n'),
        ("a.json", '[{{"id":1,"t":"{0}","note":"{1}"}},{{"id":2,"note":"{1}"}}]'),
    ],
    ids=["csv", "ndjson", "json"],
)
def test_the_run_names_the_columns(drop: Drop, name: str, text: str) -> None:
    drop.write(name, text.format(FINE, FINE))
    stream = typed(drop.stream(), t="TIMESTAMP", note="VARCHAR")
    result = drop.extract(stream)
    assert [str(row[1]) for row in rows(drop.root, result)] == ["2024-01-01 10:00:00.123456", "None"]
    (warning,) = result.facts["warnings"]
    assert warning.startswith(f"{name} has times with more decimals than their columns keep, which are cut off: t (TIM")
    assert warning.endswith("Declare them as TIMESTAMP_NS, or as VARCHAR, to keep them.")
    assert "note" not in warning
    assert drop.extract(typed(stream, t="TIMESTAMP_NS")).facts["warnings"] == []
    drop.write(name, text.format(PLAIN, FINE))
    assert drop.extract(stream).facts["warnings"] == []


def fixed(time: str) -> bytes:
    return f"id  t\n1   {time}\n2\n".encode()


def xml(time: str) -> bytes:
    return f"<all><row><id>1</id><t>{time}</t></row><row><id>2</id></row></all>".encode()


def excel(time: str) -> bytes:
    workbook, out = Workbook(), io.BytesIO()
    for line in (("id", "t"), (1, time), (2, None)):
        workbook.worksheets[0].append(line)
    workbook.save(out)
    return out.getvalue()


def avro(time: str) -> bytes:
    nanoseconds = 1_704_103_200 * 10**9 + int(time.split(".")[1].ljust(9, "0"))
    moment = ["null", {"type": "long", "logicalType": "local-timestamp-nanos"}]
    fields = [{"name": "id", "type": "int"}, {"name": "t", "type": moment}]
    out = io.BytesIO()
    schema = fastavro.parse_schema({"type": "record", "name": "row", "fields": fields})
    fastavro.writer(out, schema, [{"id": 1, "t": nanoseconds}, {"id": 2, "t": None}])
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "written", "settings"),
    [
        ("a.fwf", fixed, {"format": "fixed", "positions": ["id 1-4", "t 5-40"]}),
        ("a.xml", xml, {}),
        ("a.xlsx", excel, {}),
        ("a.avro", avro, {}),
    ],
    ids=["fixed", "xml", "excel", "avro"],
)
def test_files_whose_rows_are_unpacked_first_say_so_too(
    drop: Drop, name: str, written: Callable[[str], bytes], settings: dict[str, Any]
) -> None:
    drop.write(name, written(FINE))
    settings = {**drop.stream().settings, **settings}
    stream = StreamConfig("a", settings, (Column("id", "INTEGER"), Column("t", "TIMESTAMP")))
    result = drop.extract(stream)
    assert [str(row[1]) for row in rows(drop.root, result)] == ["2024-01-01 10:00:00.123456", "None"]
    (warning,) = result.facts["warnings"]
    assert warning == (
        f"{name} has times with more decimals than their columns keep, which are cut off: t (TIMESTAMP). "
        "Declare them as TIMESTAMP_NS, or as VARCHAR, to keep them."
    )
    assert drop.extract(typed(stream, t="TIMESTAMP_NS")).facts["warnings"] == []
    drop.write(name, written(PLAIN))
    assert drop.extract(stream).facts["warnings"] == []


def test_a_time_of_excels_own_is_taken_to_the_millisecond_that_excel_shows(drop: Drop) -> None:
    workbook = Workbook()
    for line in (
        ("id", "t"),
        (1, datetime(2024, 1, 1, 10, 0, 0, 123_456)),
        (2, datetime(2024, 1, 1, 23, 59, 59, 999_000)),
    ):
        workbook.worksheets[0].append(line)
    workbook.save(drop.folder / "a.xlsx")
    read = rows(drop.root, drop.extract(drop.stream()))
    assert [str(row[1]) for row in read] == ["2024-01-01 10:00:00.123000", "2024-01-01 23:59:59.999000"]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("TIMESTAMP WITH TIME ZONE", f"{FINE}Z"),
        ("TIME", "10:00:00.1234567"),
        ("TIMESTAMP_NS", f"{FINE}891"),
    ],
    ids=["zone", "time", "nanoseconds"],
)
def test_every_type_of_times_says_so(drop: Drop, type_: str, value: str) -> None:
    drop.write("a.csv", f"id,t\n1,{value}\n")
    (warning,) = drop.extract(typed(drop.stream(), t=type_)).facts["warnings"]
    assert f"cut off: t ({type_})" in warning
    assert warning.endswith("Declare them as VARCHAR to keep them.")


def test_the_advice_fits_each_column(drop: Drop) -> None:
    drop.write("a.csv", f"id,t,at\n1,{FINE},10:00:00.1234567\n")
    (warning,) = drop.extract(typed(drop.stream(), t="TIMESTAMP", at="TIME")).facts["warnings"]
    assert warning.endswith("Declare them as VARCHAR to keep them; TIMESTAMP_NS keeps nine decimals of t.")


def test_what_is_set_aside_is_not_cut_off(drop: Drop) -> None:
    drop.write("a.csv", "id,t\n1,31.01.2024 10:00:00.1234567\n")
    result = drop.extract(typed(drop.stream(date_format="%d.%m.%Y %H:%M:%S.%f"), t="TIMESTAMP"))
    assert rows(drop.root, result) == []
    assert result.facts["warnings"] == []
