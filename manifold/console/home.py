"""Home: what runs, what failed, what is late, what comes next, and on an empty installation what to do first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from apps.accounts.models import Project
from apps.accounts.page_base import is_polling, memberships, project_page
from apps.pipelines import freshness, queries
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.pages import board
from apps.pipelines.states import RUN_ACTIVE
from apps.snapshots.models import Dataset
from apps.sources.models import Health, Source, Stream

CARDS = 12
LISTED = 8
URGENT = 5
# What a source may be that somebody should look at, the worst first.
_SICK: list[str] = [Health.ERROR, Health.WARNING]
# A schedule that is due for longer has been missed by the ticks.
GRACE = timedelta(minutes=2)


@dataclass(frozen=True)
class Kept:
    """A dataset on the home page; word: what is wrong with it, see `freshness.standing`."""

    dataset: Dataset
    word: str

    @property
    def stale(self) -> bool:
        return bool(self.word)


@dataclass(frozen=True)
class Going:
    """An active run: the part of its steps that is over, and when it ends if it takes as long as runs of it do."""

    run: Run
    part: float
    ends_at: datetime | None

    @property
    def overdue(self) -> bool:
        """Whether it takes longer than it usually does."""
        return self.ends_at is not None and self.ends_at <= timezone.now()


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
    lines = board.by_urgency(board.lines(Pipeline.objects.visible_to(request.user).filter(project=project)))
    sources = list(Source.objects.visible_to(request.user).filter(project=project))
    kept = _kept(request, project, [each for each in lines if each.health == "failing"])
    runs = Run.objects.visible_to(request.user).filter(project=project)
    going = _running(runs, lines)
    needed = _needs_somebody(lines, sources, going, freshness.late_streams(project, timezone.now()))
    stale = sum(each.stale for each in kept)
    context = {
        "lines": lines[:CARDS],
        "more_lines": max(0, len(lines) - CARDS),
        "count": len(lines),
        **needed,
        "overdue": stale + needed["late_count"] + needed["late_stream_count"],
        "overdue_said": _overdue(needed["late_count"], stale, needed["late_stream_count"]),
        "sources": sorted(sources, key=lambda each: each.health not in _SICK)[:LISTED],
        "source_count": len(sources),
        "kept": kept[:LISTED],
        "kept_count": len(kept),
        "next": _next(lines),
        "recent": queries.with_totals(runs).order_by("-id")[:LISTED],
        "running": going[:LISTED],
        "running_count": len(going),
        "waiting": runs.filter(state="pending").count(),
        "first": _first_steps(project, bool(sources), lines),
    }
    return render(request, "console/parts/home.html" if is_polling(request) else "console/home.html", context)


def _needs_somebody(
    lines: list[board.Line], sources: list[Source], going: list[Going], streams: list[tuple[Stream, dict[str, Any]]]
) -> dict[str, Any]:
    """What failed, asks, is late or not well: a few of each to be listed, how many there are, and a sentence."""
    failing = [each for each in lines if each.health == "failing"]
    asking = [each.run for each in going if each.run.state == "waiting"]
    late = [each for each in lines if each.next_at and each.next_at < timezone.now() - GRACE]
    sick = sorted((each for each in sources if each.health in _SICK), key=lambda each: _SICK.index(each.health))
    down = sum(each.health == Health.ERROR for each in sick)
    return {
        "failing": _with_errors(failing[:URGENT]),
        "failed_count": len(failing),
        "asking": asking[:URGENT],
        "late": late[:URGENT],
        "late_count": len(late),
        "late_streams": streams[:URGENT],
        "late_stream_count": len(streams),
        "sick": sick[:URGENT],
        "sick_count": len(sick),
        "trouble": _trouble(len(failing), len(asking), down, len(late), len(streams)),
        "worth_a_look": _worth_a_look(sum(each.health == "warning" for each in lines), len(sick) - down),
    }


def _trouble(failed: int, asking: int, down: int, late: int, streams: int) -> str:
    """What is wrong, in one sentence; nothing where nothing is."""
    said = [
        f"{failed} pipeline{pluralize(failed)} failed last time" * bool(failed),
        f"{asking} run{pluralize(asking)} wait{pluralize(asking, 's,')} for a decision" * bool(asking),
        f"{down} source{pluralize(down)} cannot be reached" * bool(down),
        f"{late} schedule{pluralize(late)} did not start in time" * bool(late),
        f"{streams} stream{pluralize(streams)} did not come in time" * bool(streams),
    ]
    return ", ".join(filter(None, said)) + "." * any(said)


def _overdue(schedules: int, datasets: int, streams: int) -> str:
    """What is late, below the number of it all."""
    why = {"schedule": "not started in time", "dataset": "not renewed", "stream": "without new rows"}
    counts = {"schedule": schedules, "dataset": datasets, "stream": streams}
    late = {name: count for name, count in counts.items() if count}
    if len(late) == 1:
        ((name, count),) = late.items()
        return f"{name}{pluralize(count)} {why[name]}"
    return ", ".join(f"{count} {name}{pluralize(count)}" for name, count in late.items())


def _worth_a_look(pipelines: int, sources: int) -> str:
    """What came with warnings, as the subject of a sentence; nothing where nothing did."""
    counts = {"pipeline": pipelines, "source": sources}
    said = [f"{count} {name}{pluralize(count)}" for name, count in counts.items() if count]
    return " and ".join(said)


def _next(lines: list[board.Line]) -> board.Line | None:
    """The pipeline whose schedule fires next."""
    moments = {each.next_at: each for each in lines if each.next_at}
    return moments[min(moments)] if moments else None


def _kept(request: HttpRequest, project: Project, failing: list[board.Line]) -> list[Kept]:
    """The datasets, the stale ones first."""
    failed = {each.pipeline.pk: each.last.pk for each in failing if each.last is not None}
    datasets = Dataset.objects.visible_to(request.user).filter(project=project, hidden=False)
    kept = [Kept(each, word) for each, word in freshness.standing(datasets, failed, timezone.now())]
    return sorted(kept, key=lambda each: not each.stale)


def _with_errors(failing: list[board.Line]) -> list[tuple[board.Line, Run]]:
    """Failing pipelines with the run that says why."""
    newest = {each.pipeline.pk: each.telling.pk for each in failing if each.telling is not None}
    runs = Run.objects.in_bulk(list(newest.values()))
    return [(each, runs[newest[each.pipeline.pk]]) for each in failing if each.pipeline.pk in newest]


def _running(runs: QuerySet[Run], lines: list[board.Line]) -> list[Going]:
    """Active runs, the oldest first."""
    usual = {each.pipeline.pk: each.usual for each in lines}
    found = []
    for row in queries.with_totals(runs.filter(state__in=RUN_ACTIVE)).order_by("id"):
        run: Any = row
        took = usual.get(run.pipeline_id)
        ends = run.started_at + timedelta(seconds=took) if took and run.started_at else None
        found.append(Going(run, run.steps_ended / run.steps_total if run.steps_total else 0.0, ends))
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
