"""The list of pipelines, and the page of one: its graph, its runs, its versions, its document."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, is_polling, project_page
from apps.audit.refusals import Invalid
from apps.pipelines import backfilling, filestates, queries, retries, services
from apps.pipelines import document as documents
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.pages import board, history, ranges, schedule_card
from apps.snapshots.models import Dataset
from dataplane.errors import ManifoldError

PAGE = 36
# What the dialog of a run offers beside the modes: a range of time that lies in the past.
RANGE = "range"
MODES = {
    "auto": "Read what is new; repeat what did not arrive; everything the first time.",
    "incremental": "Read only what is new since the last run.",
    "repair": "Read failed windows again, and those whose count differs in the source now.",
    "seed": "Forget what was read, read everything, and replace what was loaded.",
}


def pipeline_of(request: HttpRequest, project: Project, slug: str) -> Pipeline:
    """A pipeline that the person may see, or not found."""
    visible = Pipeline.objects.visible_to(request.user).filter(project=project).select_related("published")
    return get_object_or_404(visible, slug=slug)


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    """All pipelines as cards, what needs somebody first; by name and health, a page at a time."""
    every = board.lines(Pipeline.objects.visible_to(request.user).filter(project=project))
    chosen = {name: request.GET.get(name, "").strip()[:200] for name in ("name", "health")}
    counts = Counter(each.health for each in every)
    found = [
        each
        for each in board.by_urgency(every)
        if chosen["name"].lower() in f"{each.pipeline.slug} {each.pipeline.title}".lower()
        and chosen["health"] in ("", each.health)
    ]
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {
        "lines": page.object_list,
        "page": page,
        "chosen": chosen,
        "counts": sorted(counts.items()),
        "total": len(every),
        "query": request.GET.urlencode(),
        "project": project,
    }
    return render(request, "pipelines/parts/lines.html" if is_polling(request) else "pipelines/index.html", context)


@require_GET
@project_page()
def overview(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    pipeline = pipeline_of(request, project, slug)
    line = board.lines(Pipeline.objects.filter(pk=pipeline.pk))[0]
    context = {
        "pipeline": pipeline,
        "line": line,
        "modes": MODES,
        "runs": queries.with_totals(Run.objects.filter(pipeline=pipeline)).order_by("-id")[:10],
        "datasets": Dataset.objects.filter(project=project, owner_pipeline=pipeline.pk, hidden=False),
        "outside": board.outside_tables(pipeline),
        "versions": pipeline.versions.defer("text", "document"),
        "graph": [],
    }
    if is_polling(request):
        return render(request, "pipelines/parts/activity.html", context)
    if pipeline.published is not None:
        context["history"] = history.of_pipeline(pipeline)
        document = documents.load(pipeline.published.document)
        graph = board.graph_of(document)
        context |= {"graph": graph, "height": board.height_of(graph), "step_keys": list(document.steps)}
        context["ranges"] = bool(document.incremental())
        context["files_step"] = filestates.reads_files(pipeline)
    context |= {"schedule": schedule_card.card(pipeline), "retries": retries.retries_json(pipeline)}
    return render(request, "pipelines/overview.html", context)


@require_GET
@project_page()
def version(request: HttpRequest, project: Project, slug: str, number: int) -> HttpResponse:
    pipeline = pipeline_of(request, project, slug)
    found = get_object_or_404(pipeline.versions, number=number)
    graph = board.graph_of(documents.load(found.document))
    context = {"pipeline": pipeline, "version": found, "graph": graph, "height": board.height_of(graph)}
    return render(request, "pipelines/version.html", context)


@require_GET
@project_page("operate")
def plan(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """What a run would read now, and why; the sources are asked, nothing is written."""
    pipeline = pipeline_of(request, project, slug)
    mode = request.GET.get("mode", "auto")
    if mode not in services.MODES and not (mode == RANGE and is_polling(request)):
        raise Http404(f"There is no mode {mode}.")
    if is_polling(request):
        return _plan_in_dialog(request, pipeline, mode)
    only = request.GET.getlist("steps")
    context: dict[str, Any] = {"pipeline": pipeline, "mode": mode, "modes": MODES, "only": only}
    try:
        planned = services.plan_run(pipeline, mode=mode, only=only)
    except Invalid:
        raise
    except ManifoldError as error:
        return render(request, "pipelines/plan.html", context | {"error": error.as_json()}, status=409)
    usual = None if only else history.usual_seconds(pipeline, planned["mode"])
    return render(request, "pipelines/plan.html", context | {"plan": planned, "usual": usual})


def _plan_in_dialog(request: HttpRequest, pipeline: Pipeline, mode: str) -> HttpResponse:
    """The plan, or why there can be none, as a part of the dialog."""
    try:
        if mode == RANGE:
            context = ranges.previewed(pipeline, ranges.at_once(request.GET))
            return render(request, "pipelines/parts/backfill_preview.html", context)
        chosen = _files(request.GET)
        planned = services.plan_run(pipeline, mode=mode, only=request.GET.getlist("steps"), **chosen)
    except ManifoldError as error:
        return render(request, "console/parts/error.html", {"error": error.as_json()})
    return render(request, "pipelines/parts/plan.html", {"plan": planned, "polled": True})


@require_POST
@project_page("operate")
def start(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    pipeline = pipeline_of(request, project, slug)
    mode = request.POST.get("mode", "auto")
    if mode == RANGE:
        return _read_range(request, project, pipeline)
    if mode not in services.MODES:
        raise Http404(f"There is no mode {mode}.")
    busy: dict[str, Literal["queue", "skip"]] = {"queue": "queue", "skip": "skip"}
    run: Run = services.start_run(
        pipeline,
        actor=actor_of(request.user),
        mode=mode,
        only=request.POST.getlist("steps"),
        if_running=busy.get(request.POST.get("if_running", "")),
        **_files(request.POST),
    )
    said = "The run has started." if run.state == "running" else queries.waits_for(run) or f"The run is {run.state}."
    return go(request, reverse("console:run", args=[project.slug, run.pk]), said)


def _files(data: QueryDict) -> dict[str, Any]:
    """The files that were picked, one a line where they were written. Raises Invalid where none of a list is."""
    picked = [line.strip() for each in data.getlist("files") for line in each.splitlines() if line.strip()]
    if data.get("picking") == "yes" and not picked:
        raise Invalid("files", "No file is picked. Pick those that are to be read.", code="none_picked")
    return {"files": picked, "again": data.get("again") == "yes"}


def _read_range(request: HttpRequest, project: Project, pipeline: Pipeline) -> HttpResponse:
    """A backfill of one slice, which waits for its turn as every backfill does."""
    made = backfilling.start_backfill(pipeline, ranges.at_once(request.POST), actor=actor_of(request.user))
    place = reverse("console:pipeline-backfill", args=[project.slug, pipeline.slug, made.pk])
    return go(request, place, "The range is read in one run, behind live ones.")


@require_POST
@project_page("manage")
def delete(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    pipeline = pipeline_of(request, project, slug)
    services.delete_pipeline(pipeline, actor=actor_of(request.user))
    said = f"The pipeline {slug} is deleted. Its datasets are kept."
    return go(request, reverse("console:pipelines", args=[project.slug]), said)


_BASE = "p/<slug:project>/pipelines/"
urlpatterns = [
    path(_BASE, index, name="pipelines"),
    path(_BASE + "<slug:slug>/", overview, name="pipeline"),
    path(_BASE + "<slug:slug>/versions/<int:number>/", version, name="pipeline-version"),
    path(_BASE + "<slug:slug>/plan/", plan, name="pipeline-plan"),
    path(_BASE + "<slug:slug>/run/", start, name="pipeline-run"),
    path(_BASE + "<slug:slug>/delete/", delete, name="pipeline-delete"),
]
