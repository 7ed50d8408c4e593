"""`/pipelines/{slug}/retries/`: when failed steps are tried again by themselves."""

from __future__ import annotations

from typing import Any, ClassVar

from django.urls import re_path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet
from apps.audit.bodies import checked
from apps.pipelines import queries, retries, services
from apps.pipelines.api import shapes
from apps.pipelines.models import Pipeline


class RetryPolicy(shapes.Shape):
    attempts = s.IntegerField(help_text="How often a step is executed at most.")
    delays = s.ListField(child=s.FloatField(), help_text="Seconds; the last one repeats.")
    on = s.ListField(child=s.CharField(), help_text="Classes and codes of errors.")
    waits = s.ListField(child=s.FloatField(), help_text="Seconds before each further attempt, as it comes of this.")
    says = s.CharField(help_text="The policy in words.")


class StepRetries(shapes.Shape):
    key = s.CharField()
    own = s.BooleanField(help_text="Whether the step has a policy of its own, in place of the document's.")
    policy = RetryPolicy()


class Retries(shapes.Shape):
    pipeline = s.CharField()
    policy = RetryPolicy(allow_null=True, help_text="Of the published document; null where nothing is published.")
    steps = StepRetries(many=True)


class RetriesBody(shapes.Shape):
    retry = s.DictField(allow_null=True, help_text="As in a document; null takes it out.")
    step = s.CharField(required=False, help_text="The step whose own policy it is; the document's unless given.")


class PipelineRetriesViewSet(ProjectViewSet):
    """The retries of one pipeline. Its document says when; what is written here is the draft."""

    model = Pipeline
    serializer_class = Retries
    filter_backends = ()
    action_needed: ClassVar[dict[str, Any]] = {"update": "operate"}

    @extend_schema(responses=Retries)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        """What the published document says, for every step, in numbers and in words."""
        return Response(retries.retries_json(self.get_object()))

    @extend_schema(request=RetriesBody, responses=shapes.PipelineDetail)
    def update(self, request: Request, **kwargs: Any) -> Response:
        """Write a policy into the draft of the document, or take it out. It counts once the draft is published."""
        given = checked(RetriesBody, request)
        changed = services.write_retry(self.get_object(), given["retry"], step=given.get("step"), actor=self.actor)
        return Response(queries.pipeline_detail(changed))


urlpatterns = [
    re_path(
        r"^projects/(?P<project>[a-z0-9-]+)/pipelines/(?P<slug>[a-z0-9-]+)/retries/$",
        PipelineRetriesViewSet.as_view({"get": "retrieve", "put": "update"}),
    )
]
