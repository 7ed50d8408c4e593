"""Names that are made of what somebody has written: titles of sources, names of streams."""

from __future__ import annotations

import re
import unicodedata

# Letters that Unicode takes for letters of their own, not for one with a mark.
_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i"})


def slug_of(title: str, longest: int = 63) -> str:
    """Small letters, digits and hyphens: `Übersicht 2026` is `ubersicht-2026`. Empty where nothing is left."""
    parted = unicodedata.normalize("NFKD", title.casefold().translate(_LETTERS))
    plain = "".join(each for each in parted if not unicodedata.combining(each))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:longest].strip("-")
