"""The API of people: who I am, tokens, users, projects, their members, and what everybody did."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.accounts.api.events import EventViewSet, ProjectEventViewSet
from apps.accounts.api.invitations import InvitationViewSet
from apps.accounts.api.me import IdentityViewSet, MeViewSet, SessionViewSet
from apps.accounts.api.projects import MemberViewSet, ProjectsViewSet
from apps.accounts.api.tokens import TokenViewSet
from apps.accounts.api.users import UserViewSet
from apps.accounts.api_base import project_router

_router = SimpleRouter()
_router.register("tokens", TokenViewSet, basename="token")
_router.register("me/sessions", SessionViewSet, basename="session")
_router.register("me/identities", IdentityViewSet, basename="identity")
_router.register("users", UserViewSet, basename="user")
_router.register("projects", ProjectsViewSet, basename="project")
_router.register("events", EventViewSet, basename="event")

urlpatterns = [
    path("me/", MeViewSet.as_view({"get": "retrieve"}), name="me"),
    path("me/password/", MeViewSet.as_view({"post": "password"}), name="me-password"),
    path("me/second-factor/", MeViewSet.as_view({"get": "second_factor"}), name="me-second-factor"),
    path("me/join/", MeViewSet.as_view({"post": "join"}), name="me-join"),
    *_router.urls,
    *project_router(members=MemberViewSet, invitations=InvitationViewSet, events=ProjectEventViewSet).urls,
]
