"""The page of a pipeline's inbound triggers."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page, require
from apps.audit.context import Actor
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import hooks
from apps.pipelines.models import Hook, HookSecret, Pipeline
from apps.pipelines.pages.lists import pipeline_of


@never_cache
@require_http_methods(["GET", "POST"])
@project_page()
def index(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """The triggers with their secrets. A new secret is shown in the answer that makes it, and never again."""
    pipeline = pipeline_of(request, project, slug)
    if request.method == "GET":
        return _page(request, pipeline, {})
    require(request, "manage")
    actor, does = actor_of(request.user), request.POST.get("do", "")
    try:
        if does == "add":
            hook, text = hooks.create_hook(pipeline, name=request.POST.get("name", ""), actor=actor)
            return _page(request, pipeline, {"text": text, "made": hook})
        if does == "secret":
            hook = _hook(request, pipeline)
            return _page(request, pipeline, {"text": hooks.add_secret(hook, actor=actor)[1], "made": hook})
        return go(request, request.path, _do(request, pipeline, does, actor))
    except (Invalid, Conflict) as error:
        return _page(request, pipeline, {"refused": str(error)}, status=422)


def _do(request: HttpRequest, pipeline: Pipeline, does: str, actor: Actor) -> str:
    """Remove a secret, switch or delete a trigger; what to say of it."""
    if does == "remove":
        kept = HookSecret.objects.visible_to(request.user, "manage").filter(hook__pipeline=pipeline)
        hooks.remove_secret(get_object_or_404(kept, pk=_id(request, "secret")), actor=actor)
        return "Messages signed with that secret are refused from now on."
    hook = _hook(request, pipeline)
    if does == "delete":
        hooks.delete_hook(hook, actor=actor)
        return f"The inbound trigger {hook.name} is deleted."
    hooks.switch_hook(hook, enabled=does == "on", actor=actor)
    return f"The inbound trigger {hook.name} is {'on' if does == 'on' else 'off'}."


def _hook(request: HttpRequest, pipeline: Pipeline) -> Hook:
    kept = Hook.objects.visible_to(request.user, "manage").filter(pipeline=pipeline)
    return get_object_or_404(kept, pk=_id(request, "hook"))


def _id(request: HttpRequest, field: str) -> uuid.UUID:
    try:
        return uuid.UUID(request.POST.get(field, ""))
    except ValueError:
        raise Http404(f"The form names no {field}.") from None


def _page(request: HttpRequest, pipeline: Pipeline, more: dict[str, Any], *, status: int = 200) -> HttpResponse:
    found = Hook.objects.visible_to(request.user).filter(pipeline=pipeline).prefetch_related("secrets")
    context = {"pipeline": pipeline, "hooks": found, "base": request.build_absolute_uri("/hooks/"), **more}
    return render(request, "pipelines/hooks.html", context, status=status)


urlpatterns = [path("p/<slug:project>/pipelines/<slug:slug>/hooks/", index, name="pipeline-hooks")]
