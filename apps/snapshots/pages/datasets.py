"""The console's pages of datasets: the list, and one with its snapshots, schema, preview and downloads."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.http import require_GET

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import project_page
from apps.audit.visibility import Action
from apps.snapshots import queries, services
from apps.snapshots.models import Dataset, Snapshot
from dataplane.errors import ManifoldError
from dataplane.export import FORMATS

_SHOWN = 100


def dataset_of(request: HttpRequest, project: Project, slug: str, action: Action = "see") -> Dataset:
    """A dataset of the project that the person may do `action` with, or not found."""
    return get_object_or_404(Dataset.objects.visible_to(request.user, action).filter(project=project), slug=slug)


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    found = queries.with_head(Dataset.objects.visible_to(request.user).filter(project=project)).order_by("slug")
    shown = [each for each in found if not each.hidden]
    rejected = {each.slug.removesuffix(services.REJECTED): each for each in found if each.hidden}
    return render(request, "snapshots/index.html", {"datasets": shown, "rejected": rejected})


@require_GET
@project_page()
def show(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    dataset = dataset_of(request, project, slug)
    snapshots = queries.newest(dataset)
    context: dict[str, Any] = {"dataset": dataset, "snapshots": snapshots[:_SHOWN], "count": snapshots.count()}
    context["rejected"] = Dataset.objects.filter(project=project, slug=f"{slug}{services.REJECTED}").first()
    if dataset.head:
        snapshot = _chosen(request, dataset)
        context |= {"snapshot": snapshot, "files": queries.files_of(snapshot)[:_SHOWN]}
    return render(request, "snapshots/show.html", context)


@require_GET
@project_page("read")
def preview(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """The first rows of a snapshot, or why they cannot be shown."""
    snapshot = _chosen(request, dataset_of(request, project, slug, "read"))
    try:
        found = queries.preview(snapshot)
    except ManifoldError as error:
        return render(request, "console/parts/error.html", {"error": error.as_json()})
    return render(request, "console/parts/rows.html", {"found": found, "nothing": "This snapshot has no rows."})


@require_GET
@project_page("read")
def download(request: HttpRequest, project: Project, slug: str, form: str) -> HttpResponseBase:
    """A snapshot as a file, streamed; the download is written to the audit log first."""
    if form not in FORMATS:
        raise Http404(f"There is no format {form}.")
    snapshot = _chosen(request, dataset_of(request, project, slug, "read"))
    export = services.open_download(snapshot, form, actor=actor_of(request.user))
    answer = StreamingHttpResponse(export, content_type=export.content_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="{slug}@{snapshot.number}.{form}"'
    return answer


def _chosen(request: HttpRequest, dataset: Dataset) -> Snapshot:
    number = request.GET.get("snapshot", "")
    wanted = int(number) if number.isdecimal() and len(number) < 10 else dataset.head
    return get_object_or_404(dataset.snapshots, number=wanted)


_ONE = "p/<slug:project>/datasets/<str:slug>/"
urlpatterns = [
    path("p/<slug:project>/datasets/", index, name="datasets"),
    path(_ONE, show, name="dataset"),
    path(_ONE + "preview/", preview, name="dataset-preview"),
    path(_ONE + "download/<str:form>/", download, name="dataset-download"),
]
