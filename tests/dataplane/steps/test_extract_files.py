"""Files as they come: every row is staged exactly or rejected with its line, its reason and its text."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import duckdb
import pyarrow as pa
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Window
from dataplane.drift import followed
from dataplane.errors import ConfigurationError, DataError
from dataplane.sampling import tried
from tests.dataplane.steps.files_source import Drop, places, rejects, rows, typed
from tests.examples import examples, try_out


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


KEY = "6f6b1d80-6a3e-4a55-9a54-0d9a86a2b3a1"


def test_types_are_sniffed_without_loss(drop):
    drop.write(
        "a.csv",
        "id,zip,money,ratio,key,day,at,zoned,flag,note\n"
        f"1,01234,10.50,0.125,{KEY},2013-01-31,2013-01-31 10:00:00,2013-01-31T10:00:00+02:00,true,x\n"
        f"2,99999,3.25,7.5,{KEY},2013-02-01,2013-02-01 10:00:00,2013-02-01T10:00:00Z,false,\n",
    )
    stream = drop.stream()
    assert [each.type for each in stream.columns] == [
        "BIGINT",
        "VARCHAR",
        "DECIMAL(15,2)",
        "DOUBLE",
        "UUID",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMP WITH TIME ZONE",
        "BOOLEAN",
        "VARCHAR",
    ]
    first = rows(drop.root, drop.extract(stream))[0]
    assert first[:7] == (1, "01234", Decimal("10.50"), 0.125, UUID(KEY), date(2013, 1, 31), datetime(2013, 1, 31, 10))


def test_facts_tell_what_was_read(drop):
    path = drop.write("a.csv", "id\n1\n2\n")
    drop.write("b.csv", "id\n3\n")
    result = drop.extract(drop.stream("a"))
    (file,) = result.facts["files"]
    assert (file["path"], file["size"], file["rows"]) == ("a.csv", path.stat().st_size, 2)
    assert file["digest"] == xxhash.xxh3_128_hexdigest(path.read_bytes())
    assert result.rows_in == 2


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("1.5", "BIGINT"),
        ("9007199254740993.5", "BIGINT"),
        ("99999999999999999999", "BIGINT"),
        ("nan", "BIGINT"),
        ("-0.5", "INTEGER"),
        ("3000000000", "INTEGER"),
        ("-1", "UINTEGER"),
        ("inf", "DECIMAL(9,2)"),
        ("300", "TINYINT"),
        ("1.234", "DECIMAL(9,2)"),
        ("1.2345678901234567", "DECIMAL(30,10)"),
        ("12345678.00", "DECIMAL(9,2)"),
        ("2013-01-01 05:00:00", "DATE"),
        ("x", "DOUBLE"),
        ("maybe", "BOOLEAN"),
        ("31.12.2013", "TIMESTAMP"),
        ("2013-01-01 05:00:00+02:00", "TIMESTAMP"),
        ("2013-01-01T05:00:00.125-0030", "TIMESTAMP"),
    ],
)
def test_a_value_that_would_be_changed_to_fit_is_rejected_with_its_line(drop, value, type_):
    good = {"DATE": "2013-01-01", "BOOLEAN": "true", "TIMESTAMP": "2013-01-01 00:00:00"}.get(type_, "1")
    drop.write("a.csv", f"id,v,note\n1,{good},a\n2,{value},b\n3,{good},c\n4,{good},d\n")
    stream = typed(drop.stream(), v=type_)
    result = drop.extract(stream)
    assert [each[0] for each in rows(drop.root, result)] == [1, 3, 4]
    ((file, row, reason, raw),) = rejects(drop.root, result)
    assert (file, row, reason) == ("a.csv", 3, f"v is not {type_}")
    assert value in raw
    assert places(result) == [("a.csv", 2), ("a.csv", 4), ("a.csv", 5)]


@pytest.mark.parametrize(
    "value",
    ["2013-01-01 05:00:00", "2013-01-01T05:00:00Z", "2013-01-01T05:00:00+00:00", "2013-1-1 5:0:0", "2013-01-01"],
)
def test_a_moment_without_an_offset_or_with_none_to_speak_of_is_a_timestamp(drop, value):
    drop.write("a.csv", f"id,v\n1,{value}\n")
    result = drop.extract(typed(drop.stream(), v="TIMESTAMP"))
    assert rows(drop.root, result) == [(1, datetime(2013, 1, 1, 0 if len(value) == 10 else 5))]
    assert rejects(drop.root, result) == []


@pytest.mark.parametrize("value", ["9007199254740993", "-9223372036854775808", "1.0", "+7"])
def test_large_and_oddly_written_whole_numbers_arrive_exactly(drop, value):
    drop.write("a.csv", f"id,v\n1,{value}\n")
    result = drop.extract(typed(drop.stream(), v="BIGINT"))
    assert rows(drop.root, result) == [(1, int(Decimal(value)))]
    assert rejects(drop.root, result) == []


def test_lines_stay_right_behind_rejects_and_texts_over_several_lines(drop):
    drop.write("a.csv", 'id,note\n1,a\nrag\n2,"two\nlines"\n3,c\nx,y,z\n4,"three\n\nlines"\n5,e\n')
    result = drop.extract(typed(drop.stream(), id="BIGINT"))
    assert [each[0] for each in rows(drop.root, result)] == [1, 2, 3, 4, 5]
    assert [row for _, row, _, _ in rejects(drop.root, result)] == [3, 7]
    assert places(result) == [("a.csv", 2), ("a.csv", 4), ("a.csv", 6), ("a.csv", 8), ("a.csv", 11)]


RECORDS = st.lists(st.sampled_from(["row", "blank", "long", "ragged", "ragged and long"]), max_size=25)


@examples(25, 60)
def test_every_row_and_every_reject_has_its_line(tmp_path, examples):
    """Whatever stands before it: the line is that of the source, in the fast read and in the careful one."""

    def check(records: list[str], careful: bool) -> None:
        drop = Drop(tmp_path)
        texts = {
            "row": "{n},a\n",
            "blank": "\n",
            "long": '{n},"a\n\nb"\n',
            "ragged": "x\n",
            "ragged and long": '1,"a\nb",3\n',
        }
        if careful:
            # A blank line is only told apart from a gap by the fast read's own reader.
            records = ["row" if each == "blank" else each for each in records]
        content, staged, left = "id,note\n", [], []
        for number, record in enumerate(records):
            line = content.count("\n") + 1
            if record in ("row", "long"):
                staged.append(("t.csv", line))
            elif record != "blank":
                left.append(line)
            content += texts[record].format(n=number)
        if careful:
            left.append(content.count("\n") + 1)
            content += "1.5,last\n"
        drop.write("t.csv", content)
        columns = (Column("id", "BIGINT"), Column("note", "VARCHAR"))
        stream = StreamConfig("t", settings={"pattern": "t.csv"}, columns=columns)
        result = drop.extract(stream)
        assert places(result) == staged
        assert [row for _, row, _, _ in rejects(tmp_path, result)] == left
        result = drop.extract(stream, positions=False)
        assert places(result) == (staged if left else [("t.csv", number) for number in range(1, len(staged) + 1)])
        assert [row for _, row, _, _ in rejects(tmp_path, result)] == left

    try_out(check, examples, records=RECORDS, careful=st.booleans())


def test_files_are_one_table_by_column_name(drop):
    drop.write("f_2013-01.csv", "id,name\n1,a\n")
    drop.write("f_2013-02.csv", "name,id,extra\nb,2,z\n")
    drop.write("f_2013-03.csv", "id\n3\n")
    stream = replace(drop.stream(), columns=(Column("id", "BIGINT"), Column("name", "VARCHAR")))
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(1, "a"), (2, "b"), (3, None)]
    assert any("extra" in each for each in result.facts["warnings"])
    assert any("no column name" in each for each in result.facts["warnings"])


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson"])
def test_a_column_is_never_taken_for_what_is_made_of_another(drop, name):
    line = {"at": "2013-01-31 10:00:00", "__made_at": "2020-02-02 02:02:02", "___MADE_id": "x", "id": "7"}
    drop.write(name, f"{','.join(line)}\n{','.join(line.values())}\n" if name == "a.csv" else json.dumps(line))
    types = {"at": "TIMESTAMP", "__made_at": "TIMESTAMP", "___MADE_id": "VARCHAR", "id": "BIGINT"}
    stream = replace(drop.stream(), columns=tuple(Column(key, type_) for key, type_ in types.items()))
    expected = [(datetime(2013, 1, 31, 10), datetime(2020, 2, 2, 2, 2, 2), "x", 7)]
    assert rows(drop.root, drop.extract(stream)) == expected
    # A column that the stream does not declare is read, too, where a line has it.
    stream = replace(stream, columns=stream.columns[:1])
    assert rows(drop.root, drop.extract(stream)) == [expected[0][:1]]


def test_many_small_files_share_a_staged_file_and_keep_their_places(drop):
    for number in range(1, 31):
        drop.write(f"f_{number:02d}.csv", f"id\n{number}\nx\n{number + 100}\n")
    result = drop.extract(typed(drop.stream(), id="BIGINT"))
    assert len(result.table.files) == 1
    found = dict(zip([each[0] for each in rows(drop.root, result)], places(result), strict=True))
    assert found[7] == ("f_07.csv", 2) and found[107] == ("f_07.csv", 4)
    assert [each["rows"] for each in result.facts["files"]] == [2] * 30
    assert sorted(rejects(drop.root, result))[0] == ("f_01.csv", 3, "id is not BIGINT", "x")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_encodings_are_found_and_read(drop, encoding):
    text = "name,id\nMünchen – Zürich,1\nMálaga café,2\nGrößenordnung,3\n".replace(
        "–", "-" if encoding == "latin-1" else "–"
    )
    drop.write("a.csv", text.encode(encoding))
    result = drop.extract(drop.stream())
    assert [each[0] for each in rows(drop.root, result)] == [line.split(",")[0] for line in text.splitlines()[1:]]
    assert places(result)[2] == ("a.csv", 4)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_bad_line_far_down_is_set_aside_and_an_error_names_no_place_of_this_machine(drop, encoding):
    good = "".join(f'{{"id": {number}}}\n' for number in range(30_000))
    drop.write("a.ndjson", good.encode(encoding))
    stream = drop.stream(encoding=encoding)
    drop.write("a.ndjson", (good + '{"id": tru}\n').encode(encoding))
    result = drop.extract(stream)
    assert rejects(drop.root, result) == [
        ("a.ndjson", 30_001, "is no JSON: Expecting value at character 8", '{"id": tru}')
    ]
    drop.write("a.ndjson", "no\nJSON".encode(encoding))
    with pytest.raises(DataError) as caught:
        drop.extract(stream)
    assert caught.value.message.startswith("a.ndjson is no JSON in line 1: ")
    assert str(drop.root) not in f"{caught.value.message} {caught.value.evidence}"
    assert "/" not in str(caught.value.evidence)


def test_bytes_of_another_encoding_are_rejected_by_line(drop):
    drop.write("a.csv", "name,id\nabc,1\n")
    stream = drop.stream()
    drop.write("a.csv", b"name,id\nabc,1\n" + "Zürich,2\n".encode("latin-1") + b"def,3\n")
    result = drop.extract(stream)
    assert [each[0] for each in rows(drop.root, result)] == ["abc", "def"]
    assert [(row, "utf-8" in reason) for _, row, reason, _ in rejects(drop.root, result)] == [(3, True)]


def test_a_declared_encoding_that_is_wrong_is_an_error(drop):
    drop.write("a.csv", "name,id\nabc,1\n")
    stream = drop.stream(encoding="ascii")
    drop.write("a.csv", "name,id\nZürich,1\n")
    with pytest.raises(DataError) as caught:
        drop.extract(stream)
    assert caught.value.code == "encoding" and "a.csv" in caught.value.message


def test_compressed_files_are_told_by_their_bytes(drop):
    drop.write("f_1.csv.gz", gzip.compress(b"id\n1\n"))
    zstd = io.BytesIO()
    with pa.CompressedOutputStream(zstd, "zstd") as out:
        out.write(b"id\n2\n")
    stream = replace(drop.stream(), settings={"pattern": "f_*", "format": "csv"})
    with pa.OSFile(str(drop.folder / "f_2.csv.zst"), "wb") as file, pa.CompressedOutputStream(file, "zstd") as out:
        out.write(b"id\n2\n")
    drop.write("f_3.csv", b"id\n3\n")
    assert rows(drop.root, drop.extract(stream)) == [(1,), (2,), (3,)]


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_file_of_several_members_is_read_to_its_end(drop, suffix):
    """As programs make them that append to a log, or pack in blocks."""
    pack = gzip.compress if suffix == "gz" else lambda data: bytes(pa.compress(data, "zstd", asbytes=True))
    drop.write(f"f.csv.{suffix}", b"".join(map(pack, (b"id\n1\n", b"", b"2\nx", b"\n3\n"))))
    stream = typed(drop.stream(), id="BIGINT")
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(1,), (2,), (3,)]
    assert [row for _, row, _, _ in rejects(drop.root, result)] == [4]
    drop.write(f"f.csv.{suffix}", pack(b"id\n1\n") + pack(b"2\n" * 1000)[:-8])
    with pytest.raises(DataError) as caught:
        drop.extract(stream)
    assert caught.value.code == "file_damaged"


def test_a_damaged_archive_is_an_error(drop):
    drop.write("f_1.csv.gz", gzip.compress(b"id\n1\n"))
    stream = drop.stream()
    whole = gzip.compress(b"id\n" + b"".join(b"%d\n" % each for each in range(100_000)))
    drop.write("f_1.csv.gz", whole[: len(whole) // 2])
    with pytest.raises(DataError):
        drop.extract(stream)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "file_empty"), (b"  \n", "file_empty"), (b"1,2\n3,4\n", "header_missing")],
)
def test_a_file_that_is_no_delivery_has_its_own_error(drop, content, code):
    drop.write("f_1.csv", "id,name\n1,a\n")
    stream = drop.stream()
    drop.write("f_2.csv", content)
    with pytest.raises(DataError) as caught:
        drop.extract(stream)
    assert caught.value.code == code
    assert caught.value.suggestions[0].applicable and "f_2.csv" in caught.value.message


@pytest.mark.parametrize(
    ("before", "length", "pack", "positions"),
    [
        (100, 8_000_001, bytes, True),
        (7_999_900, 8_100_000, bytes, False),
        (4_000_000, 12_000_000, bytes, True),
        (7_999_900, 8_100_000, gzip.compress, True),
        (100, 20_000_000, gzip.compress, False),
    ],
)
def test_a_line_that_is_too_long_is_never_passed_over(drop, before, length, pack, positions):
    """The reader's threads lose a line that fills a whole buffer, without a word."""
    drop.write("a.csv", "id,note\n1,x\n")
    stream = drop.stream()
    line = b"1," + b"a" * 97 + b"\n"
    path = drop.write("a.csv", pack(b"id,note\n" + line * (before // 100) + b"2," + b"b" * length + b"\n" + line * 9))
    with pytest.raises(DataError, match="more than 8 MB") as caught:
        drop.extract(stream, positions=positions)
    assert (caught.value.code, caught.value.evidence["files"]) == ("line_too_long", [path.name])
    assert caught.value.evidence["byte"] == 8 + before // 100 * 100


def test_many_lines_behind_long_ones_are_read(drop):
    content = b"id,note\n" + (b"2," + b"b" * 7_000_000 + b"\n") * 3 + b"1,a\n" * 1000
    drop.write("a.csv", "id,note\n1,x\n")
    stream = drop.stream()
    drop.write("a.csv", content)
    assert drop.extract(stream).table.rows == 1003


@pytest.mark.parametrize("behind", [0, 60_000])
@pytest.mark.parametrize("value", [b"b" * 3_000_000, b'"' + b"a long text\n" * 250_000 + b'"'], ids=["line", "lines"])
def test_a_record_of_three_megabytes_is_read_among_short_ones(drop, behind, value):
    """The quick reader has no room for it."""
    drop.write("a.csv", "id,note\n1,x\n")
    stream = drop.stream()
    drop.write("a.csv", b"id,note\nx,y\n" + b"1,a\n" * 9 + b"2," + value + b"\n" + b"1,a\n" * behind)
    got = drop.extract(stream)
    assert got.table.rows == 10 + behind
    assert max(len(note) for _, note in rows(drop.root, got)) == len(value.strip(b'"'))
    assert [each[1:] for each in rejects(drop.root, got)] == [(2, "id is not BIGINT", "x,y")]
    tried_out = tried(drop.connector, stream)
    assert tried_out.rejected == 1
    if behind:
        assert tried_out.rows == 10 + behind


@pytest.mark.parametrize(
    ("plain", "border", "pack"),
    [
        (0, 2_000_000, bytes),
        (0, 8_000_000, gzip.compress),
        (1_000_000, 2_000_000, bytes),
        (8_100_000, 10_000_000, bytes),
    ],
    ids=["whole pieces", "packed", "rows before", "far down"],
)
def test_lines_of_a_value_are_never_taken_for_rows(drop, plain, border, pack):
    """They look like rows, and a piece of the file that a reader takes begins among them."""
    before = "a,b\n" + "plain,row\n" * (plain // 10)
    quoted = 'k,"a note"\n'
    before += quoted * ((border - len(before) - 500) // len(quoted))
    letter = "\n".join(["Dear Sir, thank you for the parcel"] * 30)
    rows_before = before.count("\n") - 1
    drop.write("a.csv", "a,b\nx,y\n")
    stream = drop.stream()
    drop.write("a.csv", pack(f'{before}k,"{letter}"\n{quoted * 50_000}'.encode()))
    got = drop.extract(stream)
    arrived = rows(drop.root, got)
    assert (len(arrived), got.table.rejected) == (rows_before + 50_001, ())
    assert arrived[rows_before] == ("k", letter)
    tried_out = tried(drop.connector, stream)
    assert (tried_out.rows, tried_out.rejected) == (len(arrived), 0)


def test_quotes_within_values_of_several_lines_are_not_taken_for_open_ones(drop):
    """Where a piece of the file begins within such a value, the reader's threads tell of a quote that is open."""
    choice = random.Random(11).choice
    told = ["Hello, I am, here", '"" quoted, words""', "a,b", 'x,"" ,y', "no, maybe", '5"" pipe, long', ",,", '"" ,']
    values = ["\n".join(choice(told) for _ in range(choice(range(1, 30)))) for _ in range(50_000)]
    drop.write("a.csv", 'a,s,b\nx,"y,z",c\n')
    stream = drop.stream()
    drop.write("a.csv", "a,s,b\n" + "".join(f'T,"{choice(told)}\n{choice(told)}","{value}"\n' for value in values))
    got = drop.extract(stream)
    assert [b for _, _, b in rows(drop.root, got)] == [value.replace('""', '"') for value in values]
    assert got.table.rejected == ()


@pytest.mark.parametrize(
    ("rows_before", "rows_behind"),
    [(500, 3), (500, 100_000), (85_000, 3)],
    ids=["few rows", "many rows", "far down"],
)
def test_a_quote_that_is_never_closed_hides_no_rows(drop, rows_before, rows_behind):
    drop.write("a.csv", 'id,note\n1,x\n2,"y,z"\n')
    stream = drop.stream()
    drop.write(
        "a.csv", "id,note\n" + f"1,{'a' * 97}\n" * rows_before + '2,"b\n' + ("3," + "c" * 97 + "\n") * rows_behind
    )
    with pytest.raises(DataError, match=f"line {rows_before + 2} that is never closed") as caught:
        drop.extract(stream)
    assert (caught.value.code, caught.value.suggestions[0].id) == ("quote_open", "ignore_file")


def test_text_behind_a_closing_quote_is_told_as_that(drop):
    drop.write("a.csv", 'id,note\n1,x\n2,"a"b\n3,y\n')
    with pytest.raises(DataError, match="on line 3 that is never closed, or has text behind the closing one"):
        drop.extract(drop.stream())


def test_a_file_with_only_a_header_has_no_rows(drop):
    drop.write("a.csv", "id,name\n1,a\n")
    stream = drop.stream()
    drop.write("a.csv", "id,name\n")
    result = drop.extract(stream)
    assert (result.table.files, result.rows_in, len(result.table.columns)) == ((), 0, 2)


def test_a_file_that_vanished_or_changed_since_the_plan(drop):
    path = drop.write("a.csv", "id\n1\n")
    stream = drop.stream()
    window = drop.plan(stream).window
    drop.write("a.csv", "id\n1\n2\n")
    with pytest.raises(DataError) as changed:
        drop.extract(stream, window)
    path.unlink()
    with pytest.raises(DataError) as gone:
        drop.extract(stream, window)
    assert (changed.value.code, gone.value.code) == ("file_changed", "files_missing")


def test_a_file_that_grows_while_it_is_read_is_an_error(drop):
    path = drop.write("a.csv", "id\n1\n")
    stream = drop.stream()
    window = drop.plan(stream).window
    with duckdb.connect() as connection, drop.connector.read(stream, window, connection) as reading:
        (part,) = reading.in_parts()
        connection.execute(part.query).fetchall()
        with path.open("a") as file:
            file.write("2\n")
        with pytest.raises(DataError) as caught:
            part.check()
    assert caught.value.code == "file_changed" and "while it was read" in caught.value.message


@pytest.mark.parametrize(
    ("name", "form"), [("a.ndjson", "{0}\n{0}\n"), ("a.json", "[{0}, {0}]")], ids=["ndjson", "json"]
)
def test_each_of_many_keys_of_one_type_is_a_column(drop, name, form):
    drop.write(name, form.format(json.dumps({f"sensor {each}": each for each in range(250)})))
    stream = drop.stream()
    assert [each.name for each in stream.columns] == [f"sensor {each}" for each in range(250)]
    assert rows(drop.root, drop.extract(stream)) == [tuple(range(250))] * 2


def test_json_of_every_shape(drop):
    drop.write("lines.ndjson", '{"a": 1, "b": {"c": [1, 2]}}\n{"a": 2}\n')
    drop.write("array.json", '[{"a": 1, "b": "x"}, {"b": "y"}]')
    lines, array = drop.extract(drop.stream("lines")), drop.extract(drop.stream("array"))
    assert rows(drop.root, lines) == [(1, {"c": [1, 2]}), (2, None)]
    assert rows(drop.root, array) == [(1, "x"), (None, "y")]
    assert places(lines) == [("lines.ndjson", 1), ("lines.ndjson", 2)]


def test_an_empty_list_has_no_rows(drop):
    drop.write("a_2013-01.json", "[ ]\n")
    assert "has no rows with keys" in drop.connector.discover()[0].warnings[0]
    drop.write("a_2013-02.json", '[{"id": 1}]')
    stream = drop.stream()
    assert [each.name for each in stream.columns] == ["id"]
    assert rows(drop.root, drop.extract(stream)) == [(1,)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"meta": {"n": 2}, "data": [{"a": 1}, {"a": 2}]}', True),
        ('{"data": [{"a": 1}]}\n{"data": [{"a": 2}]}', False),
        ('[{"data": [{"a": 1}]}]', False),
        ('{"data": [1, 2]}', False),
    ],
    ids=["envelope", "lines", "array", "values"],
)
def test_a_list_in_an_envelope_is_told(drop, content, told):
    drop.write("a.json", content)
    (info,) = drop.connector.discover()
    assert any("`data` in it is a list of objects" in said for said in info.warnings) is told


def test_a_json_value_that_does_not_fit_is_rejected(drop):
    drop.write("a.ndjson", '{"a": 1, "b": "x"}\n{"a": 1.5, "b": "y"}\n{"a": "z", "b": "w"}\n{"a": 4}\n')
    result = drop.extract(typed(drop.stream(), a="BIGINT"))
    assert rows(drop.root, result) == [(1, "x"), (4, None)]
    assert [(row, reason) for _, row, reason, _ in rejects(drop.root, result)] == [
        (2, "a is not BIGINT"),
        (3, "a is not BIGINT"),
    ]


def test_malformed_json_names_the_file_and_the_line(drop):
    drop.write("a.ndjson", '{"a": 1}\n')
    stream = drop.stream()
    drop.write("a.ndjson", '{"a": \n{"a": \n')
    with pytest.raises(DataError, match=r"^a\.ndjson is no JSON in line 1: ") as caught:
        drop.extract(stream)
    assert [each.title for each in caught.value.suggestions] == ["Set a.ndjson aside"]
    assert drop.connector.discover()[0].warnings[0].startswith("a.ndjson is no JSON in line 1: ")
    drop.write("b.json", '[{"a": 1}, {"a": 2}, oops]')
    with pytest.raises(DataError, match=r"^b\.json is no JSON in object 3: "):
        drop.extract(replace(stream, settings={"pattern": "b.json"}))


def test_parquet_keeps_its_types_and_refuses_what_does_not_fit(drop):
    duckdb.sql("SELECT 1::INTEGER AS a, [1, 2] AS b").write_parquet(str(drop.folder / "p_1.parquet"))
    stream = drop.stream()
    assert rows(drop.root, drop.extract(stream)) == [(1, [1, 2])]
    duckdb.sql("SELECT 1.5::DOUBLE AS a").write_parquet(str(drop.folder / "p_2.parquet"))
    with pytest.raises(DataError, match="a is DOUBLE in the file"):
        drop.extract(stream)


def test_columns_and_a_filter_are_the_steps_own(drop):
    drop.write("a.csv", "id,name,day\n1,a,2013-01-01\n2,b,2013-01-02\n")
    result = drop.extract(drop.stream(), columns=["name", "id"], filter="day > DATE '2013-01-01'")
    assert rows(drop.root, result) == [("b", 2)]
    assert result.table.origins == ()


@pytest.mark.parametrize("text", ["id IN (SELECT 1 FROM read_text('/etc/passwd'))", "1=1); DROP TABLE x; --", "id ="])
def test_a_filter_that_is_no_condition_over_the_row_is_refused(drop, text):
    drop.write("a.csv", "id\n1\n")
    with pytest.raises(ConfigurationError):
        drop.extract(drop.stream(), filter=text)


@pytest.mark.parametrize("by", ["stream", "step"])
def test_a_chosen_column_that_was_renamed_is_read_of_older_files_too(drop, by):
    drop.write("sales_1.csv", "a,x,y\n10,1,0\n")
    before = drop.stream()
    drop.write("sales_2.csv", "b,x,y\n20,2,0\n")
    now = tuple(replace(each, name="b") if each.name == "a" else each for each in before.columns)
    chosen = replace(before, select=("a", "x") if by == "stream" else ())
    stream = followed(chosen, before.columns, now, fills_missing=True, renames={"a": "b"})
    result = drop.extract(stream, columns=("a", "x") if by == "step" else None)
    assert [each.name for each in result.table.columns] == ["a", "x"]
    assert rows(drop.root, result) == [(10, 1), (20, 2)]


@pytest.mark.parametrize("called", ["abc", "aba", "abac", "abab", "abca", "abcb"])
def test_a_column_may_be_renamed_again_and_back(drop, called):
    drop.write("sales_1.csv", "a,x\n1,0\n")
    stream = drop.stream()
    seen = stream.columns
    for n, (old, new) in enumerate(pairwise(called), start=2):
        drop.write(f"sales_{n}.csv", f"{new},x\n{n},0\n")
        now = tuple(replace(each, name=new) if each.name == old else each for each in seen)
        stream = followed(stream, seen, now, fills_missing=True, renames={old: new})
        seen = now
    assert sorted(each.name for each in stream.columns) == [*sorted(set(called)), "x"]
    for columns in (None, ("a", "x")):
        result = drop.extract(stream, columns=columns)
        assert [each.name for each in result.table.columns] == ["a", "x"]
        assert rows(drop.root, result) == [(n, 0) for n in range(1, len(called) + 1)]


def test_a_renamed_column_has_the_type_of_its_newest_name(drop):
    drop.write("sales_1.csv", "a\n1\n")
    seen = drop.stream().columns
    drop.write("sales_2.csv", "b\nn\n")
    now = (Column("b", "VARCHAR"),)
    stream = followed(replace(drop.stream(), columns=seen), seen, now, fills_missing=True, renames={"a": "b"})
    stream = replace(stream, columns=typed(stream, b="VARCHAR").columns)
    result = drop.extract(stream)
    assert [(each.name, each.type) for each in result.table.columns] == [("a", "VARCHAR")]
    assert rows(drop.root, result) == [("1",), ("n",)]


def test_an_unknown_column_is_named(drop):
    drop.write("a.csv", "id\n1\n")
    with pytest.raises(ConfigurationError, match="nope"):
        drop.extract(drop.stream(), columns=["nope"])


def test_without_a_window_the_table_is_empty_and_typed(drop):
    drop.write("a.csv", "id,name\n1,a\n")
    stream = drop.stream()
    read = drop.plan(stream).window
    nothing = drop.plan(stream, read).window
    assert nothing is None
    result = drop.extract(stream, Window("files"))
    assert result.table.files == ()
    assert [(each.name, each.type) for each in result.table.columns] == [("id", "BIGINT"), ("name", "VARCHAR")]


def test_european_numbers_and_dates(drop):
    drop.write("a.csv", "betrag;tag;anteil\n1,50;31.12.2013;0,5\n2,25;01.01.2014;1,25\n")
    stream = drop.stream()
    assert [each.type for each in stream.columns] == ["DECIMAL(15,2)", "DATE", "DOUBLE"]
    assert rows(drop.root, drop.extract(stream)) == [
        (Decimal("1.50"), date(2013, 12, 31), 0.5),
        (Decimal("2.25"), date(2014, 1, 1), 1.25),
    ]


def test_a_date_in_two_possible_orders_stays_text_and_says_so(drop):
    drop.write("a.csv", "id,day\n1,01/02/2013\n2,03/04/2013\n")
    (column,) = [each for each in drop.stream().columns if each.name == "day"]
    assert column.type == "VARCHAR" and "%d/%m/%Y or as %m/%d/%Y" in column.warning


def test_a_stream_without_declared_columns_is_read_as_found(drop):
    drop.write("a.csv", "id,name\n1,a\n")
    assert rows(drop.root, drop.extract(StreamConfig("a", settings={"pattern": "a.csv"}))) == [(1, "a")]


WORDS = st.text(st.sampled_from("abc äß'\",;|\t\nNA01.-"), max_size=12).filter(lambda text: text == text.strip())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=12),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_writer_wrote_is_what_arrives(tmp_path, table, delimiter, newline):
    """Every text a CSV writer can write, in each dialect, arrives as it was, and every line is found."""
    drop = Drop(tmp_path)
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerow(["first", "second", "number"])
    lines, at = [], 2
    for number, (one, two) in enumerate(table):
        writer.writerow([one, two, number])
        lines.append(("t.csv", at))
        at += 1 + one.count("\n") + two.count("\n")
    drop.write("t.csv", text.getvalue())
    columns = (Column("first", "VARCHAR"), Column("second", "VARCHAR"), Column("number", "BIGINT"))
    declared = {"pattern": "t.csv", "delimiter": delimiter}
    result = drop.extract(StreamConfig("t", settings=declared, columns=columns))
    assert rejects(tmp_path, result) == []
    assert rows(tmp_path, result) == [(one or None, two or None, number) for number, (one, two) in enumerate(table)]
    assert places(result) == lines
