"""The page of retries: a form that edits the policy of a pipeline's document, or of one step, and what it means."""

from __future__ import annotations

import re
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page
from apps.pipelines import retries, services
from apps.pipelines import text as texts
from apps.pipelines.models import Pipeline
from apps.pipelines.pages import parts
from apps.pipelines.pages.lists import pipeline_of
from apps.pipelines.problems import DocumentError, Problem

_UNITS = {"": 1, "s": 1, "min": 60, "h": 3600, "day": 86400, "days": 86400}
_TIME = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([a-z]*)")


@require_http_methods(["GET", "POST"])
@project_page("operate")
def edit(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """Put what the form says into the draft; publish it with `do=publish`, which takes an administrator."""
    pipeline = pipeline_of(request, project, slug)
    step = request.GET.get("step") or None
    if request.method == "GET":
        return _page(request, pipeline, step)
    publish, actor = parts.publishes(request), actor_of(request.user)
    pipeline, told = parts.save(
        request,
        pipeline,
        lambda begun: services.write_retry(pipeline, _given(request.POST), step=step, actor=actor, begun_from=begun),
        publish=publish,
    )
    if told:
        return _page(request, pipeline, step, _entered(request.POST), told)
    said = "The retries are published." if publish else "The retries are in the draft. They count once it is published."
    return go(request, reverse("console:pipeline-retries", args=[project.slug, slug]), said)


@require_POST
@project_page()
def preview(request: HttpRequest, project: Project) -> HttpResponse:
    """What the form says in words and as a row of attempts; or what is wrong with it."""
    context: dict[str, Any] = {"inherited": True}
    try:
        given = _given(request.POST)
        if given is not None:
            context = {"policy": _shown(given)}
    except DocumentError as error:
        context = {"problems": error.problems}
    return render(request, "pipelines/parts/retry.html", context)


def _page(
    request: HttpRequest,
    pipeline: Pipeline,
    step: str | None,
    entered: dict[str, Any] | None = None,
    told: parts.Told | None = None,
) -> HttpResponse:
    """The form as the draft says it, or as it was entered. The draft is read once, however many steps it has."""
    value, _, problems = texts.read(services.text_of(pipeline))
    said = value if isinstance(value, dict) else {}
    steps, whole = retries.steps_of(said), retries.written(said)
    if step is not None and step not in steps and not problems:
        raise Http404(f"There is no step {step}.")
    context = {
        "pipeline": pipeline,
        "step": step,
        "fields": entered or _fields(retries.written(said, step), whole),
        "told": told,
        "unreadable": str(DocumentError(problems)) if problems else "",
        "begun_from": services.mark_of(pipeline),
        "classes": retries.CLASSES,
        "whole": _said(whole),
        "lines": [
            (key, own is not None, _said(own if own is not None else whole))
            for key in steps
            for own in [retries.written(said, key)]
        ],
        "drafted": bool(pipeline.draft),
    }
    return render(request, "pipelines/retries.html", context, status=told.status if told else 200)


def _said(written: dict[str, Any] | None) -> str:
    """A policy of a draft in words, or what is wrong with it."""
    try:
        return retries.words(retries.understood(written or {}))
    except DocumentError as error:
        return str(error)


def _shown(given: dict[str, Any]) -> dict[str, Any]:
    """A policy with each attempt: how long after the one before, and how long after the first."""
    policy = retries.understood(given)
    passed, attempts = 0.0, []
    for each in retries.waits(policy):
        passed += each
        attempts.append((retries.long(each), retries.long(passed)))
    return {"says": retries.words(policy), "attempts": attempts}


def _fields(own: dict[str, Any] | None, whole: dict[str, Any] | None) -> dict[str, Any]:
    """A policy of a draft as the form shows it; of a step without one of its own, what holds for it."""
    found = own or whole or {}
    on = found.get("on")
    names = [str(each) for each in on] if isinstance(on, list) else []
    delays = found.get("delays")
    return {
        "when": "inherit" if own is None else "never" if found.get("attempts") == 1 else "own",
        "attempts": found.get("attempts", ""),
        "delays": ", ".join(_long(each) for each in delays) if isinstance(delays, list) else delays,
        "on": [each for each in names if each in retries.CLASSES],
        "codes": ", ".join(each for each in names if each not in retries.CLASSES),
    }


def _long(delay: Any) -> str:
    return retries.long(delay) if isinstance(delay, int | float) and delay >= 0 else str(delay)


def _entered(form: QueryDict) -> dict[str, Any]:
    """What was entered, to be shown again."""
    return {**form.dict(), "on": form.getlist("on")}


def _given(form: QueryDict) -> dict[str, Any] | None:
    """What the form says as a document says it; None where a step does as its document says.

    Raises DocumentError for a time or a number that is none.
    """
    if form.get("when") == "inherit":
        return None
    if form.get("when") == "never":
        return _never(form)
    attempts = form.get("attempts", "").strip()
    if not attempts.isdecimal() or len(attempts) > 9:
        problem = Problem("retry.attempts", 1, 1, f"{attempts!r} is no number of attempts.", "Write one from 2 to 20.")
        raise DocumentError([problem])
    return {"attempts": int(attempts), **_when(form)}


def _never(form: QueryDict) -> dict[str, Any]:
    """One attempt, over the waits and errors that the form still holds: they are there when it is switched back."""
    try:
        given = {"attempts": 1, **_when(form)}
        retries.understood(given)
    except DocumentError:
        return {"attempts": 1}
    return given


def _when(form: QueryDict) -> dict[str, Any]:
    codes = form.get("codes", "").replace(",", " ").split()
    return {
        "delays": [_seconds(each.strip()) for each in form.get("delays", "").split(",") if each.strip()],
        "on": list(dict.fromkeys(form.getlist("on") + codes)),
    }


def _seconds(time: str) -> float:
    found = _TIME.fullmatch(time)
    if found is None or found[2] not in _UNITS:
        problem = Problem("retry.delays", 1, 1, f"{time!r} is no time.", "Write it as 10 s, 5 min, 1 h or 1 day.")
        raise DocumentError([problem])
    return float(found[1]) * _UNITS[found[2]]


urlpatterns = [
    path("p/<slug:project>/retry-preview/", preview, name="retry-preview"),
    path("p/<slug:project>/pipelines/<slug:slug>/retries/", edit, name="pipeline-retries"),
]
