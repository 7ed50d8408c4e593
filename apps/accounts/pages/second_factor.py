"""The second factor: the code at sign-in, and the page on which one's own is set up."""

from __future__ import annotations

import time

import segno
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.accounts import entering, services, totp
from apps.accounts.actors import actor_of
from apps.accounts.addresses import address_of
from apps.accounts.models import SecondFactor
from apps.accounts.page_base import go, person_page, refuse_nul, said, signed_in, status_of
from apps.audit.refusals import Conflict, Invalid
from dataplane.errors import ManifoldError

# When a new secret was offered in a session: it is shown, and counts, in no other.
_OFFERED = "factor_offered_at"


@sensitive_post_parameters("code")
@never_cache
@csrf_protect
@require_http_methods(["GET", "POST"])
def code(request: HttpRequest) -> HttpResponse:
    """Between the password and the session."""
    refuse_nul(request)
    half = entering.half_signed_in(request)
    if half is None:
        return HttpResponseRedirect(reverse("console:sign-in"))
    user, kept = half
    refused, status = "", 200
    if request.method == "POST":
        try:
            shown = services.check_code(user, code=request.POST.get("code", ""), address=address_of(request))
            entering.complete(request, user, by=kept["by"], shown=shown)
            return HttpResponseRedirect(kept["onward"])
        except Conflict:
            # It was taken away meanwhile; the password alone is enough now, and has to be shown again.
            return HttpResponseRedirect(reverse("console:sign-in"))
        except ManifoldError as error:
            refused, status = said(error), status_of(error, 422)
    context = {"refused": refused, "username": user.username}
    return render(request, "accounts/code.html", context, status=status)


@sensitive_post_parameters("code", "password")
@never_cache
@require_http_methods(["GET", "POST"])
@person_page
def second_factor(request: HttpRequest) -> HttpResponse:
    """POST sets it up, renews the recovery codes, takes it away; the codes are in the answer and never shown again."""
    context: dict[str, object] = {}
    status = 200
    if request.method == "POST":
        try:
            answer = _do(request, context)
        except ManifoldError as error:
            context["refused"], status = said(error), status_of(error, 422)
            answer = None
        if answer is not None:
            return answer
    factor = services.factor_of(signed_in(request))
    context |= {
        "factor": factor,
        "active": factor is not None and factor.confirmed_at is not None,
        "fresh": entering.is_recent(request),
        "required": settings.REQUIRE_MFA,
        **_drawn(request, factor),
    }
    return render(request, "accounts/second_factor.html", context, status=status)


def _do(request: HttpRequest, context: dict[str, object]) -> HttpResponse | None:
    user, actor, key = signed_in(request), actor_of(request.user), request.session.session_key
    here, wanted = reverse("console:second-factor"), request.POST.get("do")
    if wanted == "confirm":
        if not entering.is_recent(request, _OFFERED):
            raise Conflict("That took too long. Begin again.", code="no_second_factor")
        context["codes"] = services.confirm(user, code=request.POST.get("code", ""), keep_session=key, actor=actor)
        request.session[entering.SHOWN] = "code"
        request.session.pop(_OFFERED)
        context["onward"] = request.session.pop(entering.ONWARD, "/")
        return None
    if wanted not in ("offer", "renew", "remove"):
        raise Invalid("do", "Choose what is to be done.")
    _prove(request)
    if wanted == "offer":
        services.offer(user, actor=actor)
        request.session[_OFFERED] = int(time.time())
        return go(request, here)
    if wanted == "renew":
        context["codes"] = services.renew_recovery_codes(user, actor=actor)
        return None
    if settings.REQUIRE_MFA:
        raise Conflict("Everybody needs a second factor here. Set up another one instead.", code="mfa_required")
    services.remove_factor(user, actor=actor, keep_session=key)
    request.session.pop(entering.SHOWN, None)
    return go(request, here, "You sign in without a code now. You are signed out elsewhere.")


def _prove(request: HttpRequest) -> None:
    """Whoever has a second factor shows it before it changes, others the password, unless they have just signed in."""
    user, recent = signed_in(request), entering.is_recent(request)
    factor = services.factor_of(user)
    if recent and (factor is None or factor.confirmed_at is None):
        return
    code, password = request.POST.get("code", ""), request.POST.get("password", "")
    shown = services.prove(user, password=password, code=code, address=address_of(request), recent=recent)
    if shown:
        request.session[entering.SHOWN] = shown


def _drawn(request: HttpRequest, factor: SecondFactor | None) -> dict[str, str]:
    """The secret that is being set up: as a drawing, and in fours for whoever has to type it."""
    secret = services.offered(factor) if factor is not None and entering.is_recent(request, _OFFERED) else ""
    if not secret:
        return {}
    address = totp.address(secret, signed_in(request).username, f"Manifold {request.get_host()}")
    drawing = segno.make(address, error="m").svg_inline(scale=5, border=4, dark="#000", light="#fff")
    return {"drawing": drawing, "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))}


urlpatterns = [
    path("login/code/", code, name="sign-in-code"),
    path("account/second-factor/", second_factor, name="second-factor"),
]
