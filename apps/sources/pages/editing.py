"""What each connector can do, and changing a source."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page
from apps.sources import services
from apps.sources.models import Source
from apps.sources.pages import forms
from apps.sources.pages.showing import source_of
from apps.sources.parameters import InvalidFields
from dataplane.connectors import matrix, registry
from dataplane.connectors.base import Connector
from dataplane.connectors.fields import fields_of
from dataplane.drift import POLICIES

_INTERVALS = (0, 60, 300, 900, 3600, 6 * 3600, 86400)


@require_http_methods(["GET"])
@project_page()
def compare(request: HttpRequest, project: Project) -> HttpResponse:
    """What each connector can do, side by side."""
    return render(request, "sources/compare.html", {"capabilities": matrix.capabilities(), "rows": matrix.rows()})


@require_http_methods(["GET", "POST"])
@project_page("manage")
def edit(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    source = source_of(request, project, slug, "manage")
    kind = _connector(source.connector)
    if request.method == "GET":
        context = {
            "connector": forms.shown(kind),
            "source": source,
            "sections": forms.sections(kind.Params, source.params, kept=_stored(source)),
            "intervals": sorted({*_INTERVALS, source.check_every}),
            "policies": POLICIES,
        }
        return render(request, "sources/edit.html", context)
    return _change(request, source, kind)


def _change(request: HttpRequest, source: Source, kind: type[Connector]) -> HttpResponse:
    """Keep what was entered, and test the source as it is now."""
    stored = {**source.params, **dict.fromkeys(_stored(source), True)}
    shared = source.credential is not None and source.credential.sources.count() > 1
    emptied = forms.cleared(kind.Params, request.POST, stored, shared=shared)
    params: dict[str, Any] = {**emptied, **forms.entered(kind.Params, request.POST)}
    every = request.POST.get("check_every", "")
    # A day that merely stands in the form still is that of the secrets before, which new ones clear.
    before = source.credential.expires_on if source.credential else None
    actor = actor_of(request.user)
    try:
        last_day = _day(request.POST.get("expires_on", ""))
        source = services.update_source(
            source=source,
            actor=actor,
            title=request.POST.get("title", ""),
            params=params,
            writable=request.POST.get("writable") == "on" if kind.capabilities.writable else None,
            check_every=int(every) if every.isdecimal() else None,
            drift=request.POST.get("drift"),
        )
    except InvalidFields as error:
        return refused(request, kind, error, source)
    if source.credential is not None and last_day != before:
        source.credential = services.set_expiry(source.credential, expires_on=last_day, actor=actor)
    check = services.test_source(source=source, actor=actor)
    said = "Saved, and the connection works." if check.ok else "Saved, but the connection fails its test: look below."
    return go(request, reverse("console:source", args=[source.project.slug, source.slug]), said)


def _stored(source: Source) -> list[str]:
    """The secrets that it has."""
    return list(source.credential.secrets) if source.credential else []


def _day(entered: str) -> date | None:
    """A day as a browser sends it; None where nothing was entered. Raises InvalidFields."""
    try:
        return date.fromisoformat(entered) if entered else None
    except ValueError:
        raise InvalidFields({"expires_on": ["Enter a day: 2027-01-31."]}) from None


def _connector(key: str) -> type[Connector]:
    if key not in set(registry.keys()):
        raise Http404(f"There is no connector {key}.")
    return registry.get(key)


def refused(
    request: HttpRequest, kind: type[Connector], error: InvalidFields, source: Source | None = None
) -> HttpResponse:
    """What is wrong with which field, beside the form that the browser still holds."""
    named = {each.name: each.title for each in fields_of(kind.Params)} | {"slug": "Name", "title": "Title"}
    named |= {"streams": "Streams"}
    if kind.Settings is not None:
        named |= {f"settings.{each.name}": each.title for each in fields_of(kind.Settings)}
    named |= {"expires_on": "Secrets expire on", "check_every": "Test it every"}
    faults = [
        (path, named.get(path) or named.get(path.partition(".")[0], path), text.removeprefix("Value error, "))
        for path, texts in error.fields.items()
        for text in texts
    ]
    return render(request, "sources/parts/wrong.html", {"faults": faults, "source": source})


urlpatterns = [
    path("p/<slug:project>/connectors/", compare, name="connectors"),
    path("p/<slug:project>/sources/<slug:slug>/edit/", edit, name="source-edit"),
]
