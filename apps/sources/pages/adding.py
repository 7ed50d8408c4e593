"""Adding a source: what it is, its connection, its streams, their types. Only the last step stores anything.

The steps are parts of one page, which holds what was entered until then; no secret travels back to the browser.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page
from apps.sources import services
from apps.sources.models import Source
from apps.sources.pages import file_settings, forms
from apps.sources.pages.choosing import offers_of
from apps.sources.pages.editing import refused
from apps.sources.pages.streams import TYPES
from apps.sources.parameters import InvalidFields
from apps.sources.services import Answer, Chosen, Detected
from dataplane.connectors import registry, wellknown
from dataplane.connectors.base import Connector
from dataplane.connectors.clues import LONGEST
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.schema import StreamInfo
from dataplane.errors import ManifoldError
from dataplane.names import slug_of

Step = Callable[[HttpRequest, Project, type[Connector]], HttpResponse]


@require_http_methods(["GET", "POST"])
@project_page("manage")
def pick(request: HttpRequest, project: Project) -> HttpResponse:
    """What is it? A POST answers with the connectors that it may be, or with the form of the one that it is."""
    if request.method == "GET":
        shown = [forms.shown(each) for each in registry.connectors().values()]
        context = {"connectors": shown, "templates": wellknown.templates().values()}
        return render(request, "sources/pick.html", context)
    found = _detected(request)
    if found.clear:
        answer = _form(request, project, registry.get(found.candidates[0].connector))
        answer.headers["HX-Retarget"] = "#connection"
        return answer
    candidates = [(forms.shown(registry.get(each.connector)), each) for each in found.candidates]
    return render(request, "sources/parts/candidates.html", {"candidates": candidates})


@require_http_methods(["GET", "POST"])
@project_page("manage")
def add(request: HttpRequest, project: Project, connector: str) -> HttpResponse:
    """The form of a connector, and the steps after it; each answers with a part of the page."""
    if connector not in set(registry.keys()):
        raise Http404(f"There is no connector {connector}.")
    kind = registry.get(connector)
    if request.method == "GET":
        return render(request, "sources/add.html", _begun(kind, request.GET.get("template", "")))
    step = _STEPS.get(request.POST.get("do", "test"), _test)
    try:
        return step(request, project, kind)
    except InvalidFields as error:
        return refused(request, kind, error)
    except ManifoldError as error:
        return render(request, "console/parts/error.html", {"error": error.as_json()})


def _begun(kind: type[Connector], key: str) -> dict[str, Any]:
    """An empty form, or one that is filled by a template."""
    chosen = wellknown.templates().get(key)
    if chosen is None or chosen.connector != kind.key:
        return {"connector": forms.shown(kind), "sections": forms.sections(kind.Params)}
    sections = forms.sections(kind.Params, chosen.params)
    return {"connector": forms.shown(kind), "sections": sections, "template": chosen}


def _form(request: HttpRequest, project: Project, kind: type[Connector]) -> HttpResponse:
    """The connection, filled with what the clue tells; of secrets only that they are known."""
    guess = next((each for each in _detected(request).candidates if each.connector == kind.key), None)
    known = frozenset(guess.secrets) if guess else frozenset()
    context = {
        "connector": forms.shown(kind),
        "sections": forms.sections(kind.Params, guess.params if guess else None, told=known),
        "guess": guess,
        "detected": True,
    }
    return render(request, "sources/parts/adding_connection.html", context)


def _test(request: HttpRequest, project: Project, kind: type[Connector]) -> HttpResponse:
    answer = services.try_source(_draft(request, project, kind))
    return _tried(request, answer, going_on=False)


def _go_on(request: HttpRequest, project: Project, kind: type[Connector]) -> HttpResponse:
    """Test it, and show the streams that it holds; one that has none yet is stored at once: it takes uploads, or
    somebody has to consent first."""
    draft = _draft(request, project, kind)
    _named(request, project)
    answer = services.try_source(draft)
    if answer.lacks_only_consent:
        return _save_anyway(request, project, kind)
    if not all(each.ok for each in answer.stages):
        return _tried(request, answer, going_on=True)
    if kind.takes_uploads:
        return _save(request, project, kind)
    offers = offers_of(services.offered_streams(draft), {})
    context = {
        "connector": forms.shown(kind),
        "offers": offers,
        "by_cursor": kind.needs_cursor(),
        "total": answer.seconds,
    }
    return _part(request, "streams", context)


def _types(request: HttpRequest, project: Project, kind: type[Connector]) -> HttpResponse:
    """The columns of the chosen streams, as they would be read."""
    names = request.POST.getlist("stream")
    if not names:
        raise InvalidFields({"streams": ["Choose at least one, or save the source without streams."]})
    found = services.offered_streams(_draft(request, project, kind), names)
    streams = [_card(request, kind, str(place), each) for place, each in enumerate(found)]
    return _part(request, "types", {"connector": forms.shown(kind), "streams": streams, "types": TYPES})


def _again(request: HttpRequest, project: Project, kind: type[Connector]) -> HttpResponse:
    """One of the chosen streams as its columns are when its files are read by other settings."""
    place = request.POST.get("at", "")
    chosen = _chosen(request, place)
    info = services.look_again(_draft(request, project, kind), chosen)
    card = _card(request, kind, place, info, chosen.config.get("settings"))
    context = {**card, "connector": forms.shown(kind), "shown": True, "again": True}
    answer = render(request, "sources/parts/adding_stream.html", context)
    answer.headers["HX-Retarget"], answer.headers["HX-Reswap"] = f"#stream-{place}", "outerHTML"
    return answer


def _card(
    request: HttpRequest, kind: type[Connector], place: str, info: StreamInfo, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What is shown of a stream. Its settings travel with the form: as they are shown, and which of them were given."""
    return {
        "place": place,
        "stream": asdict(info),
        "cursor": request.POST.get(f"cursor-{info.name}", ""),
        "reading": file_settings.entries(info.settings) if kind.family == "file" else [],
        "prefix": f"{place}-",
        "found": json.dumps(info.settings),
        "given": json.dumps(given or {}),
    }


