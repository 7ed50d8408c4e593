"""The API of files: those that were given to a source, and those that were seen in it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.audit.bodies import checked
from apps.sources import services
from apps.sources import shapes as s
from apps.sources.api_base import NAME, InSource
from apps.sources.models import SourceFile, Upload


class UploadViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, InSource):
    """Files that were given to a source. A file is sent as the plain body of a PUT to its name."""

    model = Upload
    orderings = {"name": ("name", "id")}
    serializer_class = s.UploadShape
    filter_backends = ()
    lookup_field = "name"
    lookup_value_regex = NAME
    action_needed = {"update": "operate", "destroy": "manage"}

    def get_queryset(self) -> QuerySet[Any]:
        if self.schema_only:
            return Upload.objects.none()
        return super().get_queryset().filter(source=self.source_or_404()).select_related("source")

    @extend_schema(request={"application/octet-stream": OpenApiTypes.BINARY}, responses={201: s.UploadShape})
    def update(self, request: Request, name: str, **_: Any) -> Response:
        """Give the source a file: the body is the file as it is. A name that is taken is refused with 409."""
        # The framework's parsers would read the body whole; it is read from the connection, piece by piece.
        given: Any = request._request
        announced = given.META.get("CONTENT_LENGTH") or ""
        length = int(announced) if announced.isdecimal() else None
        kept = services.keep_upload(self.source_or_404(), name=name, body=given, length=length, actor=self.actor)
        return Response(s.UploadShape(kept).data, status.HTTP_201_CREATED)

    def destroy(self, request: Request, **_: Any) -> Response:
        services.remove_upload(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


class FileFilter(filters.FilterSet):
    seen_since = filters.IsoDateTimeFilter(field_name="last_seen_at", lookup_expr="gte")
    gone = filters.BooleanFilter(field_name="gone_at", lookup_expr="isnull", exclude=True)
    path = filters.CharFilter(field_name="path", lookup_expr="icontains")

    class Meta:
        model = SourceFile
        fields = ["ignored", "file_date"]


class FileViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, InSource):
    """Files of a stream as they were seen. Whether one was loaded is told by a pipeline's windows."""

    model = SourceFile
    orderings = {"path": ("path", "id"), "-modified": ("-modified", "-id"), "-file_date": ("-file_date", "-id")}
    serializer_class = s.FileShape
    filterset_class = FileFilter
    lookup_field = "id"
    action_needed = {"ignore": "operate"}

    def get_queryset(self) -> QuerySet[Any]:
        if self.schema_only:
            return SourceFile.objects.none()
        rows = super().get_queryset().filter(stream__source=self.source_or_404(), stream__name=self.kwargs["stream"])
        return rows.select_related("stream__source")

    @extend_schema(request=s.IgnoreBody)
    @action(detail=True, methods=["post"])
    def ignore(self, request: Request, **_: Any) -> Response:
        """Leave a file out of every later read, or take it in again with `ignored` false."""
        body = checked(s.IgnoreBody, request)
        changed = services.ignore_file(self.get_object(), ignored=body["ignored"], actor=self.actor)
        return Response(s.FileShape(changed).data)
