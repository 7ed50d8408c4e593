"""The log on a run's page: the last lines, narrowed to a step or a level, and the whole as a file."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from apps.accounts.models import Project
from apps.accounts.page_base import project_page
from apps.pipelines import runlog, states
from apps.pipelines.models import Run
from apps.pipelines.pages.runs import run_of
from dataplane.steps.log import LEVELS

SHOWN = 200


@require_GET
@project_page()
def show(request: HttpRequest, project: Project, run_id: uuid.UUID) -> HttpResponse:
    """The part of the page, which asks again for itself while the run goes on."""
    run = run_of(request, project, run_id)
    chosen = _chosen(request)
    newest = list(runlog.lines_of(run, **chosen).reverse()[: SHOWN + 1])
    context = {
        "run": run,
        "lines": newest[:SHOWN][::-1],
        "cut": len(newest) > SHOWN,
        "shown": SHOWN,
        "chosen": chosen,
        "levels": LEVELS,
        "keys": list(run.steps.order_by("position").values_list("key", flat=True)),
        "over": run.state in states.RUN_TERMINAL,
        "query": request.GET.urlencode(),
    }
    return render(request, "pipelines/parts/log.html", context)


@require_GET
@project_page()
def download(request: HttpRequest, project: Project, run_id: uuid.UUID) -> StreamingHttpResponse:
    run: Run = run_of(request, project, run_id)
    name = f'attachment; filename="{run.pipeline.slug}-{run.pk}.log"'
    return StreamingHttpResponse(
        runlog.stream(runlog.lines_of(run, **_chosen(request)), "text"),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": name},
    )


def _chosen(request: HttpRequest) -> dict[str, Any]:
    level = request.GET.get("level", "")
    return {"step": request.GET.get("step") or None, "level": level if level in LEVELS else "info"}


_RUN = "p/<slug:project>/runs/<uuid:run_id>/"
urlpatterns = [
    path(_RUN + "log/", show, name="run-log"),
    path(_RUN + "log/file/", download, name="run-log-file"),
]
