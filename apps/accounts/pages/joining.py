"""Where the link of an invitation leads: whoever has an account joins, anybody else gets one."""

from __future__ import annotations

from django.contrib.auth.password_validation import password_validators_help_texts
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.accounts import entering, services
from apps.accounts.actors import actor_of
from apps.accounts.models import Invitation, Membership
from apps.accounts.page_base import go, refuse_nul, signed_in
from apps.audit.refusals import Conflict
from dataplane.errors import ManifoldError


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "POST"])
def join(request: HttpRequest, text: str) -> HttpResponse:
    refuse_nul(request)
    try:
        invitation = services.open_invitation(text)
    except Conflict as error:
        return render(request, "accounts/join.html", {"spent": str(error)}, status=404)
    if request.method == "POST":
        try:
            return _enter(request, text)
        except ManifoldError as error:
            return _page(request, invitation, str(error))
    return _page(request, invitation)


def _enter(request: HttpRequest, text: str) -> HttpResponse:
    if request.user.is_authenticated:
        membership = services.join(text, signed_in(request), actor=actor_of(request.user))
        return go(request, _home(membership), _welcome(membership))
    username, password = request.POST.get("username", "").strip(), request.POST.get("password", "")
    membership = services.sign_up(text, username=username, password=password)
    onward = entering.enter(request, membership.user, onward=_home(membership))
    return go(request, onward, _welcome(membership))


def _home(membership: Membership) -> str:
    return reverse("console:home", args=[membership.project.slug])


def _welcome(membership: Membership) -> str:
    return f"Welcome to {membership.project.name}: you are {membership.get_role_display()}."


def _page(request: HttpRequest, invitation: Invitation, refused: str = "") -> HttpResponse:
    context = {
        "invitation": invitation,
        "refused": refused,
        "rules": password_validators_help_texts(),
        "username": request.POST.get("username", ""),
    }
    return render(request, "accounts/join.html", context, status=422 if refused else 200)


urlpatterns = [path("join/<str:text>/", join, name="join")]
