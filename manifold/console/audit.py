"""The audit log of a project: who did what, and what a row was before and after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from apps.accounts.models import Project
from apps.accounts.page_base import project_page
from apps.audit.models import Event

PAGE = 60
_FILTERS = {"verb": "verb", "type": "object_type", "actor": "actor_name__icontains", "object": "object_name__icontains"}


@require_GET
@project_page()
def index(request: HttpRequest, project: Project) -> HttpResponse:
    """The newest events first; `before` is the id that the previous page ended with."""
    events = Event.objects.visible_to(request.user).filter(project=project.pk)
    chosen = {name: request.GET.get(name, "").strip()[:200] for name in (*_FILTERS, "since", "until", "before")}
    found = events
    for name, lookup in _FILTERS.items():
        if chosen[name]:
            found = found.filter(**{lookup: chosen[name]})
    since, until = _day(chosen["since"]), _day(chosen["until"])
    if since:
        found = found.filter(at__gte=since)
    if until:
        found = found.filter(at__lt=until + timedelta(days=1))
    if chosen["before"].isdecimal():
        found = found.filter(pk__lt=int(chosen["before"]))
    page = list(found.order_by("-id")[: PAGE + 1])
    context = {
        "events": page[:PAGE],
        "more": page[PAGE - 1].pk if len(page) > PAGE else None,
        "chosen": chosen,
        "filtered": any(chosen.values()),
        "verbs": events.order_by("verb").values_list("verb", flat=True).distinct(),
        "types": events.order_by("object_type").values_list("object_type", flat=True).distinct(),
    }
    return render(request, "console/audit.html", context)


@require_GET
@project_page()
def show(request: HttpRequest, project: Project, event_id: int) -> HttpResponse:
    event = get_object_or_404(Event.objects.visible_to(request.user).filter(project=project.pk), pk=event_id)
    earlier = Event.objects.visible_to(request.user).filter(
        project=project.pk, object_type=event.object_type, object_id=event.object_id
    )
    context = {"event": event, "changes": changes(event), "history": earlier.order_by("-id")[:20]}
    return render(request, "console/event.html", context)


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


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
