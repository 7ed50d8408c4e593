"""The endpoints of columns that have changed: looked at, marked as seen, taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet, WholeList
from apps.audit.bodies import checked
from apps.sources import services
from apps.sources import shapes as s
from apps.sources.models import Drift
from apps.sources.shapes_drift import AcceptBody, DriftShape

LAST = 100

if TYPE_CHECKING:
    Base = ProjectViewSet
else:
    Base = object


class SourceDrift(Base):
    """What the endpoint of sources tells of changed columns."""

    @extend_schema(responses=DriftShape(many=True))
    @action(detail=True, filter_backends=[], pagination_class=WholeList)
    def drift(self, request: Request, **_: Any) -> Response:
        """How the columns of its streams have changed, the newest first."""
        rows = Drift.objects.visible_to(request.user).filter(stream__source=self.get_object())
        return self.get_paginated_response(DriftShape(rows.select_related("stream")[:LAST], many=True).data)


class StreamDrift(Base):
    """What the endpoint of streams offers to whoever looks at changed columns."""

    @extend_schema(responses=DriftShape(many=True))
    @action(detail=True, pagination_class=WholeList)
    def drift(self, request: Request, **_: Any) -> Response:
        """How its columns have changed, the newest first."""
        found = self.get_object().drifts.select_related("stream")[:LAST]
        return self.get_paginated_response(DriftShape(found, many=True).data)

    @extend_schema(request=None, responses=DriftShape(many=True))
    @action(detail=True, methods=["post"], pagination_class=WholeList, url_path="drift/seen")
    def drift_seen(self, request: Request, **_: Any) -> Response:
        """Its changes are news no more, so its source is not warned of for them."""
        stream = self.get_object()
        services.mark_seen(stream, actor=self.actor)
        found = stream.drifts.select_related("stream")[:LAST]
        return self.get_paginated_response(DriftShape(found, many=True).data)

    @extend_schema(request=AcceptBody, responses=s.StreamShape)
    @action(detail=True, methods=["post"], url_path=r"drift/(?P<drift>[0-9a-f-]{36})/accept")
    def drift_accept(self, request: Request, drift: str, **_: Any) -> Response:
        """Read the stream as it was found from now on."""
        body = checked(AcceptBody, request)
        if body["remember"]:
            self.require("manage")
        found = self.row(self.get_object().drifts.all(), pk=drift)
        return Response(s.StreamShape(services.accept_drift(found, actor=self.actor, **body)).data)
