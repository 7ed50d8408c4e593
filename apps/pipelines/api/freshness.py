"""Freshness: by when datasets have to be loaded again, and which are late."""

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
from apps.pipelines.models import Freshness
from apps.pipelines.schedules import clock
from apps.pipelines.states import FRESHNESS
from apps.snapshots.models import Dataset

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
    dataset = s.CharField()
    expected = ExpectedBody()
    says = s.CharField()
    state = s.ChoiceField(FRESHNESS)
    due_at = s.DateTimeField(allow_null=True, help_text="When the next load is, or was, due.")
    stale_at = s.DateTimeField(allow_null=True)
    loaded_at = s.DateTimeField(allow_null=True)


class FreshnessViewSet(ProjectViewSet):
    """What is expected of each dataset, and whether it came in time."""

    model = Freshness
    serializer_class = FreshnessShape
    filter_backends = ()
    orderings: ClassVar[dict[str, tuple[str, ...]]] = {"dataset": ("dataset__slug", "id")}

    @extend_schema(responses=FreshnessShape(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page, now = self.paginate_queryset(freshness.with_arrival(self.get_queryset())), clock()
        return self.get_paginated_response([freshness.freshness_json(each, now) for each in page or ()])


class DatasetFreshnessViewSet(ProjectViewSet):
    """What is expected of one dataset."""

    model = Dataset
    serializer_class = FreshnessShape
    filter_backends = ()
    action_needed: ClassVar[dict[str, Any]] = {"update": "manage", "destroy": "manage"}

    def get_queryset(self) -> QuerySet[Dataset]:
        return super().get_queryset().filter(hidden=False)

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(self._shown(self.get_object()))

    @extend_schema(request=ExpectedBody)
    def update(self, request: Request, **kwargs: Any) -> Response:
        """Expect it to be loaded in time; this takes the place of what was expected before."""
        dataset = self.get_object()
        freshness.expect(dataset, checked(ExpectedBody, request), actor=self.actor)
        return Response(self._shown(dataset))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Expect nothing of it any more."""
        freshness.expect_nothing(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _shown(self, dataset: Dataset) -> dict[str, Any]:
        row = freshness.with_arrival(Freshness.objects.filter(dataset=dataset)).first()
        if row is None:
            raise Http404(f"Nothing is expected of the dataset `{dataset.slug}`. Say what with PUT.")
        return freshness.freshness_json(row, clock())


urlpatterns = [
    *project_router(freshness=FreshnessViewSet).urls,
    re_path(
        r"^projects/(?P<project>[a-z0-9-]+)/datasets/(?P<slug>[a-z0-9-]+)/freshness/$",
        DatasetFreshnessViewSet.as_view({"get": "retrieve", "put": "update", "delete": "destroy"}),
    ),
]
