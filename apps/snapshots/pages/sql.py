"""The SQL page: an editor that knows the datasets, the answer, saved queries, and what was run before.

Running, stopping and saving are calls of the API that the page's script makes; the server only draws.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from apps.accounts.models import Project, Role
from apps.accounts.page_base import project_page
from apps.snapshots import queries, saved, workbench
from apps.snapshots.models import Dataset, Query, SavedQuery
from dataplane import functions
from dataplane.parameters import KINDS
from dataplane.relations import identifier

_SHOWN = 20
_LIMITS = (100, 1000, workbench.MOST_ROWS)


@require_GET
@project_page("read")
def index(request: HttpRequest, project: Project) -> HttpResponse:
    """`?dataset=` (with `&snapshot=`), `?saved=` or `?query=` says what stands in the editor."""
    schemas = queries.head_schemas(Dataset.objects.visible_to(request.user, "read").filter(project=project))
    text, kept, parameters = _opened(request, project)
    if not text and schemas:
        text = _first_rows(next(iter(schemas)))
    context = _history(request, project) | _saved(request, project)
    context |= {
        "text": text,
        "opened": kept,
        "tables": schemas,
        "limits": _LIMITS,
        "workbench": {
            "tables": {slug: [each["name"] for each in found["schema"]] for slug, found in schemas.items()},
            "heads": {slug: found["head"] for slug, found in schemas.items()},
            "labels": {slug: found["labels"] for slug, found in schemas.items() if found["labels"]},
            "functions": sorted(functions.PLAIN | functions.VOLATILE | functions.TABLE),
            "kinds": KINDS,
            "parameters": parameters,
        },
    }
    return render(request, "snapshots/sql.html", context)


@require_GET
@project_page("read")
def history(request: HttpRequest, project: Project) -> HttpResponse:
    """The newest queries, one's own or everybody's."""
    return render(request, "snapshots/parts/history.html", _history(request, project))


@require_GET
@project_page("read")
def saved_list(request: HttpRequest, project: Project) -> HttpResponse:
    return render(request, "snapshots/parts/saved.html", _saved(request, project))


def _history(request: HttpRequest, project: Project) -> dict[str, Any]:
    found = Query.objects.visible_to(request.user, "read").filter(project=project)
    everybody = request.GET.get("who") == "everybody"
    if not everybody:
        found = found.filter(user=request.user.pk)
    return {"history": queries.history(found)[:_SHOWN], "everybody": everybody}


def _saved(request: HttpRequest, project: Project) -> dict[str, Any]:
    found = SavedQuery.objects.visible_to(request.user, "read").filter(project=project).select_related("owner")
    return {"saved": [(each, _may_change(request, each)) for each in found]}


def _opened(request: HttpRequest, project: Project) -> tuple[str, SavedQuery | None, list[dict[str, Any]]]:
    """What the address asks to have in the editor: its text, the saved query it is, and its parameters."""
    asked = request.GET
    if asked.get("saved"):
        rows = SavedQuery.objects.visible_to(request.user, "read").select_related("owner")
        kept = rows.filter(project=project, slug=asked["saved"]).first()
        return (kept.sql, kept, kept.parameters) if kept else ("", None, [])
    if asked.get("query"):
        pk = _id(asked["query"])
        mine = Query.objects.visible_to(request.user, "read").filter(project=project)
        found = mine.filter(pk=pk).first() if pk else None
        again = [each | {"default": each["value"]} for each in found.parameters] if found else []
        return (found.sql, None, again) if found else ("", None, [])
    number = asked.get("snapshot", "")
    slug = asked.get("dataset", "")
    return (_first_rows(f"{slug}@{number}" if number.isdecimal() else slug) if slug else ""), None, []


def _first_rows(table: str) -> str:
    return f"SELECT *\nFROM {table if table.isidentifier() else identifier(table)}\nLIMIT 100"


def _may_change(request: HttpRequest, kept: SavedQuery) -> bool:
    may: Any = getattr(request, "may", None)
    role = Role.ADMIN if may.manage else Role.OPERATOR if may.operate else Role.VIEWER
    return saved.may_change(kept, request.user.pk, role)


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


_PAGE = "p/<slug:project>/sql/"
urlpatterns = [
    path(_PAGE, index, name="sql"),
    path(_PAGE + "history/", history, name="sql-history"),
    path(_PAGE + "saved/", saved_list, name="sql-saved"),
]
