"""What a source costs: the month, each day, each run, and the form of its prices."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.actors import actor_of
from apps.accounts.models import Project
from apps.accounts.page_base import go, project_page, require
from apps.pipelines import costs
from apps.pipelines.api.costs import PricesBody
from apps.pipelines.models import Ingestion, Spending
from apps.pipelines.schedules import clock
from apps.sources.models import Source

TITLES = {
    "currency": "Currency",
    "budget": "Budget for a month",
    "per_call": "A request",
    "per_gb_read": "A GB read",
    "per_gb_month": "A GB kept for a month",
}
_SHOWN = 30


@require_http_methods(["GET", "POST"])
@project_page()
def cost(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    """What it costs; a POST sets prices and budget."""
    visible = Source.objects.visible_to(request.user).filter(project=project).select_related("project")
    source = get_object_or_404(visible, slug=slug)
    refused: list[tuple[str, str]] = []
    if request.method == "POST":
        require(request, "manage")
        given = {name: value.strip().replace(",", ".") for name, value in request.POST.dict().items() if value.strip()}
        form = PricesBody(data={**given, "budget": given.get("budget")})
        if form.is_valid():
            costs.set_prices(source, form.validated_data, actor=actor_of(request.user))
            return go(request, reverse("console:source-cost", args=[project.slug, slug]), "Prices and budget are set.")
        refused = [(TITLES.get(name, name), " ".join(map(str, texts))) for name, texts in form.errors.items()]
    found = costs.cost_json(source, clock())
    rows = Ingestion.objects.filter(source=source.pk).select_related("run__pipeline")
    prices = Spending.objects.filter(source=source).first() or Spending(source=source)
    context = {
        "source": source,
        "cost": found,
        "fields": {**found, **(request.POST.dict() if refused else {})},
        "refused": refused,
        "titles": TITLES,
        "rows": costs.with_cost(rows.exclude(bytes=0, calls=0)[:_SHOWN], prices),
        "chart": _chart(found["days"]),
        "drawn": any(each["reads"] for each in found["days"]),
        "spent_part": _part(found),
    }
    return render(request, "pipelines/cost.html", context, status=422 if refused else 200)


def _chart(days: list[dict[str, Any]]) -> dict[str, Any]:
    """What the browser draws: one bar for each day that had something."""
    return {
        "at": [each["day"] for each in days],
        "bytes": [each["bytes_read"] or None for each in days],
        "calls": [each["calls"] or None for each in days],
        "state": ["ok"] * len(days),
    }


def _part(found: dict[str, Any]) -> float | None:
    """The part of the budget that is spent, at most all of it; None without one."""
    if found["budget"] is None:
        return None
    budget, spent = float(found["budget"]), float(found["cost"]["total"])
    return 1.0 if spent >= budget else spent / budget


urlpatterns = [path("p/<slug:project>/sources/<slug:slug>/cost/", cost, name="source-cost")]
