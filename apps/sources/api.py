"""The API of sources: connectors above the projects; sources, credentials, streams and files within them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import Http404
from django.urls import URLPattern, URLResolver
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api_base import PlatformViewSet, ProjectViewSet, WholeList
from apps.audit.bodies import checked
from apps.sources import queries, services
from apps.sources import shapes as s
from apps.sources.api_adding import Adding, TemplateViewSet
from apps.sources.api_base import NAME, InSource, RefusesFields
from apps.sources.api_connecting import SourceConnecting
from apps.sources.api_drift import SourceDrift, StreamDrift
from apps.sources.api_files import FileViewSet, UploadViewSet
from apps.sources.api_inbox import SourceInbox
from apps.sources.models import ConnectionCheck, Credential, Source, SourceFile, Stream
from dataplane.connectors import registry

_IN_PROJECT = r"projects/(?P<project>[a-z0-9-]+)"
_IN_SOURCE = _IN_PROJECT + r"/sources/(?P<source>[a-z0-9-]+)"


class AsksReaders:
    """What may go only while no pipeline reads it. Who does is known upstairs, where these views are mounted."""

    def readers(self, source: Source, stream: str | None = None) -> list[str]:
        """Slugs of the pipelines whose published version reads the source, or this stream of it."""
        raise NotImplementedError


class ConnectorViewSet(PlatformViewSet):
    """The kinds of source: what each can do, and the JSON Schema of its parameters."""

    serializer_class = s.ConnectorShape
    pagination_class = WholeList
    filter_backends = ()
    lookup_field = "key"
    lookup_value_regex = "[a-z0-9_]+"

    def list(self, request: Request) -> Response:
        return self.get_paginated_response([s.connector_shape(each) for each in registry.connectors().values()])

    def retrieve(self, request: Request, key: str) -> Response:
        if key not in registry.connectors():
            raise Http404(f"There is no connector `{key}`.")
        return Response(s.connector_shape(registry.get(key)))


class CredentialViewSet(RefusesFields, mixins.ListModelMixin, mixins.RetrieveModelMixin, ProjectViewSet):
    """Secrets of connectors. They can be written and replaced, and are never shown."""

    model = Credential
    orderings = {"slug": ("slug", "id")}
    serializer_class = s.CredentialShape
    action_needed = {"create": "manage", "partial_update": "manage", "destroy": "manage"}
    fields_below = "secrets"
    own_fields = frozenset({"slug", "connector"})

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().prefetch_related("sources")

    @extend_schema(request=s.CredentialBody, responses={201: s.CredentialShape})
    def create(self, request: Request, **_: Any) -> Response:
        body = checked(s.CredentialBody, request)
        made = services.create_credential(self.project, actor=self.actor, **body)
        return Response(s.CredentialShape(made).data, status.HTTP_201_CREATED)

    @extend_schema(request=s.SecretsBody)
    def partial_update(self, request: Request, **_: Any) -> Response:
        body = checked(s.SecretsBody, request)
        changed = self.get_object()
        if "secrets" in body:
            changed = services.set_secrets(changed, secrets=body["secrets"], actor=self.actor)
        if "expires_on" in body:
            changed = services.set_expiry(changed, expires_on=body["expires_on"], actor=self.actor)
        return Response(s.CredentialShape(changed).data)

    def destroy(self, request: Request, **_: Any) -> Response:
        services.delete_credential(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SourceFilter(filters.FilterSet):
    name = filters.CharFilter(method="named", help_text="A part of the name or of the title.")

    class Meta:
        model = Source
        fields = ["connector", "health"]

    def named(self, rows: QuerySet[Source], field: str, value: str) -> QuerySet[Source]:
        return rows.filter(Q(slug__icontains=value) | Q(title__icontains=value))


class SourceViewSet(
    Adding,
    SourceDrift,
    SourceInbox,
    SourceConnecting,
    AsksReaders,
    RefusesFields,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    ProjectViewSet,
):
    """Sources: where data comes from."""

    model = Source
    serializer_class = s.SourceShape
    filterset_class = SourceFilter
    action_needed = {
        "create": "manage",
        "partial_update": "manage",
        "destroy": "manage",
        "detect": "manage",
        "try_out": "manage",
        "offers": "manage",
        "sample": "manage",
        "test": "operate",
        "discover": "operate",
        "preflight": "operate",
        "checks": "see",
        "health": "see",
        "drift": "see",
        "inbox": "see",
        "inbox_secret": "manage",
        "inbox_previous": "manage",
        "grant": "see",
        "connect": "manage",
        "entered": "manage",
        "disconnect": "manage",
        "files": "see",
    }
    only_for_some = (*SourceInbox.only_for_some, "grant")
    fields_below = "params"
    own_fields = frozenset(
        {"streams", "slug", "title", "connector", "template", "credential", "writable", "check_every", "drift"}
    )

    @property
    def orderings(self) -> Mapping[str, tuple[str, ...]]:
        """Lists below a source have an order of their own."""
        own = {"checks": {"-at": ("-at", "-id")}, "files": {"path": ("path", "id")}}
        return own.get(self.action, {"slug": ("slug", "id"), "-health_at": ("-health_at", "-id")})

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("credential").annotate(stream_count=Count("streams"))

    @extend_schema(request=s.SourceChanges)
    def partial_update(self, request: Request, **_: Any) -> Response:
        body = self.with_credential(checked(s.SourceChanges, request))
        changed = services.update_source(self.get_object(), actor=self.actor, **body)
        return Response(s.SourceShape(changed).data)

    def destroy(self, request: Request, **_: Any) -> Response:
        source = self.get_object()
        services.delete_source(source, actor=self.actor, used_by=self.readers(source))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=s.CheckShape)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, **_: Any) -> Response:
        """Test it now, stage by stage. A source that fails its test is a good answer: 200 with `ok` false."""
        return Response(s.CheckShape(services.test_source(self.get_object(), actor=self.actor)).data)

    @extend_schema(request=s.DiscoverBody, responses=s.StreamShape(many=True))
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=WholeList)
    def discover(self, request: Request, **_: Any) -> Response:
        """Look what it holds, and keep the streams (those that `streams` names, or all) with their schemas."""
        body = checked(s.DiscoverBody, request)
        found = services.discover_streams(self.get_object(), actor=self.actor, names=body.get("streams"))
        return self.get_paginated_response(s.StreamShape(found, many=True).data)

    @extend_schema(request=None, responses=s.FindingShape(many=True))
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=WholeList)
    def preflight(self, request: Request, **_: Any) -> Response:
        """Look what stands against reading its streams as they are declared, with what mends it."""
        found = services.preflight(self.get_object())
        return self.get_paginated_response(s.FindingShape([vars(each) for each in found], many=True).data)

    @extend_schema(responses=s.CheckShape(many=True))
    @action(detail=True, filter_backends=[])
    def checks(self, request: Request, **_: Any) -> Response:
        """Its tests, the newest first."""
        rows = ConnectionCheck.objects.visible_to(request.user).filter(source=self.get_object())
        return self.get_paginated_response(s.CheckShape(self.paginate_queryset(rows), many=True).data)

    @extend_schema(parameters=[s.HealthParameters], responses=s.HealthShape)
    @action(detail=True, filter_backends=[])
    def health(self, request: Request, **_: Any) -> Response:
        """How it is and why, and how its tests of the last days went. They are kept for thirty."""
        given = s.HealthParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        source = self.get_object()
        figures = queries.connection_of(source, timezone.now(), given.validated_data["days"])
        return Response(s.HealthShape(source, context={"figures": figures}).data)

    @extend_schema(parameters=[s.SeenParameters], responses=s.FileShape(many=True))
    @action(detail=True, filter_backends=[])
    def files(self, request: Request, **_: Any) -> Response:
        """Every file that was ever seen in it, or those of one path, which may belong to several streams."""
        given = s.SeenParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        rows = SourceFile.objects.visible_to(request.user).filter(stream__source=self.get_object())
        if path := given.validated_data["path"]:
            rows = rows.filter(path=path)
        page = self.paginate_queryset(rows.select_related("stream"))
        return self.get_paginated_response(s.FileShape(page, many=True).data)


class StreamViewSet(StreamDrift, AsksReaders, mixins.ListModelMixin, mixins.RetrieveModelMixin, InSource):
    """Streams of a source: what may be read from it, as it is declared."""

    model = Stream
    orderings = {"name": ("name", "id")}
    serializer_class = s.StreamShape
    filter_backends = ()
    lookup_field = "name"
    lookup_value_regex = NAME
    action_needed = {
        "create": "manage",
        "partial_update": "manage",
        "destroy": "manage",
        "preview": "read",
        "schemas": "see",
        "drift": "see",
        "drift_seen": "operate",
        "drift_accept": "operate",
        "try_changes": "manage",
        "read_so": "manage",
    }
    fields_below = "config"
    own_fields = frozenset({"name", "drift"})

    def get_queryset(self) -> QuerySet[Any]:
        if self.schema_only:
            return Stream.objects.none()
        rows = super().get_queryset().filter(source=self.source_or_404())
        return rows.select_related("source__credential")

    @extend_schema(request=s.StreamBody, responses={201: s.StreamShape})
    def create(self, request: Request, **_: Any) -> Response:
        body = checked(s.StreamBody, request)
        made = services.declare_stream(self.source_or_404(), actor=self.actor, **body)
        return Response(s.StreamShape(made).data, status.HTTP_201_CREATED)

    @extend_schema(request=s.StreamChanges)
    def partial_update(self, request: Request, **_: Any) -> Response:
        body = checked(s.StreamChanges, request)
        changed = services.update_stream(
            self.get_object(), config=body.get("config", {}), drift=body.get("drift"), actor=self.actor
        )
        return Response(s.StreamShape(changed).data)

    def destroy(self, request: Request, **_: Any) -> Response:
        stream = self.get_object()
        services.delete_stream(stream, actor=self.actor, used_by=self.readers(stream.source, stream.name))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        parameters=[s.PreviewParameters],
        responses=s.PreviewShape,
    )
    @action(detail=True)
    def preview(self, request: Request, **_: Any) -> Response:
        """The first rows as they would arrive, and what of the part that was looked at for them would not."""
        given = s.PreviewParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        return Response(services.preview_stream(self.get_object(), limit=given.validated_data["limit"]))

    @extend_schema(request=s.TryBody, responses=s.TriedShape)
    @action(detail=True, methods=["post"], url_path="try")
    def try_changes(self, request: Request, **_: Any) -> Response:
        """What a run would make of a sample if its declaration were changed so. Nothing is kept."""
        body = checked(s.TryBody, request)
        return Response(services.try_stream(self.get_object(), config=body["config"]))

    @extend_schema(request=s.ReadSoBody, responses=s.ReadSoShape)
    @action(detail=True, methods=["post"], url_path="read-so")
    def read_so(self, request: Request, **_: Any) -> Response:
        """How its files are read, with the columns that they have then; kept where everything in a sample fits."""
        body = checked(s.ReadSoBody, request)
        self.fields_below = ""
        return Response(services.read_so(self.get_object(), actor=self.actor, **body))

    @extend_schema(responses=s.SchemaShape(many=True))
    @action(detail=True, pagination_class=WholeList)
    def schemas(self, request: Request, **_: Any) -> Response:
        """The schemas it has had, the newest first."""
        found = self.get_object().schema_versions.all()[:100]
        return self.get_paginated_response(s.SchemaShape(found, many=True).data)


def routes(sources: type[SourceViewSet], streams: type[StreamViewSet]) -> list[URLPattern | URLResolver]:
    """The addresses of sources and streams, for the app that knows their readers."""
    router = SimpleRouter()
    router.register(f"{_IN_PROJECT}/sources", sources, basename="project-sources")
    router.register(f"{_IN_SOURCE}/streams", streams, basename="project-streams")
    return router.urls


_router = SimpleRouter()
_router.register("connectors", ConnectorViewSet, basename="connector")
_router.register("source-templates", TemplateViewSet, basename="source-template")
_router.register(f"{_IN_PROJECT}/credentials", CredentialViewSet, basename="project-credentials")
_router.register(f"{_IN_SOURCE}/streams/(?P<stream>{NAME})/files", FileViewSet, basename="project-files")
_router.register(f"{_IN_SOURCE}/uploads", UploadViewSet, basename="project-uploads")
urlpatterns = _router.urls
