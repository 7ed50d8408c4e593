"""`/pipelines/{slug}/hooks/`: addresses whose signed messages start runs, and their secrets."""

from __future__ import annotations

from collections.abc import Sequence
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
from apps.pipelines import hooks
from apps.pipelines.api import shapes
from apps.pipelines.models import Hook, HookMessage, Pipeline
from apps.pipelines.queries import shown_time


class HookSecretShape(shapes.Shape):
    id = s.UUIDField()
    created_at = s.DateTimeField()


class HookMessageShape(shapes.Shape):
    message_id = s.CharField()
    received_at = s.DateTimeField()
    run = s.UUIDField(allow_null=True)


class HookShape(shapes.Shape):
    id = s.UUIDField()
    name = s.CharField()
    address = s.CharField(help_text="Where messages are sent, below the address of this installation.")
    enabled = s.BooleanField()
    created_at = s.DateTimeField()
    secrets = HookSecretShape(many=True)
    messages = HookMessageShape(many=True, help_text="The newest five that were taken.")


class NewHook(HookShape):
    secret = s.CharField(help_text="Shown this once.")


class NewSecret(HookSecretShape):
    secret = s.CharField(help_text="Shown this once.")


class HookBody(shapes.Shape):
    name = s.CharField(max_length=100, help_text="Who sends the messages.")


class SwitchBody(shapes.Shape):
    enabled = s.BooleanField()


class HookViewSet(ProjectViewSet):
    """The inbound triggers of one pipeline."""

    model = Hook
    serializer_class = HookShape
    filter_backends = ()
    lookup_field = "pk"
    lookup_value_regex = "[^/]+"
    orderings: ClassVar[dict[str, tuple[str, ...]]] = {"name": ("name", "id")}
    action_needed: ClassVar[dict[str, Any]] = {
        "create": "manage",
        "partial_update": "manage",
        "destroy": "manage",
        "add_secret": "manage",
        "remove_secret": "manage",
    }

    @property
    def pipeline(self) -> Pipeline:
        visible = Pipeline.objects.visible_to(self.user, self.needed).filter(project=self.project)
        found: Pipeline = self.row(visible, slug=self.kwargs["pipeline"])
        return found

    def get_queryset(self) -> QuerySet[Hook]:
        if self.schema_only:
            return Hook.objects.none()
        found = super().get_queryset().filter(pipeline=self.pipeline)
        return found.prefetch_related("secrets")

    @extend_schema(responses=HookShape(many=True))
    def list(self, request: Request, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(_shown(page))

    @extend_schema(responses=HookShape)
    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return Response(_shown([self.get_object()])[0])

    @extend_schema(request=HookBody, responses={201: NewHook})
    def create(self, request: Request, **kwargs: Any) -> Response:
        """A new address with its first secret, which is shown this once."""
        name = checked(HookBody, request)["name"]
        hook, secret = hooks.create_hook(self.pipeline, name=name, actor=self.actor)
        (shown,) = _shown([hook])
        return Response(shown | {"secret": secret}, status=status.HTTP_201_CREATED)

    @extend_schema(request=SwitchBody, responses=HookShape)
    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        """Switch it on or off."""
        enabled = checked(SwitchBody, request)["enabled"]
        return Response(_shown([hooks.switch_hook(self.get_object(), enabled=enabled, actor=self.actor)])[0])

    @extend_schema(request=None, responses={204: None})
    def destroy(self, request: Request, **kwargs: Any) -> Response:
        hooks.delete_hook(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={201: NewSecret})
    @action(detail=True, methods=["post"], url_path="secrets")
    def add_secret(self, request: Request, **kwargs: Any) -> Response:
        """Another secret beside those that stand; it is shown this once."""
        row, secret = hooks.add_secret(self.get_object(), actor=self.actor)
        shown = {"id": str(row.pk), "created_at": shown_time(row.created_at), "secret": secret}
        return Response(shown, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["delete"], url_path=r"secrets/(?P<secret>[0-9a-f-]{36})")
    def remove_secret(self, request: Request, secret: str, **kwargs: Any) -> Response:
        """Messages signed with it are refused from now on."""
        hooks.remove_secret(self.row(self.get_object().secrets.all(), pk=secret), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _shown(found: Sequence[Hook]) -> list[dict[str, Any]]:
    """Hooks as the API shows them, with their newest messages, which one query finds for all."""
    newest = hooks.newest_messages(found)
    return [
        {
            "id": str(hook.pk),
            "name": hook.name,
            "address": f"/hooks/{hook.pk}",
            "enabled": hook.enabled,
            "created_at": shown_time(hook.created_at),
            "secrets": [{"id": str(each.pk), "created_at": shown_time(each.created_at)} for each in hook.secrets.all()],
            "messages": [_message(each) for each in newest.get(hook.pk, [])],
        }
        for hook in found
    ]


def _message(message: HookMessage) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "received_at": shown_time(message.received_at),
        "run": str(message.run_id) if message.run_id else None,
    }


_router = SimpleRouter()
_router.register(
    r"projects/(?P<project>[a-z0-9-]+)/pipelines/(?P<pipeline>[a-z0-9-]+)/hooks", HookViewSet, basename="project-hooks"
)
urlpatterns = _router.urls
