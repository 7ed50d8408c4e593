"""`/datasets/{dataset}/snapshots/`: the versions of a dataset, by number."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import AnyFormat, ProjectViewSet
from apps.snapshots import queries, services
from apps.snapshots.api import shapes
from apps.snapshots.models import Dataset, Snapshot
from apps.sources.shapes import QueryShape


class SnapshotViewSet(ProjectViewSet):
    """Snapshots of one dataset, the newest first."""

    model = Snapshot
    serializer_class = shapes.Snapshot
    lookup_field = "number"
    lookup_value_regex = "[0-9]{1,9}"
    filter_backends = ()
    orderings: ClassVar[dict[str, tuple[str, ...]]] = {"-number": ("-number",), "number": ("number",)}
    action_needed: ClassVar[dict[str, Any]] = {"preview": "read", "download": "read"}

    def get_queryset(self) -> QuerySet[Snapshot]:
        found = super().get_queryset().select_related("dataset")
        if self.schema_only:
            return found
        visible = Dataset.objects.visible_to(self.request.user, self.needed).filter(project=self.project)
        return found.filter(dataset=self.row(visible, slug=self.kwargs["dataset"]))

    @extend_schema(responses=shapes.Snapshot(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([queries.snapshot_json(each) for each in page or ()])

    @extend_schema(responses=shapes.Snapshot)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(queries.snapshot_json(self.get_object()))

    @extend_schema(parameters=[shapes.PreviewParameters], responses=QueryShape)
    @action(detail=True, methods=["get"])
    def preview(self, request: Request, **kwargs: Any) -> Response:
        """The first rows."""
        given = shapes.PreviewParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        return Response(queries.preview(self.get_object(), given.validated_data["limit"]).as_json())

    @extend_schema(
        parameters=[shapes.DownloadParameters],
        responses=shapes.FILES,
    )
    @action(detail=True, methods=["get"], content_negotiation_class=AnyFormat)
    def download(self, request: Request, **kwargs: Any) -> StreamingHttpResponse:
        """The whole snapshot as one file. In CSV, cells that a spreadsheet would run as formulas are made harmless."""
        given = shapes.DownloadParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        found, form = self.get_object(), given.validated_data["format"]
        opened = services.open_download(found, form, actor=self.actor)
        name = f"{found.dataset.slug}-{found.number}.{form}"
        return StreamingHttpResponse(
            opened,
            content_type=opened.content_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
