"""Bodies and keys of requests, checked."""

from __future__ import annotations

import re
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.serializers import Serializer

_KEY = re.compile(r"[\x21-\x7e]{1,150}")


def body(shape: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """The body of a request in this shape. Raises ValidationError, which names the field."""
    serializer = shape(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def trigger_key(request: Request) -> str | None:
    """The key under which a repeated request starts nothing new; None when none was sent."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        raise ValidationError({"Idempotency-Key": ["Send 1 to 150 visible ASCII characters without spaces."]})
    return f"request:{given}"
