"""What every page's frame shows: the project, the navigation, and what waits for attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from apps.accounts.page_base import May, memberships
from apps.pipelines.models import Run
from apps.pipelines.states import RUN_ACTIVE
from manifold.console import flower

# Pages that belong to a line of the navigation and do not stand below its address.
_BESIDE = {"Sources": ("new-source/", "history/", "connectors/"), "Pipelines": ("new-pipeline/",)}
_KEYS = {"home": "h", "source": "s", "pipeline": "p", "run": "r", "dataset": "d", "sql": "q", "audit": "a"}


@dataclass(frozen=True)
class Item:
    """A line of the navigation; it is current where the address begins with its own, and on pages that belong to it."""

    title: str
    icon: str
    url: str
    current: bool
    count: int = 0

    @property
    def key(self) -> str:
        """The key that leads here after `g`."""
        return _KEYS.get(self.icon, "")


def frame(request: HttpRequest) -> dict[str, Any]:
    """The context of `console/base.html`. Nothing for those who are not signed in or are in no project."""
    oidc = {"oidc_title": settings.OIDC_TITLE if settings.OIDC_ISSUER else "", "oidc_only": settings.OIDC_ONLY}
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or request.headers.get("HX-Request") == "true":
        project, may = getattr(request, "project", None), getattr(request, "may", May(False, False, ""))
        return {"project": project, "may": may, **oidc}
    members = memberships(request)
    project = getattr(request, "project", None) or _last(request, [each.project for each in members])
    context: dict[str, Any] = {"project": project, "projects": [each.project for each in members], **oidc}
    context["may"] = getattr(request, "may", May(False, False, ""))
    context["sees_workers"] = flower.may_see(user)
    context["nav"] = _items(request, project) if project else []
    return context


def _last(request: HttpRequest, projects: list[Any]) -> Any:
    slug = request.session.get("project")
    return next((each for each in projects if each.slug == slug), projects[0] if projects else None)


def _items(request: HttpRequest, project: Any) -> list[Item]:
    home = reverse("console:home", args=[project.slug])
    active = Run.objects.visible_to(request.user).filter(project=project, state__in=RUN_ACTIVE).count()
    rows = [
        ("Home", "home", home, 0),
        ("Sources", "source", reverse("console:sources", args=[project.slug]), 0),
        ("Pipelines", "pipeline", reverse("console:pipelines", args=[project.slug]), 0),
        ("Runs", "run", reverse("console:runs", args=[project.slug]), active),
        ("Datasets", "dataset", reverse("console:datasets", args=[project.slug]), 0),
        ("SQL", "sql", reverse("console:sql", args=[project.slug]), 0),
        ("Audit", "audit", reverse("console:audit", args=[project.slug]), 0),
    ]
    here = request.path

    def is_current(title: str, url: str) -> bool:
        beside = tuple(home + each for each in _BESIDE.get(title, ()))
        return here == url if url == home else here.startswith((url, *beside))

    return [Item(title, icon, url, is_current(title, url), count) for title, icon, url, count in rows]
