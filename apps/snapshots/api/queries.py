"""`/queries/`: read-only SQL over the project's datasets."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet
from apps.snapshots import services
from apps.snapshots.api import shapes
from apps.snapshots.models import Dataset
from apps.sources.shapes import QueryShape


class QueryViewSet(ProjectViewSet):
    """A query is run at once and kept nowhere but in the audit log."""

    model = Dataset
    serializer_class = shapes.QueryBody
    action_needed: ClassVar[dict[str, Any]] = {"create": "read"}

    @extend_schema(request=shapes.QueryBody, responses={200: QueryShape})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Answer one SELECT. A dataset goes by its slug, an older snapshot by `"slug@number"`."""
        given = shapes.QueryBody(data=request.data)
        given.is_valid(raise_exception=True)
        result = services.run_sql(self.project, given.validated_data["sql"], user=request.user, actor=self.actor)
        return Response(result.as_json())
