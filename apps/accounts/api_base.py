"""The base of every endpoint: who asks, in which project, and whether they may do what the endpoint does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.http import Http404
from rest_framework import viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import get_object_or_404
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import BasePagination
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.actors import actor_of
from apps.accounts.models import Project, User
from apps.audit.context import Actor
from apps.audit.visibility import Action

_READING: dict[str, Action] = {"list": "see", "retrieve": "see", "metadata": "see"}


class WholeList(BasePagination):
    """A list that is short by its nature: the shape of every list, on one page."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        return list(queryset)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": None, "previous": None})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        nothing = {"type": "string", "nullable": True}
        properties = {"results": schema, "next": nothing, "previous": nothing}
        return {"type": "object", "required": list(properties), "properties": properties}


class AnyFormat(DefaultContentNegotiation):
    """`format` names the file that is wanted here, not the form of the answer; a client may accept what it likes."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class PlatformViewSet(viewsets.GenericViewSet[Any]):
    """Base of endpoints above the projects. `self.actor` is for services; rows come from `visible_to(self.user)`."""

    # Whether others are refused, in the OpenAPI document; an action may say it for itself.
    only_administrators = False
    # The actions that change something about the person: not for a token that is limited to a project or a lesser role.
    personal: ClassVar[Collection[str]] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.action in self.personal and self.user.is_limited():
            raise PermissionDenied(
                "This token is limited to a project or a role, and this concerns its person as a whole. Sign in to the "
                "console, or send a token that is not limited."
            )

    @property
    def user(self) -> User:
        """Whoever asks; the framework has answered 401 to nobody."""
        user = self.request.user
        assert isinstance(user, User)
        return user

    @property
    def actor(self) -> Actor:
        return actor_of(self.user)

    @property
    def schema_only(self) -> bool:
        """True while the OpenAPI document is made: there is no request then."""
        return bool(getattr(self, "swagger_fake_view", False))

    @property
    def place(self) -> str:
        """Where the endpoint looks for rows, to be said of one that is not there."""
        return ""

    def row(self, rows: models.QuerySet[Any], **lookup: Any) -> Any:
        """The one of these rows that the address names. Raises Http404 in words that name it."""
        try:
            return get_object_or_404(rows, **lookup)
        except Http404:
            (name,) = lookup.values()
            raise Http404(f"There is no {rows.model._meta.verbose_name} `{name}`{self.place}.") from None

    def get_object(self) -> Any:
        """The row at the end of the address. Raises Http404 in words that name it."""
        name = self.kwargs[self.lookup_url_kwarg or self.lookup_field]
        return self.row(self.filter_queryset(self.get_queryset()), **{self.lookup_field: name})


class AdministratorViewSet(PlatformViewSet):
    """Base of endpoints that only whoever administers the platform may use."""

    only_administrators = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.user.administers_platform():
            raise PermissionDenied("Only superusers may do this, and not with a token that is limited.")


class ProjectViewSet(PlatformViewSet):
    """Base of what lives under `/api/v1/projects/{project}/`.

    A subclass names its `model` and, for each of its actions beyond list and retrieve, the verb of the role table that
    it needs: `action_needed = {"create": "manage", "test": "operate"}`. Before the action runs, `self.project` is the
    project of the address: 404 for whoever may not see it, 403 for whoever may not do this. `get_queryset()` holds the
    rows of this project that are visible to the user for this verb. Writes are calls of services with
    `actor=self.actor`, and every service opens its own transaction.
    """

    model: ClassVar[type[models.Model]]
    action_needed: ClassVar[Mapping[str, Action]] = {}
    lookup_field = "slug"
    project: Project

    @property
    def needed(self) -> Action:
        """The verb that the current action needs. A forgotten declaration is an error, not an open door."""
        name = self.action or "metadata"
        try:
            return ({**_READING, **self.action_needed})[name]
        except KeyError:
            raise ImproperlyConfigured(f"{type(self).__name__}.action_needed does not name `{name}`.") from None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.project = self._enter(kwargs["project"])

    @property
    def place(self) -> str:
        return f" here, in the project `{self.project.slug}`"

    def require(self, action: Action) -> None:
        """Refuse a part of what the current action does to those who may not do `action` in the project."""
        if not Project.objects.visible_to(self.user, action).filter(pk=self.project.pk).exists():
            raise _not_allowed(self.project.slug, action)

    def get_queryset(self) -> models.QuerySet[Any]:
        rows: Any = self.model._default_manager
        if self.schema_only:
            return rows.none()
        path = getattr(self.model, "project_path", "project_id")
        return rows.visible_to(self.user, self.needed).filter(**{path: self.project.pk})

    def _enter(self, slug: str) -> Project:
        user, needed = self.user, self.needed
        project = Project.objects.visible_to(user, needed).filter(slug=slug).first()
        if project is not None:
            return project
        if needed != "see" and Project.objects.visible_to(user, "see").filter(slug=slug).exists():
            raise _not_allowed(slug, needed)
        raise Http404(f"There is no project `{slug}`.")


def _not_allowed(slug: str, needed: Action) -> PermissionDenied:
    return PermissionDenied(f"Your role in the project `{slug}` does not allow this: it needs to `{needed}`.")


def project_router(**viewsets_by_prefix: type[ProjectViewSet]) -> SimpleRouter:
    """Routes under `projects/{project}/`: `project_router(sources=SourceViewSet).urls`; an underscore is a hyphen."""
    router = SimpleRouter()
    for prefix, viewset in viewsets_by_prefix.items():
        router.register(
            rf"projects/(?P<project>[a-z0-9-]+)/{prefix.replace('_', '-')}", viewset, basename=f"project-{prefix}"
        )
    return router
