"""`/api/v1/me/`: who asks, and what they are where."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import entering, services
from apps.accounts.addresses import address_of
from apps.accounts.api.tokens import TokenSerializer
from apps.accounts.api_base import PlatformViewSet, WholeList
from apps.accounts.models import Identity, Membership, Role, Session
from apps.audit.bodies import checked


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


class SessionSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    device = serializers.CharField()
    address = serializers.CharField(allow_blank=True)
    began_at = serializers.DateTimeField(allow_null=True)
    seen_at = serializers.DateTimeField(allow_null=True)
    current = serializers.BooleanField(help_text="The session that asks.")


class SecondFactorSerializer(serializers.Serializer[Any]):
    active = serializers.BooleanField(help_text="Whether a code is asked for at sign-in.")
    since = serializers.DateTimeField(allow_null=True)
    recovery_codes = serializers.IntegerField(help_text="How many are left.")
    needed = serializers.BooleanField(help_text="Whether everybody needs one here.")


class IdentitySerializer(serializers.ModelSerializer[Identity]):
    email = serializers.CharField(read_only=True, help_text="May be empty.")

    class Meta:
        model = Identity
        fields = ["id", "issuer", "subject", "email", "created_at", "used_at"]
        read_only_fields = fields


class ProofSerializer(serializers.Serializer[Any]):
    password = serializers.CharField(
        write_only=True,
        trim_whitespace=False,
        default="",
        max_length=4096,
        help_text="Of whoever has no second factor.",
    )
    code = serializers.CharField(write_only=True, default="", max_length=40, help_text="Of the second factor.")


class JoinSerializer(serializers.Serializer[Any]):
    invitation = serializers.CharField(write_only=True, max_length=500, help_text="The link, or its last part.")


class MeViewSet(PlatformViewSet):
    serializer_class = MeSerializer
    personal = ("password", "join")
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
        given = checked(PasswordSerializer, request)
        user, key = self.user, request.session.session_key
        services.confirm_password(user, given["current"])
        services.change_password(user, password=given["new"], actor=self.actor, keep_session=key)
        return Response(status=204)

    @extend_schema(responses=SecondFactorSerializer)
    def second_factor(self, request: Request) -> Response:
        """One's second factor for the console. It is set up and changed there; tokens are not asked for it."""
        factor = services.factor_of(self.user)
        since = None if factor is None else factor.confirmed_at
        left = 0 if factor is None or since is None else len(factor.recovery)
        mine = {"active": since is not None, "since": since, "recovery_codes": left, "needed": settings.REQUIRE_MFA}
        return Response(SecondFactorSerializer(mine).data)

    @extend_schema(request=JoinSerializer, responses=MyProjectSerializer)
    def join(self, request: Request) -> Response:
        """Join a project by an invitation."""
        given = checked(JoinSerializer, request)
        text = given["invitation"].rstrip("/").rpartition("/")[2]
        made = services.join(text, self.user, actor=self.actor)
        joined = {"slug": made.project.slug, "name": made.project.name, "role": made.role}
        return Response(MyProjectSerializer(joined).data)


class SessionViewSet(PlatformViewSet):
    """Where one is signed in to the console."""

    serializer_class = SessionSerializer
    personal = ("destroy", "end_others")
    pagination_class = WholeList
    lookup_value_regex = "[0-9a-f]{32}"

    def get_queryset(self) -> QuerySet[Session]:
        return Session.objects.none() if self.schema_only else Session.objects.visible_to(self.user)

    @extend_schema(responses=SessionSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The last used first."""
        found = services.sessions_of(self.user, request.session.session_key)
        return Response({"results": SessionSerializer(found, many=True).data, "next": None, "previous": None})

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Sign out there."""
        services.end_session(self.user, pk, actor=self.actor)
        return Response(status=204)

    @extend_schema(request=None, responses={204: None})
    @action(detail=False, methods=["post"], url_path="end-others")
    def end_others(self, request: Request) -> Response:
        """Sign out everywhere but here; with a token, everywhere."""
        services.end_other_sessions(self.user, request.session.session_key, actor=self.actor)
        return Response(status=204)


class IdentityViewSet(mixins.ListModelMixin, PlatformViewSet):
    """Whom the issuer knows one as. Links are made in the console, by signing in there."""

    serializer_class = IdentitySerializer
    personal = ("unlink",)
    pagination_class = WholeList
    lookup_value_regex = "[0-9a-f-]{36}"

    def get_queryset(self) -> QuerySet[Identity]:
        return Identity.objects.none() if self.schema_only else Identity.objects.visible_to(self.user)

    @extend_schema(request=ProofSerializer, responses={204: None})
    @action(detail=True, methods=["post"])
    def unlink(self, request: Request, pk: str) -> Response:
        """Sign in by it no more, until it is linked again in the console. Needs a code, or else the password."""
        given = checked(ProofSerializer, request)
        found, recent = self.get_object(), entering.is_recent(request._request)
        services.prove(self.user, **given, address=address_of(request._request), recent=recent)
        services.unlink(found, actor=self.actor)
        return Response(status=204)
