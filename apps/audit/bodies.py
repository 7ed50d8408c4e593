"""Bodies of requests, checked the same way at every address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.serializers import Serializer


def checked(shape: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """The body of a request as a shape understands it.

    Raises ValidationError, which names the field. A key that the shape does not know is one, too: a word with a letter
    too many would otherwise be as if it had not been said.
    """
    given = shape(data=request.data)
    given.is_valid(raise_exception=True)
    unknown = sorted(set(request.data) - set(given.fields)) if isinstance(request.data, Mapping) else []
    if unknown:
        known = ", ".join(given.fields)
        raise ValidationError({name: [f"Unknown; there are {known}."] for name in unknown})
    return dict(given.validated_data)
