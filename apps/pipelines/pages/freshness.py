"""By when a dataset or a stream has to be loaded again: the card on its page, and the form."""

from __future__ import annotations

import uuid
from typing import Any
from zoneinfo import available_timezones

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, is_polling, project_page, require
from apps.audit.refusals import Conflict
from apps.pipelines import freshness
from apps.pipelines.freshness import Subject
from apps.pipelines.schedule import countries
from apps.pipelines.schedules import clock
from apps.snapshots.models import Dataset
from apps.sources.pages.streams import stream_of
from apps.sources.parameters import InvalidFields

_HOURS = ("window", "max_age", "grace")


@require_http_methods(["GET", "POST"])
@project_page()
def of_dataset(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    visible = Dataset.objects.visible_to(request.user, "see").filter(project=project, hidden=False)
    dataset = get_object_or_404(visible, slug=slug)
    return _edit(request, dataset, reverse("console:dataset", args=[project.slug, slug]))


@require_http_methods(["GET", "POST"])
@project_page()
def of_stream(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    stream = stream_of(request, project, slug, stream_id)
    return _edit(request, stream, reverse("console:stream", args=[project.slug, slug, stream_id]))


def _edit(request: HttpRequest, subject: Subject, page: str) -> HttpResponse:
    """The card, where htmx asks; else the form, which a POST sends. page: of what it is expected."""
    action = "manage" if request.method == "POST" else "see"
    shown, kind = freshness.shown_of(subject, clock()), freshness.kind_of(subject)
    context: dict[str, Any] = {"subject": subject, "kind": kind, "page": page, "freshness": shown}
    if is_polling(request) and action == "see":
        return render(request, "pipelines/parts/freshness.html", context)
    require(request, "manage")
    context |= {"zones": sorted(available_timezones()), "countries": countries(), "refused": "", "fields": {}}
    if action == "manage":
        return _save(request, subject, context)
    return render(request, "pipelines/freshness.html", context | {"fields": _fields(shown)})


def _save(request: HttpRequest, subject: Subject, context: dict[str, Any]) -> HttpResponse:
    actor, given = actor_of(request.user), _given(request.POST.dict())
    try:
        if given is None:
            freshness.expect_nothing(subject, actor=actor)
            said = f"Nothing is expected of {subject} any more."
        else:
            row = freshness.expect(subject, given, actor=actor)
            said = f"Expected of {subject}: {freshness.expected_of(row).says()}."
    except InvalidFields as error:
        refused = " ".join(text for texts in error.fields.values() for text in texts)
        context |= {"fields": request.POST.dict(), "refused": refused}
        return render(request, "pipelines/freshness.html", context, status=422)
    except Conflict as error:
        context |= {"fields": request.POST.dict(), "refused": error.message}
        return render(request, "pipelines/freshness.html", context, status=409)
    return go(request, context["page"], said)


def _fields(shown: dict[str, Any] | None) -> dict[str, Any]:
    """What is expected as the form shows it: lengths in hours."""
    expected = shown["expected"] if shown else {}
    hours = {name: f"{expected[name] / 3600:g}" for name in _HOURS if name in expected}
    when = "age" if "max_age" in expected else "by"
    return {**expected, **hours, "when": when}


def _given(form: dict[str, str]) -> dict[str, Any] | None:
    """What the form says; None for nothing. What is no number is left for the refusal."""
    when = form.get("when", "never")
    if when == "never":
        return None
    given: dict[str, Any] = {"grace": form.get("grace", "")}
    if when == "age":
        given["max_age"] = form.get("max_age", "") or "0"
    else:
        names = ("by", "timezone", "holidays", "window")
        given |= {name: form.get(name, "").strip() for name in names} | {"business_days": "business_days" in form}
    return {name: _seconds(value) if name in _HOURS else value for name, value in given.items() if value != ""}


def _seconds(hours: str) -> int | str:
    try:
        return round(float(hours.replace(",", ".")) * 3600)
    except (ValueError, OverflowError):
        return hours


_IN_SOURCE = "p/<slug:project>/sources/<slug:slug>/"
urlpatterns = [
    path("p/<slug:project>/datasets/<str:slug>/freshness/", of_dataset, name="dataset-freshness"),
    path(_IN_SOURCE + "streams/<uuid:stream_id>/freshness/", of_stream, name="stream-freshness"),
]