def _settings(data: Mapping[str, str], place: str) -> dict[str, Any]:
    """What was given of how a stream's files are read: now, or before they were last looked at."""
    try:
        found, given = (json.loads(data.get(f"{name}-{place}", "")) for name in ("settings", "given"))
        FileSettings.model_validate({**found, **given})
    except (ValueError, TypeError, RecursionError):
        return {}
    mine = {each.removeprefix(f"{place}-"): told for each, told in data.items() if each.startswith(f"{place}-")}
    return {**given, **file_settings.entered(found, mine)}


def _look(request: HttpRequest, project: Project, kind: type[Connector]) -> HttpResponse:
    """The first rows of one of the chosen streams, and what a run would make of a sample."""
    place = request.POST.get("at", "")
    chosen = _chosen(request, place)
    return render(
        request,
        "sources/parts/adding_sample.html",
        services.sample_stream(_draft(request, project, kind), chosen),
    )


def _save(request: HttpRequest, project: Project, kind: type[Connector]) -> HttpResponse:
    places = [name.removeprefix("chosen-") for name in request.POST if name.startswith("chosen-")]
    slug, title = _named(request, project)
    source = services.add_source(
        project,
        slug=slug,
        title=title,
        connector=kind.key,
        params=_params(request, kind),
        streams=[_chosen(request, each) for each in places],
        actor=actor_of(request.user),
    )
    said = "Give it its first files." if kind.takes_uploads else "Pipelines may read it now."
    return go(request, reverse("console:source", args=[project.slug, source.slug]), f"{source.slug} is added. {said}")


def _save_anyway(request: HttpRequest, project: Project, kind: type[Connector]) -> HttpResponse:
    """Store a source that fails its test: its place, or whoever connects it, may come later."""
    slug, title = _named(request, project)
    actor = actor_of(request.user)
    source = services.create_source(
        project, slug=slug, title=title, connector=kind.key, params=_params(request, kind), actor=actor
    )
    check = services.test_source(source, actor=actor)
    said = f"{source.slug} is added, and fails its test. Find its streams when it can be reached."
    if any(each["error"] and each["error"]["code"] == "not_connected" for each in check.stages):
        said = f"{source.slug} is added. Connect it now."
    return go(request, reverse("console:source", args=[project.slug, source.slug]), said)


