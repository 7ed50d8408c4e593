"""Search in a project by name, and runs by the beginning of their id."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.accounts.models import Project
from apps.accounts.page_base import is_polling, project_page
from apps.pipelines.models import Pipeline, Run
from apps.snapshots.models import Dataset, SavedQuery
from apps.sources.models import Source, Stream

EACH = 6
_HEX = re.compile(r"[0-9a-f]{6,32}")


@dataclass(frozen=True)
class Found:
    """One thing that was found, and what tells it from others of its kind."""

    kind: str
    icon: str
    name: str
    more: str
    url: str


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    """A page with a field of its own; only the results for the field that opens everywhere."""
    text = request.GET.get("q", "").strip()[:100]
    context = {"text": text, "found": search(request.user, project, text) if text else [], "project": project}
    return render(request, "console/parts/found.html" if is_polling(request) else "console/search.html", context)


def search(user: Any, project: Project, text: str) -> list[Found]:
    """What the user may see in the project whose name or title holds the text; what begins with it comes first."""
    return [
        *_pipelines(user, project, text),
        *_sources(user, project, text),
        *_streams(user, project, text),
        *_datasets(user, project, text),
        *_saved_queries(user, project, text),
        *_runs(user, project, text),
    ]


def _named(rows: QuerySet[Any], text: str, *fields: str) -> QuerySet[Any]:
    """At most `EACH` rows one of whose fields holds the text."""
    holds = Q()
    for field in fields:
        holds |= Q(**{f"{field}__icontains": text})
    begins = When(**{f"{fields[0]}__istartswith": text}, then=Value(0))
    rank = Case(begins, default=Value(1), output_field=IntegerField())
    return rows.filter(holds).order_by(rank, fields[0])[:EACH]


def _pipelines(user: Any, project: Project, text: str) -> list[Found]:
    rows = _named(Pipeline.objects.visible_to(user).filter(project=project), text, "slug", "title")
    return [
        Found("Pipeline", "pipeline", row.slug, row.title, reverse("console:pipeline", args=[project.slug, row.slug]))
        for row in rows
    ]


def _sources(user: Any, project: Project, text: str) -> list[Found]:
    rows = _named(Source.objects.visible_to(user).filter(project=project), text, "slug", "title")
    return [
        Found("Source", "source", row.slug, row.title, reverse("console:source", args=[project.slug, row.slug]))
        for row in rows
    ]


def _streams(user: Any, project: Project, text: str) -> list[Found]:
    visible = Stream.objects.visible_to(user).filter(source__project=project).select_related("source")
    return [
        Found(
            "Stream",
            "stream",
            each.name,
            f"of {each.source.slug}",
            reverse("console:stream", args=[project.slug, each.source.slug, each.pk]),
        )
        for each in _named(visible, text, "name")
    ]


def _datasets(user: Any, project: Project, text: str) -> list[Found]:
    visible = Dataset.objects.visible_to(user).filter(project=project, hidden=False)
    return [
        Found("Dataset", "dataset", each.slug, each.title, reverse("console:dataset", args=[project.slug, each.slug]))
        for each in _named(visible, text, "slug", "title")
    ]


def _saved_queries(user: Any, project: Project, text: str) -> list[Found]:
    """Saved queries, which open in the editor."""
    visible = SavedQuery.objects.visible_to(user, "read").filter(project=project)
    page = reverse("console:sql", args=[project.slug])
    return [
        Found("Saved query", "save", each.slug, each.title, f"{page}?saved={each.slug}")
        for each in _named(visible, text, "slug", "title")
    ]


def _runs(user: Any, project: Project, text: str) -> list[Found]:
    """Runs whose id begins with the text: a range of the primary key."""
    digits = text.lower().replace("-", "")
    if not _HEX.fullmatch(digits):
        return []
    between = (uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f")))
    runs = Run.objects.visible_to(user).filter(project=project, pk__range=between).select_related("pipeline")
    return [
        Found(
            "Run",
            "run",
            f"{each.pipeline.slug} · {each.state}",
            str(each.pk),
            reverse("console:run", args=[project.slug, each.pk]),
        )
        for each in runs.order_by("-id")[:EACH]
    ]
