"""What pages of sources need to know of pipelines: the state of each file, and whether anybody still reads a source."""

from __future__ import annotations

import uuid
from collections import Counter

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page, require
from apps.pipelines import lag, queries
from apps.sources import services
from apps.sources.models import Source, SourceFile, Stream
from dataplane.errors import ManifoldError

_SHOWN = 300
_STATES = ("", "pending", "processed", "failed", "ignored", "gone")


@require_http_methods(["GET", "POST"])
@project_page()
def files(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    """The files of a stream with their states; a POST leaves one out or takes it in again."""
    visible = Stream.objects.visible_to(request.user).filter(source__project=project, source__slug=slug)
    stream = get_object_or_404(visible.select_related("source"), pk=stream_id)
    seen = SourceFile.objects.visible_to(request.user).filter(stream=stream)
    if request.method == "POST":
        require(request, "operate")
        file = get_object_or_404(seen.select_related("stream__source"), pk=request.POST.get("file", ""))
        ignored = request.POST.get("ignored") == "yes"
        services.ignore_file(file=file, ignored=ignored, actor=actor_of(request.user))
    taken = queries.windows_of_files(project, stream.name, stream.source_id)
    rows = [(each, _state(each, taken)) for each in seen.order_by("path")]
    chosen = request.GET.get("state", "")
    counted = Counter(state for _, state in rows)
    shown = [row for row in rows if not chosen or row[1] == chosen]
    context = {
        "stream": stream,
        "files": shown[:_SHOWN],
        "cut": len(shown) > _SHOWN,
        "chosen": chosen,
        "counts": [(each, counted[each] if each else len(rows)) for each in _STATES if not each or counted[each]],
    }
    return render(request, "pipelines/parts/files.html", context)


@require_GET
@project_page()
def stream_lag(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    """How far behind the pipelines are that read a stream of messages; the source is asked now."""
    visible = Stream.objects.visible_to(request.user).filter(source__project=project, source__slug=slug)
    stream = get_object_or_404(visible.select_related("source__credential"), pk=stream_id)
    try:
        found = lag.lag_of(stream)
    except ManifoldError as error:
        return render(request, "console/parts/error.html", {"error": error.as_json()})
    return render(request, "pipelines/parts/lag.html", {"lag": found})


@require_POST
@project_page("manage")
def delete_stream(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    """Delete a stream that no published pipeline reads."""
    visible = Stream.objects.visible_to(request.user, "manage").filter(source__project=project, source__slug=slug)
    stream = get_object_or_404(visible.select_related("source"), pk=stream_id)
    used_by = queries.readers_of(stream.source, stream.name)
    services.delete_stream(stream, used_by=used_by, actor=actor_of(request.user))
    return go(request, reverse("console:source", args=[project.slug, slug]), f"The stream {stream.name} is deleted.")


@require_POST
@project_page("manage")
def delete(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """Delete a source that no published pipeline reads."""
    source = get_object_or_404(Source.objects.visible_to(request.user, "manage").filter(project=project), slug=slug)
    services.delete_source(source, used_by=queries.readers_of(source), actor=actor_of(request.user))
    return go(request, reverse("console:sources", args=[project.slug]), f"The source {slug} is deleted.")


def _state(file: SourceFile, taken: dict[str, str]) -> str:
    if file.ignored:
        return "ignored"
    if file.gone_at is not None and file.path not in taken:
        return "gone"
    return taken.get(file.path, "pending")


_SOURCE = "p/<slug:project>/sources/<slug:slug>/"
urlpatterns = [
    path(_SOURCE + "streams/<uuid:stream_id>/files/", files, name="stream-files"),
    path(_SOURCE + "streams/<uuid:stream_id>/lag/", stream_lag, name="stream-lag"),
    path(_SOURCE + "streams/<uuid:stream_id>/delete/", delete_stream, name="stream-delete"),
    path(_SOURCE + "delete/", delete, name="source-delete"),
]