_STEPS: dict[str, Step] = {
    "form": _form,
    "test": _test,
    "next": _go_on,
    "types": _types,
    "again": _again,
    "sample": _look,
    "save": _save,
    "anyway": _save_anyway,
}


def _tried(request: HttpRequest, answer: Answer, *, going_on: bool) -> HttpResponse:
    failed = any(not each.ok for each in answer.stages)
    context = {"stages": answer.stages, "failed": failed, "total": answer.seconds, "saving": going_on}
    return render(request, "sources/parts/tried.html", context)


def _part(request: HttpRequest, step: str, context: dict[str, Any]) -> HttpResponse:
    """The content of a later step, which takes the place of those before it."""
    answer = render(request, f"sources/parts/adding_{step}.html", context)
    answer.headers["HX-Retarget"] = f"#{step}"
    return answer


def _params(request: HttpRequest, kind: type[Connector]) -> dict[str, Any]:
    """What was entered; secrets that were left empty are those of the clue."""
    text = request.POST.get("text", "")[:LONGEST]
    asked = {name.removeprefix("ask-"): told for name, told in request.POST.items() if name.startswith("ask-")}
    told = services.told(kind.key, text, secrets_only=True)
    over = forms.meaningless(kind.Params, request.POST, told)
    known = {name: value for name, value in told.items() if name not in over}
    entered = {**known, **forms.entered(kind.Params, request.POST), **asked}
    return services.begun_by(request.POST.get("template", ""), kind.key, entered, whole=True)


def _draft(request: HttpRequest, project: Project, kind: type[Connector]) -> Source:
    return services.draft_source(project, connector=kind.key, params=_params(request, kind))


def _named(request: HttpRequest, project: Project) -> tuple[str, str]:
    """Name and title. Raises InvalidFields for a name that cannot be given, before anybody waits for the rest."""
    title = request.POST.get("title", "").strip()[:200]
    if not title:
        raise InvalidFields({"title": ["Give it a title."]})
    slug = request.POST.get("slug", "").strip() or slug_of(title)
    if not slug:
        raise InvalidFields({"slug": ["None can be made from this title: enter one, such as reference-db."]})
    services.check_name(slug)
    if Source.objects.filter(project=project, slug=slug).exists():
        raise InvalidFields({"slug": [f"There is a source {slug} already. Choose another name."]})
    return slug, title


def _chosen(request: HttpRequest, place: str) -> Chosen:
    """The stream at a place of the form, with its cursor, how its files are read, and the types that were changed."""
    data = request.POST
    name = data.get(f"chosen-{place}", "")
    cursor = data.get(f"cursor-{name}")
    columns = [each.removeprefix(f"column-{place}-") for each in data if each.startswith(f"column-{place}-")]
    config: dict[str, Any] = {"cursor": cursor} if cursor else {}
    if settings := _settings(data, place):
        config["settings"] = settings
    types = {
        data[f"column-{place}-{each}"]: data.get(f"type-{place}-{each}", "").strip()
        for each in columns
        if data.get(f"type-{place}-{each}", "").strip() not in ("", data.get(f"found-{place}-{each}"))
    }
    return Chosen(name, config, types)


def _detected(request: HttpRequest) -> Detected:
    """What was pasted, or the first bytes of a file, which a browser sends in base64."""
    try:
        sample = base64.b64decode(request.POST.get("sample", ""), validate=True)[:LONGEST]
    except (binascii.Error, ValueError):
        sample = b""
    return services.detect(
        request.POST.get("text", "")[:LONGEST], sample=sample, name=request.POST.get("name", "")[:200]
    )


urlpatterns = [
    path("p/<slug:project>/new-source/", pick, name="source-new"),
    path("p/<slug:project>/new-source/<slug:connector>/", add, name="source-add"),
]
