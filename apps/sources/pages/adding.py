"""Adding a source: choose a connector, enter its parameters, test them; only then is anything saved."""

from __future__ import annotations

import re
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
from apps.sources.parameters import InvalidFields, checked
from dataplane.connectors import matrix, registry
from dataplane.connectors.base import Connector, Stage
from dataplane.drift import POLICIES
from dataplane.errors import ManifoldError

_INTERVALS = (0, 60, 300, 900, 3600, 6 * 3600, 86400)


@require_http_methods(["GET"])
@project_page("manage")
def pick(request: HttpRequest, project: Project) -> HttpResponse:
    return render(
        request, "sources/pick.html", {"connectors": [forms.shown(each) for each in registry.connectors().values()]}
    )


@require_http_methods(["GET"])
@project_page()
def compare(request: HttpRequest, project: Project) -> HttpResponse:
    """What each connector can do, side by side."""
    return render(request, "sources/compare.html", {"capabilities": matrix.capabilities(), "rows": matrix.rows()})


@require_http_methods(["GET", "POST"])
@project_page("manage")
def add(request: HttpRequest, project: Project, connector: str) -> HttpResponse:
    """The form; its answers come as parts of the page, so that an entered password never travels back."""
    kind = _connector(connector)
    if request.method == "GET":
        return render(request, "sources/add.html", {"connector": forms.shown(kind), "entries": forms.entries(kind)})
    params = forms.entered(kind, request.POST)
    slug, title = request.POST.get("slug", "").strip(), request.POST.get("title", "").strip()
    slug = slug or _slug(title)
    do = request.POST.get("do", "test")
    try:
        checked(kind, params)
    except InvalidFields as error:
        return _wrong(request, kind, params, error)
    stages = [] if do == "anyway" else _try(project, connector, params)
    failed = any(not each.ok for each in stages)
    if do == "test" or failed:
        context = {
            "stages": stages,
            "failed": failed,
            "total": sum(each.seconds for each in stages),
            "saving": do == "save",
        }
        return render(request, "sources/parts/tried.html", context)
    actor = actor_of(request.user)
    try:
        source = services.create_source(
            project=project, slug=slug, title=title, connector=connector, params=params, actor=actor
        )
    except InvalidFields as error:
        return _wrong(request, kind, params, error)
    services.test_source(source=source, actor=actor)
    if kind.takes_uploads:
        url = reverse("console:source", args=[project.slug, source.slug])
        return go(request, url, f"The source {source.slug} is added. Give it its first files.")
    url = reverse("console:source-choose", args=[project.slug, source.slug])
    return go(request, url, f"The source {source.slug} is added. Choose what to read from it.")


@require_http_methods(["GET", "POST"])
@project_page("manage")
def edit(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    source = source_of(request, project, slug, "manage")
    kind = _connector(source.connector)
    if request.method == "GET":
        context = {
            "connector": forms.shown(kind),
            "source": source,
            "entries": forms.entries(kind, source.params, kept=True),
            "intervals": sorted({*_INTERVALS, source.check_every}),
            "policies": POLICIES,
        }
        return render(request, "sources/edit.html", context)
    return _change(request, source, kind)


def _change(request: HttpRequest, source: Source, kind: type[Connector]) -> HttpResponse:
    """Keep what was entered, and test the source as it is now."""
    params: dict[str, Any] = {**forms.cleared(kind, request.POST), **forms.entered(kind, request.POST)}
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
        return _wrong(request, kind, params, error, source)
    if source.credential is not None and last_day != before:
        source.credential = services.set_expiry(source.credential, expires_on=last_day, actor=actor)
    check = services.test_source(source=source, actor=actor)
    said = "Saved, and the connection works." if check.ok else "Saved, but the connection fails its test: look below."
    return go(request, reverse("console:source", args=[source.project.slug, source.slug]), said)


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


def _try(project: Project, connector: str, params: dict[str, Any]) -> list[Stage]:
    """The stages of a test of what was entered; nothing is stored."""
    try:
        return list(services.connector_of(Source(project=project, connector=connector, params=params)).test())
    except ManifoldError as error:
        return [Stage("settings", False, 0.0, error.message, error)]


def _wrong(
    request: HttpRequest,
    kind: type[Connector],
    params: dict[str, Any],
    error: InvalidFields,
    source: Source | None = None,
) -> HttpResponse:
    """What is wrong with which field, beside the form that the browser still holds."""
    named = {each.name: each.title for each in forms.entries(kind)} | {"slug": "Name", "title": "Title"}
    named |= {"expires_on": "Secrets expire on", "check_every": "Test it every"}
    faults = [
        (path, named.get(path.partition(".")[0], path), text.removeprefix("Value error, "))
        for path, texts in error.fields.items()
        for text in texts
    ]
    return render(request, "sources/parts/wrong.html", {"faults": faults, "source": source})


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:63].strip("-")


urlpatterns = [
    path("p/<slug:project>/connectors/", compare, name="connectors"),
    path("p/<slug:project>/new-source/", pick, name="source-new"),
    path("p/<slug:project>/new-source/<slug:connector>/", add, name="source-add"),
    path("p/<slug:project>/sources/<slug:slug>/edit/", edit, name="source-edit"),
]
