"""`/schedules/` and `/pipelines/{slug}/schedule/`: when pipelines start by themselves."""

from __future__ import annotations

from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.urls import URLPattern, re_path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers as s
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet
from apps.audit.bodies import checked
from apps.pipelines import queries, schedules, scheduling, timing
from apps.pipelines.api import shapes
from apps.pipelines.models import Pipeline, Schedule
from apps.pipelines.schedule import zone as known_zone

ZONE = OpenApiParameter("zone", str, description="The time zone in which `yours` is shown; without it the schedule's.")


class Moment(shapes.Shape):
    at = s.DateTimeField(help_text="In UTC.")
    local = s.DateTimeField(help_text="On the clocks of the schedule's zone.")
    yours = s.DateTimeField(help_text="On the clocks of the zone that was asked for.")


class Fired(shapes.Shape):
    scheduled_for = s.DateTimeField()
    fired_at = s.DateTimeField()
    left_out = s.IntegerField(help_text="How many moments before it were missed and not made up for.")
    run = s.UUIDField(allow_null=True)
    state = s.ChoiceField(shapes.RUN_STATES, allow_null=True)


class ScheduleLine(shapes.Shape):
    pipeline = s.CharField()
    enabled = s.BooleanField()
    paused = s.BooleanField(help_text="Whether the pipeline is paused, so that nothing starts.")
    says = s.CharField(help_text="The schedule in words; empty where the published document has none.")
    timezone = s.CharField(allow_null=True)
    next_at = s.DateTimeField(allow_null=True, help_text="When it fires next; null while it is off.")


class ScheduleDetail(ScheduleLine):
    definition = s.DictField(allow_null=True, help_text="What the published document says.")
    next = Moment(many=True)
    fires = Fired(many=True, help_text="The newest five.")


class ScheduleBody(shapes.Shape):
    schedule = s.DictField(allow_null=True, help_text="As in a document; null takes it out.")


class PreviewBody(shapes.Shape):
    schedule = s.DictField(help_text="As in a document.")
    zone = s.CharField(required=False, max_length=100, help_text="The time zone in which `yours` is shown.")


class Preview(shapes.Shape):
    says = s.CharField()
    definition = s.DictField()
    next = Moment(many=True)


class ScheduleViewSet(ProjectViewSet):
    """Every schedule of a project."""

    model = Schedule
    serializer_class = ScheduleLine
    filter_backends = ()
    lookup_field = "pk"
    orderings: ClassVar[dict[str, tuple[str, ...]]] = {"pipeline": ("pipeline__slug", "id")}
    action_needed: ClassVar[dict[str, Any]] = {"preview": "see"}

    def get_queryset(self) -> QuerySet[Schedule]:
        return super().get_queryset().select_related("pipeline__published")

    @extend_schema(responses=ScheduleLine(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response([schedules.line_json(each) for each in page or ()])

    @extend_schema(request=PreviewBody, responses=Preview)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request, **kwargs: Any) -> Response:
        """What a schedule would do: in words, and the next five moments. Nothing is written."""
        given = checked(PreviewBody, request)
        definition = schedules.understood(given["schedule"])
        shown = schedules.preview(definition, schedules.clock(), _zone(given.get("zone")))
        return Response({"says": timing.words(definition), "definition": schedules.plain(definition), "next": shown})


class PipelineScheduleViewSet(ProjectViewSet):
    """The schedule of one pipeline. Its document says when; what is written here is the draft."""

    model = Pipeline
    serializer_class = ScheduleDetail
    filter_backends = ()
    action_needed: ClassVar[dict[str, Any]] = {"update": "operate", "enable": "manage", "disable": "manage"}

    @extend_schema(parameters=[ZONE], responses=ScheduleDetail)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """What the published document says, the next five moments, and what was started last."""
        zone = _zone(request.query_params.get("zone"))
        return Response(schedules.schedule_json(self.get_object(), schedules.clock(), zone))

    @extend_schema(request=ScheduleBody, responses=shapes.PipelineDetail)
    def update(self, request: Request, **kwargs: Any) -> Response:
        """Write a schedule into the draft of the document, or take it out. It counts once the draft is published."""
        given = checked(ScheduleBody, request)["schedule"]
        return Response(queries.pipeline_detail(scheduling.write_schedule(self.get_object(), given, actor=self.actor)))

    @extend_schema(request=None, responses=ScheduleDetail)
    def enable(self, request: Request, **kwargs: Any) -> Response:
        """Switch it on: it fires from now on."""
        pipeline = self.get_object()
        scheduling.enable_schedule(pipeline, actor=self.actor)
        return Response(schedules.schedule_json(pipeline, schedules.clock()))

    @extend_schema(request=None, responses=ScheduleDetail)
    def disable(self, request: Request, **kwargs: Any) -> Response:
        """Switch it off; runs that it has started go on."""
        pipeline = self.get_object()
        scheduling.disable_schedule(pipeline, actor=self.actor)
        return Response(schedules.schedule_json(pipeline, schedules.clock()))


def _zone(name: str | None) -> ZoneInfo | None:
    if not name:
        return None
    found = known_zone(name)
    if found is None:
        raise ValidationError({"zone": [f"There is no time zone {name!r}. Write one such as America/New_York."]})
    return found


def _address(rest: str, **does: str) -> URLPattern:
    pattern = r"^projects/(?P<project>[a-z0-9-]+)/pipelines/(?P<slug>[a-z0-9-]+)/schedule/"
    return re_path(f"{pattern}{rest}$", PipelineScheduleViewSet.as_view(dict(does)))


urlpatterns = [
    _address("", get="retrieve", put="update"),
    _address("enable/", post="enable"),
    _address("disable/", post="disable"),
]
