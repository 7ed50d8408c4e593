"""Connecting a source: away to whoever lets it in, and back; or a code that is entered elsewhere."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, is_polling, person_page, project_page, signed_in
from apps.audit.refusals import Invalid
from apps.sources import services
from apps.sources.models import Connecting, Grant, Source
from dataplane.connectors.rest.params import GRANTED
from dataplane.errors import ManifoldError, TransientError

_KEPT = "oauth"


def shown(request: HttpRequest, source: Source) -> dict[str, Any]:
    """What the template of the connection wants to know; nothing for sources that need nobody's consent."""
    if source.params.get("auth") not in GRANTED:
        return {}
    return {
        "consent": source.params["auth"],
        "grant": Grant.objects.filter(source=source).first(),
        "connecting": Connecting.objects.filter(source=source, state=None, expires_at__gt=timezone.now()).first(),
        "callback": _callback(request),
    }


@never_cache
@require_POST
@project_page("manage")
def connect(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """Send the browser to where somebody consents, or get a code to enter; or forget what was consented to."""
    source = _source(request, project, slug)
    actor = actor_of(request.user)
    page = reverse("console:source", args=[project.slug, slug])
    if request.POST.get("do") == "forget":
        services.disconnect(source, actor=actor)
        return go(request, page, f"{slug} is not connected any more.")
    if request.POST.get("do") != "connect":
        raise Invalid("do", "Say connect or forget.")
    row, state = services.begin_connecting(
        source, user=signed_in(request), redirect=_callback(request), in_session=True, actor=actor
    )
    if not state:
        return go(request, page)
    request.session[_KEPT] = state
    if is_polling(request):
        return go(request, row.address)
    # The policy lets no form lead to another origin, so the page has a link.
    return render(request, "sources/onward.html", {"source": source, "address": row.address, "project": project})


@never_cache
@require_POST
@project_page("manage")
def entered(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """Whether the code has been entered: the page anew once it has, or is over; else the part that waits."""
    source = _source(request, project, slug)
    said = ""
    try:
        passed = services.ask_device(source, actor=actor_of(request.user))
    except TransientError as error:
        passed, said = None, error.message
    if passed is not None:
        return _onward(request, source, passed=passed)
    return render(request, "sources/parts/code.html", {"source": source, "said": said, **shown(request, source)})


@never_cache
@require_GET
@person_page
def back(request: HttpRequest) -> HttpResponse:
    """Where the API sends the browser."""
    actor = actor_of(request.user)
    kept = request.session.pop(_KEPT, "")
    row = services.take_back(request.GET.get("state", ""), user=signed_in(request), kept=kept, actor=actor)
    source = row.source
    page = reverse("console:source", args=[source.project.slug, source.slug])
    try:
        passed = services.finish_connecting(row, request.GET.dict(), actor=actor)
    except ManifoldError as error:
        messages.error(request, error.message)
        return go(request, page)
    return _onward(request, source, passed=passed)


def _source(request: HttpRequest, project: Project, slug: str) -> Source:
    visible = Source.objects.visible_to(request.user, "manage").filter(project=project)
    return get_object_or_404(visible.select_related("credential", "project"), slug=slug)


def _onward(request: HttpRequest, source: Source, *, passed: bool) -> HttpResponse:
    """To its page; a new one that works goes on to where its streams are chosen."""
    args = [source.project.slug, source.slug]
    if not passed:
        return go(request, reverse("console:source", args=args), f"{source.slug} is connected, but fails its test.")
    page = "console:source" if source.streams.exists() else "console:source-choose"
    return go(request, reverse(page, args=args), f"{source.slug} is connected, and passes its test.")


def _callback(request: HttpRequest) -> str:
    return request.build_absolute_uri(reverse("console:oauth-callback"))


urlpatterns = [
    path("oauth/callback", back, name="oauth-callback"),
    path("p/<slug:project>/sources/<slug:slug>/connect/", connect, name="source-connect"),
    path("p/<slug:project>/sources/<slug:slug>/connect/entered/", entered, name="source-connect-entered"),
]
