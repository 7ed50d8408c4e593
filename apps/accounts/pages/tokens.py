"""The console's page of one's own API tokens; a project's page of members shows all that are limited to it."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import services
from apps.accounts.actors import actor_of
from apps.accounts.models import ApiToken, Role, User
from apps.accounts.page_base import go, memberships, person_page, said, signed_in
from apps.audit.refusals import Invalid
from dataplane.errors import ManifoldError

LIFETIMES = {"30": "30 days", "90": "90 days", "365": "a year", "": "until it is revoked"}


@never_cache
@require_http_methods(["GET", "POST"])
@person_page
def tokens(request: HttpRequest) -> HttpResponse:
    """One's own tokens. A new one is shown in the answer to the form that asked for it, and never again."""
    user = signed_in(request)
    context: dict[str, object] = {}
    if request.method == "POST":
        try:
            context["token"], context["text"] = _issue(request, user)
        except ManifoldError as error:
            context["refused"] = said(error)
    context |= {
        "tokens": ApiToken.objects.filter(user=user).select_related("project"),
        "own_projects": [each.project for each in memberships(request)],
        "roles": Role.choices,
        "lifetimes": LIFETIMES,
    }
    return render(request, "accounts/tokens.html", context, status=422 if "refused" in context else 200)


@require_POST
@person_page
def revoke(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    """One's own, or one of a project that one manages."""
    user = signed_in(request)
    token = get_object_or_404(ApiToken.objects.visible_to(user).select_related("project"), pk=token_id)
    services.revoke_token(token, actor=actor_of(user))
    place = reverse("console:tokens")
    if token.project is not None and token.user_id != user.pk:
        place = reverse("console:members", args=[token.project.slug])
    return go(request, place, f"The token {token.name} no longer opens anything.")


def _issue(request: HttpRequest, user: User) -> tuple[ApiToken, str]:
    """What is chosen and is not there is refused: it must not become a token for more, or for longer."""
    days, slug, role = (request.POST.get(name, "") for name in ("days", "project", "role"))
    project = next((each.project for each in memberships(request) if each.project.slug == slug), None)
    if slug and project is None:
        raise Invalid("project", f"You are in no project {slug}. Choose another.")
    if days not in LIFETIMES or role not in Role.values:
        raise Invalid("days" if role in Role.values else "role", "Choose one of those that are offered.")
    return services.issue_token(
        user,
        name=request.POST.get("name", ""),
        role=Role(role),
        project=project,
        expires_at=services.expiry(int(days) if days else None),
        actor=actor_of(user),
    )


urlpatterns = [
    path("tokens/", tokens, name="tokens"),
    path("tokens/<uuid:token_id>/revoke/", revoke, name="token-revoke"),
]
