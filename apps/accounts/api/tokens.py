"""`/api/v1/tokens/`: keys to the API. The text of one is in the answer that makes it, and nowhere else."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import services
from apps.accounts.api_base import PlatformViewSet
from apps.accounts.models import ApiToken, Project, Role
from apps.audit.bodies import checked


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    user = serializers.CharField(source="user.username", read_only=True)
    project = serializers.CharField(source="project.slug", read_only=True, default=None, allow_null=True)

    class Meta:
        model = ApiToken
        fields = [
            "id",
            "name",
            "hint",
            "user",
            "role",
            "project",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        ]
        read_only_fields = fields


class IssuedTokenSerializer(TokenSerializer):
    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]


class NewTokenSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    role = serializers.ChoiceField(choices=Role.choices, default=Role.OPERATOR)
    project = serializers.SlugField(allow_null=True, default=None, max_length=63)
    days = serializers.IntegerField(allow_null=True, default=None, min_value=1, max_value=3650)


class TokenViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, PlatformViewSet):
    """One's own tokens, and those limited to a project one administers."""

    serializer_class = TokenSerializer
    personal = ("create",)

    def get_queryset(self) -> QuerySet[ApiToken]:
        if self.schema_only:
            return ApiToken.objects.none()
        return ApiToken.objects.visible_to(self.user).select_related("user", "project")

    @extend_schema(request=NewTokenSerializer, responses={201: IssuedTokenSerializer})
    def create(self, request: Request) -> Response:
        """Issue a token for oneself. `token` is in this answer only."""
        wanted = checked(NewTokenSerializer, request)
        project = None
        if wanted["project"] is not None:
            project = Project.objects.visible_to(self.user).filter(slug=wanted["project"]).first()
            if project is None:
                raise serializers.ValidationError({"project": f"There is no project `{wanted['project']}`."})
        token, text = services.issue_token(
            self.user,
            name=wanted["name"],
            role=Role(wanted["role"]),
            project=project,
            expires_at=services.expiry(wanted["days"]),
            actor=self.actor,
        )
        return Response({**TokenSerializer(token).data, "token": text}, status=201)

    @extend_schema(request=None, responses=TokenSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Make a token useless at once; harmless when repeated."""
        token = self.get_object()
        came_with = self.user.token
        managed = token.project_id is not None and token.project_id in self.user.project_ids("manage")
        if self.user.is_limited() and token != came_with and not managed:
            raise PermissionDenied("A token that is limited revokes itself, and those of a project it manages.")
        return Response(TokenSerializer(services.revoke_token(token, actor=self.actor)).data)
