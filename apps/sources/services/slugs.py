"""What a slug may look like."""

from __future__ import annotations

import re

from apps.sources.parameters import InvalidFields

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def check_slug(slug: str) -> None:
    """Raises InvalidFields."""
    if len(slug) > 63 or not _SLUG.fullmatch(slug):
        raise InvalidFields({"slug": ["Use up to 63 small letters, digits and hyphens, such as reference-db."]})
