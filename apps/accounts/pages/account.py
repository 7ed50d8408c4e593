"""One's own account: the password, and where one is signed in."""

from __future__ import annotations

from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.password_validation import password_validators_help_texts
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import services
from apps.accounts.actors import actor_of
from apps.accounts.models import Identity
from apps.accounts.page_base import go, person_page, said, signed_in, status_of
from apps.audit.refusals import Invalid
from dataplane.errors import ManifoldError


@sensitive_post_parameters("current", "new", "again")
@require_http_methods(["GET", "POST"])
@person_page
def account(request: HttpRequest) -> HttpResponse:
    """POST changes the password; this session goes on, all others end."""
    refused, status = "", 200
    if request.method == "POST":
        try:
            _change(request)
        except ManifoldError as error:
            refused, status = said(error), status_of(error, 422)
        else:
            return go(request, reverse("console:account"), "The password is changed. You are signed out elsewhere.")
    context = {
        "refused": refused,
        "has_password": signed_in(request).has_usable_password(),
        "rules": password_validators_help_texts(),
        "identities": Identity.objects.visible_to(request.user),
        "factor": services.factor_of(signed_in(request)),
        "sessions": services.sessions_of(signed_in(request), request.session.session_key),
    }
    return render(request, "accounts/account.html", context, status=status)


@require_POST
@person_page
def end(request: HttpRequest, name: str) -> HttpResponse:
    services.end_session(signed_in(request), name, actor=actor_of(request.user))
    return go(request, reverse("console:account"), "You are signed out there.")


@require_POST
@person_page
def end_others(request: HttpRequest) -> HttpResponse:
    ended = services.end_other_sessions(signed_in(request), request.session.session_key, actor=actor_of(request.user))
    places = "one other place" if ended == 1 else f"{ended} other places"
    return go(request, reverse("console:account"), f"You are signed out in {places}.")


def _change(request: HttpRequest) -> None:
    """Raises Invalid for a form that will not do, Busy after too many tries."""
    user, new = signed_in(request), request.POST.get("new", "")
    if new != request.POST.get("again", ""):
        raise Invalid("again", "The two new passwords differ. Write the same one twice.")
    services.confirm_password(user, request.POST.get("current", ""))
    key = request.session.session_key
    services.change_password(user, password=new, actor=actor_of(user), keep_session=key)
    update_session_auth_hash(request, user)


urlpatterns = [
    path("account/", account, name="account"),
    path("account/sessions/end-others/", end_others, name="sessions-end"),
    path("account/sessions/<slug:name>/end/", end, name="session-end"),
]
