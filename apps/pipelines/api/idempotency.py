"""The key that makes a repeated request harmless."""

from __future__ import annotations

import re

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

_KEY = re.compile(r"[\x21-\x7e]{1,150}")


def trigger_key(request: Request) -> str | None:
    """The key under which a repeated request starts nothing new; None when none was sent."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        raise ValidationError({"Idempotency-Key": ["Send 1 to 150 visible ASCII characters without spaces."]})
    return f"request:{given}"
