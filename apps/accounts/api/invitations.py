"""`/api/v1/projects/{project}/invitations/`: links by which others join. A link is in the answer that makes it only."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import services
from apps.accounts.api_base import ProjectViewSet
from apps.accounts.models import Invitation, Role
from apps.accounts.services.invitations import DEFAULT_DAYS, LONGEST_DAYS
from apps.audit.bodies import checked


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    accepted_by = serializers.CharField(source="accepted_by.username", read_only=True, default=None, allow_null=True)

    class Meta:
        model = Invitation
        fields = ["id", "name", "role", "created_at", "expires_at", "withdrawn_at", "accepted_at", "accepted_by"]
        read_only_fields = fields


class NewInvitationSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, help_text="For whom it is.")
    role = serializers.ChoiceField(choices=Role.choices, default=Role.VIEWER)
    days = serializers.IntegerField(default=DEFAULT_DAYS, min_value=1, max_value=LONGEST_DAYS)


class MadeInvitationSerializer(InvitationSerializer):
    link = serializers.CharField(read_only=True)

    class Meta(InvitationSerializer.Meta):
        fields = [*InvitationSerializer.Meta.fields, "link"]


class InvitationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ProjectViewSet):
    """Links by which somebody joins the project once. For its administrators."""

    model = Invitation
    serializer_class = InvitationSerializer
    action_needed = {"list": "manage", "retrieve": "manage", "create": "manage", "withdraw": "manage"}
    lookup_field = "pk"

    def get_queryset(self) -> QuerySet[Invitation]:
        return super().get_queryset().select_related("accepted_by")

    @extend_schema(request=NewInvitationSerializer, responses={201: MadeInvitationSerializer})
    def create(self, request: Request, project: str) -> Response:
        """Invite somebody. `link` is in this answer only: give it to whom it is for."""
        given = checked(NewInvitationSerializer, request)
        wanted = {**given, "role": Role(given["role"])}
        made, text = services.invite(self.project, **wanted, actor=self.actor)
        link = request.build_absolute_uri(reverse("console:join", args=[text]))
        return Response({**InvitationSerializer(made).data, "link": link}, status=201)

    @extend_schema(request=None, responses=InvitationSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, project: str, pk: str) -> Response:
        """Make a link useless at once; harmless when repeated."""
        return Response(InvitationSerializer(services.withdraw_invitation(self.get_object(), actor=self.actor)).data)
