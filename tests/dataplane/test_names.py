"""What becomes of titles in other alphabets, marks and lengths."""

from __future__ import annotations

import pytest

from dataplane.names import slug_of


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Orders, a file a month", "orders-a-file-a-month"),
        ("Übersicht der Umsätze", "ubersicht-der-umsatze"),
        ("Straße & Łódź", "strasse-lodz"),
        ("Ｏｒｄｅｒｓ ２", "orders-2"),
        ("注文 2026", "2026"),
        ("注文", ""),
        ("--", ""),
    ],
)
def test_a_title_becomes_a_slug(title: str, slug: str) -> None:
    assert slug_of(title) == slug


def test_a_long_one_ends_in_no_hyphen() -> None:
    assert slug_of("a" * 62 + " b") == "a" * 62
    assert slug_of("a b c", 4) == "a-b"
