"""Signing in and out. Both, and every attempt that fails, are recorded by the signals of the accounts app."""

from __future__ import annotations

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView


class _Form(AuthenticationForm):
    error_messages = {
        "invalid_login": "That user name and password do not fit together. Check both; capitals count.",
        "inactive": "This account is switched off. Ask whoever administers Manifold.",
    }


sign_in = LoginView.as_view(
    template_name="console/sign_in.html", authentication_form=_Form, redirect_authenticated_user=True
)
sign_out = LogoutView.as_view(next_page="/login/")
