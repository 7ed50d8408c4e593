"""The endpoints that lead to a new source; what they look at is stored only by the last of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import PlatformViewSet, ProjectViewSet, WholeList
from apps.audit.bodies import checked
from apps.sources import services
from apps.sources import shapes_adding as s
from apps.sources.models import Credential, Source
from apps.sources.parameters import fitting
from apps.sources.services import Chosen
from apps.sources.shapes import SourceShape
from dataplane.connectors import wellknown


class Adding(ProjectViewSet):
    """What the endpoint of sources offers to whoever adds one."""

    @extend_schema(request=s.DetectBody, responses=s.DetectedShape)
    @action(detail=False, methods=["post"], filter_backends=[], pagination_class=None)
    def detect(self, request: Request, **_: Any) -> Response:
        """Which connector an address, a connection string, a path or a sample is for, and what it tells of it.

        Nothing is asked, stored or logged. Secrets are told by their names only; `POST …/sources/` takes the same
        `text` again and fills them in.
        """
        body = checked(s.DetectBody, request)
        return Response(s.DetectedShape(services.detect(body["text"], sample=body["sample"], name=body["name"])).data)

    @extend_schema(request=s.UnsavedBody, responses=s.TriedSourceShape)
    @action(detail=False, methods=["post"], url_path="try", filter_backends=[], pagination_class=None)
    def try_out(self, request: Request, **_: Any) -> Response:
        """Test a source that is not there yet, stage by stage. One that fails is a good answer: 200 with `ok` false."""
        answer = services.try_source(self._draft(checked(s.UnsavedBody, request)))
        stages = [services.stage_json(each) for each in answer.stages]
        body = {"ok": all(each["ok"] for each in stages), "seconds": round(answer.seconds, 4), "stages": stages}
        return Response(s.TriedSourceShape(body).data)

    @extend_schema(request=s.StreamOffersBody, responses=s.StreamOfferShape(many=True))
    @action(detail=False, methods=["post"], filter_backends=[], pagination_class=WholeList)
    def offers(self, request: Request, **_: Any) -> Response:
        """What a source that is not there yet holds now."""
        body = checked(s.StreamOffersBody, request)
        found = services.offered_streams(self._draft(body), body.get("streams"))
        return self.get_paginated_response(s.StreamOfferShape([asdict(each) for each in found], many=True).data)

    @extend_schema(request=s.StreamSampleBody, responses=s.StreamSampleShape)
    @action(detail=False, methods=["post"], filter_backends=[], pagination_class=None)
    def sample(self, request: Request, **_: Any) -> Response:
        """The first rows of a stream of it, and what a run would make of a larger sample. Nothing is kept."""
        body = checked(s.StreamSampleBody, request)
        return Response(s.StreamSampleShape(services.sample_stream(self._draft(body), Chosen(**body["stream"]))).data)

    @extend_schema(request=s.NewSourceBody, responses={201: SourceShape})
    def create(self, request: Request, **_: Any) -> Response:
        """Add a source; with `streams` it is tested first, and stored with them or not at all."""
        body = self.with_credential(checked(s.NewSourceBody, request))
        body["params"] = _params(body)
        if "streams" in body:
            body["streams"] = [Chosen(**each) for each in body["streams"]]
            made = services.add_source(self.project, actor=self.actor, **body)
        else:
            made = services.create_source(self.project, actor=self.actor, **body)
        return Response(SourceShape(made).data, status.HTTP_201_CREATED)

    def with_credential(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body with the credential that it names. Raises ValidationError."""
        if body.get("credential"):
            rows = Credential.objects.visible_to(self.request.user, self.needed).filter(project=self.project)
            named = rows.filter(slug=body["credential"]).first()
            if named is None:
                raise serializers.ValidationError({"credential": [f"There is no credential `{body['credential']}`."]})
            body["credential"] = named
        return body

    def _draft(self, body: dict[str, Any]) -> Source:
        body = self.with_credential(body)
        return services.draft_source(
            self.project, connector=body["connector"], params=_params(body), credential=body.get("credential")
        )


def _params(body: dict[str, Any]) -> dict[str, Any]:
    """The parameters with what the text and the template of a body tell beside them; both are taken out of it."""
    connector, text, template = body["connector"], body.pop("text"), body.pop("template")
    begun = services.begun_by(template, connector, {**services.told(connector, text), **body["params"]})
    return fitting(services.connector_class(connector), begun, body["params"])


class TemplateViewSet(PlatformViewSet):
    """Well-known services as sources of them begin: `POST …/sources/` takes the key of one as `template`."""

    serializer_class = s.TemplateShape
    pagination_class = WholeList
    filter_backends = ()

    def list(self, request: Request) -> Response:
        return self.get_paginated_response(s.TemplateShape(wellknown.templates().values(), many=True).data)
