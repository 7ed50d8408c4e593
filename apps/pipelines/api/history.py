"""The ingestion history: what became of the rows of each stream in each run, as a list and as one file."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework import serializers as s
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.routers import SimpleRouter

from apps.accounts.api_base import ProjectViewSet, project_router
from apps.audit.export import as_csv
from apps.pipelines.api import shapes
from apps.pipelines.models import Ingestion
from apps.pipelines.states import INGESTION
from apps.sources.models import Source

COLUMNS = {
    "id": "id",
    "at": "at",
    "source": "source_slug",
    "stream": "stream",
    "pipeline": "run__pipeline__slug",
    "run": "run_id",
    "step": "step_key",
    "state": "state",
    "fetched": "fetched",
    "inserted": "inserted",
    "updated": "updated",
    "skipped": "skipped",
    "quarantined": "quarantined",
    "used": "used",
    "bytes": "bytes",
    "calls": "calls",
    "stored": "stored",
    "seconds": "seconds",
    "error": "error__message",
}
"""The columns of the file, and where each value stands."""


class IngestionFilter(filters.FilterSet):
    """`since` and `until` are times; `rows_…` bound what was fetched, `bytes_…` its size."""

    source = filters.CharFilter(field_name="source_slug")
    stream = filters.CharFilter()
    pipeline = filters.CharFilter(field_name="run__pipeline__slug")
    run = filters.UUIDFilter(field_name="run_id")
    state = filters.MultipleChoiceFilter(choices=[(each, each) for each in INGESTION])
    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")
    rows_min = filters.NumberFilter(field_name="fetched", lookup_expr="gte", min_value=0)
    rows_max = filters.NumberFilter(field_name="fetched", lookup_expr="lte", min_value=0)
    bytes_min = filters.NumberFilter(field_name="bytes", lookup_expr="gte", min_value=0)
    bytes_max = filters.NumberFilter(field_name="bytes", lookup_expr="lte", min_value=0)

    class Meta:
        model = Ingestion
        fields: list[str] = []


class LoadedShape(shapes.Shape):
    step = s.CharField()
    to = s.CharField(help_text="A dataset, or destination/table.")
    status = s.CharField(help_text="`loaded`, why there was nothing to load, or the state in which the step ended.")
    inserted = s.IntegerField()
    updated = s.IntegerField()
    skipped = s.IntegerField()


class IngestionShape(s.ModelSerializer[Ingestion]):
    """A stream in a run. What succeeded adds up: fetched = inserted + updated + skipped + quarantined + used."""

    source = s.CharField(source="source_slug")  # type: ignore[assignment]  # a field, beside the attribute of all fields
    pipeline = s.CharField(source="run.pipeline.slug")
    step = s.CharField(source="step_key")
    state = s.ChoiceField(INGESTION)
    loads = LoadedShape(many=True)

    class Meta:
        model = Ingestion
        fields = ["id", "at", "source", "stream", "pipeline", "run", "step", "state", "fetched", "inserted", "updated"]
        fields += ["skipped", "quarantined", "used", "bytes", "calls", "stored", "seconds", "error", "loads"]
        read_only_fields = fields


def exported(rows: QuerySet[Ingestion], name: str) -> StreamingHttpResponse:
    """These rows as a CSV file that is written while it is sent."""
    headers = {"Content-Disposition": f'attachment; filename="history-{name}.csv"'}
    return StreamingHttpResponse(as_csv(rows, COLUMNS), content_type="text/csv; charset=utf-8", headers=headers)


class HistoryViewSet(mixins.ListModelMixin, ProjectViewSet):
    """What became of the rows of each stream in each run, the newest first."""

    model = Ingestion
    serializer_class = IngestionShape
    filterset_class = IngestionFilter
    orderings = {"-id": ("-id",)}
    action_needed = {"export": "see"}

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("run__pipeline")

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.BINARY})
    @action(detail=False, methods=["get"], pagination_class=None)
    def export(self, request: Request, **kwargs: Any) -> StreamingHttpResponse:
        """All that fits, as CSV. Cells that would be formulas are made harmless."""
        return exported(self.filter_queryset(self.get_queryset()), self.kwargs.get("source", self.project.slug))


class SourceHistoryViewSet(HistoryViewSet):
    """What became of the rows of each stream of a source in each run, the newest first."""

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        if self.schema_only:
            return rows
        visible = Source.objects.visible_to(self.user, self.needed).filter(project=self.project)
        return rows.filter(source=self.row(visible, slug=self.kwargs["source"]).pk)


_of_sources = SimpleRouter()
_of_sources.register(
    r"projects/(?P<project>[a-z0-9-]+)/sources/(?P<source>[a-z0-9-]+)/history",
    SourceHistoryViewSet,
    basename="project-source-history",
)
urlpatterns = [*project_router(history=HistoryViewSet).urls, *_of_sources.urls]
