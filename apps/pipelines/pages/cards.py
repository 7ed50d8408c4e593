"""The list of sources: a card for each, with the figures of its kind; its connection is tested from there."""

from __future__ import annotations

from typing import Any

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
from apps.sources.models import Source
from apps.sources.pages import forms
from apps.sources.pages.showing import source_of
from dataplane.connectors import registry


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    return render(request, "pipelines/sources.html", _shown(request, project))


@require_POST
@project_page("operate")
def test(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """Test a source, and show its card as it is now."""
    services.test_source(source_of(request, project, slug, "operate"), actor=actor_of(request.user))
    shown = _shown(request, project, slug)
    return render(request, "pipelines/parts/source_card.html", shown | {"card": shown["cards"][0]})


def _shown(request: HttpRequest, project: Project, slug: str = "") -> dict[str, Any]:
    found = Source.objects.visible_to(request.user).filter(project=project)
    return {
        "cards": cards(found.filter(slug=slug) if slug else found, project, timezone.now()),
        "connectors": {key: forms.shown(each) for key, each in registry.connectors().items()},
    }


urlpatterns = [
    path("p/<slug:project>/sources/", index, name="sources"),
    path("p/<slug:project>/sources/<slug:slug>/card/", test, name="source-card"),
]
