"""What every answer carries (the id of its request, the content security policy), and what comes before all pages."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import structlog
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse

from apps.accounts import entering
from manifold import api

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

# A session is written at most this often, however many requests come.
_RENEW_EVERY = 60

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestId:
    """Gives each request an id (`request.id`), taken over from `X-Request-ID` when it is a decent one.

    The id stands in every log line of the request, in the answer's header and in the audit log.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
        setattr(request, "id", request_id)  # noqa: B010  HttpRequest declares no such attribute
        with structlog.contextvars.bound_contextvars(request=request_id):
            response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id
        return response


def written(policy: Mapping[str, Sequence[str]]) -> str:
    """A content security policy as its header has it."""
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in policy.items())


class ContentSecurityPolicy:
    """Sets the policy of the settings on every answer that does not bring one of its own."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.policy = written(settings.CONTENT_SECURITY_POLICY)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", self.policy)
        return response


class NotAPage:
    """Tells whoever opens an address that only takes forms what it is, a program by a problem.

    Django's own answer has no words.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not response.content:
            if request.path.startswith(api.PROGRAMS):
                allowed = response.headers["Allow"]
                answer = api.problem(request, 405, f"This address takes {allowed}, not {request.method}.")
                answer.headers["Allow"] = allowed
                return answer
            response.content = render_to_string("405.html")
        return response


class IdleTimeout:
    """Renews a session while somebody uses it. A page that asks again by itself is nobody, so its sign-in ends."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        by_hand = request.headers.get("HX-Request") != "true" or request.method != "GET"
        # A cookie that nobody has signed in by is left alone: it would get a session of its own.
        if by_hand and settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
            now = int(time.time())
            if now - request.session.get("used_at", 0) >= _RENEW_EVERY:
                request.session["used_at"] = now
        return self.get_response(request)


class SecondFactorFirst:
    """Where everybody needs a second factor, leads whoever is signed in without one to where it is set up.

    A token is not asked for one. Nothing else opens: the console's pages lead there, the API refuses the session.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not settings.REQUIRE_MFA or self._is_open(request) or self._is_shown(request):
            return self.get_response(request)
        if request.path.startswith(api.API_PREFIX):
            return api.problem(request, 403, "This session has no second factor yet. Set it up in the console first.")
        there = reverse("console:second-factor")
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(status=204, headers={"HX-Redirect": there})
        if request.method == "GET":
            request.session[entering.ONWARD] = request.get_full_path()
        return HttpResponseRedirect(there)

    def _is_open(self, request: HttpRequest) -> bool:
        if request.path.startswith(api.API_PREFIX):
            return request.headers.get("Authorization", "").lower().startswith("bearer ")
        return request.path in (reverse("console:second-factor"), reverse("console:sign-out"))

    def _is_shown(self, request: HttpRequest) -> bool:
        """Whether nobody is signed in, or has shown it; asks for no user."""
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return True
        return SESSION_KEY not in request.session or entering.SHOWN in request.session
