"""`/flower/`: Celery's workers and messages as Flower shows them, handed on to those who may see all of them.

Flower knows no projects. So it is open to superusers and, where MANIFOLD_FLOWER_OPERATORS says so, to whoever may
operate every project that there is. Only its pages are handed on: not its API, its metrics or its health page.
"""

from __future__ import annotations

import logging
import re
from functools import cache

import httpx
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.models import Project, User
from manifold import environment, middleware, outage
from manifold.flower.access import PREFIX, USER, password

TIMEOUT_SECONDS = 10.0
# The one script that stands in a page of Flower's: "\nvar autorefresh = 1;\n".
INLINE_SCRIPT = "'sha256-A0YIP5A+DKoseGAUTHRoMPDkKPK5cKzfYH3mjcCKtj8='"

_PAGES = re.compile(r"|workers|worker/[^/]+|tasks|tasks/datatable|task/[A-Za-z0-9-]+|broker|static/[A-Za-z0-9._/-]+")
_ASKED = ("If-None-Match", "If-Modified-Since", "Content-Type")
_ANSWERED = ("Content-Type", "Cache-Control", "ETag", "Last-Modified")

logger = logging.getLogger(__name__)


def may_see(user: User | AnonymousUser) -> bool:
    """Whether this person may see the work of every project."""
    if not isinstance(user, User):
        return False
    if user.administers_platform():
        return True
    if not settings.FLOWER_OPERATORS:
        return False
    mine = user.project_ids("operate")
    return bool(mine) and not Project.objects.exclude(pk__in=mine).exists()


@require_safe
def index(request: HttpRequest) -> HttpResponseBase:
    return _page(request, "")


@csrf_exempt  # its list of tasks asks by POST, and nothing that is handed on changes anything
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest, rest: str) -> HttpResponseBase:
    return _page(request, rest)


def _page(request: HttpRequest, rest: str) -> HttpResponseBase:
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    if not may_see(request.user):
        others = "superusers and operators of every project" if settings.FLOWER_OPERATORS else "superusers only"
        raise PermissionDenied(f"Flower shows the work of all projects: it is open to {others}.")
    if not _PAGES.fullmatch(rest) or ".." in rest or (request.method == "POST" and rest != "tasks/datatable"):
        raise Http404("Flower has no such page here.")
    return _handed_on(request, rest)


def _handed_on(request: HttpRequest, rest: str) -> HttpResponse:
    base = environment.FLOWER_URL.read()
    if not base:
        raise Http404("No Flower runs here. `manifold up` starts one; elsewhere set MANIFOLD_FLOWER_URL.")
    try:
        answer = _client().request(
            str(request.method),
            f"{base.rstrip('/')}/{PREFIX}/{rest}",
            params=request.META["QUERY_STRING"],
            headers={name: request.headers[name] for name in _ASKED if name in request.headers},
            content=request.body,
        )
    except httpx.HTTPError as error:
        logger.warning("Flower does not answer.", exc_info=error)
        return outage.page(request, "Flower")
    if answer.status_code >= 500 or answer.status_code == httpx.codes.UNAUTHORIZED:
        # Its own page would show where in its code it failed.
        logger.error("Flower failed with status %s.", answer.status_code)
        return outage.page(request, "Flower")
    policy = settings.CONTENT_SECURITY_POLICY | {"script-src": ["'self'", INLINE_SCRIPT]}
    kept = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
    kept["Content-Security-Policy"] = middleware.written(policy)
    return HttpResponse(answer.content, status=answer.status_code, headers=kept)


@cache
def _client() -> httpx.Client:
    """One for all threads of a process; made after it was forked, because connections cannot be shared."""
    return httpx.Client(auth=(USER, password()), timeout=TIMEOUT_SECONDS, trust_env=False, follow_redirects=False)
