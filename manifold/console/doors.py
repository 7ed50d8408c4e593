"""Signing in and out. Both, and every attempt that fails, are recorded by the signals of the accounts app."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from apps.accounts.entering import enter
from apps.accounts.services.lockout import seconds_left
from manifold import api


class _Form(AuthenticationForm):
    error_messages = {
        "invalid_login": "That user name and password do not fit together. Check both; capitals count.",
        "inactive": "This account is switched off. Ask whoever administers Manifold.",
    }


class _SignIn(LoginView):
    template_name = "console/sign_in.html"
    authentication_form = _Form
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """The password is right; whoever has a second factor is asked for it next."""
        user: Any = form.get_user()
        return HttpResponseRedirect(enter(self.request, user, backend=user.backend, onward=self.get_success_url()))


sign_in = _SignIn.as_view()
sign_out = LogoutView.as_view(next_page="/login/")


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
