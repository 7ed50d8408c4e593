"""The list of sources: a card for each, with the figures of its kind; its connection is tested from there, and a long
list is narrowed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import project_page
from apps.pipelines.cards import cards
from apps.sources import services
from apps.sources.api import SourceFilter
from apps.sources.models import Source
from apps.sources.pages import forms
from apps.sources.pages.showing import source_of
from dataplane.connectors import registry


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    """All sources, or those of a name, a kind and a health, as the API narrows them."""
    chosen = {name: request.GET.get(name, "").strip()[:200] for name in ("name", "connector", "health")}
    every = _visible(request, project)
    there = list(every.values_list("connector", "health"))
    counts = Counter(health for _, health in there)
    kinds = sorted({(registry.get(each).title, each) for each, _ in there})
    narrowed = SourceFilter(chosen, queryset=every)
    context = {
        "chosen": chosen,
        "counts": sorted(counts.items()),
        "total": counts.total(),
        "kinds": kinds,
        # What is no value of a filter fits nothing.
        **_shown(project, narrowed.qs if narrowed.is_valid() else every.none()),
    }
    return render(request, "pipelines/sources.html", context)


@require_POST
@project_page("operate")
def test(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """Test a source, and show its card as it is now."""
    services.test_source(source_of(request, project, slug, "operate"), actor=actor_of(request.user))
    shown = _shown(project, _visible(request, project).filter(slug=slug))
    return render(request, "pipelines/parts/source_card.html", shown | {"card": shown["cards"][0]})


def _visible(request: HttpRequest, project: Project) -> QuerySet[Source]:
    found: QuerySet[Source] = Source.objects.visible_to(request.user).filter(project=project)
    return found


def _shown(project: Project, found: QuerySet[Source]) -> dict[str, Any]:
    return {
        "cards": cards(found, project, timezone.now()),
        "connectors": {key: forms.shown(each) for key, each in registry.connectors().items()},
    }


urlpatterns = [
    path("p/<slug:project>/sources/", index, name="sources"),
    path("p/<slug:project>/sources/<slug:slug>/card/", test, name="source-card"),
]
