"""Downloads: harmless CSV, Parquet that reads back, streamed, and honest when they break."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pytest

from dataplane.errors import InfrastructureError
from dataplane.export import Format, open_export, open_query
from dataplane.parameters import parameter
from dataplane.steps.base import ColumnType
from tests.dataplane.tables import Staging


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path)


def test_parquet_reads_back(staging: Staging, tmp_path: Path) -> None:
    first = "SELECT i, 'x' || i AS word, [i] AS list FROM range(5) r(i)"
    table = staging.table(first, "SELECT 9 AS i, '=1' AS word, [1] AS list")
    export = open_export(table, staging.storage, "parquet")
    assert (export.content_type, export.suffix) == ("application/vnd.apache.parquet", "parquet")
    (tmp_path / "out.parquet").write_bytes(b"".join(export))
    assert duckdb.sql(f"FROM '{tmp_path}/out.parquet'").fetchall() == staging.rows(table)


def test_csv_is_harmless_in_a_spreadsheet(staging: Staging) -> None:
    cells = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "plain", "a=b", "", "'q", 'say "hi", then']
    values = ", ".join("(" + repr(at) + ", '" + each.replace("'", "''") + "')" for at, each in enumerate(cells))
    table = staging.table(f'SELECT n, cell AS "=cell", -n AS minus FROM (VALUES {values}) v(n, cell) ORDER BY n')
    export = open_export(table, staging.storage, "csv")
    assert export.content_type.startswith("text/csv")
    read = list(csv.reader(io.StringIO(b"".join(export).decode(), newline="")))
    assert read[0] == ["n", "'=cell", "minus"]
    expected = [f"'{each}" if each[:1] and each[0] in "=+-@\t\r\n" else each for each in cells]
    assert [row[1] for row in read[1:]] == expected
    assert [row[2] for row in read[1:4]] == ["0", "-1", "-2"], "numbers are no formulas"


def test_what_is_nested_is_json_in_csv(staging: Staging) -> None:
    table = staging.table("SELECT [{'a': 'x', 'b': NULL}] AS parts, MAP {'k': DATE '2013-01-01'} AS days")
    written = b"".join(open_export(table, staging.storage, "csv")).decode()
    (row,) = list(csv.DictReader(io.StringIO(written, newline="")))
    assert {name: json.loads(cell) for name, cell in row.items()} == {
        "parts": [{"a": "x", "b": None}],
        "days": {"k": "2013-01-01"},
    }


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("csv", b"word,'=n,word_1\n'=x2,2,'=x2\n'=x1,1,'=x1\n"),
        ("json", [{"word": "=x2", "=n": 2, "word_1": "=x2"}, {"word": "=x1", "=n": 1, "word_1": "=x1"}]),
        ("ndjson", b'{"word":"=x2","=n":2,"word_1":"=x2"}\n{"word":"=x1","=n":1,"word_1":"=x1"}\n'),
        ("parquet", [("=x2", 2, "=x2"), ("=x1", 1, "=x1")]),
    ],
)
def test_a_whole_answer_is_a_file(staging: Staging, tmp_path: Path, form: Format, expected: object) -> None:
    table = staging.table("SELECT i, '=x' || i AS word FROM range(5) r(i)")
    columns = [ColumnType("word", "VARCHAR"), ColumnType("=n", "BIGINT"), ColumnType("word", "VARCHAR")]
    sql = 'SELECT word, i AS "=n", word FROM t WHERE i BETWEEN $low AND 2;'
    made = open_query(
        sql,
        columns,
        {"t": table},
        staging.storage,
        form,
        memory=256 << 20,
        seconds=20,
        parameters=[parameter("low", "integer", 1)],
        order=-2,
    )
    written = b"".join(made)
    if form == "parquet":
        (tmp_path / "out").write_bytes(written)
        assert duckdb.sql(f"SELECT * FROM read_parquet('{tmp_path}/out')").fetchall() == expected
    else:
        assert (json.loads(written) if form == "json" else written) == expected


def test_an_empty_table_has_a_header(staging: Staging) -> None:
    table = staging.table("SELECT 1 AS i, 'a' AS word WHERE false")
    assert b"".join(open_export(table, staging.storage, "csv")) == b"i,word\n"


def test_it_streams_and_can_be_left(staging: Staging) -> None:
    table = staging.table("SELECT i, md5(i::VARCHAR) AS word FROM range(400000) r(i)")
    stream = iter(open_export(table, staging.storage, "csv"))
    first = next(stream)
    assert first.startswith(b"i,word\n0,") and len(first) <= 256 << 10
    stream.close()  # type: ignore[attr-defined]


def test_rows_come_in_the_order_in_which_they_are_kept(staging: Staging, tmp_path: Path) -> None:
    table = staging.table("SELECT i, md5(i::VARCHAR) AS word FROM range(400000) r(i)")
    for form in ("csv", "parquet", "ndjson"):
        file = tmp_path / f"download.{form}"
        file.write_bytes(b"".join(open_export(table, staging.storage, form)))
        with duckdb.connect() as connection:
            numbers = connection.execute(f"SELECT i FROM '{file}'").fetchnumpy()["i"]
        assert len(numbers) == 400_000
        assert (numbers[1:] > numbers[:-1]).all()


def test_a_file_that_has_gone_breaks_the_export_off(staging: Staging) -> None:
    table = staging.table("SELECT 1 AS i")
    staging.storage.remove(table.files[0].path)
    with pytest.raises(InfrastructureError, match="not complete"):
        b"".join(open_export(table, staging.storage, "csv"))
