"""Lineage: what breaks if a source goes down, and which sources feed a dataset."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet
from apps.pipelines import lineage
from apps.pipelines.api import shapes
from apps.pipelines.schedules import clock
from apps.pipelines.states import FRESHNESS
from apps.snapshots.models import Dataset
from apps.sources.models import Health, Source


class AssetShape(shapes.Shape):
    kind = s.ChoiceField(["stream", "dataset", "table"])
    name = s.CharField()
    source = s.CharField(help_text="Of a stream or table; empty for a dataset.")  # type: ignore[assignment]  # a field


class FlowShape(shapes.Shape):
    pipeline = s.CharField()
    step = s.CharField(help_text="The load.")
    reads = AssetShape(many=True)
    writes = AssetShape()


class ReachedPipeline(shapes.Shape):
    pipeline = s.CharField()
    direct = s.BooleanField(help_text="It reads the source itself, not only what others have loaded from it.")


class ReachedDataset(shapes.Shape):
    dataset = s.CharField()
    rows = s.IntegerField(allow_null=True)
    loaded_at = s.DateTimeField(allow_null=True)
    state = s.ChoiceField(FRESHNESS, allow_null=True, help_text="Null where nothing is expected of it.")
    due_at = s.DateTimeField(allow_null=True, help_text="From then on it is late, unless something is loaded.")


class OutsideTable(shapes.Shape):
    destination = s.CharField()
    table = s.CharField()


class WrittenTable(shapes.Shape):
    table = s.CharField()
    pipeline = s.CharField()
    step = s.CharField()


class RealRead(shapes.Shape):
    pipeline = s.CharField()
    stream = s.CharField()
    to = s.CharField(allow_null=True, help_text="A dataset, or destination/table; null where no load was direct.")
    last_at = s.DateTimeField()
    fetched = s.IntegerField(help_text="Rows in the last 30 days.")


class ImpactShape(shapes.Shape):
    """All that gets no new rows while the source is down."""

    source = s.CharField()  # type: ignore[assignment]  # a field
    health = s.ChoiceField(Health.values)
    pipelines = ReachedPipeline(many=True)
    datasets = ReachedDataset(many=True)
    tables = OutsideTable(many=True)
    written = WrittenTable(many=True, help_text="Its own tables that pipelines load: these loads fail.")
    flows = FlowShape(many=True)
    reads = RealRead(many=True, help_text="What was read of it in the last 30 days, whatever documents say today.")


class FedBy(shapes.Shape):
    source = s.CharField()  # type: ignore[assignment]  # a field
    stream = s.CharField()


class UpstreamShape(shapes.Shape):
    dataset = s.CharField()
    streams = FedBy(many=True)
    flows = FlowShape(many=True)


class ImpactViewSet(ProjectViewSet):
    """What breaks if a source goes down."""

    model = Source
    serializer_class = ImpactShape
    filter_backends = ()

    @extend_schema(responses=ImpactShape)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """The pipelines that read it or write into it, and the datasets and tables that get no new rows."""
        return Response(lineage.impact(self.get_object(), clock()))


class UpstreamViewSet(ProjectViewSet):
    """Which sources feed a dataset."""

    model = Dataset
    serializer_class = UpstreamShape
    filter_backends = ()
    orderings: ClassVar[dict[str, tuple[str, ...]]] = {"slug": ("slug", "id")}

    def get_queryset(self) -> QuerySet[Dataset]:
        return super().get_queryset().filter(hidden=False)

    @extend_schema(responses=UpstreamShape)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """The streams that its rows come from, and the loads on the way."""
        return Response(lineage.feeders(self.get_object()))


_PROJECT = r"^projects/(?P<project>[a-z0-9-]+)"
urlpatterns = [
    re_path(rf"{_PROJECT}/sources/(?P<slug>[a-z0-9-]+)/impact/$", ImpactViewSet.as_view({"get": "retrieve"})),
    re_path(rf"{_PROJECT}/datasets/(?P<slug>[a-z0-9-]+)/upstream/$", UpstreamViewSet.as_view({"get": "retrieve"})),
]
