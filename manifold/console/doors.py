"""Signing in and out. Both, and every attempt that fails, are recorded by the signals of the accounts app."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from apps.accounts import entering
from apps.accounts.oidc import flow, issuer
from apps.accounts.services.lockout import seconds_left
from dataplane.errors import ManifoldError
from manifold import api


class _Form(AuthenticationForm):
    error_messages = {
        "invalid_login": "That user name and password do not fit together. Check both; capitals count.",
        "inactive": "This account is switched off. Ask whoever administers Manifold.",
    }

    def get_invalid_login_error(self) -> ValidationError:
        """The same words whether the password was right or not."""
        if not settings.OIDC_ONLY:
            return super().get_invalid_login_error()
        return ValidationError(
            "No superuser has that name and password, and passwords are for superusers here. "
            f"Sign in with {settings.OIDC_TITLE}."
        )


class _SignIn(LoginView):
    template_name = "console/sign_in.html"
    authentication_form = _Form
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """The password is right; whoever has a second factor is asked for it next."""
        user: Any = form.get_user()
        return HttpResponseRedirect(entering.enter(self.request, user, onward=self.get_success_url()))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Whoever came through the issuer and has signed out here is told how to sign out there."""
        context = super().get_context_data(**kwargs)
        if "left" in self.request.GET and issuer.is_configured():
            with suppress(ManifoldError):
                context["left"] = flow.end_session_url(self.request)
        return context


class _SignOut(LogoutView):
    next_page = "/login/"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        by_issuer = entering.BY in request.session
        answer = super().post(request, *args, **kwargs)
        return HttpResponseRedirect("/login/?left") if by_issuer else answer


sign_in = _SignIn.as_view()
sign_out = _SignOut.as_view()


def locked_out(request: HttpRequest, answer: HttpResponse | None, credentials: dict[str, Any] | None) -> HttpResponse:
    """What somebody reads who has tried too many wrong passwords: how long it lasts, and who can end it."""
    seconds = seconds_left(request, credentials)
    minutes = -(-seconds // 60)
    wait = f"{minutes} minute{'s' if minutes > 1 else ''}"
    said = (
        f"Too many wrong passwords for this name from your address. Try again in {wait}, or let a superuser unlock you."
    )
    if request.path.startswith(api.API_PREFIX):
        answer = api.problem(request, 429, said)
    else:
        answer = render(request, "console/sign_in.html", {"locked": said, "form": _Form(request)}, status=429)
    answer.headers["Retry-After"] = str(seconds)
    return answer
