"""`/api/v1/projects/` and the members of each."""

from __future__ import annotations

from typing import Any

from django.db.models import F, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import services
from apps.accounts.api_base import PlatformViewSet, ProjectViewSet
from apps.accounts.models import Membership, Project, Role, User
from apps.audit.bodies import checked


class ProjectSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["id", "slug", "name", "created_at"]
        read_only_fields = fields


class NewProjectSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=63)
    name = serializers.CharField(max_length=200, default="", allow_blank=True)
    admin = serializers.CharField(
        max_length=150, default="", allow_blank=True, help_text="The first administrator's username; you if empty."
    )


class ProjectsViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, PlatformViewSet):
    """The projects one is a member of."""

    serializer_class = ProjectSerializer
    lookup_field = "slug"
    lookup_value_regex = "[a-z0-9-]+"
    orderings = {"slug": ("slug",), "-created_at": ("-created_at", "-id")}

    def get_queryset(self) -> QuerySet[Project]:
        return Project.objects.none() if self.schema_only else Project.objects.visible_to(self.user)

    @extend_schema(request=NewProjectSerializer, responses={201: ProjectSerializer})
    def create(self, request: Request) -> Response:
        """Add a project with its first administrator. Superusers only."""
        user = self.user
        if not user.administers_platform():
            raise PermissionDenied("Only superusers create projects.")
        wanted = checked(NewProjectSerializer, request)
        admin = user if not wanted["admin"] else _person(wanted["admin"], "admin")
        project = services.create_project(slug=wanted["slug"], name=wanted["name"], admin=admin, actor=self.actor)
        return Response(ProjectSerializer(project).data, status=201)


class MemberSerializer(serializers.ModelSerializer[Membership]):
    username = serializers.CharField(source="user.username", read_only=True)
    active = serializers.BooleanField(source="user.is_active", read_only=True)
    role = serializers.ChoiceField(choices=Role.choices)

    class Meta:
        model = Membership
        fields = ["username", "active", "role"]


class MemberViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ProjectViewSet):
    """Who is in the project, and as what."""

    model = Membership
    serializer_class = MemberSerializer
    action_needed = {"update": "manage", "destroy": "manage"}
    lookup_field = "user__username"
    lookup_url_kwarg = "username"
    lookup_value_regex = "[^/]+"
    orderings = {"username": ("username",)}

    def get_queryset(self) -> QuerySet[Membership]:
        # The cursor of a page is read from the row itself.
        return super().get_queryset().select_related("user").annotate(username=F("user__username"))

    def update(self, request: Request, project: str, username: str) -> Response:
        """Add a member, or change their role."""
        given = checked(MemberSerializer, request)
        user = _person(username, "username")
        role = Role(given["role"])
        membership = services.set_membership(self.project, user, role=role, actor=self.actor)
        return Response(MemberSerializer(membership).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, project: str, username: str) -> Response:
        """End a membership. The last administrator of a project stays."""
        services.remove_membership(self.project, self.get_object().user, actor=self.actor)
        return Response(status=204)


def _person(username: str, field: str) -> User:
    """Anybody there is: whom one adds is not visible to one yet."""
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise serializers.ValidationError({field: f"There is no user `{username}`."})
    return user
