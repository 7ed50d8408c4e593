"""Sources and streams where their readers are known: neither goes while a published pipeline reads it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.pipelines import lag, queries
from apps.pipelines.api.shapes import Shape
from apps.sources import api as sources
from apps.sources.models import Source


class Readers:
    """Answers the question that the endpoints of sources hand down."""

    def readers(self, source: Source, stream: str | None = None) -> list[str]:
        return queries.readers_of(source, stream)


class SourceViewSet(Readers, sources.SourceViewSet):
    __doc__ = sources.SourceViewSet.__doc__


class PartitionLagShape(Shape):
    partition = s.CharField(allow_blank=True)
    upper = s.CharField(allow_null=True, help_text="The offset up to which all is loaded; null: nothing is.")
    behind = s.IntegerField()


class ReaderLagShape(Shape):
    pipeline = s.CharField()
    step = s.CharField()
    behind = s.IntegerField(help_text="So many messages wait to be loaded.")
    gone = s.IntegerField(help_text="So many were no longer there when they were to be read.")
    loaded_at = s.DateTimeField(allow_null=True)
    messages_per_s = s.FloatField(allow_null=True, help_text="As the newest run has read them.")
    partitions = PartitionLagShape(many=True)


class LagShape(Shape):
    stream = s.CharField()
    messages = s.IntegerField(help_text="So many it holds now.")
    readers = ReaderLagShape(many=True)


class StreamViewSet(Readers, sources.StreamViewSet):
    __doc__ = sources.StreamViewSet.__doc__
    action_needed = {**sources.StreamViewSet.action_needed, "lag": "see"}
    only_for_some = ("lag",)

    @extend_schema(responses=LagShape)
    @action(detail=True, pagination_class=None)
    def lag(self, request: Request, **_: Any) -> Response:
        """How far behind the pipelines are that read it, asked of the source now; 409 where it holds no messages."""
        return Response(LagShape(lag.lag_of(self.get_object())).data)


urlpatterns = sources.routes(SourceViewSet, StreamViewSet)
