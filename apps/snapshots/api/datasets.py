"""`/datasets/`: the named tables of a project."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet
from apps.snapshots import queries
from apps.snapshots.api import shapes
from apps.snapshots.models import Dataset

HIDDEN = OpenApiParameter("hidden", bool, description="List the datasets of rows that were set aside instead.")


class DatasetViewSet(ProjectViewSet):
    """Datasets of a project, by slug."""

    model = Dataset
    serializer_class = shapes.Dataset
    lookup_value_regex = "[a-z0-9.-]+"
    filter_backends = ()
    orderings: ClassVar[dict[str, tuple[str, ...]]] = {"slug": ("slug", "id"), "-slug": ("-slug", "-id")}

    def get_queryset(self) -> QuerySet[Dataset]:
        return queries.with_head(super().get_queryset())

    @extend_schema(parameters=[HIDDEN], responses=shapes.Dataset(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        hidden = request.query_params.get("hidden", "").lower() in ("1", "true")
        page = self.paginate_queryset(self.get_queryset().filter(hidden=hidden))
        return self.get_paginated_response([queries.dataset_json(each) for each in page or ()])

    @extend_schema(responses=shapes.Dataset)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(queries.dataset_json(self.get_object()))
