"""`/runs/`: a run's life, by id."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import AnyFormat, ProjectViewSet, WholeList
from apps.audit.bodies import checked
from apps.pipelines import control, fixing, queries, runlog, services, states
from apps.pipelines.api import shapes
from apps.pipelines.api.idempotency import trigger_key
from apps.pipelines.api.pipelines import KEY
from apps.pipelines.models import Run


class RunFilter(filters.FilterSet):
    """Runs of one pipeline, in one state, by one trigger."""

    pipeline = filters.CharFilter(field_name="pipeline__slug")
    state = filters.ChoiceFilter(choices=[(each, each) for each in sorted(states.RUN)])
    trigger = filters.CharFilter()

    class Meta:
        model = Run
        fields: ClassVar[list[str]] = []


class RunViewSet(ProjectViewSet):
    """Runs of a project, the newest first."""

    model = Run
    serializer_class = shapes.RunRow
    lookup_field = "pk"
    lookup_value_regex = "[^/]+"
    filterset_class = RunFilter
    action_needed: ClassVar[dict[str, Any]] = {
        "cancel": "operate",
        "retry": "operate",
        "pause": "operate",
        "resume": "operate",
        "decide": "operate",
        "skip": "operate",
        "fix": "operate",
        "steps": "see",
        "logs": "see",
        "log_file": "see",
    }

    @property
    def orderings(self) -> dict[str, tuple[str, ...]]:
        return {"id": ("id",), "-id": ("-id",)} if self.action == "logs" else {"-id": ("-id",)}

    def get_queryset(self) -> QuerySet[Run]:
        return super().get_queryset().select_related("pipeline", "version")

    @extend_schema(responses=shapes.RunRow(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page = self.paginate_queryset(queries.with_totals(self.filter_queryset(self.get_queryset())))
        return self.get_paginated_response([queries.run_json(each) for each in page or ()])

    @extend_schema(responses=shapes.RunDetail)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(queries.run_detail(self.get_object()))

    @extend_schema(request=None, responses=shapes.RunDetail)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        """Stop a run; its running steps end within seconds."""
        return Response(queries.run_detail(services.cancel_run(self.get_object(), actor=self.actor)))

    @extend_schema(request=None, parameters=[KEY], responses={201: shapes.RunDetail})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, **kwargs: Any) -> Response:
        """Start a new run that repeats an ended one and reuses the steps whose outputs still stand."""
        again = services.retry_run(self.get_object(), actor=self.actor, trigger_key=trigger_key(request))
        return Response(queries.run_detail(again), status=status.HTTP_201_CREATED)

    @extend_schema(request=shapes.ReasonBody, responses=shapes.RunDetail)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **kwargs: Any) -> Response:
        """Let no further step of a running run start; those that run finish, and its time limit stands still."""
        given = checked(shapes.ReasonBody, request)
        return Response(queries.run_detail(control.pause_run(self.get_object(), actor=self.actor, **given)))

    @extend_schema(request=None, responses=shapes.RunDetail)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **kwargs: Any) -> Response:
        """Let a paused run go on where it was."""
        return Response(queries.run_detail(control.resume_run(self.get_object(), actor=self.actor)))

    @extend_schema(request=shapes.DecideBody, responses=shapes.RunDetail)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, **kwargs: Any) -> Response:
        """Answer what the checks of a waiting run ask: let it continue, or stop it, which fails it."""
        given = checked(shapes.DecideBody, request)
        if given["remember"]:
            self.require("manage")
        return Response(queries.run_detail(control.decide_run(self.get_object(), actor=self.actor, **given)))

    @extend_schema(request=shapes.ReasonBody, responses=shapes.RunDetail)
    @action(detail=True, methods=["post"])
    def skip(self, request: Request, **kwargs: Any) -> Response:
        """End a run that has not begun, without running it."""
        given = checked(shapes.ReasonBody, request)
        return Response(queries.run_detail(control.skip_run(self.get_object(), actor=self.actor, **given)))

    @extend_schema(request=None, parameters=[KEY], responses={201: shapes.RunDetail})
    @action(detail=True, methods=["post"], url_path=r"suggestions/(?P<suggestion>[a-z_]{1,63})/apply")
    def fix(self, request: Request, suggestion: str, **kwargs: Any) -> Response:
        """Do what the error of a failed run suggests; the answer is the run that follows it."""
        run = fixing.apply(self.get_object(), suggestion, actor=self.actor, trigger_key=trigger_key(request))
        return Response(queries.run_detail(run), status=status.HTTP_201_CREATED)

    @extend_schema(parameters=[shapes.LogParameters], responses=shapes.LogLine(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def logs(self, request: Request, **kwargs: Any) -> Response:
        """What the run and its steps have said of themselves, the oldest line first."""
        given = shapes.LogParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        page = self.paginate_queryset(runlog.lines_of(self.get_object(), **given.validated_data))
        return self.get_paginated_response([runlog.line_json(each) for each in page or ()])

    @extend_schema(
        parameters=[shapes.LogFileParameters],
        responses={(200, "text/plain"): OpenApiTypes.STR, (200, "application/x-ndjson"): OpenApiTypes.STR},
        filters=False,
    )
    @action(detail=True, methods=["get"], url_path="logs/file", content_negotiation_class=AnyFormat)
    def log_file(self, request: Request, **kwargs: Any) -> StreamingHttpResponse:
        """The log as a file: text for people, or a JSON object a line."""
        given = shapes.LogFileParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        chosen = dict(given.validated_data)
        form, run = chosen.pop("format"), self.get_object()
        name = f'attachment; filename="{run.pipeline.slug}-{run.pk}.{"log" if form == "text" else "ndjson"}"'
        return StreamingHttpResponse(
            runlog.stream(runlog.lines_of(run, **chosen), form),
            content_type="text/plain; charset=utf-8" if form == "text" else "application/x-ndjson",
            headers={"Content-Disposition": name},
        )

    @extend_schema(responses=shapes.Step(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=WholeList)
    def steps(self, request: Request, **kwargs: Any) -> Response:
        """The steps of a run with the outcomes of their checks."""
        return self.get_paginated_response(queries.steps_json(self.get_object()))
