"""The audit log, of a project and of the platform: who did what, and what a row was before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_http_methods

from apps.accounts.actors import actor_of
from apps.accounts.api.events import EventFilter, everywhere, exported
from apps.accounts.models import Project
from apps.accounts.page_base import administrator_page, is_polling, project_page, signed_in
from apps.audit.export import Form
from apps.audit.models import Event, Seal
from apps.audit.queries import Column, used
from apps.audit.sealing import Verification, verify_more

PAGE = 60
_FILTERS = ("verb", "object_type", "object_id", "request_id", "actor", "text", "since", "until")
# So many seals are compared between two looks at the bar: some thousand events each.
_SEALS_AT_ONCE = 20


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    base = reverse("console:audit", args=[project.slug])
    return _list(request, _of(request, project), base, lambda column: used(column, [project.pk]))


@require_GET
@project_page()
def show(request: HttpRequest, project: Project, event_id: int) -> HttpResponse:
    return _event(request, _of(request, project), event_id, reverse("console:audit", args=[project.slug]))


@require_GET
@project_page()
def export(request: HttpRequest, project: Project) -> StreamingHttpResponse:
    return _export(request, _of(request, project), project)


@require_GET
@administrator_page
def platform(request: HttpRequest) -> HttpResponse:
    """What happened above the projects, and in those that one is in."""
    person = signed_in(request)
    projects = person.project_ids("see")
    base = reverse("console:platform-audit")
    return _list(request, everywhere(person), base, lambda column: used(column, projects, platform=True))


@require_GET
@administrator_page
def platform_show(request: HttpRequest, event_id: int) -> HttpResponse:
    return _event(request, everywhere(signed_in(request)), event_id, reverse("console:platform-audit"))


@require_GET
@administrator_page
def platform_export(request: HttpRequest) -> StreamingHttpResponse:
    return _export(request, everywhere(signed_in(request)), None)


@require_http_methods(["GET", "POST"])
@administrator_page
def verify(request: HttpRequest) -> HttpResponse:
    """Compare the log with its seals. POST begins; each look at the bar goes on by some seals, kept in the session."""
    if request.method == "POST":
        request.session["verifying"] = {"done": False, "found": asdict(Verification())}
        return HttpResponseRedirect(reverse("console:audit-verify"))
    state = request.session.get("verifying")
    context: dict[str, Any] = {"of": Seal.objects.count()}
    if state is not None:
        found = Verification(**state["found"])
        if is_polling(request) and not state["done"]:
            state = {"done": verify_more(found, seals=_SEALS_AT_ONCE), "found": asdict(found)}
            request.session["verifying"] = state
        context |= {"report": found, "done": state["done"], "part": min(found.seals / max(context["of"], 1), 1) * 100}
    template = "console/parts/verify.html" if is_polling(request) else "console/verify.html"
    return render(request, template, context)


def changes(event: Event) -> list[dict[str, Any]]:
    """What the event changed, field by field: before, after, and whether there was a before and an after."""
    before, after = event.before or {}, event.after or {}
    names = [name for name in {**before, **after} if before.get(name) != after.get(name) or event.before is None]
    return [
        {
            "name": name,
            "before": before.get(name),
            "after": after.get(name),
            "was": name in before and before[name] not in (None, ""),
            "is": name in after and after[name] not in (None, ""),
        }
        for name in names
    ]


def _of(request: HttpRequest, project: Project) -> QuerySet[Event]:
    return Event.objects.visible_to(request.user).filter(project=project.pk)


def _list(
    request: HttpRequest, events: QuerySet[Event], base: str, values: Callable[[Column], list[str]]
) -> HttpResponse:
    """The newest events first; `before` is the id that the previous page ended with. values: what a filter offers."""
    chosen = _chosen(request)
    found = _narrowed(events, chosen)
    before = request.GET.get("before", "")[:18]
    if before.isdecimal():
        found = found.filter(pk__lt=int(before))
    page = list(found.order_by("-id")[: PAGE + 1])
    context = {
        "base": base,
        "events": page[:PAGE],
        "more": page[PAGE - 1].pk if len(page) > PAGE else None,
        "chosen": chosen,
        "filtered": any(chosen.values()),
        "verbs": values("verb"),
        "types": values("object_type"),
    }
    return render(request, "console/audit.html", context)


def _event(request: HttpRequest, events: QuerySet[Event], event_id: int, base: str) -> HttpResponse:
    event = get_object_or_404(events, pk=event_id)
    same = events.filter(project=event.project, object_type=event.object_type, object_id=event.object_id)
    context = {"base": base, "event": event, "changes": changes(event), "history": same.order_by("-id")[:20]}
    return render(request, "console/event.html", context)


def _export(request: HttpRequest, events: QuerySet[Event], project: Project | None) -> StreamingHttpResponse:
    chosen = _chosen(request)
    asked = {name: value for name, value in chosen.items() if value}
    form: Form = "ndjson" if request.GET.get("form") == "ndjson" else "csv"
    found = _narrowed(events, chosen)
    return exported(found, form, project=project, asked=asked, actor=actor_of(request.user))


def _chosen(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET.get(name, "").strip()[:200] for name in _FILTERS}


def _narrowed(events: QuerySet[Event], chosen: dict[str, str]) -> QuerySet[Event]:
    """As the API filters; days are whole, the last one included."""
    since, until = _day(chosen["since"]), _day(chosen["until"])
    times = {
        "since": since.isoformat() if since else "",
        "until": (until + timedelta(days=1)).isoformat() if until else "",
    }
    found: QuerySet[Event] = EventFilter({**chosen, **times}, queryset=events).qs
    return found


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


urlpatterns = [
    path("p/<slug:project>/audit/", index, name="audit"),
    path("p/<slug:project>/audit/export/", export, name="audit-export"),
    path("p/<slug:project>/audit/<int:event_id>/", show, name="event"),
    path("platform/audit/", platform, name="platform-audit"),
    path("platform/audit/export/", platform_export, name="platform-audit-export"),
    path("platform/audit/verify/", verify, name="audit-verify"),
    path("platform/audit/<int:event_id>/", platform_show, name="platform-event"),
]
