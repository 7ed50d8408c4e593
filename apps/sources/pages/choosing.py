"""Choosing streams: what the source holds now, which of it is wanted, and how new rows are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, is_polling, project_page
from apps.sources import services
from apps.sources.pages.showing import source_of
from dataplane.connectors.schema import StreamInfo
from dataplane.errors import ManifoldError

_PRESELECTED = 12


@dataclass(frozen=True)
class Offer:
    """A stream that is there, and whether it has been chosen before."""

    info: StreamInfo
    known: bool
    checked: bool
    cursor: str


@require_http_methods(["GET", "POST"])
@project_page("manage")
def choose(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """The page comes at once; what the source holds is asked by a second request, which may take its time."""
    source = source_of(request, project, slug, "manage")
    if request.method == "POST":
        return _keep(request, project, slug)
    if not is_polling(request):
        return render(request, "sources/choose.html", {"source": source})
    connector = services.connector_of(source)
    try:
        found = connector.discover()
    except ManifoldError as error:
        return render(request, "sources/parts/offers.html", {"source": source, "error": error.as_json()})
    known = {each.name: each.config.get("cursor") or "" for each in source.streams.all()}
    offers = offers_of(found, known)
    by_cursor = connector.needs_cursor()
    return render(request, "sources/parts/offers.html", {"source": source, "offers": offers, "by_cursor": by_cursor})


def offers_of(found: Sequence[StreamInfo], known: Mapping[str, str]) -> list[Offer]:
    """What is offered of what was found; of a few all is wanted. known: what was chosen before, with its cursor."""
    few = len(found) <= _PRESELECTED
    return [Offer(info, info.name in known, few or info.name in known, known.get(info.name, "")) for info in found]


def _keep(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    source = source_of(request, project, slug, "manage")
    actor = actor_of(request.user)
    names = request.POST.getlist("stream")
    if not names:
        return go(request, reverse("console:source", args=[project.slug, slug]))
    kept = services.discover_streams(source=source, names=names, actor=actor)
    for stream in kept:
        cursor = request.POST.get(f"cursor-{stream.name}")
        if cursor is not None and cursor != (stream.config.get("cursor") or ""):
            services.update_stream(stream=stream, config={"cursor": cursor}, actor=actor)
    plural = "" if len(kept) == 1 else "s"
    if len(kept) == 1:
        url = reverse("console:stream", args=[project.slug, slug, kept[0].pk])
    else:
        url = reverse("console:source", args=[project.slug, slug])
    return go(request, url, f"{len(kept)} stream{plural} chosen. Look at a sample and confirm the types.")


urlpatterns = [path("p/<slug:project>/sources/<slug:slug>/choose/", choose, name="source-choose")]
