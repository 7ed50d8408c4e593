"""The endpoints that lead to a new source; what they look at is stored only by the last of them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.sources import services
from apps.sources import shapes_adding as s
from apps.sources.shapes import valid


class Adding:
    """What the endpoint of sources offers to whoever adds one."""

    @extend_schema(request=s.DetectBody, responses=s.DetectedShape)
    @action(detail=False, methods=["post"], filter_backends=[], pagination_class=None)
    def detect(self, request: Request, **_: Any) -> Response:
        """Which connector an address, a connection string, a path or a sample is for, and what it tells of it.

        Nothing is asked, stored or logged. Secrets are told by their names only; `POST …/sources/` takes the same
        `text` again and fills them in.
        """
        body = valid(s.DetectBody, request)
        return Response(s.DetectedShape(services.detect(body["text"], sample=body["sample"], name=body["name"])).data)
