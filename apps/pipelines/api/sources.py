"""Sources and streams where their readers are known: neither goes while a published pipeline reads it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet, project_router
from apps.pipelines import cards, lag, queries
from apps.pipelines.api.shapes import Shape
from apps.pipelines.schedules import clock
from apps.sources import api as sources
from apps.sources.models import Health, Source


class Readers:
    """Answers the question that the endpoints of sources hand down."""

    def readers(self, source: Source, stream: str | None = None) -> list[str]:
        return queries.readers_of(source, stream)


class LastReadShape(Shape):
    at = s.DateTimeField()
    state = s.CharField()
    rows = s.IntegerField()
    seconds = s.FloatField()


class FigureShape(Shape):
    name = s.CharField()
    value = s.JSONField(allow_null=True, help_text="A number, a time, or a text; null: nobody knows.")
    bad = s.BooleanField(help_text="Somebody should look at it.")


class CardShape(Shape):
    slug = s.CharField()
    connector = s.CharField()
    health = s.ChoiceField(Health.choices)
    health_reason = s.CharField(allow_blank=True)
    figures = FigureShape(many=True, help_text="Those that matter for its kind.")
    last_read = LastReadShape(allow_null=True)
    next_read_at = s.DateTimeField(allow_null=True, help_text="When a schedule reads it next.")
    changed_streams = s.IntegerField(help_text="Streams whose columns have changed and nobody has looked yet.")
    late_streams = s.ListField(child=s.CharField(), help_text="Streams of which no new rows came in time.")


class SourceViewSet(Readers, sources.SourceViewSet):
    __doc__ = sources.SourceViewSet.__doc__
    action_needed = {**sources.SourceViewSet.action_needed, "card": "see"}

    @extend_schema(responses=CardShape)
    @action(detail=True, pagination_class=None)
    def card(self, request: Request, **_: Any) -> Response:
        """The figures that matter for its kind, when it was read last, and when it is read next."""
        (found,) = cards.cards(Source.objects.filter(pk=self.get_object().pk), self.project, clock())
        return Response(CardShape(found.as_json()).data)


class CardViewSet(ProjectViewSet):
    """The card of every source."""

    model = Source
    serializer_class = CardShape
    filterset_class = sources.SourceFilter
    orderings = {"slug": ("slug", "id")}

    @extend_schema(responses=CardShape(many=True))
    def list(self, request: Request, **_: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        found = cards.cards(Source.objects.filter(pk__in=[each.pk for each in page]), self.project, clock())
        return self.get_paginated_response(CardShape([each.as_json() for each in found], many=True).data)


class PartitionLagShape(Shape):
    partition = s.CharField(allow_blank=True)
    upper = s.CharField(allow_null=True, help_text="The offset up to which all is loaded; null: nothing is.")
    behind = s.IntegerField()


class ReaderLagShape(Shape):
    pipeline = s.CharField()
    step = s.CharField()
    behind = s.IntegerField(help_text="So many messages wait to be loaded.")
    at_least = s.BooleanField(help_text="More than `behind` may wait: counting them takes too long.")
    gone = s.IntegerField(help_text="So many were no longer there when they were to be read.")
    waiting_since = s.DateTimeField(
        allow_null=True, help_text="When the oldest of them was sent, of the twenty partitions in which most wait."
    )
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


urlpatterns = [*sources.routes(SourceViewSet, StreamViewSet), *project_router(cards=CardViewSet).urls]
