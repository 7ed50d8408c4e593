"""`/api/v1/me/`: who asks, and what they are where."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import services
from apps.accounts.api.tokens import TokenSerializer
from apps.accounts.api_base import PlatformViewSet
from apps.accounts.models import Membership, Role
from apps.audit.refusals import Invalid


class MyProjectSerializer(serializers.Serializer[Any]):
    slug = serializers.SlugField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)


class MeSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    username = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    administers_platform = serializers.BooleanField()
    token = TokenSerializer(allow_null=True)
    projects = MyProjectSerializer(many=True)


class PasswordSerializer(serializers.Serializer[Any]):
    current = serializers.CharField(write_only=True, trim_whitespace=False, max_length=4096)
    new = serializers.CharField(write_only=True, trim_whitespace=False, max_length=4096)


class JoinSerializer(serializers.Serializer[Any]):
    invitation = serializers.CharField(write_only=True, max_length=500, help_text="The link, or its last part.")


class MeViewSet(PlatformViewSet):
    serializer_class = MeSerializer
    pagination_class = None

    def retrieve(self, request: Request) -> Response:
        """Who is signed in, the token that was sent, and the projects one sees with it, each with one's role there."""
        user = self.user
        found = Membership.objects.visible_to(user).filter(user=user).select_related("project")
        projects = [
            {"slug": each.project.slug, "name": each.project.name, "role": user.narrowed(Role(each.role))}
            for each in found.order_by("project__slug")
        ]
        me = {
            "id": user.pk,
            "username": user.username,
            "email": user.email,
            "administers_platform": user.administers_platform(),
            "token": user.token,
            "projects": projects,
        }
        return Response(MeSerializer(me).data)

    @extend_schema(request=PasswordSerializer, responses={204: None})
    def password(self, request: Request) -> Response:
        """Change one's password. Sessions opened with the old one end; tokens stay."""
        given = PasswordSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user = self.user
        if not user.check_password(given.validated_data["current"]):
            raise Invalid("current", "This is not your password.", code="wrong_password")
        services.change_password(user, password=given.validated_data["new"], actor=self.actor)
        return Response(status=204)

    @extend_schema(request=JoinSerializer, responses=MyProjectSerializer)
    def join(self, request: Request) -> Response:
        """Join a project by an invitation."""
        given = JoinSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        text = given.validated_data["invitation"].rstrip("/").rpartition("/")[2]
        made = services.join(text, self.user, actor=self.actor)
        joined = {"slug": made.project.slug, "name": made.project.name, "role": made.role}
        return Response(MyProjectSerializer(joined).data)
