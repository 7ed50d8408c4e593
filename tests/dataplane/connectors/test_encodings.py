"""The encoding of a few bytes: none of an alphabet that its letters are not from."""

from __future__ import annotations

import pytest

from dataplane.connectors.files.encodings import encoding_of


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        ("id,city\n1,Köln\n", "latin-1", "cp1252"),
        ("a;b\n1;é\n", "latin-1", "cp1252"),
        ("Größe;Maß\n1;2\n", "cp1252", "cp1252"),
        ("id;city\n1;Москва\n2;Киев\n3;Новосибирск\n", "cp1251", "cp1251"),
        ("品名;数量\nりんご;3\n", "shift_jis", "cp932"),
        ("id,name\n1,テスト\n2,データ\n", "shift_jis", "cp932"),
        ("商品;數量\n蘋果;3\n", "big5", "big5"),
        ("id,city\n" + "1,Bonn\n" * 10_000 + "2,ÄÖÜ\n", "latin-1", "cp1252"),
        ("id,city\n1,Köln\n", "utf-8", "utf-8"),
    ],
    ids=["umlaut", "accent", "two", "cyrillic", "japanese", "katakana", "chinese", "late", "utf-8"],
)
def test_few_bytes_tell_the_encoding(text: str, written: str, found: str) -> None:
    assert encoding_of(text.encode(written)) == found
