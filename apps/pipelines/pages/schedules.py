"""The page of a schedule: a form that edits the pipeline's document, with the next five moments beside it."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page
from apps.pipelines import schedules, scheduling, services, timing
from apps.pipelines import text as texts
from apps.pipelines.models import Pipeline
from apps.pipelines.pages import parts
from apps.pipelines.pages.lists import pipeline_of
from apps.pipelines.pages.schedule_card import drafted
from apps.pipelines.problems import DocumentError
from apps.pipelines.schedule import DAYS, countries

PRESETS = ("hourly", "daily", "weekly", "monthly")
# What a field is called in the form, where it is not called as in the document, by what is chosen.
_AT = {"hourly": "minute", "daily": "at", "weekly": "at", "monthly": "at"}
_ON = {"weekly": "weekday", "monthly": "day"}
_CHOICES = {
    "missed": [
        ("last", "Start the newest one"),
        ("none", "Leave them out"),
        ("all", "Start each of them, the oldest first"),
    ],
    "if_running": [
        ("", "As the document says for every run"),
        ("queue", "Wait until it has ended"),
        ("skip", "Skip this run"),
    ],
}


@require_http_methods(["GET", "POST"])
@project_page("operate")
def edit(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """Put what the form says into the draft; publish it with `do=publish`, which takes an administrator."""
    pipeline = pipeline_of(request, project, slug)
    if request.method == "GET":
        return _page(request, pipeline, _fields(drafted(pipeline)))
    given, publish, actor = _given(request.POST.dict()), parts.publishes(request), actor_of(request.user)
    pipeline, told = parts.save(
        request,
        pipeline,
        lambda begun: scheduling.write_schedule(pipeline, given, actor=actor, begun_from=begun),
        publish=publish,
    )
    if told:
        return _page(request, pipeline, request.POST.dict(), told)
    said = (
        "The schedule is published." if publish else "The schedule is in the draft. It counts once that is published."
    )
    return go(request, reverse("console:pipeline", args=[project.slug, slug]), said)


@require_POST
@project_page()
def preview(request: HttpRequest, project: Project) -> HttpResponse:
    """What the form says in words, and its next five moments; or what is wrong with it."""
    given = _given(request.POST.dict())
    if given is None:
        return render(request, "pipelines/parts/moments.html", {"never": True})
    try:
        definition = schedules.understood(given)
    except DocumentError as error:
        return render(request, "pipelines/parts/moments.html", {"problems": error.problems})
    context = {
        "says": timing.words(definition),
        "zone": definition.timezone,
        "moments": timing.upcoming(definition, schedules.clock()),
        "tz": definition.zone,
    }
    return render(request, "pipelines/parts/moments.html", context)


@require_POST
@project_page("manage")
def switch(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """On or off."""
    pipeline, actor = pipeline_of(request, project, slug), actor_of(request.user)
    if request.POST.get("enabled") == "yes":
        scheduling.enable_schedule(pipeline, actor=actor)
        said = "The schedule is on."
    else:
        scheduling.disable_schedule(pipeline, actor=actor)
        said = "The schedule is off. Runs that it has started go on."
    return go(request, reverse("console:pipeline", args=[project.slug, slug]), said)


def _page(
    request: HttpRequest, pipeline: Pipeline, fields: dict[str, Any], told: parts.Told | None = None
) -> HttpResponse:
    _, _, problems = texts.read(services.text_of(pipeline))
    context = {
        "pipeline": pipeline,
        "fields": fields,
        "told": told,
        "unreadable": str(DocumentError(problems)) if problems else "",
        "begun_from": services.mark_of(pipeline),
        "presets": PRESETS,
        "weekdays": DAYS,
        "choices": _CHOICES,
        "zones": sorted(available_timezones()),
        "countries": countries(),
        "other_changes": bool(pipeline.draft),
    }
    return render(request, "pipelines/schedule.html", context, status=told.status if told else 200)


def _fields(written: dict[str, Any]) -> dict[str, Any]:
    """A schedule of a document as the form shows it."""
    when = written.get("preset") or ("cron" if "cron" in written else "interval" if "interval" in written else "never")
    pause = written.get("pause")
    interval = written.get("interval")
    return {
        **{
            name: written[name]
            for name in ("cron", "timezone", "start", "end", "missed", "if_running")
            if name in written
        },
        "when": when,
        _AT.get(when, ""): written.get("at"),
        _ON.get(when, ""): written.get("on"),
        "minutes": interval / 60 if isinstance(interval, int) else 60,
        "new_files": written.get("new_files", False),
        "at_most": written.get("missed_at_most", 24),
        "within": written.get("start_within", ""),
        **({"weekends": pause.get("weekends"), "holidays": pause.get("holidays")} if isinstance(pause, dict) else {}),
    }


def _given(form: dict[str, Any]) -> dict[str, Any] | None:
    """What the form says as a document says it; None for `never`. Numbers that are none are left for the refusal."""
    when = form.get("when", "never")
    if when == "never":
        return None
    given: dict[str, Any] = {"preset": when} if when in PRESETS else {}
    if when == "cron":
        given["cron"] = form.get("cron", "").strip()
    if when == "interval":
        given["interval"] = _seconds(form.get("minutes", ""))
    for name, field in (("at", _AT.get(when)), ("on", _ON.get(when))):
        if field and form.get(field):
            given[name] = _number(form[field])
    for name in ("timezone", "start", "end", "missed", "if_running"):
        if form.get(name):
            given[name] = form[name].strip()
    if form.get("missed") == "all" and form.get("at_most"):
        given["missed_at_most"] = _number(form["at_most"])
    if form.get("within"):
        given["start_within"] = _number(form["within"])
    pause: dict[str, Any] = {"weekends": True} if form.get("weekends") else {}
    if form.get("holidays"):
        pause["holidays"] = form["holidays"].strip()
    return given | ({"pause": pause} if pause else {}) | ({"new_files": True} if form.get("new_files") else {})


def _number(text: str) -> int | str:
    return int(text) if text.strip().isdecimal() and len(text) < 10 else text.strip()


def _seconds(minutes: str) -> int | str:
    try:
        return round(float(minutes) * 60)
    except (ValueError, OverflowError):
        return minutes


_BASE = "p/<slug:project>/pipelines/<slug:slug>/schedule/"
urlpatterns = [
    path("p/<slug:project>/schedule-preview/", preview, name="schedule-preview"),
    path(_BASE, edit, name="pipeline-schedule"),
    path(_BASE + "switch/", switch, name="pipeline-schedule-switch"),
]
