"""The audit log: of a project for its members, of the platform for whoever administers it."""

from __future__ import annotations

import uuid
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import AnyFormat, PlatformViewSet, ProjectViewSet
from apps.accounts.models import Project, User
from apps.audit.context import Actor
from apps.audit.export import MEDIA_TYPES, Form, open_export
from apps.audit.models import Event
from apps.audit.sealing import verify


class EventFilter(filters.FilterSet):
    """`actor` is a person with their tokens (`ann`), or one token (`ann/nightly`); `since` and `until` are times.

    `text` is looked for in names, in ids, and in what was there before and after.
    """

    verb = filters.CharFilter()
    object_type = filters.CharFilter()
    object_id = filters.CharFilter()
    request_id = filters.CharFilter()
    actor = filters.CharFilter(method="by_actor")
    text = filters.CharFilter(method="by_text", max_length=200)
    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = Event
        fields: list[str] = []

    def by_actor(self, events: QuerySet[Event], name: str, value: str) -> QuerySet[Event]:
        return events.filter(Q(actor_name=value) | Q(actor_name__startswith=f"{value}/"))

    def by_text(self, events: QuerySet[Event], name: str, value: str) -> QuerySet[Event]:
        exact = Q(object_id=value) | Q(request_id=value)
        places = ("object_name", "actor_name", "verb", "before", "after", "data")
        return events.filter(reduce(or_, (Q(**{f"{each}__icontains": value}) for each in places), exact))


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = [
            "id",
            "at",
            "actor_kind",
            "actor_id",
            "actor_name",
            "request_id",
            "verb",
            "object_type",
            "object_id",
            "object_name",
            "before",
            "after",
            "data",
        ]
        read_only_fields = fields


class AnyEventSerializer(EventSerializer):
    """An event beside those of other projects: with the project's slug, null for one of the platform."""

    project = serializers.SerializerMethodField()

    class Meta(EventSerializer.Meta):
        fields = [*EventSerializer.Meta.fields, "project"]

    def get_project(self, event: Event) -> str | None:
        slugs: dict[uuid.UUID, str] = self.context["slugs"]
        return slugs.get(event.project) if event.project else None


class VerificationSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    events = serializers.IntegerField(help_text="Events under a seal.")
    seals = serializers.IntegerField()
    unsealed = serializers.IntegerField(help_text="Events too new to be sealed.")
    head = serializers.CharField(
        help_text="The last seal's digest. Keep it elsewhere to notice a log that was cut short."
    )
    problems = serializers.ListField(child=serializers.CharField())


class ExportParameters(serializers.Serializer[Any]):
    format = serializers.ChoiceField(choices=list(MEDIA_TYPES), default="csv")


class _Exporting(PlatformViewSet):
    """Adds the whole list as one file."""

    @extend_schema(
        parameters=[ExportParameters],
        responses={(200, "text/csv"): OpenApiTypes.BINARY, (200, "application/x-ndjson"): OpenApiTypes.BINARY},
    )
    @action(detail=False, methods=["get"], content_negotiation_class=AnyFormat, pagination_class=None)
    def export(self, request: Request, **kwargs: Any) -> StreamingHttpResponse:
        """All events that fit, as one file. In CSV, cells that would be formulas are made harmless."""
        given = ExportParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        return exported(
            self.filter_queryset(self.get_queryset()),
            given.validated_data["format"],
            project=getattr(self, "project", None),
            asked=request.query_params.dict(),
            actor=self.actor,
        )


def exported(
    events: QuerySet[Event], form: Form, *, project: Project | None, asked: dict[str, str], actor: Actor
) -> StreamingHttpResponse:
    """These events as a file that is written while it is sent; that it was taken is an event itself."""
    name = project.slug if project else "platform"
    lines = open_export(events, form, project=project.pk if project else None, name=name, asked=asked, actor=actor)
    headers = {"Content-Disposition": f'attachment; filename="audit-{name}.{form}"'}
    return StreamingHttpResponse(lines, content_type=MEDIA_TYPES[form], headers=headers)


class ProjectEventViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _Exporting, ProjectViewSet):
    """What happened in a project, the newest first."""

    model = Event
    serializer_class = EventSerializer
    filterset_class = EventFilter
    lookup_field = "pk"
    action_needed = {"export": "see"}


def everywhere(user: User) -> QuerySet[Event]:
    """What happened in all one's projects, and above them for whoever administers the platform."""
    events = Event.objects.visible_to(user)
    return events | Event.objects.filter(project__isnull=True) if user.administers_platform() else events


class EventViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, _Exporting):
    """What happened in all one's projects, and, for whoever administers the platform, above them; the newest first."""

    serializer_class = AnyEventSerializer
    filterset_class = EventFilter

    def get_queryset(self) -> QuerySet[Event]:
        if self.schema_only:
            return Event.objects.none()
        return everywhere(self.user)

    def get_serializer_context(self) -> dict[str, Any]:
        slugs: dict[uuid.UUID, str] = {}
        if not self.schema_only:
            slugs = dict(Project.objects.visible_to(self.user).values_list("id", "slug"))
        return {**super().get_serializer_context(), "slugs": slugs}

    @extend_schema(responses=VerificationSerializer, filters=False)
    @action(detail=False, methods=["get"], pagination_class=None, filterset_class=None, only_administrators=True)
    def verify(self, request: Request) -> Response:
        """Check every event under a seal against it, and the chain of seals. Superusers only."""
        if not self.user.administers_platform():
            raise PermissionDenied("Only superusers verify the audit log: it spans all projects.")
        return Response(VerificationSerializer(verify()).data)
