"""A query of one's own as a stream of a source: the server says whether it is one, and which columns it has."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page
from apps.audit.refusals import Conflict
from apps.sources import services
from apps.sources.pages import forms
from apps.sources.pages.showing import source_of
from apps.sources.parameters import InvalidFields
from dataplane.connectors import registry
from dataplane.errors import ManifoldError


@require_http_methods(["GET", "POST"])
@project_page("manage")
def add_query(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    source = source_of(request, project, slug, "manage")
    if not registry.get(source.connector).capabilities.query:
        raise Http404(f"Sources of the kind {source.connector} take no queries.")
    if request.method == "GET":
        return render(request, "sources/query.html", {"source": source})
    name, query = request.POST.get("name", "").strip(), forms.text_of(request.POST, "query").strip()
    found: dict[str, Any]
    try:
        if not query:
            raise InvalidFields({"query": ["Write a SELECT."]})
        stream = services.declare_stream(source, name=name, config={"query": query}, actor=actor_of(request.user))
    except InvalidFields as error:
        found = {"faults": [(field, text) for field, texts in error.fields.items() for text in texts]}
    except Conflict as error:
        found = {"faults": [("name", str(error))]}
    except ManifoldError as error:
        found = {"error": error.as_json()}
    else:
        url = reverse("console:stream", args=[project.slug, slug, stream.pk])
        return go(request, url, "Kept. Look at the sample, and choose by which column new rows are known.")
    return render(request, "sources/query.html", {"source": source, "name": name, "query": query, **found}, status=422)


urlpatterns = [path("p/<slug:project>/sources/<slug:slug>/new-query/", add_query, name="source-query")]
