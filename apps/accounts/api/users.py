"""`/api/v1/users/`: the people of the platform, for whoever administers it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import services
from apps.accounts.api_base import AdministratorViewSet
from apps.accounts.models import User
from apps.accounts.services.lockout import Lock, locks
from apps.audit.bodies import checked


class _WithLocks(serializers.ListSerializer[User]):
    """Asks once for the locks of a whole page of people."""

    def to_representation(self, data: Any) -> list[Any]:
        people = list(data)
        self.child.found = locks(people)  # type: ignore[union-attr]
        return super().to_representation(people)


class LockSerializer(serializers.Serializer[Lock]):
    address = serializers.CharField(
        allow_blank=True,
        help_text="The right password is refused from here as well. Empty: wrong codes, refused from everywhere.",
    )
    until = serializers.DateTimeField()


class UserSerializer(serializers.ModelSerializer[User]):
    # May be empty, which is no e-mail address.
    email = serializers.CharField(read_only=True)
    second_factor = serializers.BooleanField(source="has_second_factor", read_only=True)
    locks = serializers.SerializerMethodField()
    # The locks of all who are shown, where several are.
    found: list[Lock] | None = None

    class Meta:
        model = User
        fields = [
            "id",
            "username",
            "email",
            "is_active",
            "is_superuser",
            "second_factor",
            "date_joined",
            "last_login",
            "locks",
        ]
        read_only_fields = fields
        list_serializer_class = _WithLocks

    @extend_schema_field(LockSerializer(many=True))
    def get_locks(self, user: User) -> list[dict[str, Any]]:
        """From where too many wrong passwords or codes were tried."""
        found = locks([user]) if self.found is None else self.found
        return [LockSerializer(each).data for each in found if each.user.pk == user.pk]


class EndedSerializer(serializers.Serializer[Any]):
    ended = serializers.IntegerField(help_text="How many sessions there were.")


class NewUserSerializer(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(write_only=True, trim_whitespace=False, max_length=4096)
    email = serializers.EmailField(default="", allow_blank=True, max_length=254)
    superuser = serializers.BooleanField(default=False)


class ChangedUserSerializer(serializers.Serializer[Any]):
    """What is not given stays."""

    is_active = serializers.BooleanField(required=False)
    is_superuser = serializers.BooleanField(required=False)
    email = serializers.EmailField(required=False, allow_blank=True, max_length=254)


class MadePasswordSerializer(serializers.Serializer[Any]):
    password = serializers.CharField(read_only=True)


class UserViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AdministratorViewSet):
    serializer_class = UserSerializer
    lookup_field = "username"
    lookup_value_regex = "[^/]+"
    orderings = {"username": ("username",), "-date_joined": ("-date_joined", "-id")}

    def get_queryset(self) -> QuerySet[User]:
        return (
            User.objects.none()
            if self.schema_only
            else User.objects.visible_to(self.user).select_related("second_factor")
        )

    @extend_schema(request=NewUserSerializer, responses={201: UserSerializer})
    def create(self, request: Request) -> Response:
        """Add a person, who is a member of nothing yet."""
        given = checked(NewUserSerializer, request)
        user = services.create_user(**given, actor=self.actor)
        return Response(UserSerializer(user).data, status=201)

    @extend_schema(request=ChangedUserSerializer, responses=UserSerializer)
    def partial_update(self, request: Request, username: str) -> Response:
        """Change the address, or who administers; deactivate: sessions and tokens stop working at once."""
        wanted = checked(ChangedUserSerializer, request)
        user = services.change_user(
            self.get_object(),
            active=wanted.get("is_active"),
            superuser=wanted.get("is_superuser"),
            email=wanted.get("email"),
            actor=self.actor,
        )
        return Response(UserSerializer(user).data)

    @extend_schema(request=None, responses=MadePasswordSerializer)
    @action(detail=True, methods=["post"])
    def password(self, request: Request, username: str) -> Response:
        """Make a new password for somebody else who lost theirs. It is in this answer only; their sessions end."""
        made = services.replace_password(self.get_object(), by=self.user, actor=self.actor)
        return Response({"password": made})

    @extend_schema(request=None, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def unlock(self, request: Request, username: str) -> Response:
        """Forget the wrong passwords and codes that were tried for a person, so that the right ones are heard again."""
        user = self.get_object()
        services.unlock(user, actor=self.actor)
        return Response(UserSerializer(user).data)

    @extend_schema(request=None, responses=EndedSerializer)
    @action(detail=True, methods=["post"], url_path="end-sessions")
    def end_sessions(self, request: Request, username: str) -> Response:
        """Sign a person out of the console everywhere. Their tokens go on; revoke those, or deactivate the person."""
        ended = services.end_other_sessions(self.get_object(), None, actor=self.actor)
        return Response({"ended": ended})

    @extend_schema(methods=["delete"], responses={204: None})
    @action(detail=True, methods=["delete"], url_path="second-factor")
    def second_factor(self, request: Request, username: str) -> Response:
        """Take the second factor of somebody else away, for instance with a lost phone; they are signed out everywhere.

        One's own goes in the console, with a code.
        """
        services.reset_factor(self.get_object(), by=self.user, actor=self.actor)
        return Response(status=204)
