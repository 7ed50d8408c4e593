"""Runs: the list with its filters, and the page of one, which follows the run while it goes on."""

from __future__ import annotations

import csv
import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, is_polling, project_page
from apps.pipelines import drifting, fixing, queries, services, states
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.pages import board, history, timeline
from apps.quality import queries as quality
from apps.snapshots.models import Snapshot

PAGE = 50
FIGURES = (
    *("key", "kind", "state", "attempt", "queued_at", "started_at", "finished_at", "duration_s"),
    *("rows_in", "rows_out", "rows_rejected", "bytes_out", "peak_memory"),
)


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    """The newest runs first. `before` is the id that the previous page ended with: ids rise with time."""
    found = Run.objects.visible_to(request.user).filter(project=project)
    chosen = {name: request.GET.get(name, "") for name in ("pipeline", "state", "mode", "before")}
    if chosen["pipeline"]:
        found = found.filter(pipeline__slug=chosen["pipeline"])
    if chosen["state"] in states.RUN:
        found = found.filter(state=chosen["state"])
    if chosen["mode"] in services.MODES:
        found = found.filter(mode=chosen["mode"])
    charted = found
    before = _uuid(chosen["before"])
    if before:
        found = found.filter(pk__lt=before)
    runs = list(queries.with_totals(found).order_by("-id")[: PAGE + 1])
    context = {
        "runs": runs[:PAGE],
        "more": runs[PAGE - 1].pk if len(runs) > PAGE else None,
        "chosen": chosen,
        "filtered": any(chosen.values()),
        "states": list(states.RUN),
        "modes": [each for each in services.MODES if each != "auto"],
        "query": request.GET.urlencode(),
        "pipelines": Pipeline.objects.visible_to(request.user).filter(project=project),
    }
    if is_polling(request):
        return render(request, "pipelines/parts/runs.html", context)
    return render(request, "pipelines/runs.html", {**context, "days": history.by_day(charted, timezone.now())})


@require_GET
@project_page()
def show(request: HttpRequest, project: Project, run_id: uuid.UUID) -> HttpResponse:
    run = run_of(request, project, run_id)
    steps = list(run.steps.all())
    context = _live(run, steps, project)
    if is_polling(request):
        return render(request, "pipelines/parts/run.html", {**context, "polled": True})
    graph = board.graph_of_run(steps)
    context |= {"graph": graph, "height": board.height_of(graph)}
    return render(request, "pipelines/run.html", context)


@require_GET
@project_page()
def figures(request: HttpRequest, project: Project, run_id: uuid.UUID) -> HttpResponse:
    """The figures of each step as CSV, under the names that they have in the API."""
    run = run_of(request, project, run_id)
    name = f'attachment; filename="{run.pipeline.slug}-{run.pk}.csv"'
    answer = HttpResponse(content_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})
    table = csv.DictWriter(answer, FIGURES, extrasaction="ignore")
    table.writeheader()
    table.writerows(queries.steps_json(run))
    return answer


@require_POST
@project_page("operate")
def cancel(request: HttpRequest, project: Project, run_id: uuid.UUID) -> HttpResponse:
    run = services.cancel_run(run_of(request, project, run_id), actor=actor_of(request.user))
    said = "The run is cancelled." if run.state == "cancelled" else "The run stops as soon as its steps have let go."
    return go(request, reverse("console:run", args=[project.slug, run.pk]), said)


@require_POST
@project_page("operate")
def retry(request: HttpRequest, project: Project, run_id: uuid.UUID) -> HttpResponse:
    again = services.retry_run(run_of(request, project, run_id), actor=actor_of(request.user))
    said = "A new run repeats this one, with the steps that still stand."
    return go(request, reverse("console:run", args=[project.slug, again.pk]), said)


def run_of(request: HttpRequest, project: Project, run_id: uuid.UUID) -> Run:
    """A run that the person may see, with its totals, or not found."""
    visible = Run.objects.visible_to(request.user).filter(project=project)
    return get_object_or_404(queries.with_totals(visible).select_related("pipeline", "version", "retry_of"), pk=run_id)


def _live(run: Run, steps: list[Any], project: Project) -> dict[str, Any]:
    """Everything that changes while a run goes on."""
    over = run.state in states.RUN_TERMINAL
    checked = [each for each in steps if each.kind == "check"]
    found = quality.results_of([each.reused_from or each.pk for each in checked])
    results = {each.key: [_named(rule) for rule in found.get(each.reused_from or each.pk, [])] for each in checked}
    every = [each for rules in results.values() for each in rules]
    snapshots = Snapshot.objects.filter(run=run.pk).select_related("dataset").order_by("dataset__slug", "number")
    failed = next((each for each in steps if each.state == "failed"), None)
    now = timezone.now()
    ends = timeline.ends_at(steps, timeline.usual(run), now) if run.state == "running" else None
    return {
        "run": run,
        "steps": steps,
        "over": over,
        "live": board.live(run, steps, now),
        "timeline": timeline.timeline(steps, now),
        "ends_at": ends,
        "overdue": ends is not None and ends <= now,
        "states": board.states_of_run(steps),
        "results": {key: rules for key, rules in results.items() if rules},
        "checks": len(every),
        "failed_checks": sum(not each["passed"] for each in every),
        "snapshots": snapshots,
        "outside": [each.output for each in steps if each.kind == "load" and _went_outside(each.output or {})],
        "failed_step": failed if run.error is None or failed is None or failed.error == run.error else None,
        "error": run.error or next((each.error for each in steps if each.error), None),
        "next_run": run.retries.order_by("-id").first() if over else None,
        "may_retry": queries.can_retry(run),
        "waits_for": queries.waits_for(run),
        "fixable": fixing.fixable(run),
        "decisions": run.decisions.exclude(answer=""),
        "drifts": drifting.asked_by(run) if run.state == "waiting" else [],
    }


def _went_outside(output: dict[str, Any]) -> bool:
    return "destination" in output and output["status"] in ("loaded", "already_done")


def _named(result: dict[str, Any]) -> dict[str, Any]:
    """A result that says whether its rule has a name of its own; its samples as a table, the rule's columns first."""
    found = list(dict.fromkeys(name for sample in result["samples"] for name in sample["values"]))
    columns = sorted(found, key=lambda name: (name not in result["columns"], found.index(name)))
    rows = [
        {"file": each["file"], "row": each["row"], "cells": [each["values"].get(name) for name in columns]}
        for each in result["samples"]
    ]
    own_name = not result["name"].startswith(result["rule"])
    return {**result, "own_name": own_name, "sample_columns": columns, "sample_rows": rows}


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


_BASE = "p/<slug:project>/runs/"
urlpatterns = [
    path(_BASE, index, name="runs"),
    path(_BASE + "<uuid:run_id>/", show, name="run"),
    path(_BASE + "<uuid:run_id>/figures/", figures, name="run-figures"),
    path(_BASE + "<uuid:run_id>/cancel/", cancel, name="run-cancel"),
    path(_BASE + "<uuid:run_id>/retry/", retry, name="run-retry"),
]
