"""The files of a pipeline: what has become of each, step by step; some are picked for a run, or read once more."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from apps.accounts.models import Project
from apps.accounts.page_base import project_page
from apps.pipelines import filestates
from apps.pipelines.pages.lists import pipeline_of

_SHOWN = 300


@require_GET
@project_page()
def files(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    pipeline = pipeline_of(request, project, slug)
    chosen = request.GET.get("state", "")
    counts = filestates.counted(pipeline)
    found = filestates.of_pipeline(pipeline, state=chosen, limit=_SHOWN)
    context = {
        "pipeline": pipeline,
        "files": found,
        "total": sum(counts.values()),
        "cut": len(found) < (counts.get(chosen, 0) if chosen else sum(counts.values())),
        "chosen": chosen,
        "counts": [(state, count, filestates.STATES[state]) for state, count in counts.items()],
    }
    return render(request, "pipelines/files.html", context)


urlpatterns = [path("p/<slug:project>/pipelines/<slug:slug>/files/", files, name="pipeline-files")]
