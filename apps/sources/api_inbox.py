"""The endpoints of a source that events are sent to: what came, and the secrets that they are signed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet
from apps.sources import queries, services

if TYPE_CHECKING:
    Base = ProjectViewSet
else:
    Base = object


class InboxEventShape(serializers.Serializer[Any]):
    position = serializers.IntegerField()
    message_id = serializers.CharField(help_text="What its sender calls it (webhook-id).")
    received_at = serializers.DateTimeField()
    size = serializers.IntegerField(help_text="Bytes.")


class InboxShape(serializers.Serializer[Any]):
    address = serializers.CharField(help_text="Where events are sent, below the address of this installation.")
    secrets = serializers.IntegerField(help_text="With so many secrets an event may be signed; 0: none is taken.")
    received = serializers.IntegerField(help_text="So many events were ever taken.")
    kept = serializers.IntegerField(help_text="So many of them are kept.")
    events = InboxEventShape(many=True, help_text="The newest twenty that are kept.")


class InboxSecretShape(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="Shown this once.")


class SourceInbox(Base):
    """What the endpoint of sources offers of inbound webhooks."""

    only_for_some: tuple[str, ...] = ("inbox",)
    """Reads that other kinds of sources refuse with 409."""

    @extend_schema(responses=InboxShape)
    @action(detail=True, filter_backends=[], pagination_class=None)
    def inbox(self, request: Request, **_: Any) -> Response:
        """Where events for a source of inbound webhooks are sent, and which came last; 409 for other kinds."""
        source = self.get_object()
        services.must_take_events(source)
        standing = services.standing_of(source.pk)
        names = set(source.credential.secrets) if source.credential else set()
        shown = {
            "address": f"/in/{source.pk}",
            "secrets": len(names & {"secret", "previous"}),
            "received": standing.newest,
            "kept": standing.newest - standing.before,
            "events": queries.newest_events(source),
        }
        return Response(InboxShape(shown).data)

    @extend_schema(request=None, responses={201: InboxSecretShape})
    @action(detail=True, methods=["post"], url_path="inbox/secret", filter_backends=[], pagination_class=None)
    def inbox_secret(self, request: Request, **_: Any) -> Response:
        """A new secret for its events, shown this once; the one before holds beside it until it is dropped."""
        text = services.rotate_secret(self.get_object(), actor=self.actor)
        return Response(InboxSecretShape({"secret": text}).data, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={204: None})
    @inbox_secret.mapping.delete
    def inbox_previous(self, request: Request, **_: Any) -> Response:
        """Refuse events that are signed with the secret before."""
        services.drop_previous_secret(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)
