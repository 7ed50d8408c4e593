"""What breaks if a source goes down, drawn and told; and on a dataset's page the sources that feed it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.http import require_GET

from apps.accounts.models import Project
from apps.accounts.page_base import project_page
from apps.pipelines import lineage
from apps.pipelines.pages import board
from apps.pipelines.schedules import clock
from apps.snapshots.models import Dataset
from apps.sources.models import Source


@require_GET
@project_page()
def impact(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    visible = Source.objects.visible_to(request.user).filter(project=project).select_related("project")
    source = get_object_or_404(visible, slug=slug)
    found = lineage.impact(source, clock())
    graph = _graph(found)
    dues = sorted((each["due_at"], each["dataset"]) for each in found["datasets"] if each["state"] == "fresh")
    failing = {each["pipeline"] for each in (*found["pipelines"], *found["written"]) if each.get("direct", True)}
    context = {
        "source": source,
        "impact": found,
        "failing": len(failing),
        "following": len({each["pipeline"] for each in found["pipelines"]} - failing),
        "overdue": sum(each["state"] in ("late", "stale") for each in found["datasets"]),
        "graph": graph,
        "height": board.height_of(graph),
        "first_due": {"at": dues[0][0], "dataset": dues[0][1]} if dues else None,
        "days": lineage.LOOKED_BACK.days,
    }
    return render(request, "pipelines/impact.html", context)


@require_GET
@project_page()
def upstream(request: HttpRequest, project: Project, slug: str) -> HttpResponse:
    visible = Dataset.objects.visible_to(request.user).filter(project=project, hidden=False).select_related("project")
    dataset = get_object_or_404(visible, slug=slug)
    return render(request, "pipelines/parts/upstream.html", {"feeders": lineage.feeders(dataset)})


def _graph(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The streams that are read and what is loaded from them, for drawing; edges in the direction of the data.

    Pipelines may feed each other in a circle: an edge is drawn only from what was reached before.
    """
    nodes: dict[str, dict[str, str]] = {}
    edges: list[dict[str, str]] = []
    behind: dict[str, set[str]] = {}
    for flow in found["flows"]:
        for each in flow["reads"]:
            if each["source"] == found["source"]:
                nodes.setdefault(_name(each), {"id": _name(each), "kind": "extract", "what": f"of {each['source']}"})
    for flow in found["flows"]:
        name = _name(flow["writes"])
        above = [_name(each) for each in flow["reads"] if _name(each) in nodes]
        if name not in nodes:
            nodes[name] = {"id": name, "kind": "load", "what": f"by {flow['pipeline']}"}
            # What is behind another input reaches it through that one.
            further = set().union(*(behind.get(each, set()) for each in above))
            behind[name] = further.union(above)
            near = [each for each in above if each not in further]
            edges += [{"id": f"{each}>{name}", "source": each, "target": name} for each in near]
    return [{"data": each} for each in (*nodes.values(), *edges)]


def _name(asset: dict[str, str]) -> str:
    return f"{asset['kind']} {asset['name']}"


urlpatterns = [
    path("p/<slug:project>/sources/<slug:slug>/impact/", impact, name="source-impact"),
    path("p/<slug:project>/datasets/<str:slug>/upstream/", upstream, name="dataset-upstream"),
]
