"""Home: what runs, what failed, what is stale, and what to do first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.accounts.models import Project
from apps.accounts.page_base import is_polling, memberships, project_page
from apps.pipelines import queries
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.pages import board
from apps.pipelines.states import RUN_ACTIVE
from apps.snapshots import queries as snapshots
from apps.snapshots.models import Dataset
from apps.sources.models import Health, Source


@dataclass(frozen=True)
class Kept:
    """A dataset on the home page. It is stale when the newest run that should have filled it failed."""

    dataset: Dataset
    stale: bool


@dataclass(frozen=True)
class First:
    """One of the three steps to the first run: done, next, or not yet."""

    title: str
    text: str
    url: str
    button: str
    done: bool
    next: bool


@require_GET
@login_required
def root(request: HttpRequest) -> HttpResponse:
    """The project one was in last, else the first; a page that explains when there is none."""
    slugs = [each.project.slug for each in memberships(request)]
    if not slugs:
        return render(request, "console/no_project.html")
    last = request.session.get("project")
    return HttpResponseRedirect(reverse("console:home", args=[last if last in slugs else slugs[0]]))


@require_GET
@project_page()
def home(request: HttpRequest, project: Project) -> HttpResponse:
    lines = board.lines(Pipeline.objects.visible_to(request.user).filter(project=project))
    sources = list(Source.objects.visible_to(request.user).filter(project=project))
    datasets = Dataset.objects.visible_to(request.user).filter(project=project, hidden=False)
    failing = [each for each in lines if each.health == "failing"]
    failed = {each.pipeline.pk: each.last.pk for each in failing if each.last is not None}
    heads: list[Any] = list(snapshots.with_head(datasets).order_by("slug"))
    kept = [Kept(each, failed.get(each.owner_pipeline, each.loaded_by) != each.loaded_by) for each in heads]
    runs = queries.with_totals(Run.objects.visible_to(request.user).filter(project=project))
    context = {
        "lines": lines,
        "failing": failing,
        "warned": sum(each.health == "warning" for each in lines),
        "sick": [each for each in sources if each.health == Health.ERROR],
        "sources": sources,
        "kept": kept,
        "recent": runs.order_by("-id")[:8],
        "running": _running(request, project),
        "total_rows": sum(each.rows or 0 for each in heads),
        "total_bytes": sum(each.bytes or 0 for each in heads),
        "first": _first_steps(project, bool(sources), lines),
    }
    return render(request, "console/parts/home.html" if is_polling(request) else "console/home.html", context)


def _running(request: HttpRequest, project: Project) -> list[tuple[Run, float]]:
    """Active runs, each with the part of its steps that is over."""
    active = Run.objects.visible_to(request.user).filter(project=project, state__in=RUN_ACTIVE)
    found = []
    for run in active.select_related("pipeline").prefetch_related("steps"):
        steps = list(run.steps.all())
        over = sum(each.finished_at is not None for each in steps)
        found.append((run, over / len(steps) if steps else 0.0))
    return found


def _first_steps(project: Project, has_source: bool, lines: list[board.Line]) -> list[First]:
    """What a new installation does first; nothing once a pipeline has been run."""
    if any(each.recent for each in lines):
        return []
    written = bool(lines)
    rows: list[tuple[str, str, str, str, bool]] = [
        (
            "Add a source",
            "A folder of files, or a database. Its connection is tested stage by stage before anything is saved.",
            reverse("console:source-new", args=[project.slug]),
            "Add a source",
            has_source,
        ),
        (
            "Write a pipeline",
            "One short document: what to read, what must hold, where it is kept. A first one is drafted for you.",
            reverse("console:pipeline-new", args=[project.slug]),
            "Write a pipeline",
            written,
        ),
        (
            "Run it",
            "Publish it and press Run now. You follow it step by step, and its first snapshot stays for good.",
            reverse("console:pipeline", args=[project.slug, lines[0].pipeline.slug]) if written else "",
            "Open the pipeline",
            False,
        ),
    ]
    turn = next(number for number, row in enumerate(rows) if not row[4])
    return [First(*row, number == turn) for number, row in enumerate(rows)]
