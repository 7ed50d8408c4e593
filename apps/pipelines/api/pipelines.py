"""`/pipelines/`: documents with drafts and versions, and the runs that they start."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet, WholeList
from apps.accounts.models import Project
from apps.audit.bodies import checked
from apps.pipelines import cloning, control, filestates, queries, services
from apps.pipelines import document as documents
from apps.pipelines.api import shapes
from apps.pipelines.api.idempotency import trigger_key
from apps.pipelines.models import Pipeline, PipelineVersion, Run

KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="The same key again gives the same run again."
)


class PipelineViewSet(ProjectViewSet):
    """Pipelines of a project, by slug."""

    model = Pipeline
    serializer_class = shapes.Pipeline
    lookup_value_regex = "[a-z0-9-]+"
    filter_backends = ()
    action_needed: ClassVar[dict[str, Any]] = {
        "create": "operate",
        "destroy": "manage",
        "apply": "operate",
        "validate": "see",
        "document_schema": "see",
        "draft": "operate",
        "publish": "manage",
        "versions": "see",
        "files": "see",
        "version": "see",
        "export": "see",
        "plan": "operate",
        "runs": "see",
        "start": "operate",
        "clone": "operate",
        "pause": "operate",
        "resume": "operate",
    }

    @property
    def orderings(self) -> dict[str, tuple[str, ...]]:
        own: dict[str, dict[str, tuple[str, ...]]] = {"runs": {"-id": ("-id",)}, "versions": {"-number": ("-number",)}}
        return own.get(self.action, {"slug": ("slug", "id"), "-slug": ("-slug", "-id")})

    @extend_schema(responses=shapes.Pipeline(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page = self.paginate_queryset(queries.with_last_run(self.get_queryset()))
        return self.get_paginated_response([queries.pipeline_json(each) for each in page or ()])

    @extend_schema(responses=shapes.PipelineDetail)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(queries.pipeline_detail(self.get_object()))

    @extend_schema(request=shapes.CreateBody, responses={201: shapes.PipelineDetail})
    def create(self, request: Request, **kwargs: Any) -> Response:
        given = checked(shapes.CreateBody, request)
        made = services.create_pipeline(self.project, given["slug"], text=given["text"], actor=self.actor)
        return Response(queries.pipeline_detail(made), status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={204: None})
    def destroy(self, request: Request, **kwargs: Any) -> Response:
        services.delete_pipeline(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=shapes.ApplyBody, responses=shapes.PipelineDetail)
    @action(detail=False, methods=["post"])
    def apply(self, request: Request, **kwargs: Any) -> Response:
        """Write a document as the draft of the pipeline that it names, or publish it at once."""
        given = checked(shapes.ApplyBody, request)
        if given["publish"] and not self._may_manage():
            raise PermissionDenied("Publishing needs the role Admin. Apply the document without `publish`.")
        applied = services.apply_document(self.project, given["text"], publish=given["publish"], actor=self.actor)
        return Response(queries.pipeline_detail(applied))

    @extend_schema(request=shapes.DraftBody, responses=shapes.Validation)
    @action(detail=False, methods=["post"])
    def validate(self, request: Request, **kwargs: Any) -> Response:
        """Everything that is wrong with a document, in itself and within this project."""
        _, problems = services.validate(self.project, checked(shapes.DraftBody, request)["text"])
        return Response({"valid": not problems, "errors": [each.as_json() for each in problems]})

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=False, methods=["get"], url_path="document-schema")
    def document_schema(self, request: Request, **kwargs: Any) -> Response:
        """The JSON Schema of a pipeline's document."""
        return Response(documents.json_schema())

    @extend_schema(request=shapes.DraftBody, responses=shapes.PipelineDetail)
    @action(detail=True, methods=["put"])
    def draft(self, request: Request, **kwargs: Any) -> Response:
        """Keep a text as the draft, right or not yet."""
        saved = services.save_draft(self.get_object(), checked(shapes.DraftBody, request)["text"], actor=self.actor)
        return Response(queries.pipeline_detail(saved))

    @extend_schema(request=None, responses=shapes.PipelineDetail)
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, **kwargs: Any) -> Response:
        """Make the draft the version that runs use from now on."""
        pipeline = self.get_object()
        services.publish_draft(pipeline, actor=self.actor)
        return Response(queries.pipeline_detail(pipeline))

    @extend_schema(responses=shapes.Version(many=True))
    @action(detail=True, methods=["get"])
    def versions(self, request: Request, **kwargs: Any) -> Response:
        """The published versions, the newest first."""
        found = PipelineVersion.objects.visible_to(request.user).filter(pipeline=self.get_object())
        return self.get_paginated_response([_version(each) for each in self.paginate_queryset(found) or ()])

    @extend_schema(responses=shapes.Version)
    @action(detail=True, methods=["get"], url_path=r"versions/(?P<number>[0-9]{1,9})")
    def version(self, request: Request, number: str, **kwargs: Any) -> Response:
        """One published version, as it was written and as it was understood."""
        return Response(_version(self.row(self.get_object().versions.all(), number=number)))

    @extend_schema(responses={(200, "application/yaml"): OpenApiTypes.ANY})
    @action(detail=True, methods=["get"])
    def export(self, request: Request, **kwargs: Any) -> HttpResponse:
        """The document as a file: the draft if there is one, else what is published."""
        pipeline = self.get_object()
        text = pipeline.draft or (pipeline.published.text if pipeline.published else "")
        name = f'attachment; filename="{pipeline.slug}.yaml"'
        return HttpResponse(text, content_type="application/yaml", headers={"Content-Disposition": name})

    @extend_schema(request=shapes.PlanBody, responses=shapes.Plan)
    @action(detail=True, methods=["post"])
    def plan(self, request: Request, **kwargs: Any) -> Response:
        """What a run would read now, and why; starts nothing."""
        given = checked(shapes.PlanBody, request)
        chosen = {"mode": given["mode"], "only": given["steps"], "files": given["files"], "again": given["again"]}
        return Response(services.plan_run(self.get_object(), **chosen))

    @extend_schema(responses=shapes.RunRow(many=True))
    @action(detail=True, methods=["get"])
    def runs(self, request: Request, **kwargs: Any) -> Response:
        """The runs of this pipeline, the newest first."""
        found = Run.objects.visible_to(request.user).filter(pipeline=self.get_object())
        page = self.paginate_queryset(queries.with_totals(found))
        return self.get_paginated_response([queries.run_json(each) for each in page or ()])

    @extend_schema(
        request=shapes.RunBody,
        parameters=[KEY],
        responses={201: OpenApiResponse(shapes.RunDetail, "The run; one that was started before under the same key.")},
    )
    @runs.mapping.post
    def start(self, request: Request, **kwargs: Any) -> Response:
        """Start a run, of all steps or of only some with everything that they need."""
        given = checked(shapes.RunBody, request)
        run = services.start_run(
            self.get_object(),
            actor=self.actor,
            trigger="api",
            mode=given["mode"],
            only=given["steps"],
            files=given["files"],
            again=given["again"],
            if_running=given["if_running"],
            trigger_key=trigger_key(request),
        )
        return Response(queries.run_detail(run), status=status.HTTP_201_CREATED)

    @extend_schema(parameters=[shapes.FileParameters], responses=shapes.FileState(many=True), filters=False)
    @action(detail=True, methods=["get"], pagination_class=WholeList)
    def files(self, request: Request, **kwargs: Any) -> Response:
        """What has become of each file, for every step that reads only what is new."""
        given = shapes.FileParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        found = filestates.of_pipeline(self.get_object(), wanted["step"], wanted["state"], limit=wanted["limit"])
        return self.get_paginated_response([each.as_json() for each in found])

    @extend_schema(request=shapes.CloneBody, responses={201: shapes.PipelineDetail})
    @action(detail=True, methods=["post"])
    def clone(self, request: Request, **kwargs: Any) -> Response:
        """A draft of a new pipeline with the same steps, which loads datasets of its own."""
        given = checked(shapes.CloneBody, request)
        made = cloning.clone_pipeline(self.get_object(), given["slug"], datasets=given["datasets"], actor=self.actor)
        return Response(queries.pipeline_detail(made), status=status.HTTP_201_CREATED)

    @extend_schema(request=shapes.ReasonBody, responses=shapes.PipelineDetail)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **kwargs: Any) -> Response:
        """Admit no new run until it is resumed; the one that runs goes on."""
        given = checked(shapes.ReasonBody, request)
        return Response(queries.pipeline_detail(control.pause_pipeline(self.get_object(), actor=self.actor, **given)))

    @extend_schema(request=None, responses=shapes.PipelineDetail)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **kwargs: Any) -> Response:
        """Admit runs again, the oldest pending one at once."""
        return Response(queries.pipeline_detail(control.resume_pipeline(self.get_object(), actor=self.actor)))

    def _may_manage(self) -> bool:
        return Project.objects.visible_to(self.request.user, "manage").filter(pk=self.project.pk).exists()


def _version(version: PipelineVersion) -> dict[str, Any]:
    return {
        "number": version.number,
        "text": version.text,
        "document": version.document,
        "published_at": queries.shown_time(version.published_at),
        "published_by": version.published_by,
    }
