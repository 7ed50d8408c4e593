"""`/pipelines/{slug}/backfills/`: ranges of time that are read in slices, behind the live runs."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api_base import ProjectViewSet
from apps.audit.bodies import checked
from apps.pipelines import backfilling, progress, slicing, states
from apps.pipelines.api import shapes
from apps.pipelines.backfilling import Range
from apps.pipelines.models import Backfill, Pipeline

STATES = sorted(states.BACKFILL)


def _between(name: str, *bases: type[s.Serializer[Any]], day: bool = False, **fields: Any) -> Any:
    """A shape with the fields `from` and `to`, of which Python keeps the first for itself."""
    help_text = "A day or a minute of the zone, such as 2026-01-31 or 2026-01-31T06:00."
    ends: dict[str, Any] = {
        "from": s.CharField(max_length=16, help_text=help_text) if day else s.DateTimeField(),
        "to": s.CharField(max_length=16, help_text="The first that does not belong to it.")
        if day
        else s.DateTimeField(help_text="The first moment that does not belong to it."),
    }
    return type(name, bases or (shapes.Shape,), ends | fields)


class RangeMore(shapes.Shape):
    every = s.ChoiceField(
        slicing.EVERY,
        allow_null=True,
        default=None,
        help_text="How long a slice is. Null: from one moment of the schedule to the next, else a day.",
    )
    timezone = s.CharField(
        allow_null=True, default=None, max_length=64, help_text="Null: that of the schedule, else UTC."
    )
    again = s.BooleanField(
        default=False, help_text="Read once more what was read before; needs loads that merge, and databases."
    )


RangeBody: Any = _between("RangeBody", RangeMore, day=True)
BackfillBody: Any = _between(
    "BackfillBody",
    RangeMore,
    day=True,
    on_failure=s.ChoiceField(
        backfilling.ON_FAILURE, default="stop", help_text="`stop` waits until somebody resumes it."
    ),
)


class SliceReads(shapes.Shape):
    step = s.CharField()
    said = s.CharField()
    files = s.ListField(child=s.CharField(), help_text="The first twenty.")
    file_count = s.IntegerField()


PreviewSlice: Any = _between(
    "PreviewSlice",
    reads=SliceReads(many=True),
    rows=s.IntegerField(allow_null=True, help_text="Null: not known."),
    bytes=s.IntegerField(allow_null=True, help_text="Null: not known."),
    skip_reason=s.CharField(allow_null=True, help_text="Why it would read nothing."),
)
BackfillPreview: Any = _between(
    "BackfillPreview",
    every=s.ChoiceField(slicing.EVERY),
    timezone=s.CharField(),
    again=s.BooleanField(),
    slices=PreviewSlice(many=True),
    runs=s.IntegerField(help_text="How many slices have something to read."),
    rows=s.IntegerField(allow_null=True),
    bytes=s.IntegerField(allow_null=True),
    loads=s.ListField(child=s.CharField()),
    warnings=s.ListField(child=s.CharField()),
)


class BackfillMore(shapes.Shape):
    id = s.UUIDField()
    pipeline = s.CharField()
    version = s.IntegerField()
    every = s.ChoiceField(slicing.EVERY)
    timezone = s.CharField()
    again = s.BooleanField()
    on_failure = s.ChoiceField(backfilling.ON_FAILURE)
    loads = s.ListField(child=s.CharField())
    state = s.ChoiceField(STATES)
    reason = s.CharField(help_text="Why it is paused or was cancelled.")
    actor = s.CharField()
    created_at = s.DateTimeField()
    ended_at = s.DateTimeField(allow_null=True)
    total = s.IntegerField()
    done = s.IntegerField()
    failed = s.IntegerField()
    cancelled = s.IntegerField(help_text="Slices whose run was cancelled.")
    left = s.IntegerField()
    progress = s.FloatField()
    eta_s = s.FloatField(allow_null=True, help_text="Seconds until it ends if no live run comes between.")


BackfillShape: Any = _between("Backfill", BackfillMore)
BackfillSlice: Any = _between(
    "BackfillSlice",
    number=s.IntegerField(),
    state=s.ChoiceField(progress.SLICE_STATES),
    run=s.UUIDField(allow_null=True),
    run_state=s.ChoiceField(shapes.RUN_STATES, allow_null=True),
    said=s.CharField(),
)
BackfillDetail: Any = _between("BackfillDetail", BackfillMore, slices=BackfillSlice(many=True))


class BackfillViewSet(ProjectViewSet):
    """The backfills of one pipeline, the newest first."""

    model = Backfill
    serializer_class = BackfillShape
    filter_backends = ()
    lookup_field = "pk"
    lookup_value_regex = "[^/]+"
    action_needed: ClassVar[dict[str, Any]] = {
        "create": "operate",
        "preview": "operate",
        "pause": "operate",
        "resume": "operate",
        "cancel": "operate",
    }

    @property
    def pipeline(self) -> Pipeline:
        visible = Pipeline.objects.visible_to(self.user, self.needed).filter(project=self.project)
        found: Pipeline = self.row(visible.select_related("published"), slug=self.kwargs["pipeline"])
        return found

    def get_queryset(self) -> QuerySet[Backfill]:
        if self.schema_only:
            return Backfill.objects.none()
        return super().get_queryset().filter(pipeline=self.pipeline).select_related("pipeline", "version")

    @extend_schema(responses=BackfillShape(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(progress.backfill_rows(page))

    @extend_schema(responses=BackfillDetail)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(progress.backfill_detail(self.get_object()))

    @extend_schema(request=BackfillBody, responses={201: BackfillDetail})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """Read a range in slices, the oldest first, whenever no other run of the pipeline wants its turn."""
        given = checked(BackfillBody, request)
        on_failure = given.pop("on_failure")
        made = backfilling.start_backfill(self.pipeline, _range(given), on_failure=on_failure, actor=self.actor)
        return Response(progress.backfill_detail(made), status=status.HTTP_201_CREATED)

    @extend_schema(request=RangeBody, responses=BackfillPreview)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request, **kwargs: Any) -> Response:
        """What each slice would read now. Starts nothing."""
        return Response(backfilling.preview(self.pipeline, _range(checked(RangeBody, request))))

    @extend_schema(request=shapes.ReasonBody, responses=BackfillDetail)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **kwargs: Any) -> Response:
        """Let no further slice begin; the one that is read now ends."""
        given = checked(shapes.ReasonBody, request)
        found = backfilling.pause_backfill(self.get_object(), actor=self.actor, **given)
        return Response(progress.backfill_detail(found))

    @extend_schema(request=None, responses=BackfillDetail)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **kwargs: Any) -> Response:
        """Let it go on; where a failed slice had stopped it, with that slice."""
        return Response(progress.backfill_detail(backfilling.resume_backfill(self.get_object(), actor=self.actor)))

    @extend_schema(request=None, responses=BackfillDetail)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        """End it, with the run that reads a slice now. What was loaded stays."""
        return Response(progress.backfill_detail(backfilling.cancel_backfill(self.get_object(), actor=self.actor)))


def _range(given: dict[str, Any]) -> Range:
    return Range(given["from"], given["to"], given["every"], given["timezone"], given["again"])


_router = SimpleRouter()
_router.register(
    r"projects/(?P<project>[a-z0-9-]+)/pipelines/(?P<pipeline>[a-z0-9-]+)/backfills",
    BackfillViewSet,
    basename="project-backfills",
)
urlpatterns = _router.urls
