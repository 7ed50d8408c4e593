"""Signing in through the issuer: away, and back; and the links of one's own account."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import Resolver404, path, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from apps.accounts import entering, services
from apps.accounts.actors import actor_of
from apps.accounts.addresses import address_of
from apps.accounts.models import Identity, User
from apps.accounts.oidc import flow, issuer
from apps.accounts.page_base import go, person_page, refuse_nul, said, signed_in
from apps.accounts.services.lockout import NOBODY
from apps.audit.refusals import Conflict, Invalid
from apps.audit.services import record
from dataplane.errors import ManifoldError, TransientError

# What needs nothing from the issuer.
_MADE_UP = {"oidc_state", "oidc_denied", "oidc_refused", "oidc_issuer"}


@never_cache
@require_GET
def away(request: HttpRequest) -> HttpResponse:
    """To the issuer, and afterwards to `next`."""
    _only_where_configured()
    refuse_nul(request)
    onward = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(onward, {request.get_host()}, request.is_secure()):
        onward = settings.LOGIN_REDIRECT_URL
    try:
        return HttpResponseRedirect(flow.begin(request, onward=onward))
    except ManifoldError as error:
        return _not_in(request, error)


@never_cache
@require_GET
def back(request: HttpRequest) -> HttpResponse:
    """Where the issuer sends the browser: signs in, or links to the account that asked for it."""
    _only_where_configured()
    refuse_nul(request)
    try:
        claims, began = flow.finish(request)
        if began.link:
            return _linked(request, claims, began)
        user = services.admit(claims, invited=_is_invited(began.onward))
        services.follow_groups(user, claims)
    except ManifoldError as error:
        _note_refusal(request, error)
        return _not_in(request, error)
    onward = entering.enter(
        request,
        user,
        onward=began.onward,
        by=settings.OIDC_TITLE,
        shown="issuer" if settings.OIDC_MFA else "",
    )
    return HttpResponseRedirect(onward)


@sensitive_post_parameters("code", "password")
@require_POST
@person_page
def link(request: HttpRequest) -> HttpResponse:
    """A step on the way to the issuer; coming back links the subject to one's account."""
    _only_where_configured()
    _prove(request)
    url = flow.begin(request, onward=reverse("console:account"), link=str(request.user.pk))
    # The policy lets no form lead to another origin, so the page has a link.
    return render(request, "accounts/onward.html", {"url": url})


@sensitive_post_parameters("code", "password")
@require_POST
@person_page
def unlink(request: HttpRequest, identity_id: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(Identity.objects.visible_to(request.user), pk=identity_id)
    _prove(request)
    services.unlink(found, actor=actor_of(request.user))
    return go(request, reverse("console:account"), "You do not sign in with it any more.")


def _prove(request: HttpRequest) -> None:
    """Whoever walks up to a browser that was left open makes themselves no way in, and takes none away."""
    try:
        services.prove(
            signed_in(request),
            password=request.POST.get("password", ""),
            code=request.POST.get("code", ""),
            address=address_of(request),
            recent=entering.is_recent(request),
        )
    except Invalid as error:
        # Told beside the form: the name of the field would only puzzle.
        raise Conflict(said(error), code=error.code) from error


def _linked(request: HttpRequest, claims: flow.Claims, began: flow.Began) -> HttpResponse:
    if not request.user.is_authenticated or str(request.user.pk) != began.link:
        raise Conflict("You have signed out meanwhile. Begin again.", code="oidc_state")
    user = signed_in(request)
    services.link(user, claims, actor=actor_of(user))
    return go(request, began.onward, f"You can sign in with {settings.OIDC_TITLE} now.")


def _is_invited(onward: str) -> bool:
    """Whether somebody is on the way to an invitation that is open."""
    try:
        match = resolve(onward.partition("?")[0])
        if match.view_name != "console:join":
            return False
        services.open_invitation(match.kwargs["text"])
    except (Resolver404, Conflict):
        return False
    return True


def _not_in(request: HttpRequest, error: ManifoldError) -> HttpResponse:
    """The reason in plain words, and the way back to the sign-in page."""
    status = 503 if isinstance(error, TransientError) else 403
    return render(request, "accounts/not_in.html", {"refused": error.message}, status=status)


def _note_refusal(request: HttpRequest, error: ManifoldError) -> None:
    """In the audit log; but for answers that anybody can make up, with which the log could be filled."""
    if error.code in _MADE_UP or isinstance(error, TransientError):
        return
    data = {"address": address_of(request), "by": settings.OIDC_TITLE, "why": error.code}
    user = request.user if isinstance(request.user, User) else None
    record(
        "sign-in refused",
        object_type="user",
        object_id=user.pk if user else "",
        object_name=user.username if user else "",
        data=data,
        actor=NOBODY,
    )


def _only_where_configured() -> None:
    if not issuer.is_configured():
        raise Http404("There is no sign-in through an issuer here.")


urlpatterns = [
    path("login/oidc/", away, name="oidc"),
    path("login/oidc/callback/", back, name="oidc-callback"),
    path("account/identities/link/", link, name="identity-link"),
    path("account/identities/<uuid:identity_id>/unlink/", unlink, name="identity-unlink"),
]
