"""The page of a source: its streams, its parameters, its health."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page
from apps.audit.visibility import Action
from apps.sources import queries, services
from apps.sources.health import LAST
from apps.sources.models import ConnectionCheck, Source
from apps.sources.pages import connecting, forms, inbox
from dataplane.connectors import registry
from dataplane.connectors.fields import secret_names

_UPLOADS = 300
_DAYS = 7


def source_of(request: HttpRequest, project: Project, slug: str, action: Action = "see") -> Source:
    """A source of the project that the person may do `action` with, or not found."""
    visible = Source.objects.visible_to(request.user, action).filter(project=project).select_related("credential")
    return get_object_or_404(visible, slug=slug)


@require_GET
@project_page()
def show(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    source = source_of(request, project, slug)
    connector = registry.get(source.connector)
    titles = {name: field.title or name for name, field in connector.Params.model_fields.items()}
    hidden = secret_names(connector.Params)
    stored = set(source.credential.secrets) if source.credential else set()
    checks = list(source.checks.all()[:LAST])
    context = {
        "source": source,
        "connector": forms.shown(connector),
        "params": [
            (title, _written(source.params[name]))
            for name, title in titles.items()
            if source.params.get(name) not in (None, "", [])
        ],
        "secrets": [(titles[name], name in stored) for name in titles if name in hidden],
        "streams": source.streams.annotate(file_count=Count("files")).order_by("name"),
        "checks": checks[:8],
        "chart": _chart(checks),
        "figures": queries.connection_of(source, timezone.now(), _DAYS),
        "takes_uploads": connector.takes_uploads,
        "uploads": source.uploads.all()[:_UPLOADS] if connector.takes_uploads else [],
        "largest": settings.UPLOAD_SIZE,
        **inbox.shown(request, source),
        **connecting.shown(request, source),
    }
    return render(request, "sources/show.html", context)


def _written(value: Any) -> Any:
    """A parameter as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "\n".join(map(str, value)) if isinstance(value, list) else value


def _chart(checks: list[ConnectionCheck]) -> dict[str, Any]:
    """What the browser draws: one entry a test, the oldest first."""
    rows = checks[::-1]
    return {
        "at": [f"{each.at.astimezone(UTC):%d %b %Y, %H:%M} UTC" for each in rows],
        "state": ["ok" if each.ok else "bad" for each in rows],
        "seconds": [each.seconds for each in rows],
    }


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
    path("p/<slug:project>/sources/<slug:slug>/", show, name="source"),
    path("p/<slug:project>/sources/<slug:slug>/test/", test, name="source-test"),
    path("p/<slug:project>/sources/<slug:slug>/remove-upload/", remove_upload, name="source-upload-remove"),
]
