"""The endpoints of a source that somebody has to consent to: what lets it in, and how it is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet
from apps.accounts.models import User
from apps.sources import services
from apps.sources.models import Connecting, Grant

if TYPE_CHECKING:
    Base = ProjectViewSet
else:
    Base = object


class GrantShape(serializers.ModelSerializer[Grant]):
    connected = serializers.SerializerMethodField(help_text="Whether it is let in, as far as is known.")

    class Meta:
        model = Grant
        fields = [
            "connected",
            "granted_at",
            "granted_by",
            "scope",
            "token_ends_at",
            "renewed_at",
            "ends_at",
            "refused",
        ]
        extra_kwargs = {
            "granted_at": {"allow_null": True, "help_text": "Null: nobody has connected it yet."},
            "token_ends_at": {"help_text": "The token is renewed before; null: nobody has said that it ends."},
            "ends_at": {"help_text": "By then somebody has to connect it again; null: by no known time."},
            "refused": {"help_text": "Why it is not let in any more; empty where it is."},
        }

    def get_connected(self, grant: Grant) -> bool:
        return bool(grant.secrets) and not grant.refused


class ConnectingShape(serializers.ModelSerializer[Connecting]):
    user_code = serializers.CharField(help_text="What is entered at the address; empty where nothing is.")
    redirect_uri = serializers.CharField(
        source="redirect", help_text="Where a browser comes back to; it has to be registered with the client there."
    )

    class Meta:
        model = Connecting
        fields = ["address", "address_with_code", "user_code", "redirect_uri", "interval", "expires_at"]
        extra_kwargs = {
            "address": {"help_text": "Open it in a browser that is signed in here as the same person."},
            "interval": {"help_text": "Seconds between two questions whether the code has been entered."},
        }


class EnteredShape(serializers.Serializer[Any]):
    connected = serializers.BooleanField()
    passed = serializers.BooleanField(allow_null=True, help_text="Whether its test passed; null: not connected yet.")


class SourceConnecting(Base):
    """What the endpoint of sources offers of those that somebody has to consent to."""

    @extend_schema(responses=GrantShape)
    @action(detail=True, filter_backends=[], pagination_class=None)
    def grant(self, request: Request, **_: Any) -> Response:
        """What lets it in, and until when; 409 for sources that need nobody's consent."""
        source = self.get_object()
        services.must_need_consent(source)
        return Response(GrantShape(Grant.objects.filter(source=source).first() or Grant()).data)

    @extend_schema(request=None, responses={201: ConnectingShape})
    @grant.mapping.post
    def connect(self, request: Request, **_: Any) -> Response:
        """Begin to connect it: open `address` in a browser, and enter `user_code` there if there is one."""
        source = self.get_object()
        assert isinstance(request.user, User)
        redirect = request.build_absolute_uri(reverse("console:oauth-callback"))
        row, _state = services.begin_connecting(source, user=request.user, redirect=redirect, actor=self.actor)
        return Response(ConnectingShape(row).data, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=EnteredShape)
    @action(detail=True, methods=["post"], url_path="grant/entered", filter_backends=[], pagination_class=None)
    def entered(self, request: Request, **_: Any) -> Response:
        """Ask whether the code has been entered. Then the source is connected and tested; 409 when it is over."""
        passed = services.ask_device(self.get_object(), actor=self.actor)
        return Response(EnteredShape({"connected": passed is not None, "passed": passed}).data)

    @extend_schema(request=None, responses={204: None})
    @grant.mapping.delete
    def disconnect(self, request: Request, **_: Any) -> Response:
        """Forget what lets it in."""
        services.disconnect(self.get_object(), actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)
