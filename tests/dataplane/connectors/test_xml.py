"""XML files: records at a path become rows in bounded memory, and nothing is taken that a document defines itself."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.connectors.files.elements import LARGEST
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.records import Records, guessed
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, ManifoldError
from tests.dataplane.steps.files_source import Drop, rejects, rows, typed

ORDERS = """<?xml version="1.0" encoding="{encoding}"?>
<!-- written at night -->
<s:orders xmlns:s="urn:shop" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <s:order id="1" day="2013-01-01">
    <customer id="7"><name>Ann Müller</name><address><city>Köln</city></address></customer>
    <total>12.50</total><tag>a</tag><tag>b &amp; c</tag><note><![CDATA[<new> "x"]]></note>
  </s:order>
  <s:order id="2" day="2013-01-02"><customer id="8"><name>Bob</name></customer><total>7.20</total><tag/></s:order>
  <s:order id="3" day="2013-01-03"><total>0.99</total></s:order>
</s:orders>
"""


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def written(encoding: str = "utf-8") -> bytes:
    return ORDERS.format(encoding=encoding).encode(encoding)


def declared(*names: str, records: str = "r/row", **more: Any) -> StreamConfig:
    columns = tuple(Column(each, "VARCHAR") for each in names or ("a",))
    return StreamConfig("a", {"pattern": ["*"], "format": "xml", "records": records, **more}, columns)


def refused(drop: Drop, content: str | bytes, stream: StreamConfig | None = None) -> ManifoldError:
    drop.write("a.xml", content)
    with pytest.raises(ManifoldError) as caught:
        drop.extract(stream or declared())
    assert "a.xml" in caught.value.message
    return caught.value


def test_records_are_guessed_and_their_values_become_typed_columns(drop: Drop) -> None:
    drop.write("orders.xml", written())
    stream = drop.stream()
    assert (stream.settings["records"], stream.settings["repeated"]) == ("orders/order", ["tag"])
    assert [(each.name, each.type) for each in stream.columns] == [
        ("id", "BIGINT"),
        ("day", "DATE"),
        ("customer_id", "BIGINT"),
        ("customer_name", "VARCHAR"),
        ("customer_address", "VARCHAR"),
        ("total", "DECIMAL(15,2)"),
        ("tag", "VARCHAR"),
        ("note", "VARCHAR"),
    ]
    found = rows(drop.root, drop.extract(stream))
    assert [(row[0], str(row[1]), *row[2:4], row[5]) for row in found] == [
        (1, "2013-01-01", 7, "Ann Müller", Decimal("12.50")),
        (2, "2013-01-02", 8, "Bob", Decimal("7.20")),
        (3, "2013-01-03", None, None, Decimal("0.99")),
    ]
    assert [row[6:] for row in found] == [('["a","b & c"]', '<new> "x"'), ('[""]', None), (None, None)]
    assert [row[4] and json.loads(row[4]) for row in found] == [{"city": "Köln"}, None, None]
    assert drop.connector.preview(stream).num_rows == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "shift_jis"])
@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
def test_the_encoding_that_a_file_declares_is_read(drop: Drop, encoding: str, packed: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?><r><row a="é"/><row a="2"/></r>'
    if encoding == "shift_jis":
        text = text.replace("é", "日")
    content = text.encode(encoding)
    if packed == ".gz":
        content = gzip.compress(content, mtime=0)
    elif packed:
        content = pa.compress(content, codec="zstd", asbytes=True)
    drop.write(f"a.xml{packed}", content)
    assert [row[0] for row in rows(drop.root, drop.extract(drop.stream()))] == ["日" if "jis" in encoding else "é", "2"]


def test_a_chosen_encoding_overrules_what_the_file_declares(drop: Drop) -> None:
    wrong = '<?xml version="1.0" encoding="utf-8"?><r><row><a>Müller</a></row></r>'.encode("cp1252")
    assert refused(drop, wrong).code == "encoding"
    assert rows(drop.root, drop.extract(declared(encoding="cp1252"))) == [("Müller",)]


def test_what_does_not_fit_is_set_aside_with_the_number_of_its_record(drop: Drop) -> None:
    drop.write("a.xml", ORDERS.format(encoding="utf-8").replace("7.20", "much").replace("2013-01-03", "2013-02-30"))
    stream = typed(drop.stream(), total="DECIMAL(15,2)", day="DATE")
    result = drop.extract(stream)
    assert [row[0] for row in rows(drop.root, result)] == [1]
    assert [(row, reason) for _, row, reason, _ in rejects(drop.root, result)] == [
        (2, "total is not DECIMAL(15,2)"),
        (3, "day is not DATE"),
    ]


def test_names_that_two_values_want_stay_apart(drop: Drop) -> None:
    drop.write("a.xml", '<r><row id="1"><id>2</id><p><q>3</q></p><p_q>4</p_q>t</row><row id="5"/></r>')
    stream = drop.stream()
    found = rows(drop.root, drop.extract(stream))
    assert dict(zip([each.name for each in stream.columns], found[0], strict=True)) == {
        "@id": 1, "id": 2, "p/q": 3, "p_q": 4, "text": "t",
    }  # fmt: skip
    assert refused(drop, '<r><row id="1"><id>2</id></row></r>', declared("id")).code == "xml_ambiguous"
    assert refused(drop, "<r><row><id>2</id><ID>3</ID></row></r>", declared("id")).code == "xml_ambiguous"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("<o><row/><row/></o>", "o/row"),
        ("<o><row><l/><l/><l/></row><row><l/><l/></row></o>", "o/row"),
        ("<o><h><p/><p/></h><b><row><x/><y/></row><row><x/><y/></row></b></o>", "o/b/row"),
        ("<o><row><x/></row></o>", "o/row"),
        ("<o><x>1</x><y>2</y></o>", "o"),
        ("<o/>", "o"),
    ],
)
def test_the_outermost_element_that_repeats_is_the_record(tmp_path: Path, document: str, path: str) -> None:
    (tmp_path / "a.xml").write_text(document)
    assert "/".join(guessed(Found("a.xml", str(tmp_path / "a.xml"), 1, 1), "utf-8")) == path


def test_a_file_without_records_is_empty_and_one_with_others_is_refused(drop: Drop) -> None:
    drop.write("a.xml", "<r><made>today</made></r>")
    result = drop.extract(declared())
    assert rows(drop.root, result) == [] and "has no rows" in " ".join(result.facts["warnings"])
    assert refused(drop, "<error>down</error>").code == "records_missing"
    assert refused(drop, "<r><row><z>1</z></row></r>").code == "records_differ"
    with pytest.raises(ConfigurationError) as caught:
        drop.extract(declared(records=""))
    assert "such as r/row" in caught.value.message


@pytest.mark.parametrize("wrong", ["a b", "a//b", "a/@id", "//row[1]='x'"])
def test_a_path_that_is_none_is_told(drop: Drop, wrong: str) -> None:
    drop.write("a.xml", "<r><row/></r>")
    with pytest.raises(ConfigurationError) as caught:
        drop.extract(declared(records=wrong))
    assert "is no path of elements" in caught.value.message


LAUGHS = '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><r><row><a>&b;</a></row></r>'
OUTSIDE = '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/hostname">]><r><row><a>&a;</a></row></r>'
PARAMETER = '<!DOCTYPE r [<!ENTITY % a SYSTEM "http://127.0.0.1:1/x"> %a;]><r><row><a>1</a></row></r>'


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (LAUGHS, "xml_doctype"),
        (OUTSIDE, "xml_doctype"),
        (PARAMETER, "xml_doctype"),
        ('<!DOCTYPE r SYSTEM "x.dtd"><r/>', "xml_doctype"),
        ("<r><row><a>&b;</a></row></r>", "xml_malformed"),
        ("<r><row>" + "<a>" * 200 + "</a>" * 200 + "</row></r>", "xml_nested"),
        ("<a>" * 100_000, "xml_nested"),
        ("<r><row><a>1</a></row>", "xml_malformed"),
        ("<r><row><a>1</row></a></r>", "xml_malformed"),
        ("<r/><r/>", "xml_malformed"),
        ("id,a\n1,2\n", "xml_malformed"),
        (b"<r><row><a>\xff</a></row></r>", "encoding"),
        ('<?xml version="1.0" encoding="klingon"?><r/>', "encoding"),
        (" \n ", "file_empty"),
        (gzip.compress(b"<r><row><a>1</a></row></r>", mtime=0)[:-12], "file_damaged"),
        ("<r><row>" + "".join(f"<c{at}/>" for at in range(2_001)) + "</row></r>", "too_many_columns"),
        ("<r>" + "".join(f"<c{at}/>" for at in range(10_001)) + "</r>", "xml_names"),
    ],
    ids=lambda value: None if isinstance(value, (str, bytes)) and len(value) > 20 else value,
)
def test_hostile_files_are_refused(drop: Drop, content: str | bytes, code: str) -> None:
    assert refused(drop, content).code == code


@pytest.mark.parametrize(
    "begin",
    [b"<r><row><a>", b"<r><row><a b='", b"<r><!--", b"<r><row><a><![CDATA[", b"<r "],
    ids=["text", "attribute", "comment", "cdata", "tag"],
)
def test_what_never_ends_is_refused_before_it_fills_memory(drop: Drop, begin: bytes) -> None:
    endless = gzip.compress(begin, mtime=0) + gzip.compress(b"x" * 1_000_000, mtime=0) * 100
    tracemalloc.start()
    try:
        assert refused(drop, endless).code == "xml_too_large"
        assert tracemalloc.get_traced_memory()[1] < 8 * LARGEST
    finally:
        tracemalloc.stop()


def test_a_break_in_the_middle_names_its_line_and_leaves_nothing_read(drop: Drop) -> None:
    whole = "\n".join(["<r>", *(f"<row><a>{at}</a></row>" for at in range(20_000)), "</r>"])
    error = refused(drop, whole.replace("<a>15000</a>", "<a>15000</b>"))
    assert error.code == "xml_malformed" and "line 15,002" in error.message
    drop.write("a.xml", whole)
    assert [int(row[0]) for row in rows(drop.root, drop.extract(declared()))] == list(range(20_000))


def test_a_new_element_is_noticed_and_one_that_is_not_there_has_not_gone(drop: Drop) -> None:
    drop.write("a1.xml", '<r><row id="1"><a>x</a></row><row id="2"/></r>')
    stream = drop.stream()
    drop.write("a2.xml", '<r><row id="3"><b>2013-01-01</b></row><row id="4"/></r>')
    window = drop.plan(stream).window
    assert window is not None and [each.path for each in window.files] == ["a1.xml", "a2.xml"]
    now = drop.connector.columns_now(stream, window.files)
    assert now is not None
    assert [(each.name, each.type) for each in now] == [("id", "BIGINT"), ("a", "VARCHAR"), ("b", "DATE")]
    result = drop.extract(stream, window)
    assert rows(drop.root, result) == [(1, "x"), (2, None), (3, None), (4, None)]
    assert "does not declare: b" in " ".join(result.facts["warnings"])


def test_the_copies_of_files_make_room_when_they_were_read(drop: Drop) -> None:
    for each in "abc":
        drop.write(f"{each}.xml", f"<r><row><a>{each}</a></row></r>")
    window = drop.plan(declared()).window
    assert window is not None
    spill = drop.root / "spill"
    left = []
    with (
        connector_instance(memory=256 << 20, spill=str(spill)) as connection,
        drop.connector.read(declared(), window, connection) as reading,
    ):
        for part in reading.in_parts():
            left.append(len(list(spill.rglob("*.ndjson"))))
            assert part.release is not None
            part.release()
    # While a file is handed out, the next one is there already: it might have been read together with it.
    assert left == [2, 2, 1]


def test_records_are_handed_out_in_batches(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<r>" + "<row><a>1</a></row>" * 50_000 + "</r>")
    records = Records(Found("a.xml", str(tmp_path / "a.xml"), 1, 1), "utf-8", ("r", "row"))
    sizes = [len(each) for each in records.batches()]
    assert sum(sizes) == records.count == 50_000 and max(sizes) < 30_000


TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cn", "Cc", "Co")), max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_text_arrives_as_it_was_written(tmp_path: Path, values: list[tuple[str, str]]) -> None:
    body = "".join(f"<row k={quoteattr(key)}><a>{escape(text)}</a></row>" for key, text in values)
    (tmp_path / "a.xml").write_text(f"<r>{body}</r>", encoding="utf-8")
    records = Records(Found("a.xml", str(tmp_path / "a.xml"), 1, 1), "utf-8", ("r", "row"))
    found = [row for batch in records.batches() for row in batch]
    assert found == [{"@k": key, "a": text.strip()} for key, text in values]
