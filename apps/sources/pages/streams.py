"""The page of a stream: its columns and their types, how new rows are known, a sample of what arrives."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from pydantic import BaseModel, ValidationError, field_validator

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page, require
from apps.sources import services
from apps.sources.models import Stream
from apps.sources.pages import file_settings, forms
from apps.sources.parameters import InvalidFields
from apps.sources.streams import DeclaredColumn, names_kept, seen_columns, types_kept
from dataplane.connectors import registry
from dataplane.connectors.files.settings import FileSettings
from dataplane.drift import POLICIES, Policy
from dataplane.errors import ManifoldError

_DRIFTS = 5
_CHANGED_FILES = {
    "": "Leave it, and say so",
    "read_again": "Read it again, into loads that merge",
    "stop": "Stop the run",
}
TYPES = (
    "VARCHAR", "BIGINT", "INTEGER", "DOUBLE", "DECIMAL(18,2)", "BOOLEAN", "DATE", "TIME", "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE", "UUID", "JSON", "BLOB",
)  # fmt: skip


class Anew(BaseModel):
    """What *Read it so* has found, which travels with the form. given: the settings that were entered."""

    columns: list[DeclaredColumn]
    settings: dict[str, Any]
    given: list[str]
    warnings: list[str] = []

    @field_validator("settings")
    @classmethod
    def _readable(cls, value: dict[str, Any]) -> dict[str, Any]:
        FileSettings.model_validate(value)
        return value


def stream_of(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> Stream:
    """A stream of the project that the person may see, or not found."""
    visible = Stream.objects.visible_to(request.user).filter(source__project=project, source__slug=slug)
    return get_object_or_404(visible.select_related("source__credential", "source__project"), pk=stream_id)


@require_http_methods(["GET", "POST"])
@project_page()
def show(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    stream = stream_of(request, project, slug, stream_id)
    entered: dict[str, Any] = {}
    found: dict[str, Any] = {}
    if request.method == "POST":
        require(request, "manage")
        anew = _anew(request.POST)
        entered = _declared(stream, request.POST, anew)
        found = {} if request.POST.get("anyway") == "yes" else _tried(stream, entered)
        if not found or (found["tried"] and services.fits(found["tried"])):
            try:
                services.update_stream(
                    stream=stream,
                    config=entered,
                    drift=request.POST.get("drift"),
                    seen=[each.model_dump() for each in anew.columns] if anew else None,
                    warnings=anew.warnings if anew else (),
                    actor=actor_of(request.user),
                )
            except InvalidFields as error:
                found = _refused(error)
            else:
                return go(request, request.path, "Saved. Runs that start from now on read it so.")
    context = _shown(stream, entered) | found | {"anew": request.POST.get("anew", "")}
    return render(request, "sources/stream.html", context, status=422 if found else 200)


@require_POST
@project_page("manage")
def try_changes(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    """What a run would make of a sample with what is entered; nothing is kept."""
    stream = stream_of(request, project, slug, stream_id)
    entered = _declared(stream, request.POST, _anew(request.POST))
    return render(request, "sources/parts/stream_tried.html", _tried(stream, entered))


@require_POST
@project_page("manage")
def read_so(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    """The form with the columns that files have when they are read by what is entered; nothing is kept."""
    stream = stream_of(request, project, slug, stream_id)
    before = _anew(request.POST)
    entered = _declared(stream, request.POST, before)
    settings = before.settings if before else stream.config.get("settings", {})
    given = {*(before.given if before else ()), *file_settings.entered(settings, request.POST)}
    wanted = entered.get("settings", {})
    if wanted.get("pattern") != settings.get("pattern"):
        given.add("pattern")
    try:
        info = services.found_anew(stream, config={"settings": wanted}, given=given)
    except InvalidFields as error:
        return render(request, "sources/parts/stream_tried.html", _refused(error))
    except ManifoldError as error:
        return render(request, "sources/parts/stream_tried.html", {"tried": None, "error": error.as_json()})
    types = {each["name"]: each["type"] for each in entered["columns"]}
    was = {each.name: each.type for each in (before.columns if before else seen_columns(stream))}
    columns = types_kept(info.columns, types, was)
    anew = Anew(
        columns=[asdict(each) for each in info.columns],
        settings=info.settings,
        given=sorted(given),
        warnings=list(info.warnings),
    )
    shown = _shown(stream, {**entered, "columns": columns, "settings": info.settings})
    answer = render(
        request,
        "sources/parts/stream_form.html",
        {**shown, "anew": anew.model_dump_json(), "warnings": info.warnings},
    )
    answer.headers["HX-Retarget"], answer.headers["HX-Reswap"] = "#declaration", "outerHTML show:top"
    return answer


def _tried(stream: Stream, entered: dict[str, Any]) -> dict[str, Any]:
    """`tried`, or why it could not be: `faults` of fields, or the `error` of a source that cannot be asked."""
    try:
        return {"tried": services.try_stream(stream, config=entered)}
    except InvalidFields as error:
        return _refused(error)
    except ManifoldError as error:
        return {"tried": None, "error": error.as_json()}


def _refused(error: InvalidFields) -> dict[str, Any]:
    return {"tried": None, "faults": [(name, text) for name, texts in error.fields.items() for text in texts]}


def _shown(stream: Stream, entered: dict[str, Any]) -> dict[str, Any]:
    """The stream as it is declared, or as somebody has just entered it."""
    connector = registry.get(stream.source.connector)
    config = stream.config | entered
    config["settings"] = stream.config.get("settings", {}) | entered.get("settings", {})
    if isinstance(pattern := config["settings"].get("pattern"), str):
        # Kept as it was entered by an earlier version.
        config["settings"]["pattern"] = pattern.splitlines()
    return {
        "stream": stream,
        "source": stream.source,
        "connector": forms.shown(connector),
        "config": config,
        "columns": config.get("columns", []),
        "select": set(config.get("select") or ()),
        "reading": file_settings.entries(config["settings"]) if connector.family == "file" else [],
        "types": TYPES,
        "versions": stream.schema_versions.all()[:5],
        "drifts": list(stream.drifts.all()[:_DRIFTS]),
        "policies": POLICIES,
        "asks": services.policy_of(stream) == "ask",
        "changed_files": _CHANGED_FILES,
        "when_changed": config["settings"].get("when_changed") or "",
        "policy_of_source": POLICIES[cast(Policy, stream.source.drift)],
        "has_files": connector.family == "file",
        "has_messages": connector.family == "stream",
        "by_cursor": connector.needs_cursor(),
    }


@require_POST
@project_page("operate")
def drift_seen(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    stream = stream_of(request, project, slug, stream_id)
    services.mark_seen(stream, actor=actor_of(request.user))
    return _to_stream(request, project, stream, "The changes are marked as seen.")


@require_POST
@project_page("operate")
def drift_accept(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    """Take over what was found; a column that has gone may be called otherwise now."""
    stream = stream_of(request, project, slug, stream_id)
    drift = get_object_or_404(stream.drifts, pk=request.POST.get("drift", ""))
    if remember := request.POST.get("remember") == "on":
        require(request, "manage")
    services.accept_drift(drift, renames=renames_of(request.POST), remember=remember, actor=actor_of(request.user))
    return _to_stream(request, project, stream, "Taken over. Runs that start from now on read it so.")


def renames_of(data: QueryDict) -> dict[str, str]:
    """What was chosen for columns that have gone: `rename-OLD` is what OLD is called now."""
    chosen = {name.removeprefix("rename-"): data.get(name, "") for name in data if name.startswith("rename-")}
    return {old: new for old, new in chosen.items() if new}


def _to_stream(request: HttpRequest, project: Project, stream: Stream, said: str) -> HttpResponse:
    return go(request, reverse("console:stream", args=[project.slug, stream.source.slug, stream.pk]), said)


@require_GET
@project_page("read")
def preview(request: HttpRequest, project: Project, slug: str, stream_id: uuid.UUID) -> HttpResponse:
    """The first fifty rows as they would arrive, or why they do not."""
    stream = stream_of(request, project, slug, stream_id)
    try:
        found = services.preview_stream(stream)
    except ManifoldError as error:
        return render(request, "console/parts/error.html", {"error": error.as_json()})
    nothing = "No row would arrive." if found["rejected"] else "The stream has no rows now."
    return render(request, "sources/parts/stream_sample.html", {"found": found, "nothing": nothing})


def _anew(data: QueryDict) -> Anew | None:
    try:
        return Anew.model_validate_json(data.get("anew", ""))
    except ValidationError:
        return None


def _declared(stream: Stream, data: QueryDict, anew: Anew | None) -> dict[str, Any]:
    """What was entered, as the parts of the declaration that it changes."""
    columns = [each.model_dump() for each in anew.columns] if anew else stream.config.get("columns", [])
    columns = [dict(each) for each in columns]
    for place, each in enumerate(columns):
        each["type"] = data.get(f"type-{place}", "").strip() or each["type"]
    wanted = [each["name"] for place, each in enumerate(columns) if data.get(f"use-{place}") == "on"]
    config: dict[str, Any] = {"columns": columns, "select": [] if len(wanted) == len(columns) else wanted}
    for name in ("cursor", "row_filter", "query"):
        if name in data:
            config[name] = forms.text_of(data, name)
    if anew:
        config["names"] = names_kept(stream.config.get("names", {}), [each["name"] for each in columns])
    if data.get("lookback", "").strip():
        config["lookback"] = data["lookback"]
    settings: dict[str, Any] = {}
    if data.get("when_changed", "-") in _CHANGED_FILES:
        settings["when_changed"] = data["when_changed"] or None
        settings["by_pattern"] = data.get("by_pattern") == "on"
    if "pattern" in data:
        settings["pattern"] = [line.strip() for line in data.get("pattern", "").splitlines() if line.strip()]
    if registry.get(stream.source.connector).family == "file":
        found = anew.settings if anew else {}
        settings = {**found, **settings, **file_settings.entered(found or stream.config.get("settings", {}), data)}
    return config | ({"settings": settings} if settings else {})


_ONE = "p/<slug:project>/sources/<slug:slug>/streams/<uuid:stream_id>/"
urlpatterns = [
    path(_ONE, show, name="stream"),
    path(_ONE + "preview/", preview, name="stream-preview"),
    path(_ONE + "try/", try_changes, name="stream-try"),
    path(_ONE + "read-so/", read_so, name="stream-read-so"),
    path(_ONE + "drift/seen/", drift_seen, name="stream-drift-seen"),
    path(_ONE + "drift/accept/", drift_accept, name="stream-drift-accept"),
]
