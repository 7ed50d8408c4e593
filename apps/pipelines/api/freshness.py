"""Freshness: by when datasets and streams have to be loaded again, and which are late."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import Http404
from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet, project_router
from apps.audit.bodies import checked
from apps.pipelines import freshness
from apps.pipelines.api import shapes
from apps.pipelines.freshness import Subject
from apps.pipelines.models import Freshness
from apps.pipelines.schedules import clock
from apps.pipelines.states import FRESHNESS
from apps.snapshots.models import Dataset
from apps.sources.api_base import NAME, InSource
from apps.sources.models import Stream

_LONGEST = 366 * 86_400


class ExpectedBody(shapes.Shape):
    """Either `by` a time of day, or never older than `max_age`."""

    by = s.CharField(required=False, max_length=5, help_text="A time of day: 09:00.")
    timezone = s.CharField(required=False, max_length=100, help_text="The zone of `by`; UTC unless given.")
    business_days = s.BooleanField(required=False, help_text="Not on Saturdays and Sundays.")
    holidays = s.CharField(required=False, max_length=10, help_text="Not on holidays of a country: DE, US, DE-BY.")
    window = s.IntegerField(
        required=False,
        min_value=60,
        max_value=_LONGEST,
        help_text="Only what is loaded so many seconds before `by`, or later, counts; unless given, that day's.",
    )
    max_age = s.IntegerField(required=False, min_value=60, max_value=_LONGEST, help_text="Seconds.")
    grace = s.IntegerField(
        required=False,
        min_value=60,
        max_value=_LONGEST,
        help_text="Seconds after which late is stale; unless given a day, or `max_age` once more.",
    )


class FreshnessShape(shapes.Shape):
    name = s.CharField(help_text="The dataset, or `source/stream`.")
    dataset = s.CharField(allow_null=True, help_text="Null: it is expected of a stream.")
    source = s.CharField(allow_null=True)  # type: ignore[assignment]  # a field
    stream = s.CharField(allow_null=True)
    expected = ExpectedBody()
    says = s.CharField()
    state = s.ChoiceField(FRESHNESS)
    due_at = s.DateTimeField(allow_null=True, help_text="When the next load is, or was, due.")
    stale_at = s.DateTimeField(allow_null=True)
    loaded_at = s.DateTimeField(
        allow_null=True, help_text="Of a stream: when the last run ended that read new rows of it and loaded them."
    )


class FreshnessViewSet(ProjectViewSet):
    """What is expected of datasets and streams, and whether it came in time."""

    model = Freshness
    serializer_class = FreshnessShape
    filter_backends = ()
    orderings: ClassVar[dict[str, tuple[str, ...]]] = {"name": ("name", "id")}

    @extend_schema(responses=FreshnessShape(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page, now = self.paginate_queryset(freshness.with_arrival(self.get_queryset())), clock()
        return self.get_paginated_response([freshness.freshness_json(each, now) for each in page or ()])


class OneFreshnessViewSet(ProjectViewSet):
    """What is expected of one dataset or stream."""

    serializer_class = FreshnessShape
    filter_backends = ()
    action_needed: ClassVar[dict[str, Any]] = {"update": "manage", "destroy": "manage"}

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(self._shown(self.get_object()))

    @extend_schema(request=ExpectedBody)
    def update(self, request: Request, **kwargs: Any) -> Response:
        """Expect it to be loaded in time; this takes the place of what was expected before."""
        subject = self.get_object()
        freshness.expect(subject, checked(ExpectedBody, request), actor=self.actor)
        return Response(self._shown(subject))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Expect nothing of it any more."""
        freshness.expect_nothing(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _shown(self, subject: Subject) -> dict[str, Any]:
        shown = freshness.shown_of(subject, clock())
        if shown is None:
            raise Http404(f"Nothing is expected of the {freshness.kind_of(subject)} `{subject}`. Say what with PUT.")
        return shown


class DatasetFreshnessViewSet(OneFreshnessViewSet):
    """What is expected of one dataset."""

    model = Dataset

    def get_queryset(self) -> QuerySet[Dataset]:
        return super().get_queryset().filter(hidden=False)


class StreamFreshnessViewSet(OneFreshnessViewSet, InSource):
    """What is expected of one stream of a source: that a run reads new rows of it, wherever they are loaded."""

    model = Stream
    lookup_field = "name"

    def get_queryset(self) -> QuerySet[Stream]:
        if self.schema_only:
            return Stream.objects.none()
        return super().get_queryset().filter(source=self.source_or_404()).select_related("source")


_ONE: dict[str, Any] = {"get": "retrieve", "put": "update", "delete": "destroy"}
_IN_PROJECT = r"^projects/(?P<project>[a-z0-9-]+)/"
urlpatterns = [
    *project_router(freshness=FreshnessViewSet).urls,
    re_path(_IN_PROJECT + r"datasets/(?P<slug>[a-z0-9-]+)/freshness/$", DatasetFreshnessViewSet.as_view(_ONE)),
    re_path(
        _IN_PROJECT + rf"sources/(?P<source>[a-z0-9-]+)/streams/(?P<name>{NAME})/freshness/$",
        StreamFreshnessViewSet.as_view(_ONE),
    ),
]
