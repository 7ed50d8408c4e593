"""The ingestion history: of a project, and of one source."""

from __future__ import annotations

import uuid
from datetime import UTC, date, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_GET

from apps.accounts.models import Project
from apps.accounts.page_base import project_page
from apps.audit.refusals import Invalid
from apps.pipelines.api.history import IngestionFilter, exported
from apps.pipelines.models import Ingestion, Pipeline
from apps.pipelines.states import INGESTION
from apps.sources.models import Source

PAGE = 50
DRAWN = 60
BOUNDS = {
    "rows_min": "Rows at least",
    "rows_max": "Rows at most",
    "bytes_min": "Bytes at least",
    "bytes_max": "Bytes at most",
}
DAYS = {"since": "From", "until": "To"}
_DIGITS = 50
_TONES = {"succeeded": "ok", "failed": "bad", "timed_out": "bad"}


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    return _list(request, project, None)


@require_GET
@project_page()
def of_source(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    return _list(request, project, _source(request, project, slug))


@require_GET
@project_page()
def export(request: HttpRequest, project: Project) -> StreamingHttpResponse:
    return _file(_visible(request, project), _chosen(request), project.slug)


@require_GET
@project_page()
def export_of_source(request: HttpRequest, project: Project, slug: str) -> StreamingHttpResponse:
    rows = _visible(request, project).filter(source=_source(request, project, slug).pk)
    return _file(rows, _chosen(request), slug)


def _file(rows: QuerySet[Ingestion], chosen: dict[str, str], name: str) -> StreamingHttpResponse:
    """Raises Invalid for what is no value of its filter."""
    for field, text in _wrong(chosen).items():
        raise Invalid(field, text)
    return exported(_narrowed(rows, chosen), name)


def _visible(request: HttpRequest, project: Project) -> QuerySet[Ingestion]:
    rows = Ingestion.objects.visible_to(request.user).filter(project=project)
    return rows.select_related("run__pipeline")


def _source(request: HttpRequest, project: Project, slug: str) -> Source:
    return get_object_or_404(Source.objects.visible_to(request.user).filter(project=project), slug=slug)


def _list(request: HttpRequest, project: Project, source: Source | None) -> HttpResponse:
    """The newest first; `before` is the id that the previous page ended with. What fits is drawn, too."""
    chosen = _chosen(request)
    rows = _visible(request, project)
    found = _narrowed(rows.filter(source=source.pk) if source else rows, chosen)
    before = _uuid(request.GET.get("before", ""))
    page = list((found.filter(pk__lt=before) if before else found)[: PAGE + 1])
    sources = Source.objects.visible_to(request.user).filter(project=project)
    pipelines = Pipeline.objects.visible_to(request.user).filter(project=project).order_by("slug")
    context = {
        "source": source,
        "base": reverse("console:source-history", args=[project.slug, source.slug])
        if source
        else reverse("console:history", args=[project.slug]),
        "rows": page[:PAGE],
        "more": page[PAGE - 1].pk if len(page) > PAGE else None,
        "chosen": chosen,
        "filtered": any(chosen.values()),
        "wrong": _wrong(chosen),
        "states": INGESTION,
        "pipelines": pipelines.values_list("slug", flat=True),
        "sources": [] if source else sources.values_list("slug", flat=True),
        "chart": _chart(list(found[:DRAWN])) if not before else None,
    }
    return render(request, "pipelines/ingestion.html", context)


def _chosen(request: HttpRequest) -> dict[str, str]:
    names = ("source", "pipeline", "stream", "state", *DAYS, *BOUNDS)
    return {name: request.GET.get(name, "").strip()[:200] for name in names}


def _wrong(chosen: dict[str, str]) -> dict[str, str]:
    """What is no value of its filter, and what to enter there, by the filter's name."""
    found = {
        name: f"{title}: enter a whole number of at most {_DIGITS} digits."
        for name, title in BOUNDS.items()
        if chosen[name] and not _is_bound(chosen[name])
    }
    found |= {
        name: f"{title}: enter a day as 2026-03-31."
        for name, title in DAYS.items()
        if chosen[name] and not _day(chosen[name])
    }
    if chosen["state"] and chosen["state"] not in INGESTION:
        found["state"] = f"State: choose one of {', '.join(INGESTION)}."
    return found


def _is_bound(text: str) -> bool:
    return text.isdecimal() and len(text) <= _DIGITS


def _narrowed(rows: QuerySet[Ingestion], chosen: dict[str, str]) -> QuerySet[Ingestion]:
    """As the API filters; days are those of UTC, the last one included. Nothing fits what is no value of a filter."""
    if _wrong(chosen):
        return rows.none()
    asked: dict[str, Any] = {name: chosen[name] for name in ("source", "pipeline", "stream") if chosen[name]}
    if chosen["state"]:
        asked["state"] = [chosen["state"]]
    asked |= {name: chosen[name] for name in BOUNDS if chosen[name]}
    since, until = _day(chosen["since"]), _day(chosen["until"])
    if since:
        asked["since"] = f"{since}T00:00:00Z"
    if until and until < date.max:
        asked["until"] = f"{until + timedelta(days=1)}T00:00:00Z"
    found: QuerySet[Ingestion] = IngestionFilter(asked, queryset=rows).qs
    return found


def _day(text: str) -> Any:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _chart(rows: list[Ingestion]) -> dict[str, Any]:
    """What the browser draws: one bar a row, the oldest first; each leads to its run."""
    shown = rows[::-1]
    return {
        "at": [f"{each.at.astimezone(UTC):%d %b %Y, %H:%M} UTC, {each.source_slug} {each.stream}" for each in shown],
        "state": [_TONES.get(each.state, "none") for each in shown],
        "seconds": [round(each.seconds, 3) for each in shown],
        "rows": [each.fetched for each in shown],
        "ids": [str(each.run_id) for each in shown],
    }


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


_SOURCE = "p/<slug:project>/sources/<slug:slug>/history/"
urlpatterns = [
    path("p/<slug:project>/history/", index, name="history"),
    path("p/<slug:project>/history/export/", export, name="history-export"),
    path(_SOURCE, of_source, name="source-history"),
    path(_SOURCE + "export/", export_of_source, name="source-history-export"),
]
