"""Rules that several services hold: what a slug may look like, and that nothing goes that is still used."""

from __future__ import annotations

import re
from collections.abc import Sequence

from apps.audit.refusals import Conflict
from apps.sources.parameters import InvalidFields
from dataplane.drift import POLICIES

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def check_slug(slug: str) -> None:
    """Raises InvalidFields."""
    if len(slug) > 63 or not _SLUG.fullmatch(slug):
        raise InvalidFields({"slug": ["Use up to 63 small letters, digits and hyphens, such as reference-db."]})


def check_policy(drift: str) -> None:
    """Raises InvalidFields."""
    if drift not in POLICIES:
        raise InvalidFields({"drift": [f"Say one of {', '.join(POLICIES)}."]})


def refuse_used(what: str, used_by: Sequence[str]) -> None:
    """Raises Conflict when there is a user left."""
    if used_by:
        names = ", ".join(used_by[:5])
        raise Conflict(
            f"{what} is used by {names}. Take it out there first.", code="in_use", evidence={"used_by": used_by}
        )
