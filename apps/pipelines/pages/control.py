"""The forms with which a person controls runs and pipelines: pause, resume, decide, skip, do what is suggested."""

from __future__ import annotations

import uuid

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page, require
from apps.pipelines import control, fixing
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.pages.lists import pipeline_of
from apps.pipelines.pages.runs import run_of
from apps.sources.pages.streams import renames_of

LONGEST_REASON = 400


@require_POST
@project_page("operate")
def pause_pipeline(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    pipeline = pipeline_of(request, project, slug)
    control.pause_pipeline(pipeline, reason=_reason(request), actor=actor_of(request.user))
    return _to_pipeline(request, project, pipeline, f"{slug} is paused. No new run begins.")


@require_POST
@project_page("operate")
def resume_pipeline(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    pipeline = pipeline_of(request, project, slug)
    control.resume_pipeline(pipeline, actor=actor_of(request.user))
    return _to_pipeline(request, project, pipeline, f"{slug} is resumed.")


@require_POST
@project_page("operate")
def pause_run(request: HttpRequest, project: Project, run_id: uuid.UUID) -> HttpResponse:
    run = run_of(request, project, run_id)
    control.pause_run(run, reason=_reason(request), actor=actor_of(request.user))
    return _to_run(request, project, run, "The run is paused. Steps that run finish, none starts.")


@require_POST
@project_page("operate")
def resume_run(request: HttpRequest, project: Project, run_id: uuid.UUID) -> HttpResponse:
    run = control.resume_run(run_of(request, project, run_id), actor=actor_of(request.user))
    said = "A check asks; the run waits for a decision." if run.state == "waiting" else "The run goes on."
    return _to_run(request, project, run, said)


@require_POST
@project_page("operate")
def decide_run(request: HttpRequest, project: Project, run_id: uuid.UUID) -> HttpResponse:
    answer = request.POST.get("answer", "")
    if answer not in control.ANSWERS:
        raise BadRequest("The answer is continue or stop.")
    if remember := request.POST.get("remember") == "on":
        require(request, "manage")
    run = run_of(request, project, run_id)
    control.decide_run(
        run,
        answer,
        reason=_reason(request),
        renames=renames_of(request.POST),
        remember=remember,
        actor=actor_of(request.user),
    )
    return _to_run(request, project, run, "The run goes on." if answer == "continue" else "The run is stopped.")


@require_POST
@project_page("operate")
def skip_run(request: HttpRequest, project: Project, run_id: uuid.UUID) -> HttpResponse:
    run = run_of(request, project, run_id)
    control.skip_run(run, reason=_reason(request), actor=actor_of(request.user))
    return _to_run(request, project, run, "The run is skipped.")


@require_POST
@project_page("operate")
def fix(request: HttpRequest, project: Project, run_id: uuid.UUID, suggestion: str) -> HttpResponse:
    run = run_of(request, project, run_id)
    following = fixing.apply(run, suggestion, actor=actor_of(request.user))
    return _to_run(request, project, following, "Done. This run follows from it.")


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()[:LONGEST_REASON]


def _to_run(request: HttpRequest, project: Project, run: Run, said: str) -> HttpResponse:
    return go(request, reverse("console:run", args=[project.slug, run.pk]), said)


def _to_pipeline(request: HttpRequest, project: Project, pipeline: Pipeline, said: str) -> HttpResponse:
    return go(request, reverse("console:pipeline", args=[project.slug, pipeline.slug]), said)


_RUN = "p/<slug:project>/runs/<uuid:run_id>/"
_PIPELINE = "p/<slug:project>/pipelines/<slug:slug>/"
urlpatterns = [
    path(_PIPELINE + "pause/", pause_pipeline, name="pipeline-pause"),
    path(_PIPELINE + "resume/", resume_pipeline, name="pipeline-resume"),
    path(_RUN + "pause/", pause_run, name="run-pause"),
    path(_RUN + "resume/", resume_run, name="run-resume"),
    path(_RUN + "decide/", decide_run, name="run-decide"),
    path(_RUN + "skip/", skip_run, name="run-skip"),
    path(_RUN + "fix/<slug:suggestion>/", fix, name="run-fix"),
]
