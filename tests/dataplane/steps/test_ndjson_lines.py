"""Lines of NDJSON that are no JSON, beside lines that are."""

from __future__ import annotations

import gzip

import pytest

from dataplane.connectors.schema import StreamConfig
from dataplane.errors import DataError
from dataplane.sampling import tried
from tests.dataplane.steps.files_source import Drop, places, rejects, rows, typed


@pytest.fixture
def drop(tmp_path):
    return Drop(tmp_path)


def good(drop: Drop, **types: str) -> StreamConfig:
    drop.write("a.ndjson", '{"a": 1, "b": "x"}\n')
    return typed(drop.stream(), **types)


LONG = '{"a": 2, "b": "' + "x" * 5_000_000


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("oops", "is no JSON: Expecting value at character 1"),
        ('{"a": ', "is no JSON: Expecting value at character 7"),
        ('{"a": 2, "b": "x', "is no JSON: Unterminated string starting at character 15"),
        ("5", "is no JSON object"),
        ('[{"a": 2}]', "is no JSON object"),
        ('{"a": 2}{"a": 3}', "is no JSON: Extra data at character 9"),
        (LONG, "is no JSON: Unterminated string starting at character 15"),
        ("\0\0", "is no JSON: Expecting value at character 1"),
        (b'{"a": 2, "b": "\xfc"}', "is no JSON: no UTF-8 at byte 16"),
    ],
    ids=["word", "cut", "cut-text", "number", "list", "two", "long", "nul", "latin-1"],
)
def test_a_line_that_is_no_json_is_set_aside(drop, bad, why):
    stream = good(drop)
    # The last line, where one breaks off; the first, where nothing tells yet what the others are.
    place = 4 if bad == LONG else 1 if bad in ("oops", "5") else 2
    lines = [f'{{"a": {number}, "b": "x\\ny"}}'.encode() for number in (1, 2, 3)]
    lines.insert(place - 1, bad if isinstance(bad, bytes) else bad.encode())
    drop.write("a.ndjson", b"\n".join(lines))
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(number, "x\ny") for number in (1, 2, 3)]
    shown = lines[place - 1].decode(errors="replace").replace("\0", "\ufffd")
    assert rejects(drop.root, result) == [("a.ndjson", place, why, shown)]
    assert places(result) == [("a.ndjson", number) for number in range(1, 5) if number != place]
    assert result.rows_in == 4


def test_lines_are_told_beside_blank_ones_and_values_that_do_not_fit(drop):
    stream = good(drop, a="INTEGER")
    text = (
        '\n{"a": 1, "b": "x\\ny"}\r\n  \t\noops\r\n\n{"a": 1.5, "b": "q"}\n{"a": 3, "b": null}\n \n{"a": \n\n{"a": 5}\n'
    )
    drop.write("a.ndjson", text)
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(1, "x\ny"), (3, None), (5, None)]
    assert rejects(drop.root, result) == [
        ("a.ndjson", 4, "is no JSON: Expecting value at character 1", "oops"),
        ("a.ndjson", 6, "a is not INTEGER", '{"a": 1.5, "b": "q"}'),
        ("a.ndjson", 9, "is no JSON: Expecting value at character 7", '{"a": '),
    ]
    assert places(result) == [("a.ndjson", 2), ("a.ndjson", 7), ("a.ndjson", 11)]
    told = tried(drop.connector, stream)
    seen = drop.connector.previewed(stream)
    assert (told.rows, told.rejected, seen.rejected) == (3, 3, 3)
    assert [each.row for each in told.samples] == [each.row for each in seen.samples] == [4, 6, 9]
    assert seen.samples[0].raw == "oops" and seen.table.num_rows == 3


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_lines_of_several_files_are_told_apart(drop, packed):
    suffix = ".gz" if packed else ""

    def write(number: int, text: str) -> None:
        drop.write(f"a{number}.ndjson{suffix}", gzip.compress(text.encode(), mtime=0) if packed else text)

    for number in (1, 2, 3):
        write(number, '{"a": 1}\n')
    stream = drop.stream()
    write(1, '{"a": 1}\n\nnot\n')
    write(2, '{"a": 2}\n')
    write(3, 'so\n{"a": 3}\n{"a": 4}')
    result = drop.extract(stream)
    names = [f"a{number}.ndjson{suffix}" for number in (1, 2, 3)]
    assert rows(drop.root, result) == [(1,), (2,), (3,), (4,)]
    assert [(file, row, raw) for file, row, _, raw in rejects(drop.root, result)] == [
        (names[0], 3, "not"),
        (names[2], 1, "so"),
    ]
    assert places(result) == [(names[0], 1), (names[1], 1), (names[2], 2), (names[2], 3)]


