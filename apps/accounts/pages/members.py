"""Who is in a project and as what; for its administrators, also how that changes."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import services
from apps.accounts.actors import actor_of
from apps.accounts.models import ApiToken, Invitation, Membership, Project, Role
from apps.accounts.page_base import go, project_page, require, signed_in
from dataplane.errors import ManifoldError

LASTING = {1: "a day", 7: "a week", 30: "30 days"}


@never_cache
@require_http_methods(["GET", "POST"])
@project_page()
def members(request: HttpRequest, project: Project) -> HttpResponse:
    """The list; POST invites. The link is shown in the answer to the form that asked for it, and never again."""
    context: dict[str, object] = {}
    if request.method == "POST":
        require(request, "manage")
        try:
            context["invited"], text = _invite(request, project)
            context["link"] = request.build_absolute_uri(reverse("console:join", args=[text]))
        except ManifoldError as error:
            context["refused"] = str(error)
    found = Membership.objects.visible_to(request.user).filter(project=project)
    open_ones = Invitation.objects.visible_to(request.user, "manage").filter(
        project=project, accepted_at=None, withdrawn_at=None, expires_at__gt=timezone.now()
    )
    context |= {
        "tokens": _tokens(request, project),
        "members": found.select_related("user").order_by("user__username"),
        "invitations": open_ones,
        "roles": Role.choices,
        "lasting": LASTING,
    }
    return render(request, "accounts/members.html", context, status=422 if "refused" in context else 200)


@require_POST
@project_page("manage")
def change(request: HttpRequest, project: Project, username: str) -> HttpResponse:
    membership = _member(request, project, username)
    role = request.POST.get("role")
    if role not in Role.values:
        raise Http404(f"There is no role {role}.")
    changed = services.set_membership(project, membership.user, role=Role(role), actor=actor_of(request.user))
    said = f"{username} is {changed.get_role_display()} now."
    return go(request, reverse("console:members", args=[project.slug]), said)


@require_POST
@project_page("manage")
def remove(request: HttpRequest, project: Project, username: str) -> HttpResponse:
    membership = _member(request, project, username)
    services.remove_membership(project, membership.user, actor=actor_of(request.user))
    # Whoever leaves by themselves sees the project no more.
    there = "/" if membership.user_id == request.user.pk else reverse("console:members", args=[project.slug])
    return go(request, there, f"{username} is no member of {project.name} any more.")


@require_POST
@project_page("manage")
def withdraw(request: HttpRequest, project: Project, invitation_id: uuid.UUID) -> HttpResponse:
    rows = Invitation.objects.visible_to(request.user, "manage").filter(project=project)
    invitation = services.withdraw_invitation(get_object_or_404(rows, pk=invitation_id), actor=actor_of(request.user))
    said = f"The invitation for {invitation.name} opens nothing any more."
    return go(request, reverse("console:members", args=[project.slug]), said)


def _tokens(request: HttpRequest, project: Project) -> QuerySet[ApiToken]:
    """Whoever's tokens are limited to the project, for its administrators."""
    user = signed_in(request)
    managed = ApiToken.objects.filter(project__in=user.project_ids("manage"), project=project, revoked_at=None)
    return managed.select_related("user")


def _member(request: HttpRequest, project: Project, username: str) -> Membership:
    rows = Membership.objects.visible_to(request.user).filter(project=project).select_related("user")
    return get_object_or_404(rows, user__username=username)


def _invite(request: HttpRequest, project: Project) -> tuple[Invitation, str]:
    role, days = request.POST.get("role"), request.POST.get("days", "")
    return services.invite(
        project,
        name=request.POST.get("name", ""),
        role=Role(role) if role in Role.values else Role.VIEWER,
        days=int(days) if days in {str(each) for each in LASTING} else 7,
        actor=actor_of(request.user),
    )


urlpatterns = [
    path("p/<slug:project>/members/", members, name="members"),
    path("p/<slug:project>/members/<str:username>/role/", change, name="member-role"),
    path("p/<slug:project>/members/<str:username>/remove/", remove, name="member-remove"),
    path("p/<slug:project>/invitations/<uuid:invitation_id>/withdraw/", withdraw, name="invitation-withdraw"),
]
