"""The editor: a document is validated while it is typed, kept as a draft, and published."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page, require
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import cloning, services
from apps.pipelines.document import Document
from apps.pipelines.models import Pipeline
from apps.pipelines.pages import board
from apps.pipelines.pages.first import first_document
from apps.pipelines.pages.lists import pipeline_of
from apps.pipelines.problems import DocumentError
from apps.snapshots.models import Dataset
from apps.sources.models import Source, Stream
from apps.sources.pages import forms
from apps.sources.streams import configured
from dataplane.connectors import registry
from dataplane.steps.extract import columns_of, narrowed

SLUG = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
_DATASET = "dataset-"


@require_http_methods(["GET", "POST"])
@project_page("operate")
def new(request: HttpRequest, project: Project) -> HttpResponse:
    """A first document that names the project's own sources, ready to be changed."""
    if request.method == "GET":
        streams = Stream.objects.visible_to(request.user).filter(source__project=project).select_related("source")
        chosen = streams.filter(source__slug=request.GET.get("source", "")).filter(name=request.GET.get("stream", ""))
        stream = chosen.first() or streams.order_by("discovered_at").first()
        taken = set(Pipeline.objects.filter(project=project).values_list("slug", flat=True))
        return _editor(request, project, first_document(stream, taken))
    text = _text(request)
    publish = _wants_to_publish(request)
    try:
        pipeline = services.apply_document(project, text, actor=actor_of(request.user), publish=publish)
    except DocumentError as error:
        return _editor(request, project, text, refused=str(error))
    said = f"{pipeline.slug} is published." if publish else f"{pipeline.slug} is saved as a draft."
    return go(request, reverse("console:pipeline", args=[project.slug, pipeline.slug]), said)


@require_http_methods(["GET", "POST"])
@project_page("operate")
def edit(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    pipeline = pipeline_of(request, project, slug)
    if request.method == "GET":
        published = pipeline.published.text if pipeline.published else ""
        return _editor(request, project, pipeline.draft or published, pipeline)
    text, actor = _text(request), actor_of(request.user)
    publish = _wants_to_publish(request)
    try:
        pipeline = services.save_draft(pipeline, text, actor=actor, begun_from=request.POST.get("begun_from"))
    except Conflict as error:
        pipeline.refresh_from_db()
        return _editor(request, project, text, pipeline, overtaken=str(error))
    if not publish:
        said = "The draft is saved." if pipeline.draft else "This is what is published; there is no draft."
        return go(request, request.path, said)
    try:
        version = services.publish_draft(pipeline, actor=actor)
    except DocumentError as error:
        return _editor(request, project, text, pipeline, refused=str(error))
    said = f"Version {version.number} is published. Runs that start from now on use it."
    return go(request, reverse("console:pipeline", args=[project.slug, slug]), said)


@require_http_methods(["GET", "POST"])
@project_page("operate")
def clone(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """A draft under another name, opened in the editor; before that, the fields for the names of its datasets."""
    pipeline = pipeline_of(request, project, slug)
    if request.method == "GET":
        return _clone_datasets(request, pipeline)
    named = _slug(request.POST.get("name", ""), "name")
    datasets = {each: _slug(text, each) for each, text in _entered(request.POST).items() if text.strip()}
    made = cloning.clone_pipeline(pipeline, named, datasets=datasets, actor=actor_of(request.user))
    said = "This is the clone, as a draft. Its datasets are its own; outside tables keep their names."
    return go(request, reverse("console:pipeline-edit", args=[project.slug, made.slug]), said)


@require_POST
@project_page()
def validate(request: HttpRequest, project: Project) -> HttpResponse:
    """What is wrong with a text, as the part of the page beside the editor."""
    document, problems = services.validate(project, _text(request))
    slug = request.POST.get("pipeline", "")
    renamed = document is not None and slug and document.pipeline != slug
    graph = board.graph_of(document) if document is not None else []
    context = {"problems": problems, "document": document, "graph": graph, "renamed": slug if renamed else ""}
    if document is not None:
        context["reads"] = _reads(request, project, document)
    return render(request, "pipelines/parts/problems.html", context)


def _reads(request: HttpRequest, project: Project, document: Document) -> list[dict[str, Any]]:
    """Of each extract its stream, whose source was looked at before, and the columns as they arrive."""
    specs = {key: step.spec for key, step in document.steps.items() if step.kind == "extract"}
    named = Stream.objects.visible_to(request.user).filter(
        source__project=project,
        source__slug__in={each.source for each in specs.values()},
        name__in={each.stream for each in specs.values()},
    )
    streams = {(each.source.slug, each.name): each for each in named.select_related("source")}
    found = []
    for key, spec in specs.items():
        if (stream := streams.get((spec.source, spec.stream))) is not None:
            columns = columns_of(narrowed(configured(stream), spec))
            connector = forms.shown(registry.get(stream.source.connector))
            found.append({"key": key, "spec": spec, "stream": stream, "connector": connector, "columns": columns})
    return found


def _clone_datasets(request: HttpRequest, pipeline: Pipeline) -> HttpResponse:
    try:
        names = cloning.names_in_clone(pipeline, request.GET.get("name", "").strip() or pipeline.slug)
    except Conflict as error:
        return render(request, "console/parts/error.html", {"error": error.as_json()})
    entered = _entered(request.GET)
    fields = [(each, called, entered.get(each, "")) for each, called in names.items()]
    return render(request, "pipelines/parts/clone_datasets.html", {"fields": fields})


def _entered(data: QueryDict) -> dict[str, str]:
    """The dataset's name now -> the name that was entered for the clone."""
    return {name.removeprefix(_DATASET): str(data[name]) for name in data if name.startswith(_DATASET)}


def _slug(text: str, field: str) -> str:
    if not re.fullmatch(SLUG, text.strip()) or len(text.strip()) > cloning.LONGEST:
        raise Invalid(
            field, f"Write up to {cloning.LONGEST} small letters, digits and dashes, beginning with a letter."
        )
    return text.strip()


def _editor(
    request: HttpRequest,
    project: Project,
    text: str,
    pipeline: Pipeline | None = None,
    *,
    refused: str = "",
    overtaken: str = "",
) -> HttpResponse:
    sources = Source.objects.visible_to(request.user).filter(project=project).prefetch_related("streams")
    context = {
        "pipeline": pipeline,
        "text": text,
        "begun_from": services.mark_of(pipeline) if pipeline else "",
        "refused": refused,
        "overtaken": overtaken,
        "sources": sources,
        "datasets": Dataset.objects.visible_to(request.user).filter(project=project, hidden=False),
    }
    return render(request, "pipelines/edit.html", context, status=422 if refused else 409 if overtaken else 200)


def _text(request: HttpRequest) -> str:
    return request.POST.get("text", "").replace("\r\n", "\n")


def _wants_to_publish(request: HttpRequest) -> bool:
    """Publishing takes more than editing: who may not is refused, whatever the form says."""
    wants = request.POST.get("do") == "publish"
    if wants:
        require(request, "manage")
    return wants


_BASE = "p/<slug:project>/pipelines/"
urlpatterns = [
    path("p/<slug:project>/new-pipeline/", new, name="pipeline-new"),
    path("p/<slug:project>/validate/", validate, name="pipeline-validate"),
    path(_BASE + "<slug:slug>/edit/", edit, name="pipeline-edit"),
    path(_BASE + "<slug:slug>/clone/", clone, name="pipeline-clone"),
]