def test_good_rows_are_what_they_are_without_a_bad_line(drop):
    lines = [
        '{"i": 1, "f": 1.10, "d": "2024-01-31", "t": "2024-01-31T10:00", "s": "\\u00fc\\n\\"", "o": {"k": [1, 2.50]}}',
        '{"i": -9007199254740993, "f": 1e300, "d": null, "s": "", "o": {"k": [], "z": "\\u0041"}, "l": ["x", null]}',
        '{"i": 3, "i": 4, "f": 2, "s": "é  ", "x": true, "l": [], "v": 5, "I": 7}',
        '{"x": false, "s": "null", "v": "5", "o": null}',
        "{}",
        "null",
        '{"v": {"deep": [1, {"a": "b"}]}, "f": -0.0, "t": "2024-01-31 10:00:00.123456"}',
    ]
    drop.write("a.ndjson", "\n".join(lines))
    stream = drop.stream()
    fast = drop.extract(stream)
    drop.write("a.ndjson", "\n".join([*lines, '{"i": ']))
    careful = drop.extract(stream)
    assert len(rejects(drop.root, careful)) == 1 and not rejects(drop.root, fast)
    assert rows(drop.root, careful) == rows(drop.root, fast)
    assert places(careful) == places(fast)


@pytest.mark.parametrize(
    "content", ["oops\nno\n", "5\n[1]\n", b"\x7fELF\x00\x01\n\x00\n"], ids=["text", "values", "binary"]
)
def test_a_file_without_any_object_is_refused(drop, content):
    stream = good(drop)
    drop.write("a.ndjson", content)
    with pytest.raises(DataError) as caught:
        drop.extract(stream)
    assert caught.value.code == "json_malformed"
    assert "a.ndjson" in drop.connector.discover()[0].warnings[0]


@pytest.mark.parametrize("bad", ["oops", '{"a": ', "5", '{"a": "x'], ids=["word", "cut", "number", "text"])
def test_columns_are_found_beside_a_line_that_is_no_json(drop, bad):
    # More lines that break off than brackets may stand in brackets.
    lines = (
        '{"a": 12345678901234567890123, "d": "2024-01-31"}\n'
        + (bad + "\n") * 150
        + '{"a": 2, "d": "2024-02-01", "c": "x"}\n'
    )
    drop.write("a.ndjson", lines)
    stream = drop.stream()
    assert [(each.name, each.type) for each in stream.columns] == [
        ("a", "DECIMAL(38,0)"),
        ("d", "DATE"),
        ("c", "VARCHAR"),
    ]
    for positions in (True, False):
        result = drop.extract(stream, positions=positions)
        assert len(rows(drop.root, result)) == 2
        assert [(row, raw) for _, row, _, raw in rejects(drop.root, result)] == [(n, bad) for n in range(2, 152)]


def test_one_column_takes_no_whole_line_for_its_value(drop):
    drop.write("a.ndjson", '{"b": "x"}\n')
    stream = drop.stream()
    drop.write("a.ndjson", '{"b": "x"}\n[7]\n')
    result = drop.extract(stream)
    assert rows(drop.root, result) == [("x",)]
    assert rejects(drop.root, result) == [("a.ndjson", 2, "is no JSON object", "[7]")]


def test_a_byte_order_mark_is_no_part_of_the_first_line(drop):
    drop.write("a.ndjson", b'\xef\xbb\xbf{"a": 1, "b": "x"}\n')
    stream = drop.stream()
    drop.write("a.ndjson", b'\xef\xbb\xbf{"a": 1, "b": "\xc3\xbc"}\noops\n{"a": 2, "b": "y"}\n')
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(1, "ü"), (2, "y")]
    assert [(row, raw) for _, row, _, raw in rejects(drop.root, result)] == [(2, "oops")]
