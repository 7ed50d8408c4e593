"""The list of sources, and the page of one: its streams, its parameters, its health."""

from __future__ import annotations

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page
from apps.audit.visibility import Action
from apps.sources import services
from apps.sources.models import Source
from apps.sources.pages import forms
from dataplane.connectors import registry
from dataplane.connectors.base import secret_names

_UPLOADS = 300


def source_of(request: HttpRequest, project: Project, slug: str, action: Action = "see") -> Source:
    """A source of the project that the person may do `action` with, or not found."""
    visible = Source.objects.visible_to(request.user, action).filter(project=project).select_related("credential")
    return get_object_or_404(visible, slug=slug)


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    found = Source.objects.visible_to(request.user).filter(project=project)
    sources = found.annotate(stream_count=Count("streams"))
    connectors = {key: forms.shown(each) for key, each in registry.connectors().items()}
    return render(request, "sources/index.html", {"sources": sources, "connectors": connectors})


@require_GET
@project_page()
def show(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    source = source_of(request, project, slug)
    connector = registry.get(source.connector)
    titles = {name: field.title or name for name, field in connector.Params.model_fields.items()}
    hidden = secret_names(connector.Params)
    stored = set(source.credential.secrets) if source.credential else set()
    context = {
        "source": source,
        "connector": forms.shown(connector),
        "params": [
            (titles.get(name, name), value) for name, value in source.params.items() if value not in (None, "", [])
        ],
        "secrets": [(titles[name], name in stored) for name in titles if name in hidden],
        "streams": source.streams.annotate(file_count=Count("files")),
        "checks": list(source.checks.all()[:8]),
        "takes_uploads": connector.takes_uploads,
        "uploads": source.uploads.all()[:_UPLOADS] if connector.takes_uploads else [],
        "largest": settings.UPLOAD_SIZE,
    }
    return render(request, "sources/show.html", context)


@require_POST
@project_page("operate")
def test(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    source = source_of(request, project, slug, "operate")
    check = services.test_source(source=source, actor=actor_of(request.user))
    said = "Every stage of the test passed." if check.ok else "The test failed; the stage that failed is shown."
    return go(request, reverse("console:source", args=[project.slug, slug]), said)


@require_POST
@project_page("manage")
def remove_upload(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    source = source_of(request, project, slug, "manage")
    upload = get_object_or_404(source.uploads, name=request.POST.get("name", ""))
    services.remove_upload(upload=upload, actor=actor_of(request.user))
    return go(request, reverse("console:source", args=[project.slug, slug]), f"{upload.name} is removed.")


urlpatterns = [
    path("p/<slug:project>/sources/", index, name="sources"),
    path("p/<slug:project>/sources/<slug:slug>/", show, name="source"),
    path("p/<slug:project>/sources/<slug:slug>/test/", test, name="source-test"),
    path("p/<slug:project>/sources/<slug:slug>/remove-upload/", remove_upload, name="source-upload-remove"),
]
