"""The pages of a pipeline's backfills: the form with its preview, and how far one has come."""

from __future__ import annotations

import uuid
from typing import Any
from zoneinfo import available_timezones

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, is_polling, project_page, require
from apps.pipelines import backfilling, progress, schedules
from apps.pipelines.models import Backfill, Pipeline
from apps.pipelines.pages import ranges
from apps.pipelines.pages.lists import pipeline_of
from apps.pipelines.states import BACKFILL_OPEN
from dataplane.errors import ManifoldError

SHOWN = 20
EVERY = {
    "hour": "an hour",
    "day": "a day",
    "week": "a week",
    "month": "a month",
    "schedule": "from one moment of the schedule to the next",
    "range": "the whole range",
}
ACTIONS = {
    "resume": (backfilling.resume_backfill, "The backfill goes on."),
    "cancel": (backfilling.cancel_backfill, "The backfill is cancelled. What was loaded stays."),
}


@require_http_methods(["GET", "POST"])
@project_page()
def index(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """The backfills of a pipeline, and the form of a new one: `do=preview` shows what it would read."""
    pipeline = pipeline_of(request, project, slug)
    if request.method == "GET":
        return _page(request, pipeline, {})
    require(request, "operate")
    form, wanted = request.POST, ranges.asked(request.POST)
    try:
        if form.get("do") != "start":
            return _page(request, pipeline, ranges.previewed(pipeline, wanted))
        on_failure = form.get("on_failure", "stop")
        made = backfilling.start_backfill(pipeline, wanted, on_failure=on_failure, actor=actor_of(request.user))
    except ManifoldError as error:
        return _page(request, pipeline, {"refused": error.message}, status=422)
    place = reverse("console:pipeline-backfill", args=[project.slug, slug, made.pk])
    return go(request, place, f"The backfill has started: {len(made.slices)} slices.")


@require_http_methods(["GET", "POST"])
@project_page()
def show(request: HttpRequest, project: Project, slug: str, backfill_id: uuid.UUID) -> HttpResponse:
    """How far one has come, slice by slice; a form pauses, resumes or cancels it."""
    pipeline = pipeline_of(request, project, slug)
    rows = Backfill.objects.visible_to(request.user).filter(pipeline=pipeline).select_related("pipeline", "version")
    backfill = get_object_or_404(rows, pk=backfill_id)
    if request.method == "POST":
        require(request, "operate")
        return go(request, request.path, _do(request, backfill))
    found = progress.backfill_detail(backfill)
    (worded,) = ranges.worded([found], backfill.timezone)
    slices = ranges.worded(found["slices"], backfill.timezone)
    context = {
        "pipeline": pipeline,
        "backfill": worded,
        "slices": slices,
        "now": next((each for each in slices if each["state"] == "running"), None),
        "ended": found["total"] - found["left"],
        "over": backfill.state not in BACKFILL_OPEN,
    }
    template = "pipelines/parts/backfill.html" if is_polling(request) else "pipelines/backfill.html"
    return render(request, template, context)


def _do(request: HttpRequest, backfill: Backfill) -> str:
    actor, does = actor_of(request.user), request.POST.get("do", "")
    if does == "pause":
        backfilling.pause_backfill(backfill, reason=request.POST.get("reason", ""), actor=actor)
        return "No further slice begins. The one that is read now ends."
    if does not in ACTIONS:
        raise Http404("The form does not say what to do.")
    change, said = ACTIONS[does]
    change(backfill, actor=actor)
    return said


def _page(request: HttpRequest, pipeline: Pipeline, more: dict[str, Any], *, status: int = 200) -> HttpResponse:
    found = Backfill.objects.visible_to(request.user).filter(pipeline=pipeline).select_related("pipeline", "version")
    schedule = schedules.written(pipeline.published)
    rows = progress.backfill_rows(list(found[:SHOWN]))
    context = {
        "pipeline": pipeline,
        "backfills": [each for row in rows for each in ranges.worded([row], row["timezone"])],
        "fields": request.POST.dict(),
        "every": EVERY,
        "timezone": schedule.timezone if schedule else "UTC",
        "usual": "schedule" if schedule and not schedule.new_files else "day",
        "has_schedule": schedule is not None,
        "zones": sorted(available_timezones()),
        **more,
    }
    return render(request, "pipelines/backfills.html", context, status=status)


_BASE = "p/<slug:project>/pipelines/<slug:slug>/backfills/"
urlpatterns = [
    path(_BASE, index, name="pipeline-backfills"),
    path(_BASE + "<uuid:backfill_id>/", show, name="pipeline-backfill"),
]
