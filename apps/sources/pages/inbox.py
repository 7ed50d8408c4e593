"""What the page of a source shows of inbound webhooks, and the secrets that events are signed with."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page
from apps.audit.refusals import Invalid
from apps.sources import queries, services
from apps.sources.models import Source
from dataplane.connectors.webhooks import Webhooks


def shown(request: HttpRequest, source: Source) -> dict[str, Any]:
    """What the template of the inbox wants to know; nothing for sources of other kinds."""
    if source.connector != Webhooks.key:
        return {}
    standing = services.standing_of(source.pk)
    names = set(source.credential.secrets) if source.credential else set()
    return {
        "inbox": {"received": standing.newest, "kept": standing.newest - standing.before},
        "inbox_address": _address(request, source),
        "secrets_set": len(names & {"secret", "previous"}),
        "events": queries.newest_events(source),
    }


@never_cache
@require_POST
@project_page("manage")
def change(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """A new secret, shown in this answer and never again; or the one before is refused from now on."""
    visible = Source.objects.visible_to(request.user, "manage").filter(project=project).select_related("credential")
    source = get_object_or_404(visible, slug=slug)
    if request.POST.get("do") not in ("rotate", "drop"):
        raise Invalid("do", "Say rotate or drop.")
    if request.POST["do"] == "drop":
        services.drop_previous_secret(source, actor=actor_of(request.user))
        said = "Events signed with the secret before are refused from now on."
        return go(request, reverse("console:source", args=[project.slug, slug]), said)
    text = services.rotate_secret(source, actor=actor_of(request.user))
    context = {"source": source, "secret": text, "inbox_address": _address(request, source)}
    return render(request, "sources/secret.html", context)


def _address(request: HttpRequest, source: Source) -> str:
    return request.build_absolute_uri(f"/in/{source.pk}")


urlpatterns = [path("p/<slug:project>/sources/<slug:slug>/inbox/", change, name="source-inbox")]
